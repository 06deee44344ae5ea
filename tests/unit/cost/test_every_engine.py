"""Every kind of engine has a bill, a pipeline and a price."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.bill import Divide
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import engine_bill
from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.folding import engine as engines
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import FoldPlan, NodePlan, extents
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import (
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv2d,
    Input,
    MaxPool,
    Output,
    Relu,
    Requantize,
    Threshold,
)
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.units import Clock

U8 = FixedPoint(width=8, signed=False, frac=4)


def graph_of_everything() -> Graph:
    def to(shift: int, divisor: int = 1) -> Requantizer:
        return Requantizer(shift=shift, lo=0, hi=255, fmt=U8, divisor=divisor)

    ops = (
        Input(name="image", type=TensorType(height=8, width=8, channels=4, fmt=U8)),
        Conv2d(
            name="conv",
            input="image",
            weight="w",
            bias="b",
            taps=tuple(Tap(r, s) for r in range(3) for s in range(3)),
            kernel=(3, 3),
            padding=Padding(top=1, left=1, bottom=1, right=1),
            weight_frac=6,
            align=(0, 1, 2, 0),
            dense_in_channels=4,
            dense_out_channels=4,
        ),
        Relu(name="relu", input="conv"),
        Requantize(name="narrow", input="relu", requantize=to(6)),
        Affine(name="scale", input="narrow", scale="s", offset="o", scale_frac=4, requantize=to(4)),
        Add(name="sum", inputs=("scale", "narrow"), requantize=to(0)),
        Concat(name="both", inputs=("sum", "narrow")),
        MaxPool(name="most", input="both", kernel=(2, 2), stride=(2, 2)),
        AvgPool(name="window", input="most", kernel=(3, 3), stride=(1, 1), requantize=to(0, 9)),
        Threshold(
            name="level",
            input="window",
            thresholds="t",
            start="a",
            step="c",
            fmt=FixedPoint(width=2, signed=False, frac=0),
        ),
        AvgPool(name="mean", input="level", kernel=(2, 2), stride=(2, 2)),
        Output(name="result", input="mean"),
    )
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.integers(-128, 128, size=(9, 4, 4)),
        "b": rng.integers(-9, 9, size=4),
        "s": np.array([3, -5, 16, 0]),
        "o": np.array([7, 0, -3, 1]),
        "t": np.sort(rng.integers(0, 255, size=(8, 3)), axis=1),
        "a": np.zeros(8, dtype=np.int64),
        "c": np.ones(8, dtype=np.int64),
    }
    return Graph("everything", ops, constants)


def dataflow_of_everything():
    graph = graph_of_everything()
    nodes = {op.name: NodePlan(fold=extents(op, graph)) for op in graph.convolutions}
    depths = {f"{a}_to_{b}": 64 for a, b in (("narrow_fork", "sum"), ("narrow_fork", "both"))}
    return graph, FoldPlan(nodes=nodes, fifo_depths=depths)


def test_the_graph_has_every_engine():
    graph, plan = dataflow_of_everything()

    kinds = {type(engine) for engine in build(graph, plan).engines}

    assert set(typing.get_args(engines.Engine)) == kinds


@pytest.mark.parametrize("fabric", list(Fabric))
@pytest.mark.parametrize("period", [2.0, 10.0, 50.0])
def test_every_engine_has_operators_and_a_pipeline(fabric, period):
    graph, plan = dataflow_of_everything()
    for engine in build(graph, plan).engines:
        found = engine_bill(engine, graph, fabric, Clock(period_ns=period))

        assert found.items, engine.name
        assert 1 <= found.pipeline.depth <= 80, engine.name


def test_every_layer_takes_logic_and_at_least_a_cycle_per_pixel():
    graph, plan = dataflow_of_everything()

    found = estimate(graph, plan, find_part("xc7z020"), Clock(period_ns=10.0))

    assert {
        "conv2d",
        "relu",
        "requantize",
        "affine",
        "add",
        "concat",
        "max_pool",
        "avg_pool",
        "threshold",
    } <= {layer.op for layer in found.layers}
    for layer in found.layers:
        assert layer.resources.lut > 0, layer.name
        assert layer.resources.ff > 0, layer.name
        assert layer.iterations >= graph.types[layer.name.removesuffix("_fork")].pixels


def test_a_mean_over_nine_pixels_divides():
    graph, plan = dataflow_of_everything()
    window = next(engine for engine in build(graph, plan).engines if engine.name == "window")

    items = engine_bill(window, graph, Fabric.SERIES7, Clock(period_ns=10.0)).items

    assert 8 == sum(item.count for item in items if isinstance(item.operator, Divide))
