"""The training request: defaults, checks, YAML in and out."""

from __future__ import annotations

from pathlib import Path

import pytest

from psp_hw.errors import SpecError
from psp_hw.spec.enums import AlphaInit, StructureKind, WeightScale
from psp_hw.spec.load import MAX_SPEC_BYTES, load_spec, spec_from_dict, spec_to_dict, spec_to_yaml
from psp_hw.spec.presets import preset, with_bits, with_steps, with_structures
from psp_hw.spec.train import NetSpec, QuantSpec, ScheduleSpec, StructureSpec, TrainSpec, parse_bits


def _message(tmp_path: Path, text: str) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    return str(caught.value)


@pytest.mark.parametrize("net", ["digits-cnn", "resnet8", "resnet20"])
@pytest.mark.parametrize("paper", [False, True])
def test_a_spec_survives_yaml(tmp_path: Path, net: str, paper: bool) -> None:
    spec = with_bits(
        with_structures(preset(net), (StructureKind.SHAPE, StructureKind.CHANNEL), paper=paper), "4,3"
    )
    path = tmp_path / "spec.yaml"
    path.write_text(spec_to_yaml(spec))

    assert spec == load_spec(path)
    assert spec == spec_from_dict(spec_to_dict(spec))


def test_a_file_that_names_only_the_net_gets_the_recipe_of_the_net(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("net: {name: resnet20}\n")

    assert preset("resnet20") == load_spec(path)


def test_a_file_overrides_single_keys_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "seed: 7\nquant: {weight_bits: 4, weight_scale: channel}\npruning: {structures: [shape]}\n"
    )

    spec = load_spec(path)

    assert 7 == spec.seed
    assert QuantSpec(weight_bits=4, weight_scale=WeightScale.CHANNEL) == spec.quant
    assert (StructureSpec(),) == spec.pruning.structures
    assert preset().training == spec.training


def test_exponents_without_a_dot_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("training: {weight_decay: 1e-4}\n")

    assert load_spec(path).training.weight_decay == 1e-4


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    message = _message(
        tmp_path,
        "net: {nam: x}\npruning: {structures: [shap, {kind: column, epsilon: -1}], warmup: 2}\n"
        "quant: {weight_bits: 9, act_bits: 1}\nseed: x\n",
    )

    for key in (
        "net.nam",
        "pruning.structures[0].kind",
        "pruning.structures[1].epsilon",
        "pruning.warmup",
        "quant.weight_bits",
        "quant.act_bits",
        "seed",
    ):
        assert f"{key}: " in message


def test_one_problem_names_file_and_key_and_suggests(tmp_path: Path) -> None:
    assert _message(tmp_path, "pruning: {structures: [shap]}") == (
        "spec.yaml: pruning.structures[0].kind: unknown value 'shap' (did you mean 'shape'? "
        "Known: channel, column, filter, kernel, layer, shape, strided, vector-col, vector-row, weight)"
    )


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("[1, 2]", "the file holds a list, a spec is a mapping"),
        ("a: [", "not valid YAML"),
        ("net: !!python/object/apply:os.getcwd []", "could not determine a constructor for the tag"),
        ("net: 3", "3 is not a mapping of keys"),
        ("seed: true", "True is not of type int"),
        ("data: {flip: 1}", "1 is not of type bool"),
        ("training: {rate: fast}", "'fast' is not of type float"),
        ("pruning: {include: conv}", "'conv' is not a list"),
        ("net: {widths: [16], blocks: [1, 1]}", "1 widths and 2 blocks"),
        ("pruning: {structures: [shape, shape]}", "given more than once: shape"),
        ("pruning: {structures: [{kind: shape, density: 0}]}", "density=0.0 is not above 0 and at most 1"),
        ("pruning: {warmup: 0.5, ramp: 0.4, settle: 0.2}", "is more than the training"),
        ("finetune: {epochs: -1}", "epochs=-1 is outside 0 .. 100000"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, text: str, fragment: str) -> None:
    assert fragment in _message(tmp_path, text)


