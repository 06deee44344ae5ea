"""Designs with FIFOs and delays in UltraRAM, compiled by g++: names and types are right, and every output integer equal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hls_batch import run_batch, write_design
from oracle import execute
from sample_graphs import Builder

from psp_hw.backends.base import Target
from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, NodePlan
from psp_hw.folding.ports import LEAST_RING_DEPTH, check_ports

FRAMES = 3


def graph_and_plan():
    """A residual block over rows of 20 pixels, everything in UltraRAM that can be."""
    make = Builder(6, 20, 3, seed=5)
    make.conv(3)
    make.add("image", "conv0")
    graph = make.graph()
    plan = FoldPlan(nodes={"conv0": NodePlan(fold=Fold(), weights=MemoryKind.BRAM)})
    flow = build(graph, plan)
    engine = next(one for one in flow.engines if isinstance(one, ConvEngine))
    delays = tuple(
        MemoryKind.URAM if distance > LEAST_RING_DEPTH else MemoryKind.REGISTERS
        for distance in engine.scan.delays
    )
    nodes = {"conv0": replace(plan.nodes["conv0"], delays=delays)}
    names = [channel.name for channel in flow.channels]
    return graph, FoldPlan(
        nodes=nodes,
        fifo_depths=dict.fromkeys(names, 64),
        fifo_memories=dict.fromkeys(names, MemoryKind.URAM),
    )


@pytest.mark.slow  # compiles
def test_a_design_in_ultraram_computes_the_graph(tmp_path: Path) -> None:
    graph, plan = graph_and_plan()
    check_ports(build(graph, plan))
    codes = np.random.default_rng(0).integers(0, 256, size=(FRAMES, *graph.input.type.shape))
    write_design(tmp_path / "d", graph, plan, codes, execute(graph, codes)[graph.output.name], Target.VITIS)
    sources = "".join(path.read_text() for path in sorted((tmp_path / "d").glob("src/**/*.*")))

    said = run_batch([tmp_path / "d"], tmp_path / "build", "-O0")

    assert 1 == said.count(f"frames compared: {FRAMES}, mismatches: 0\n")
    assert len(plan.fifo_depths) == sources.count("type=FIFO impl=URAM")
    assert "UltraRam<" in sources


def test_the_same_plan_is_no_design_of_vivado_hls(tmp_path: Path) -> None:
    graph, plan = graph_and_plan()
    codes = np.zeros((1, *graph.input.type.shape), dtype=np.int64)

    with pytest.raises(SpecError, match="cannot keep a FIFO in UltraRAM") as caught:
        write_design(tmp_path / "d", graph, plan, codes, execute(graph, codes)[graph.output.name])
    assert "and 2 more (use --target vitis" in str(caught.value)
