"""Channels that are always zero, or that nothing reads: gone from both sides, and every output as before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oracle import execute
from random_graphs import random_codes
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, Affine, AvgPool, Op, Requantize, Threshold
from psp_hw.passes import optimize


def channels(graph: Graph) -> dict[str, tuple[int, int]]:
    """Input and output channels of every convolution."""
    shapes = {op.name: graph.constants[op.weight].shape for op in graph.convolutions}
    return {name: (shape[1], shape[2]) for name, shape in shapes.items()}


def assert_same_outputs(before: Graph, after: Graph) -> None:
    codes = random_codes(before, 3, 4)
    assert np.array_equal(execute(before, codes)["result"], execute(after, codes)["result"])


def two_layers(dead: int, bias: int) -> Graph:
    """Filter ``dead`` of the first layer is zero but for its bias; the second layer reads all channels."""
    make = Builder(4, 4, 2)
    make.conv(4)
    make.conv(3, requantize=False)
    make.constants["conv0_weight"][:, :, dead] = 0
    make.constants["conv0_bias"][dead] = bias
    make.constants["conv1_weight"][make.constants["conv1_weight"] == 0] = 1
    return make.graph()


@pytest.mark.parametrize("dead", [0, 2, 3])
@pytest.mark.parametrize("bias", [0, -5])
def test_a_channel_that_is_always_zero_is_gone_though_weights_read_it(dead, bias):
    """A bias below zero ends at zero behind a ReLU."""
    before = two_layers(dead, bias)
    after = optimize(before)

    assert {"conv0": (2, 3), "conv1": (3, 3)} == channels(after)
    assert_same_outputs(before, after)


def test_a_constant_channel_stays_since_the_padding_around_it_is_zero():
    before = two_layers(1, 1 << 12)
    after = optimize(before)

    assert {"conv0": (2, 4), "conv1": (4, 3)} == channels(after)
    assert_same_outputs(before, after)


@pytest.mark.parametrize("dead", [0, 3])
def test_a_channel_that_nothing_reads_is_gone(dead):
    make = Builder(4, 4, 2)
    make.conv(4)
    make.conv(3, requantize=False)
    make.constants["conv1_weight"][:, dead] = 0
    before = make.graph()
    after = optimize(before)

    assert {"conv0": (2, 3), "conv1": (3, 3)} == channels(after)
    assert_same_outputs(before, after)


@pytest.mark.parametrize("both", [False, True])
def test_a_channel_goes_through_a_sum_where_both_sides_allow(both):
    make = Builder(4, 4, 2)
    first = make.conv(4)
    second = make.conv(4, source=first)
    make.add(second, first)
    make.conv(2, requantize=False)
    for name in ("conv0", "conv1") if both else ("conv1",):
        make.constants[f"{name}_weight"][:, :, 1] = 0
        make.constants[f"{name}_bias"][1] = 0
    before = make.graph()
    after = optimize(before)

    assert (3 if both else 4) == channels(after)["conv2"][0]
    assert_same_outputs(before, after)


@pytest.mark.parametrize("bias", [None, "conv0_bias"])
def test_a_zero_that_a_requantizer_lifts_is_no_dead_channel(bias):
    graph = two_layers(2, 0)
    lifted = [
        replace(op, bias=bias, requantize=replace(op.requantize, lo=3)) if op.name == "conv0" else op
        for op in graph.ops
    ]
    before = graph.with_ops(lifted)
    after = optimize(before)

    assert {"conv0": (2, 4), "conv1": (4, 3)} == channels(after)
    assert_same_outputs(before, after)


def lifting(kind: str, source: str, channels: int) -> tuple[Op, dict[str, np.ndarray]]:
    """An op of which the result is not zero where its input is."""
    fmt = FixedPoint(width=8, signed=False, frac=4)
    to = Requantizer(shift=0, lo=3, hi=fmt.max, fmt=fmt)
    ones = np.ones(channels, dtype=np.int64)
    match kind:
        case "add":
            return Add(name="lifted", inputs=(source, source), requantize=to), {}
        case "requantize":
            return Requantize(name="lifted", input=source, requantize=to), {}
        case "mean":
            return AvgPool(name="lifted", input=source, kernel=(1, 1), stride=(1, 1), requantize=to), {}
        case "affine":
            op = Affine(name="lifted", input=source, scale="a", offset="b", scale_frac=0, requantize=None)
            return op, {"a": ones, "b": 2 * ones}
        case _:
            levels = np.broadcast_to(np.array([-4, 5]), (channels, 2))  # one is reached by zero
            op = Threshold(name="lifted", input=source, thresholds="t", start="a", step="b", fmt=fmt)
            return op, {"t": levels, "a": 0 * ones, "b": ones}


@pytest.mark.parametrize("kind", ["add", "requantize", "mean", "affine", "threshold"])
def test_a_channel_of_zeros_that_an_op_lifts_stays(kind):
    make = Builder(4, 4, 2)
    make.conv(4)
    make.constants["conv0_weight"][:, :, 1] = 0
    make.constants["conv0_bias"][1] = 0
    op, constants = lifting(kind, "conv0", 4)
    make.ops.append(op)
    make.constants |= constants
    make.channels["lifted"], make.fracs["lifted"] = 4, 4
    make.conv(3, source="lifted", requantize=False)
    before = make.graph()
    after = optimize(before)

    assert 4 == channels(after)["conv1"][0]
    assert_same_outputs(before, after)