def test_a_missing_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path / "none.yaml")
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b" " * (MAX_SPEC_BYTES + 1))
    with pytest.raises(SpecError, match="is larger than 1048576 bytes"):
        load_spec(huge)


def test_a_spec_that_is_made_in_python_is_checked_too() -> None:
    with pytest.raises(SpecError, match=r"quant\.weight_bits: weight_bits=1 is outside 2 \.\. 8"):
        QuantSpec(weight_bits=1)
    with pytest.raises(SpecError, match=r"momentum=1\.0 is not in 0 \.\. 1"):
        ScheduleSpec(momentum=1.0)
    with pytest.raises(SpecError, match="seed=-1"):
        TrainSpec(seed=-1)
    assert NetSpec(name="a.b:c").is_custom


@pytest.mark.parametrize("text", ["8", "8,9", "1,8", "8,8,8", "w,a", ""])
def test_bits_are_two_widths_in_range(text: str) -> None:
    with pytest.raises(SpecError, match="is not a pair of widths"):
        parse_bits(text)


def test_helpers_change_only_what_they_say() -> None:
    base = preset()
    bits = with_bits(base, "4,3")
    steps = with_steps(base, 5)
    paper = with_structures(base, (StructureKind.COLUMN,), paper=True)

    assert (4, 3) == (bits.quant.weight_bits, bits.quant.act_bits)
    assert (5, 5) == (steps.training.max_steps, steps.finetune.max_steps)
    assert paper.pruning.init is AlphaInit.PAPER
    assert (0.2, 1e-4) == (paper.pruning.structures[0].epsilon, paper.pruning.structures[0].strength)
    assert paper.training == base.training


def test_a_file_that_unfolds_without_end_is_shown_short(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join([*lines, "net: *l", "seed: *l", "pruning: {structures: *l, gradient: *l}"]))

    with pytest.raises(SpecError, match="is not a mapping of keys") as caught:
        load_spec(path)

    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('seed: !!int "x"', "invalid literal"),
        ("seed: 2001-99-99", "month must be"),
        ("2001-99-99: 1", "month must be"),
        ("[" * 5000, "not a YAML document"),
    ],
)
def test_what_the_yaml_reader_chokes_on_is_said(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)

    with pytest.raises(SpecError, match=f"not valid YAML: {says}"):
        load_spec(path)


def test_a_network_beyond_any_memory_is_refused() -> None:
    with pytest.raises(SpecError, match=r"net\.blocks: about .* weights; at most 268,435,456 are trained"):
        NetSpec(name="resnet8", widths=(4096, 4096), blocks=(4096, 4096))


def test_a_tag_creates_no_object(tmp_path: Path) -> None:
    path = tmp_path / "tag.yaml"
    path.write_text("!!python/object/apply:os.abort []\n")

    with pytest.raises(SpecError, match="not valid YAML: could not determine a constructor"):
        load_spec(path)


def test_overrides_by_layer_name_come_from_yaml_and_go_back(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(
        "pruning:\n"
        "  structures: [shape]\n"
        "  overrides:\n"
        "  - layers: stage3.*\n"
        "    structures: [{kind: channel, epsilon: 0.3}, shape]\n"
        "  - layers: stage1.*\n"
    )
    spec = load_spec(file)
    channel, shape = spec.pruning.overrides[0].structures

    assert (StructureKind.CHANNEL, 0.3, StructureKind.SHAPE) == (channel.kind, channel.epsilon, shape.kind)
    assert () == spec.pruning.overrides[1].structures
    file.write_text(spec_to_yaml(spec))
    assert spec == load_spec(file)
    file.write_text("pruning:\n  overrides: [{layers: a, structures: [{kind: shap}]}]\n")
    with pytest.raises(SpecError, match=r"overrides\[0\]\.structures\[0\]\.kind: unknown value 'shap'"):
        load_spec(file)
