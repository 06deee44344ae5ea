"""Residual branches that pruning left empty, from training to compiled C++: Brevitas = graph = graph after the passes = C++."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from psp_hw.flow.simulate import Request as SimulateRequest
from psp_hw.flow.simulate import simulate
from psp_hw.flow.source import read_graph, resolve
from psp_hw.lowering import lower
from psp_hw.sim.values import Simulator, encode
from psp_hw.spec.enums import AlphaInit, StructureKind
from psp_hw.spec.presets import preset, with_bits, with_steps
from psp_hw.spec.train import LayerOverride, PruningSpec, StructureSpec
from psp_hw.training.api import result_of, train
from psp_hw.training.run import load_run

pytestmark = pytest.mark.slow  # trains, compiles

EMPTY = ("stage1.block1.conv1", "stage3.block1.conv1")  # an identity beside it; a convolution beside it
NEVER = 10.0  # epsilon that no alpha reaches


@pytest.fixture(scope="module", params=["8,8", "4,4"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """resnet8 on the digits, 20 steps of each phase."""
    shape = StructureSpec(kind=StructureKind.SHAPE, epsilon=0.2)
    overrides = tuple(
        LayerOverride(layers=name, structures=(replace(shape, epsilon=NEVER),)) for name in EMPTY
    )
    pruning = PruningSpec(structures=(shape,), overrides=overrides, init=AlphaInit.PAPER)
    spec = with_bits(with_steps(preset("resnet8", "digits"), 20), request.param)
    return train(replace(spec, pruning=pruning), tmp_path_factory.mktemp("empty") / "run").run


def test_empty_branches_count_as_nothing_and_are_no_engine(run: Path) -> None:
    layers = {layer.name: layer for layer in result_of(load_run(run)).layers}
    for name in EMPTY:
        assert ((), 0, 0) == (layers[name].taps, layers[name].kept, layers[name].macs)
    names = {op.name for op in read_graph(resolve(run)).convolutions}
    assert "stage2_block1_conv1" in names
    assert not any(name.startswith(("stage1_block1_conv", "stage3_block1_conv")) for name in names)


def test_the_graph_is_brevitas_before_and_after_the_passes(run: Path) -> None:
    found = simulate(SimulateRequest(source=run, against="brevitas", limit=100))
    assert (100, 0, None) == (found.images, found.mismatches, found.first_difference)

    before, after = lower(run / "model.onnx"), read_graph(resolve(run))
    codes = encode(np.random.default_rng(3).normal(size=(16, 1, 8, 8)), after.input.type)
    assert np.array_equal(Simulator(before).run(codes), Simulator(after).run(codes))


def test_the_compiled_design_is_the_graph(run: Path) -> None:
    found = simulate(SimulateRequest(source=run, against="csim", limit=50))
    assert (50, 0, None) == (found.images, found.mismatches, found.first_difference)
