"""Small designs, for tests of commands that take one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.backends.base import Target, Vectors
from psp_hw.backends.hls import emit
from psp_hw.cost.parts import find_part
from psp_hw.dse.search import plan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Affine, Conv2d, Input, Output
from psp_hw.ir.types import Tap, TensorType
from psp_hw.sim.values import Simulator
from psp_hw.units import Clock

PART = "xc7z020clg400-1"
CLOCK = Clock(period_ns=10.0)


def small_design(folder: Path) -> Path:
    """Write a design of two convolutions for 10 ns on a Zynq-7020 into a folder; it says nothing of what it was made for."""
    make = Builder(6, 6, 2)
    make.conv(4, source="image")
    make.conv(4)
    return design_of(make.graph(), folder)


def norm_graph(channels: int = 32) -> Graph:
    """A batch norm that no convolution takes in, before a convolution to few channels."""
    rng = np.random.default_rng(channels)
    eight = FixedPoint(width=8, signed=False, frac=4)
    to = Requantizer(shift=6, fmt=eight, lo=0, hi=255)
    ops = (
        Input(name="image", type=TensorType(height=8, width=8, channels=channels, fmt=eight)),
        Affine(name="norm", input="image", scale="scale", offset="offset", scale_frac=6, requantize=to),
        Conv2d(
            name="conv",
            input="norm",
            weight="weight",
            kernel=(1, 1),
            taps=(Tap(0, 0),),
            weight_frac=3,
            dense_in_channels=channels,
            dense_out_channels=8,
        ),
        Output(name="scores", input="conv"),
    )
    constants = {
        "scale": rng.integers(-120, 121, size=channels),
        "offset": rng.integers(-3000, 3001, size=channels),
        "weight": rng.integers(-7, 8, size=(1, channels, 8)),
    }
    return Graph("norm", ops, constants)


def design_of(graph: Graph, folder: Path) -> Path:
    """Write a design of a graph, for 10 ns on a Zynq-7020, into a folder."""
    kind = graph.input.type
    codes = np.random.default_rng(1).integers(0, 4, size=(1, *kind.shape))
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
