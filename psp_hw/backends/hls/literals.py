"""Numbers, types and tables as C++ text."""

from __future__ import annotations

import textwrap

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.errors import SpecError
from psp_hw.folding.plan import MemoryKind

LINE_WIDTH = 116
_INT32 = 1 << 31
_INT64 = 1 << 63


def int_type(fmt: FixedPoint) -> str:
    """``ap_int`` or ``ap_uint`` of a format."""
    return f"{'ap_int' if fmt.signed else 'ap_uint'}<{fmt.width}>"


def signed_type(fmt: FixedPoint) -> str:
    """The narrowest ``ap_int`` that holds a format."""
    return f"ap_int<{fmt.width + (0 if fmt.signed else 1)}>"


def constant_type(fmt: FixedPoint) -> str:
    """The type of a table entry (psp/number.h)."""
    return f"psp::Constant<{fmt.width}, {'true' if fmt.signed else 'false'}>::type"


def number(value: int) -> str:
    """An integer literal of sufficient width.

    Raises:
        SpecError: it does not fit 64 bits.
    """
    if -_INT32 < value < _INT32:
        return str(value)
    if not -_INT64 < value < _INT64:
        raise SpecError(f"the number {value} does not fit a signed 64-bit literal", where="emit")
    return f"{value}LL"


def rows(table: IntArray) -> tuple[str, ...]:
    """The rows of a table [rows, columns] as initializers, wrapped to the line width."""
    lines: list[str] = []
    for row in table.tolist():
        text = "{" + ", ".join(number(value) for value in row) + "},"
        lines += textwrap.wrap(text, LINE_WIDTH - 4, subsequent_indent=" ", break_long_words=False)
    return tuple(lines)


def finish_type(to: Requantizer | None, out: FixedPoint, *, left: int = 0) -> str:
    """The type that brings an accumulator to its result (psp/requantize.h).

    Args:
        to: the requantizer, or None to keep the exact value.
        out: format of the result.
        left: left shift that comes before [bits].
    """
    kind = int_type(out)
    if to is None:
        return (
            f"Keep<{kind}>"
            if left == 0
            else f"ShiftLeft<{kind}, {left}, {number(out.min)}, {number(out.max)}>"
        )
    shift, bounds = to.shift - left, f"{number(to.lo)}, {number(to.hi)}"
    if to.divisor > 1:
        return f"Divide<{kind}, {shift}, {to.divisor}, {bounds}>"
    if shift > 0:
        return f"ShiftRight<{kind}, {shift}, {bounds}>"
    return f"ShiftLeft<{kind}, {-shift}, {bounds}>"


def finish_comment(to: Requantizer | None) -> str:
    """What a requantizer does, in words."""
    if to is None:
        return "exact"
    rounds = "half to even, " if to.shift > 0 or to.divisor > 1 else ""
    return f"{rounds}saturates" + (", ReLU" if to.lo == 0 and to.fmt.signed else "")


def segment_type(distance: int, kind: MemoryKind) -> str:
    """The type of a segment of the delay chain (psp/delay.h); one position is the window register itself."""
    if distance == 1:
        return "Adjacent"
    name = {
        MemoryKind.REGISTERS: "ShiftRegister",
        MemoryKind.LUTRAM: "LutRam",
        MemoryKind.BRAM: "BlockRam",
        MemoryKind.URAM: "UltraRam",
    }[kind]
    return f"{name}<{distance - 1}>"
