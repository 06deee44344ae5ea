"""From the options of ``psp-hw train`` to the pruning of the spec."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from psp_hw.errors import SpecError
from psp_hw.flow.train import Request, resume_command, training_spec
from psp_hw.spec.enums import AlphaInit, Criterion, Penalty, StructureKind
from psp_hw.spec.presets import preset


def test_every_structure_gets_its_own_epsilon_and_lambda() -> None:
    request = Request(
        structures=("layer", "channel"), epsilon="layer=0.1,channel=0.2", strength="channel=0.5"
    )
    layer, channel = training_spec(request).pruning.structures

    assert (StructureKind.LAYER, 0.1) == (layer.kind, layer.epsilon)
    assert (StructureKind.CHANNEL, 0.2, 0.5) == (channel.kind, channel.epsilon, channel.strength)
    assert (None, None) == (channel.at_least, channel.at_most)
    assert {0.3} == {
        s.epsilon
        for s in training_spec(Request(structures=("shape", "kernel"), epsilon="0.3")).pruning.structures
    }


@pytest.mark.parametrize(
    ("method", "penalty", "criterion", "density"),
    [
        ("decay", Penalty.DECAY, Criterion.ALPHA, None),
        ("l1", Penalty.L1, Criterion.ALPHA, None),
        ("fixed", Penalty.NONE, Criterion.ALPHA, 0.5),
        ("l1-norm", Penalty.NONE, Criterion.L1_NORM, 0.5),
        ("reconstruction", Penalty.NONE, Criterion.RECONSTRUCTION, 0.5),
    ],
)
def test_a_method_is_one_word(
    method: str, penalty: Penalty, criterion: Criterion, density: float | None
) -> None:
    pruning = training_spec(Request(structures=("shape",), method=method)).pruning

    assert (penalty, criterion) == (pruning.penalty, pruning.criterion)
    assert density == pruning.structures[0].density
    if density is not None:
        given = Request(structures=("shape",), method=method, density=0.25)
        assert 0.25 == training_spec(given).pruning.structures[0].density


@pytest.mark.parametrize(("net", "epsilon"), [("resnet20", 0.2), ("densenet40", 0.1)])
def test_the_paper_has_an_epsilon_per_family(net: str, epsilon: float) -> None:
    pruning = training_spec(Request(structures=("column",), net=net, paper=True)).pruning

    assert AlphaInit.PAPER is pruning.init
    assert (epsilon, 1e-4) == (pruning.structures[0].epsilon, pruning.structures[0].strength)
    assert 0.9 == training_spec(Request(structures=("column",), net=net, paper=True)).training.momentum


def test_the_way_back_names_what_the_run_does_not_remember() -> None:
    asked = Request(structures=("shape",), epochs=3, data_dir=Path("my data"), devices=2, accelerator="cpu")

    assert (
        "psp-hw train --resume --out runs/x --data-dir 'my data' --accelerator cpu --devices 2"
        == shlex.join(resume_command(asked, Path("runs/x")))
    )
    assert ["psp-hw", "train", "--resume", "--out", "x"] == resume_command(Request(bits="4,4"), Path("x"))


def test_a_density_leaves_the_layer_structure_alone() -> None:
    layer, shape = training_spec(Request(structures=("layer", "shape"), density=0.4)).pruning.structures

    assert (None, 0.4) == (layer.density, shape.density)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(structures=("shape",), epsilon="x"), "--epsilon: 'x' is not a number"),
        (Request(structures=("shape",), epsilon="shape=-1"), "epsilon=-1.0 is not above 0"),
        (Request(structures=("shape",), strength="column=1"), "--lambda: 'column' is not pruned here"),
        (Request(structures=("shape",), method="decai"), "unknown method 'decai'.*did you mean 'decay'"),
        (Request(structures=("layer",), method="fixed"), "layer pruning has no density per layer"),
        (Request(structures=("layer",), density=0.5), "a share of it has no meaning: density=0.5"),
        (Request(paper=True), "--paper: nothing is pruned"),
        (Request(method="l1"), "--method: nothing is pruned that it could apply to"),
    ],
)
def test_what_cannot_be_is_said(request_: Request, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        training_spec(request_)


def test_a_spec_file_is_completed_by_the_recipe_of_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("{net: {name: resnet18}, data: {name: imagenet}}")

    assert training_spec(Request(spec=path)) == preset("resnet18", "imagenet")
