"""What a sweep varies: reading, refusing, and the spec of one trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from psp_hw.errors import SpecError
from psp_hw.spec.enums import AlphaInit, StructureKind
from psp_hw.spec.presets import preset, with_structures
from psp_hw.spec.space import (
    Axis,
    AxisName,
    Range,
    Space,
    applied,
    axes_from_dict,
    check_space,
    identity,
    load_space,
    parse_axis,
    space_to_dict,
)
from psp_hw.spec.train import LayerOverride, StructureSpec

SHAPE = with_structures(preset("digits-cnn"), (StructureKind.SHAPE,))
DENSE = preset("digits-cnn")


def test_a_sweep_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "epsilon: {low: 0.1, high: 0.5}\n"
        "lambda: {low: 1e-4, high: 1e-2}\n"
        "structure: [none, shape, 'shape, channel']\n"
        "bits: ['8,8', [4, 4]]\n"
    )

    space = load_space(file)

    assert space.axes == (
        Axis(name=AxisName.EPSILON, over=Range(low=0.1, high=0.5)),
        Axis(name=AxisName.STRENGTH, over=Range(low=1e-4, high=1e-2, log=True)),
        Axis(name=AxisName.STRUCTURE, over=("none", "shape", "shape,channel")),
        Axis(name=AxisName.BITS, over=("8,8", "4,4")),
    )
    assert space.size is None
    assert tuple(axes_from_dict(space_to_dict(space), where="again")) == space.axes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epsilom: 0.1", "sweep.yaml: unknown key 'epsilom' (did you mean 'epsilon'?"),
        ("epsilon: {low: 0.5, high: 0.1}", "sweep.yaml: epsilon: 0.5 .. 0.1 is no range"),
        ("epsilon: {low: 0.5}", "sweep.yaml: epsilon: a range has low and high"),
        ("epsilon: {low: 0.1, high: 1, step: 2}", "sweep.yaml: epsilon: unknown key 'step'"),
        ("epsilon: [0.1, many]", "sweep.yaml: epsilon: 'many' is not a number"),
        ("epsilon: [0.1, .nan]", "sweep.yaml: epsilon: nan is not a number"),
        ("epsilon: [true]", "sweep.yaml: epsilon: True is not a number"),
        ("lambda: {low: 0, high: 1}", "sweep.yaml: lambda: a logarithmic range cannot begin at 0"),
        ("bits: ['8']", "sweep.yaml: bits: '8' is not a pair of widths"),
        ("bits: {low: 2, high: 8}", "sweep.yaml: bits: has no range"),
        ("structure: [shapes]", "sweep.yaml: structure: unknown structure 'shapes' (did you mean 'shape'?"),
        ("structure: []", "sweep.yaml: structure: no value is given"),
        ("structure: [shape, shape]", "sweep.yaml: structure: 'shape' is given twice"),
        ("{epsilon: [0.1], density: [0.5]}", "sweep: epsilon and density exclude each other"),
        ("{}", "sweep: nothing is varied"),
    ],
)
def test_what_is_wrong_with_a_sweep_file_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)

    with pytest.raises(SpecError) as error:
        load_space(file)

    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("name", "texts", "over"),
    [
        (AxisName.EPSILON, ["0.1:0.5"], Range(low=0.1, high=0.5)),
        (AxisName.STRENGTH, ["1e-4:1e-2"], Range(low=1e-4, high=1e-2, log=True)),
        (AxisName.EPSILON, ["0.1,0.2", "0.3"], (0.1, 0.2, 0.3)),
        (AxisName.DENSITY, ["0.5"], (0.5,)),
        (AxisName.BITS, ["8,8", " 4 ,4"], ("8,8", "4,4")),
        (AxisName.STRUCTURE, ["shape", "layer,channel", "none"], ("shape", "layer,channel", "none")),
    ],
)
def test_options_say_the_same(name: AxisName, texts: list[str], over: object) -> None:
    assert over == parse_axis(name, texts).over


def test_an_option_names_itself_when_it_is_wrong() -> None:
    with pytest.raises(SpecError, match="--lambda: 'x' is not a number"):
        parse_axis(AxisName.STRENGTH, ["1e-4:x"])


def test_combinations_are_all_of_them_the_last_axis_fastest() -> None:
    space = Space(
        axes=(
            Axis(name=AxisName.STRUCTURE, over=("none", "shape")),
            Axis(name=AxisName.BITS, over=("8,8", "4,4")),
        )
    )

    found = [(values["structure"], values["bits"]) for values in space.combinations()]

    assert found == [("none", "8,8"), ("none", "4,4"), ("shape", "8,8"), ("shape", "4,4")]
    assert space.size == len(found)


def test_an_epsilon_decides_alone() -> None:
    (structure,) = applied(SHAPE, {"epsilon": 0.4}).pruning.structures

    assert SHAPE.pruning.structures[0].at_least is not None
    assert (structure.epsilon, structure.at_least, structure.at_most, structure.density) == (
        0.4,
        None,
        None,
        None,
    )


def test_lambda_density_and_bits_change_nothing_else() -> None:
    found = applied(SHAPE, {"lambda": 0.02, "density": 0.5, "bits": "4,3"})

    (structure,) = SHAPE.pruning.structures
    wanted = replace(structure, strength=0.02, density=0.5)
    assert found.pruning == replace(SHAPE.pruning, structures=(wanted,))
    assert found.quant == replace(SHAPE.quant, weight_bits=4, act_bits=3)
    assert (found.training, found.finetune, found.seed) == (SHAPE.training, SHAPE.finetune, SHAPE.seed)


def test_another_structure_is_pruned_by_the_recipe_of_the_spec() -> None:
    own = StructureSpec(kind=StructureKind.SHAPE, epsilon=0.17, strength=3e-4, at_most=0.8)
    pruning = replace(SHAPE.pruning, structures=(own,), init=AlphaInit.PAPER, warmup=0.0)

    found = applied(replace(SHAPE, pruning=pruning), {"structure": "channel,shape,layer"}).pruning

    channel, shape, layer = found.structures
    assert (channel.kind, channel.epsilon, channel.strength, channel.at_most) == (
        StructureKind.CHANNEL,
        0.17,
        3e-4,
        0.8,
    )
    assert shape == own
    assert (layer.kind, layer.epsilon, layer.at_most) == (StructureKind.LAYER, 0.17, None)
    assert (found.init, found.warmup) == (AlphaInit.PAPER, 0.0)


def test_overrides_stay_only_with_their_structures() -> None:
    override = LayerOverride(layers="conv1", structures=())
    spec = replace(SHAPE, pruning=replace(SHAPE.pruning, overrides=(override,)))

    assert applied(spec, {"structure": "shape"}).pruning.overrides == (override,)
    assert applied(spec, {"structure": "column"}).pruning.overrides == ()
    assert applied(spec, {"structure": "none"}).pruning.overrides == ()


def test_a_dense_spec_takes_the_short_recipe_of_a_structure() -> None:
    assert applied(DENSE, {"structure": "shape"}) == SHAPE
    assert applied(SHAPE, {"structure": "none"}).pruning.structures == ()


def test_numbers_that_apply_to_nothing_are_refused() -> None:
    with pytest.raises(SpecError, match="epsilon: the spec prunes nothing"):
        applied(DENSE, {"epsilon": 0.2})


@pytest.mark.parametrize(
    ("axis", "sentence"),
    [
        (Axis(name=AxisName.EPSILON, over=(0.1, 0.0)), "sweep: epsilon: epsilon=0.0 is not above 0"),
        (
            Axis(name=AxisName.DENSITY, over=Range(low=0.5, high=1.5)),
            "sweep: density: density=1.5 is not above 0",
        ),
        (Axis(name=AxisName.STRENGTH, over=(0.1, -1.0)), "sweep: lambda: strength=-1.0 is outside"),
    ],
)
def test_illegal_values_are_found_before_anything_is_trained(axis: Axis, sentence: str) -> None:
    with pytest.raises(SpecError) as error:
        check_space(SHAPE, Space(axes=(axis,)))

    assert sentence in str(error.value)


def test_specs_that_train_the_same_have_one_identity() -> None:
    dense_twice = {
        identity(applied(SHAPE, {"structure": "none", "epsilon": 0.1})),
        identity(applied(SHAPE, {"structure": "none", "epsilon": 0.2})),
    }

    assert len(dense_twice) == 1
    assert identity(applied(SHAPE, {"epsilon": 0.1})) != identity(applied(SHAPE, {"epsilon": 0.2}))
