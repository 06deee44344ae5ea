"""The trained networks under models/ are whole, are what their cards and the table say, and compute what Brevitas computes."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from psp_hw.errors import RunError
from psp_hw.flow.simulate import Request, simulate
from psp_hw.flow.source import read_graph, resolve
from psp_hw.nn.registry import build_net
from psp_hw.sim.values import Simulator, decode, encode
from psp_hw.spec.load import load_spec
from psp_hw.training.api import load_split, reference_outputs
from psp_hw.training.reuse import check_reusable
from psp_hw.training.run import load_run, same_floats
from psp_hw.training.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = sorted(path.parent for path in (ROOT / "models").glob("*/manifest.json"))
DATA = Path(os.environ.get("PSP_HW_DATA", "data"))

models = pytest.mark.parametrize("model", PUBLISHED, ids=lambda path: path.name)


def _outputs(model: Path, images: np.ndarray) -> np.ndarray:
    """Integers of the graph, as real values."""
    graph = read_graph(resolve(model))
    codes = Simulator(graph).run(encode(images, graph.input.type, graph.input.unit))
    output = graph.output
    return decode(codes, graph.types[output.name].fmt, output.unit).reshape(len(images), -1)


def test_there_are_trained_networks() -> None:
    assert {"resnet8-cifar10-dense", "resnet8-cifar10-shape"} <= {model.name for model in PUBLISHED}


@models
def test_its_floats_are_those_that_training_wrote_and_can_be_started_from(model: Path) -> None:
    """In its folder, or in that of a model with the same floats, which the card names."""
    home = same_floats(model)
    assert home is not None
    assert f"models/{home.name}/checkpoints/pruned.pt" in (model / "README.md").read_text()
    spec = load_spec(home / "spec.yaml")
    check_reusable(home, replace(spec, quant=replace(spec.quant, weight_bits=6)))
    net = build_net(spec.net, image=(3, 32, 32), classes=10)
    load_weights(net, home)
    layers = {layer["name"]: layer for layer in load_run(home).metrics["layers"]}
    for name, layer in layers.items():  # integers have at least the zeros of the floats
        assert layer["kept"] <= net.get_parameter(f"{name}.weight").count_nonzero() <= layer["total"], name
    if home != model:
        with pytest.raises(RunError, match=re.escape(f"{home} has them")):
            load_weights(net, model)
        with pytest.raises(RunError, match=re.escape(f"{home} has the same: --from {home}")):
            check_reusable(model, load_spec(model / "spec.yaml"))


@models
def test_every_file_is_the_one_that_training_wrote(model: Path) -> None:
    assert load_run(model).spec == load_spec(model / "spec.yaml")


@models
def test_card_and_table_hold_the_figures_of_the_run(model: Path) -> None:
    metrics = load_run(model).metrics
    card = (model / "README.md").read_text()
    table = (ROOT / "reports" / "cifar10" / "report.md").read_text()
    (row,) = [line for line in table.splitlines() if f"[{model.name}](" in line]
    for figure in (
        f"{metrics['accuracy']:.2%}",
        f"{metrics['accuracy_quantized']:.2%}",
        f"{metrics['params']:,}",
        f"{metrics['macs']:,}",
        f"{metrics['density']:.3f}",
    ):
        assert figure in card
        assert figure in row
    result = json.loads((model / "result.json").read_text())
    assert [0, 0] == [result["brevitas"]["mismatches"], result["csim"]["mismatches"]]


@pytest.mark.slow
@models
def test_the_graph_computes_what_brevitas_computes(model: Path) -> None:
    images = np.random.default_rng(5).normal(size=(12, 3, 32, 32)).astype(np.float32)
    assert np.array_equal(reference_outputs(model, images), _outputs(model, images))


@pytest.mark.slow  # g++ compiles five networks
@models
def test_the_cpp_in_the_words_of_synthesis_computes_what_the_graph_computes(
    model: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(6).normal(size=(20, 3, 32, 32)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    asked = Request(source=model, inputs=tmp_path / "images.npy", against="csim", widths="synthesis")

    found = simulate(asked)

    assert (20, 0, None) == (found.images, found.mismatches, found.first_difference)


@pytest.mark.slow
@pytest.mark.skipif(
    not (DATA / "cifar-10-batches-bin").is_dir(), reason="CIFAR-10 is not in PSP_HW_DATA or data/"
)
@models
def test_the_accuracy_is_that_of_the_test_split(model: Path) -> None:
    split = load_split(model, "test", data_dir=DATA)
    hits = _outputs(model, split.images).argmax(axis=1) == split.labels
    assert load_run(model).metrics["accuracy_quantized"] == float(hits.mean())
