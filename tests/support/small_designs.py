"""Designs of two small convolutions, for tests of commands that take one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sample_graphs import Builder

from psp_hw.backends.base import Target, Vectors
from psp_hw.backends.hls import emit
from psp_hw.cost.parts import find_part
from psp_hw.dse.search import plan
from psp_hw.sim.values import Simulator
from psp_hw.units import Clock

PART = "xc7z020clg400-1"
CLOCK = Clock(period_ns=10.0)


def small_design(folder: Path) -> Path:
    """Write a design for 10 ns on a Zynq-7020 into a folder; it says nothing of what it was made for."""
    make = Builder(6, 6, 2)
    make.conv(4, source="image")
    make.conv(4)
    graph = make.graph()
    codes = np.random.default_rng(1).integers(0, 4, size=(1, 6, 6, 2))
    emit(
        graph,
        plan(graph, find_part(PART), CLOCK),
        part=PART,
        clock=CLOCK,
        target=Target.VIVADO,
        vectors=Vectors(inputs=codes, outputs=Simulator(graph).run(codes)),
        out=folder,
        report_files={},
    )
    return folder
