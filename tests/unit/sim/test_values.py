from __future__ import annotations

import numpy as np
import pytest
from oracle import execute
from random_graphs import random_codes, random_graph

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Affine, AvgPool, Conv2d, Input, Op, Output, Requantize
from psp_hw.ir.types import Tap, TensorType
from psp_hw.ir.verify import verify
from psp_hw.sim.arithmetic import Arithmetic, arithmetic_for
from psp_hw.sim.values import Simulator, decode, encode


def dense(weight: np.ndarray, bits: int) -> Graph:
    fmt = FixedPoint(width=bits, signed=True, frac=0)
    kind = TensorType(height=1, width=1, channels=weight.shape[0], fmt=fmt)
    layer = Conv2d(
        name="dense",
        input="image",
        weight="w",
        taps=(Tap(0, 0),),
        kernel=(1, 1),
        weight_frac=0,
        dense_in_channels=weight.shape[0],
        dense_out_channels=weight.shape[1],
    )
    ops = (Input(name="image", type=kind), layer, Output(name="result", input="dense"))
    return Graph("dense", ops, {"w": weight[None]})


@pytest.mark.parametrize(
    ("bits", "weight", "expected"),
    [
        (8, 2**16, Arithmetic.FLOAT32),  # 2 * 2**7 * 2**16 = 2**24
        (8, 2**16 + 1, Arithmetic.FLOAT64),
        (20, 2**33, Arithmetic.FLOAT64),  # 2 * 2**19 * 2**33 = 2**53
        (20, 2**33 + 1, Arithmetic.INT64),
    ],
)
def test_arithmetic_follows_from_the_largest_sum_of_the_actual_weights(bits, weight, expected):
    graph = dense(np.full((2, 1), weight), bits)
    lowest = np.full((1, 1, 1, 2), -(2 ** (bits - 1)))

    simulator = Simulator(graph)

    assert simulator.arithmetic["dense"] is expected
    assert simulator.run(lowest).item() == 2 * -(2 ** (bits - 1)) * weight


def test_sums_beyond_62_bits_are_refused():
    with pytest.raises(ValueError, match="more than 62 bits"):
        arithmetic_for(Interval(0, 2**62 + 1))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_chunks_and_threads_change_nothing(threads, monkeypatch):
    graph = random_graph(3)
    codes = random_codes(graph, 3, 23)
    expected = execute(graph, codes)[graph.output.name]
    monkeypatch.setattr("psp_hw.sim.values.CHUNK_IMAGES", 4)
    done = []

    actual = Simulator(graph, threads=threads).run(codes, on_chunk=done.append)

    assert np.array_equal(expected, actual)
    assert sum(done) == 23


def test_no_image_gives_no_result():
    graph = random_graph(5)

    assert Simulator(graph).run(random_codes(graph, 0, 0)).shape == (0, *graph.types["result"].shape)


def test_codes_that_are_no_frames_or_leave_the_range_are_refused():
    graph = dense(np.ones((2, 1), dtype=np.int64), 8)
    with pytest.raises(ValueError, match="no frames"):
        Simulator(graph).run(np.zeros((1, 2, 1, 1), dtype=np.int64))
    with pytest.raises(ValueError, match="leave the range"):
        Simulator(graph).run(np.full((1, 1, 1, 2), 128))


def test_images_are_scaled_rounded_half_to_even_and_saturated():
    kind = TensorType(height=1, width=6, channels=1, fmt=FixedPoint(width=4, signed=True, frac=1))
    image = np.array([0.25, 0.75, -0.25, 1.24, 100.0, -100.0], dtype=np.float32).reshape(1, 1, 1, 6)

    codes = encode(image, kind)

    assert codes.reshape(-1).tolist() == [0, 2, 0, 2, 7, -8]
    assert decode(codes, kind.fmt).reshape(-1).tolist() == [0, 1.0, 0, 1.0, 3.5, -4.0]


def test_channels_become_the_fastest_axis():
    kind = TensorType(height=2, width=3, channels=4, fmt=FixedPoint(width=8, signed=True, frac=0))
    image = np.arange(24, dtype=np.float32).reshape(1, 4, 2, 3)

    assert encode(image, kind)[0, 1, 2, 3] == image[0, 3, 1, 2]


def wide(bits: int, *ops: Op, channels: int = 1, constants: dict[str, np.ndarray] | None = None) -> Graph:
    """A frame of 2x2 pixels of wide codes, and what is done with them."""
    fmt = FixedPoint(width=bits, signed=True, frac=0)
    image = Input(name="image", type=TensorType(height=2, width=2, channels=channels, fmt=fmt))
    return verify(Graph("wide", (image, *ops, Output(name="result", input=ops[-1].name)), constants or {}))


def to_bits(bits: int, shift: int, *, entering: int = 0) -> Requantizer:
    fmt = FixedPoint(width=bits, signed=True, frac=entering - shift)
    return Requantizer(shift=shift, lo=fmt.min, hi=fmt.max, fmt=fmt)


@pytest.mark.parametrize("bits", [16, 24, 40, 52, 58])
@pytest.mark.parametrize("shift", [-40, -3, 0, 20])
def test_wide_sums_saturate_and_never_wrap(bits, shift):
    """Arithmetic of one op is integer where that of its input is floating point; a left shift passes 64 bits."""
    cases = [
        wide(bits, Requantize(name="r", input="image", requantize=to_bits(8, shift))),
        wide(
            bits,
            AvgPool(name="mean", input="image", kernel=(2, 1), stride=(1, 1)),
            Requantize(name="r", input="mean", requantize=to_bits(8, shift, entering=1)),
        ),
        wide(
            bits,
            Affine(name="map", input="image", scale="a", offset="b", scale_frac=0),
            Requantize(name="r", input="map", requantize=to_bits(20, shift)),
            constants={"a": np.array([-5]), "b": np.array([2**57 + 1])},
        ),
    ]
    for graph in cases:
        codes = random_codes(graph, bits, 8)
        expected = execute(graph, codes)
        for name, values in Simulator(graph, threads=1).trace(codes).items():
            assert np.array_equal(expected[name], values), name
