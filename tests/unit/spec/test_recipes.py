"""The recipes under models/ load, and those of a preset are the preset."""

from __future__ import annotations

from pathlib import Path

import pytest

from psp_hw.spec.enums import AlphaInit, RateShape, StructureKind
from psp_hw.spec.load import load_spec
from psp_hw.spec.presets import preset, with_structures

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.mark.parametrize("net", ["digits-cnn", "resnet8", "resnet20"])
def test_the_recipe_of_a_net_is_its_preset(net: str) -> None:
    expected = with_structures(preset(net), (StructureKind.SHAPE,))
    assert expected == load_spec(MODELS / f"{net}-shape" / "spec.yaml")


def test_the_recipe_of_the_paper_has_its_numbers() -> None:
    spec = load_spec(MODELS / "resnet20-shape-psp" / "spec.yaml")
    (structure,) = spec.pruning.structures
    assert (0.2, 1e-4, None, None) == (
        structure.epsilon,
        structure.strength,
        structure.at_least,
        structure.at_most,
    )
    assert spec.pruning.init is AlphaInit.PAPER
    assert 0.9 == spec.training.momentum


def test_the_recipe_of_the_dense_network_has_the_epsilon_of_its_family() -> None:
    spec = load_spec(MODELS / "densenet40-channel-layer-psp" / "spec.yaml")
    expected = with_structures(
        preset("densenet40"), (StructureKind.CHANNEL, StructureKind.LAYER), paper=True
    ).pruning

    assert expected == spec.pruning
    assert {0.1} == {structure.epsilon for structure in spec.pruning.structures}


@pytest.mark.parametrize("path", sorted(MODELS.glob("*-psp/spec.yaml")), ids=lambda path: path.parent.name)
def test_the_recipes_of_the_paper_have_its_schedule(path: Path) -> None:
    spec = load_spec(path)
    schedule = spec.training
    photographs = spec.data.name == "imagenet"  # Huang et al., Sec. 4.2
    epochs, shape = (90, RateShape.THIRDS) if photographs else (300, RateShape.STEP)
    assert (epochs, 0.1, shape) == (schedule.epochs, schedule.rate, schedule.shape)
    assert schedule.batch_size == (256 if photographs else 64)
    assert photographs == (0 == spec.data.pad)
    if spec.pruning.structures:
        kinds = tuple(structure.kind for structure in spec.pruning.structures)
        assert with_structures(preset(spec.net.name), kinds, paper=True).pruning == spec.pruning
    else:
        assert "dense" in path.parent.name


@pytest.mark.parametrize("path", sorted(MODELS.glob("*-psp/spec.yaml")), ids=lambda path: path.parent.name)
def test_the_recipes_of_the_paper_are_quantized_as_the_preset_of_their_data_set(path: Path) -> None:
    """Fine-tuning behind the folded BN wants a small rate (docs/paper.md, "Short recipes")."""
    spec = load_spec(path)
    known = preset(spec.net.name)
    assert (known.data.name, known.quant) == (spec.data.name, spec.quant)
    for key in ("rate", "shape", "momentum", "weight_decay"):
        assert getattr(known.finetune, key) == getattr(spec.finetune, key), key
