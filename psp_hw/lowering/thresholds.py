"""Append comparisons with thresholds."""

from __future__ import annotations

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.ir.ops import Threshold
from psp_hw.lowering.builder import Builder
from psp_hw.lowering.features import Value


def emit_thresholds(
    builder: Builder,
    name: str,
    source: str,
    rows: list[list[int]],
    starts: list[int],
    steps: list[int],
    fmt: FixedPoint,
) -> Value:
    """Append a comparison with thresholds; rows of fewer are filled up with one that nothing reaches."""
    never = builder.types[source].fmt.max + 1
    longest = max(1, *(len(row) for row in rows))
    table = [sorted(row) + [never] * (longest - len(row)) for row in rows]
    op = Threshold(
        name=name,
        input=source,
        thresholds=builder.constant(f"{name}.thresholds", table),
        start=builder.constant(f"{name}.start", starts),
        step=builder.constant(f"{name}.step", steps),
        fmt=_wide_enough(fmt, starts, steps, longest),
    )
    return builder.emit(op)


def _wide_enough(fmt: FixedPoint, starts: list[int], steps: list[int], levels: int) -> FixedPoint:
    """The format, or a wider one where thresholds that nothing reaches would leave it."""
    ends = [start + step * levels for start, step in zip(starts, steps, strict=True)] + starts
    needed = FixedPoint.holding(Interval(min(ends), max(ends)), frac=fmt.frac)
    return fmt if fmt.min <= min(ends) and max(ends) <= fmt.max else needed
