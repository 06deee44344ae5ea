"""The generated file of a convolution that runs from a connection table, as it was reviewed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from patterns import mask
from sample_graphs import Builder

import psp_hw
from psp_hw.backends.base import Target, Vectors
from psp_hw.backends.hls.project import design_files
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.sim.values import Simulator
from psp_hw.units import Clock

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "hls_tables"


def two_layers() -> Graph:
    """Kernels that differ by output channel, then columns that all channels share."""
    make = Builder(6, 12, 4, seed=2)
    for name, structure in (("conv0", "kernel"), ("conv1", "column")):
        weight = make.rng.integers(1, 8, size=(9, 4, 4)) * make.rng.choice([-1, 1], size=(9, 4, 4))
        make.conv(4, weight=weight * mask(make.rng, (9, 4, 4), structure))
        assert make.last == name
    return make.graph("tables")


def emitted(target: Target) -> dict[str, str]:
    graph = two_layers()
    codes = np.random.default_rng(0).integers(0, 256, size=(2, *graph.input.type.shape))
    nodes = {
        "conv0": NodePlan(
            fold=Fold(pe=2, lanes=6), weights=MemoryKind.BRAM, multipliers=MultiplierKind.DSP_PAIR
        ),
        "conv1": NodePlan(fold=Fold(pe=1, lanes=4), weights=MemoryKind.LUTRAM),
    }
    files = design_files(
        graph,
        FoldPlan(nodes=nodes),
        part="xc7z020clg400-1",
        clock=Clock(period_ns=10),
        target=target,
        vectors=Vectors(inputs=codes, outputs=Simulator(graph).run(codes)),
        report_files={},
    )
    names = ("src/layers/conv0.h", "src/layers/conv1.h", "README.md")
    version = f"psp-hw {psp_hw.__version__} "
    return {name: files[name].decode().replace(version, "psp-hw VERSION ") for name in names}


@pytest.mark.parametrize("target", list(Target)[:2])
def test_generated_text_of_tables_is_as_reviewed(target: Target, update_golden: bool) -> None:
    for name, text in emitted(target).items():
        golden = GOLDEN / target.value / f"{Path(name).name}.golden"
        if update_golden:
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_text(text)
        assert golden.read_text() == text, "run pytest --update-golden and review the change"
