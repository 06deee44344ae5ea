"""Taps of zeros, and taps that read nothing but padding: gone, and every output as before."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import execute
from random_graphs import random_codes

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Flatten, Input, Output
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.ir.verify import verify
from psp_hw.passes import optimize

AROUND = Padding(top=1, left=1, bottom=1, right=1)
WHOLE = tuple(Tap(r, s) for r in range(3) for s in range(3))
S8 = FixedPoint(width=8, signed=True, frac=4)


def convolution(
    frame: tuple[int, int],
    *,
    taps: tuple[Tap, ...] = WHOLE,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    padding: Padding = AROUND,
    flatten: bool = False,
) -> Graph:
    rng = np.random.default_rng(1)
    kind = TensorType(height=frame[0], width=frame[1], channels=2, fmt=S8)
    entering = kind.pixels * 2 if flatten else 2
    conv = Conv2d(
        name="conv",
        input="flat" if flatten else "image",
        weight="w",
        bias="b",
        taps=taps,
        kernel=kernel,
        stride=stride,
        padding=padding,
        weight_frac=0,
        dense_in_channels=entering,
        dense_out_channels=3,
    )
    constants = {"w": rng.integers(1, 8, size=(len(taps), entering, 3)), "b": rng.integers(-9, 9, size=3)}
    between = (Flatten(name="flat", input="image"),) if flatten else ()
    ops = (Input(name="image", type=kind), *between, conv, Output(name="result", input="conv"))
    return verify(Graph("made", ops, constants))


def same_outputs(before: Graph, after: Graph) -> bool:
    codes = random_codes(before, 0, 4)
    return np.array_equal(execute(before, codes)["result"], execute(after, codes)["result"])


@pytest.mark.parametrize(
    ("frame", "stride", "kept"),
    [
        ((1, 1), (1, 1), [(1, 1)]),
        ((1, 4), (1, 1), [(1, 0), (1, 1), (1, 2)]),
        ((2, 2), (2, 2), [(1, 1), (1, 2), (2, 1), (2, 2)]),  # one output, at the corner
        ((3, 3), (3, 3), [(1, 1), (1, 2), (2, 1), (2, 2)]),
        ((2, 2), (1, 1), [(t.r, t.s) for t in WHOLE]),
    ],
)
def test_taps_that_read_nothing_but_padding_are_gone(frame, stride, kept):
    before = convolution(frame, stride=stride)
    after = optimize(before)

    assert tuple(Tap(r, s) for r, s in kept) == after.convolutions[0].taps
    assert same_outputs(before, after)


@pytest.mark.parametrize("taps", [(Tap(0, 0),), (Tap(0, 0), Tap(2, 1))])
def test_where_no_tap_reads_the_frame_one_is_left_and_adds_nothing(taps):
    before = convolution((1, 1), taps=taps)
    after = optimize(before)

    assert len(after.convolutions[0].taps) == 1
    assert not after.constants["w"].any()
    assert same_outputs(before, after)


@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), AROUND), ((1, 1), AROUND), ((1, 1), Padding())])
def test_a_flattened_frame_is_read_in_place_by_a_dense_layer_alone(kernel, padding):
    taps = WHOLE if kernel == (3, 3) else (Tap(0, 0),)
    before = convolution((2, 3), taps=taps, kernel=kernel, padding=padding, flatten=True)
    after = optimize(before)

    assert any(isinstance(op, Flatten) for op in after.ops) == (padding == AROUND)
    assert same_outputs(before, after)
