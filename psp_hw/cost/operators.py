"""Operators that many engines have: counters, adder trees, requantizers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.bill import Add, Compare, Divide, Item, Multiply, Mux, Operator, Register, Saturate, Select
from psp_hw.folding.engine import WindowPoolEngine, signed_width
from psp_hw.folding.plan import MultiplierKind

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


def product(left: FixedPoint, right: FixedPoint, kind: MultiplierKind) -> Multiply:
    """The multiplier of a variable and a constant from memory.

    LUTs are spent on bits that vary, and the tools choose by those; a DSP takes both operands with their signs, as psp/multiply.h gives
    them to it.
    """
    if kind is MultiplierKind.DSP:
        return Multiply(signed_width(left), signed_width(right), kind)
    return Multiply(left.width, right.width, kind)


def requantizers(to: Requantizer | None, exact: FixedPoint, shifts: tuple[int, ...], lanes: int) -> Parts:
    """Align, divide, shift, round half to even, saturate, once per lane (psp/requantize.h).

    Args:
        exact: format of what is requantized.
        shifts: right shift of every output channel where they differ.
    """
    if to is None:
        return
    width = aligned_bits(to, exact, shifts)
    different = len(set(shifts))
    if different > 1:
        yield Item(Mux(different, width), lanes)
    if to.divisor > 1:
        yield Item(Divide(dividend_bits(to, width + (not exact.signed))), lanes)
        yield Item(Compare(to.divisor.bit_length(), constant=True), lanes)
    kept = quotient_bits(to, width)
    if to.shift > 0:
        # Whether what is shifted out is half, above or below.
        yield Item(Compare(to.shift, constant=True), lanes)
    if to.shift > 0 or to.divisor > 1:
        yield Item(Add(kept), lanes)
    if kept > to.fmt.width or exact.signed:
        yield Item(Saturate(kept, to.fmt.width, 2 if exact.signed and to.fmt.signed else 1), lanes)


def aligned_bits(to: Requantizer, exact: FixedPoint, shifts: tuple[int, ...]) -> int:
    """Width of an accumulator when all output channels have one scale: raised by what its channel shifts least [bits]."""
    return exact.width + (max(0, to.shift - min(shifts)) if shifts else 0)


def dividend_bits(to: Requantizer, width: int) -> int:
    """Width of what ``Divide`` of psp/requantize.h multiplies with a reciprocal: what is left of so many bits, sign included [bits].

    The bits below the shift are set aside, and an offset makes the rest positive.
    """
    return max(width - to.shift, 1, to.divisor.bit_length()) + 1


def quotient_bits(to: Requantizer, width: int) -> int:
    """Width of a number of so many bits after division and shift, before it is rounded [bits].

    A quotient is what is left of the product with the reciprocal, which has a bit more than the number and the divisor; the tools know
    widths, not that less could occur.
    """
    if to.divisor > 1:
        return dividend_bits(to, width) + 2 - to.divisor.bit_length()
    return max(2, width - max(0, to.shift))


def rounded_bits(to: Requantizer, width: int) -> int:
    """Width of a number of so many bits when it is rounded: a bit more than what is left, zeros below apart [bits]."""
    rounds = to.shift > 0 or to.divisor > 1
    return quotient_bits(to, width) + 1 if rounds else width


def pool_sum(engine: WindowPoolEngine) -> FixedPoint:
    """Format of the exact sum of a window."""
    whole = engine.source.fmt.range.including(0).scaled(len(engine.scan.taps))
    return FixedPoint.holding(whole, frac=engine.source.fmt.frac)
