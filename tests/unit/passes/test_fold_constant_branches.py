"""A residual branch that was pruned away leaves an offset per channel, or nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, Affine, Conv2d, Input, Output, Relu, Requantize
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.ir.verify import verify
from psp_hw.passes import optimize
from psp_hw.passes.fold_constant_branches import FoldConstantBranches
from psp_hw.sim.values import Simulator

S8 = FixedPoint(width=8, signed=True, frac=4)


def residual(bias: list[int], *, frac: int = 4, sum_requantized: bool = True, swapped: bool = False) -> Graph:
    """A block whose second convolution has no weight left; its constant has `frac` fractional bits."""
    branch = FixedPoint(width=8, signed=True, frac=frac)
    side = Padding(top=1, bottom=1, left=1, right=1)
    rng = np.random.default_rng(0)

    def conv(name: str, source: str, to: Requantizer) -> Conv2d:
        return Conv2d(
            name=name,
            input=source,
            weight=f"{name}.weight",
            bias=f"{name}.bias",
            taps=tuple(Tap(r, s) for r in range(3) for s in range(3)),
            kernel=(3, 3),
            padding=side,
            weight_frac=3,
            requantize=to,
            dense_in_channels=2,
            dense_out_channels=2,
        )

    inner = Requantizer(shift=3, lo=0, hi=127, fmt=S8)
    outer = Requantizer(shift=7 - frac, lo=-128, hi=127, fmt=branch)
    pair = ("a", "b") if swapped else ("b", "a")
    finest = max(4, frac)
    to = Requantizer(shift=finest - 2, lo=0, hi=31, fmt=FixedPoint(width=5, signed=False, frac=2))
    graph = Graph(
        "block",
        (
            Input(name="x", type=TensorType(height=4, width=5, channels=2, fmt=S8)),
            Relu(name="a", input="x"),
            conv("c", "a", inner),
            conv("b", "c", outer),
            Add(name="sum", inputs=pair, requantize=to if sum_requantized else None),
            Output(name="out", input="sum"),
        ),
        {
            "c.weight": rng.integers(-7, 8, (9, 2, 2)),
            "c.bias": rng.integers(-50, 50, 2),
            "b.weight": np.zeros((9, 2, 2), dtype=np.int64),
            "b.bias": np.array(bias, dtype=np.int64),
        },
    )
    return verify(graph)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("sum_requantized", [False, True])
@pytest.mark.parametrize("frac", [2, 4, 6])
@pytest.mark.parametrize(("bias", "left_over"), [([40, -900], Affine), ([0, 0], Requantize)])
def test_the_branch_is_gone_and_the_outputs_are_the_same(
    bias: list[int], left_over: type, frac: int, sum_requantized: bool, swapped: bool
) -> None:
    graph = residual(bias, frac=frac, sum_requantized=sum_requantized, swapped=swapped)
    codes = np.random.default_rng(1).integers(-128, 128, (6, 4, 5, 2))

    folded = verify(FoldConstantBranches().run(graph))

    assert np.array_equal(Simulator(graph).run(codes), Simulator(folded).run(codes))
    assert np.array_equal(Simulator(graph).run(codes), Simulator(optimize(graph)).run(codes))
    assert () == folded.convolutions
    kinds = [type(op) for op in folded.ops]
    if left_over is Affine or frac > 4:
        assert [Input, Relu, Affine, Output] == kinds
    else:
        assert [Input, Relu, *([Requantize] if sum_requantized else []), Output] == kinds


@pytest.mark.parametrize(
    ("inner_bias", "padded", "gone"),
    [([0, 0], True, True), ([-90, -7], True, True), ([60, 8], True, False), ([60, 8], False, True)],
)
def test_a_convolution_that_reads_a_constant_is_one_unless_zeros_are_put_around_it(
    inner_bias: list[int], padded: bool, gone: bool
) -> None:
    """The first convolution of the block has no weight left, the second has all."""
    graph = residual([40, -900])
    c, b = graph.convolutions
    if not padded:  # 1x1
        b = replace(b, taps=(Tap(0, 0),), kernel=(1, 1), padding=Padding(top=0, bottom=0, left=0, right=0))
    taps = len(b.taps)
    constants = {
        "c.weight": np.zeros((9, 2, 2), dtype=np.int64),
        "c.bias": np.array(inner_bias, dtype=np.int64),
        "b.weight": np.random.default_rng(2).integers(1, 8, (taps, 2, 2)),
    }
    ops = [{"c": c, "b": b}.get(op.name, op) for op in graph.ops]
    graph = verify(graph.with_ops(ops, constants))
    codes = np.random.default_rng(1).integers(-128, 128, (6, 4, 5, 2))

    folded = verify(FoldConstantBranches().run(graph))

    assert gone == (() == folded.convolutions)
    assert np.array_equal(Simulator(graph).run(codes), Simulator(folded).run(codes))
    assert np.array_equal(Simulator(graph).run(codes), Simulator(optimize(graph)).run(codes))


def test_a_branch_with_a_weight_stays() -> None:
    graph = residual([40, -900])
    weight = graph.constants["b.weight"].copy()
    weight[4, 0, 1] = 1
    graph = graph.with_ops(graph.ops, {"b.weight": weight})

    assert graph.ops == FoldConstantBranches().run(graph).ops
