"""Affine maps, thresholds and units: their types, their text, what is refused, and what simulation makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Affine, Input, Output, Threshold
from psp_hw.ir.text import parse_graph, print_graph
from psp_hw.ir.types import TensorType
from psp_hw.ir.verify import GraphError, verify
from psp_hw.passes import optimize
from psp_hw.sim.values import Simulator, decode, encode

U4 = FixedPoint(width=4, signed=False, frac=1)
S5 = FixedPoint(width=5, signed=True, frac=0)


def graph(**changes) -> Graph:
    """Two channels: 3 m + 7 and -2 m, then counted."""
    kind = TensorType(height=1, width=2, channels=2, fmt=U4)
    affine = Affine(name="map", input="image", scale="map.scale", offset="map.offset", scale_frac=2)
    count = Threshold(
        name="count",
        input="map",
        thresholds="count.thresholds",
        start="count.start",
        step="count.step",
        fmt=S5,
    )
    constants = {
        "map.scale": [3, -2],
        "map.offset": [7, 0],
        "count.thresholds": [[8, 20, 20], [-30, -9, 0]],
        "count.start": [0, 4],
        "count.step": [1, -2],
    }
    constants |= changes.pop("constants", {})
    ops = (
        Input(name="image", type=kind, unit=changes.pop("unit", 1.0)),
        affine,
        replace(count, **changes),
        Output(name="result", input="count", unit=0.3),
    )
    return Graph("maps", ops, {name: np.array(values) for name, values in constants.items()})


def test_types_follow_from_the_constants():
    types = graph().types

    assert str(types["map"]) == "1x2x2:s7.3"  # 0 .. 45 and 7 .. 52, and -30 .. 0
    assert str(types["count"]) == "1x2x2:s5.0"


def test_values_are_mapped_and_counted_per_channel():
    codes = np.array([[[[0, 0], [15, 15]]]])

    trace = Simulator(verify(graph())).trace(codes)

    assert trace["map"].reshape(-1).tolist() == [7, 0, 52, -30]
    assert trace["count"].reshape(-1).tolist() == [0, -2, 3, 2]


def test_text_prints_and_parses_units_and_maps():
    text = print_graph(graph(unit=0.0371))

    assert "%image = input unit=0.0371 : 1x2x2:u4.1" in text
    assert "%map = affine %image scale=@map.scale offset=@map.offset scale_frac=2 : 1x2x2:s7.3" in text
    assert "%result = output %count unit=0.3 :" in text
    parsed = parse_graph(text, graph().constants)
    assert parsed.ops == graph(unit=0.0371).ops
    assert print_graph(parsed) == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"constants": {"map.scale": [1, 2, 3]}}, "map.scale of shape (3,) for 2 channels"),
        ({"constants": {"count.thresholds": [[1, 0], [0, 0]]}}, "thresholds that do not ascend"),
        ({"constants": {"count.thresholds": [0, 1]}}, "are not [C, L]"),
        ({"constants": {"count.start": [0, 17]}}, "results 0 .. 17 leave the range of s5.0"),
        ({"fmt": FixedPoint(width=2, signed=True, frac=0)}, "leave the range of s2.0"),
        ({"unit": 0.0}, "a unit of 0.0 is not finite and positive"),
        ({"unit": float("inf")}, "a unit of inf is not finite and positive"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(GraphError) as caught:
        verify(graph(**changes))
    assert message in str(caught.value)


def test_a_requantized_map_must_lead_to_its_format():
    wrong = Requantizer(shift=1, lo=0, hi=15, fmt=replace(U4, frac=1))
    broken = graph()
    ops = [replace(op, requantize=wrong) if isinstance(op, Affine) else op for op in broken.ops]
    with pytest.raises(GraphError, match="shifted right by 1 are not the 1 of u4"):
        verify(broken.with_ops(ops))


def test_channels_that_stay_zero_go():
    silent = graph(constants={"map.scale": [0, -2], "map.offset": [0, 0], "count.start": [-1, 4]})

    # Nothing after it can do without: the output keeps all.
    assert 2 == optimize(silent).types["count"].channels
    kind = Simulator(optimize(silent)).run(np.array([[[[0, 0], [15, 15]]]]))
    assert kind.reshape(-1).tolist() == [-1, -2, -1, 2]


def test_images_are_divided_by_the_unit_in_float32():
    kind = TensorType(height=1, width=1, channels=3, fmt=FixedPoint(width=8, signed=True, frac=0))
    unit = float(np.float32(0.1))
    image = np.array([0.35, -0.25, 100.0], dtype=np.float32).reshape(1, 3, 1, 1)

    codes = encode(image, kind, unit)

    assert codes.reshape(-1).tolist() == [int(np.rint(image[0, 0, 0, 0] / np.float32(0.1))), -2, 127]
    assert np.array_equal(decode(codes, kind.fmt, unit), codes * unit)
