"""Operators that many engines have: counters, adder trees, requantizers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.bill import Add, Compare, Divide, Item, Mux, Operator, Register, Saturate, Select

Parts = Iterator[Item | Operator]


def counter(extent: int) -> Parts:
    """A counter of so many values."""
    bits = max(1, (extent - 1).bit_length())
    yield Add(bits)
    yield Compare(bits, constant=True)
    yield Select(bits)
    yield Register(bits)


def tree(inputs: int, bits: int, most: int) -> Iterator[tuple[Add, int]]:
    """Adders of a balanced tree, level by level; no sum is wider than ``most`` bits."""
    while inputs > 1:
        bits = min(bits + 1, most)
        yield Add(bits), inputs // 2
        inputs = math.ceil(inputs / 2)


def times(adders: Iterator[tuple[Add, int]], count: int) -> Iterator[Item]:
    """Trees side by side."""
    for adder, number in adders:
        yield Item(adder, number * count)


def requantizers(to: Requantizer | None, exact: FixedPoint, shifts: tuple[int, ...], lanes: int) -> Parts:
    """Shift, round half to even, saturate, once per lane."""
    if to is None:
        return
    kept = max(2, exact.width - max(0, to.shift))
    different = len(set(shifts))
    if different > 1:
        yield Item(Mux(different, exact.width), lanes)
    if to.divisor > 1:
        yield Item(Divide(exact.width), lanes)
    if to.shift > 0 or to.divisor > 1:
        yield Item(
            Compare(max(1, to.shift), constant=True), lanes
        )  # whether the rest is half, above or below
        yield Item(Add(kept), lanes)
    if kept > to.fmt.width or exact.signed:
        yield Item(Saturate(kept, to.fmt.width, 2 if exact.signed and to.fmt.signed else 1), lanes)
