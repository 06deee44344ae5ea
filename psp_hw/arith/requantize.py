"""Requantize: from an exact accumulator to the format of an activation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from psp_hw.arith.fixed_point import FixedPoint, Interval

IntArray = npt.NDArray[np.int64]

MAX_SHIFT = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Requantizer:
    """``clip(round_half_even(acc / (divisor * 2**shift)), lo, hi)``.

    Args:
        shift: right shift [bits]; negative shifts left.
        divisor: odd divisor of an average over a pixel count that is not a power of two, else 1.
        lo, hi: where the result saturates; ``lo = 0`` is a ReLU.
        fmt: format of the result; holds ``lo .. hi``.
    """

    shift: int
    lo: int
    hi: int
    fmt: FixedPoint
    divisor: int = 1

    def __post_init__(self) -> None:
        if not -MAX_SHIFT <= self.shift <= MAX_SHIFT:
            raise ValueError(f"a shift of {self.shift} bits is outside -{MAX_SHIFT} .. {MAX_SHIFT}")
        if self.divisor < 1 or self.divisor % 2 == 0:
            raise ValueError(f"the divisor {self.divisor} is not odd and positive; twos belong to the shift")
        if not self.fmt.min <= self.lo <= self.hi <= self.fmt.max:
            raise ValueError(f"{self.lo} .. {self.hi} does not lie within {self.fmt}")

    def exactly(self, acc: int) -> int:
        """The result for one accumulator, by rational arithmetic. The definition; everything else is checked against it."""
        rounded = round(
            Fraction(acc) / (self.divisor * Fraction(2) ** self.shift)
        )  # Python rounds half to even
        return min(max(rounded, self.lo), self.hi)

    def image(self, acc: Interval) -> Interval:
        """The interval of results for an interval of accumulators (the map is monotone)."""
        return Interval(self.exactly(acc.lo), self.exactly(acc.hi))


def requantize(acc: IntArray, to: Requantizer) -> IntArray:
    """Bring accumulators to the format of an activation, rounding half to even, saturating.

    Args:
        acc: accumulators, any shape; magnitude below ``2**62 / 2**max(0, -shift)``.
        to: shift, divisor, saturation and format of the result.

    Returns:
        ``to.exactly`` of every element, same shape.

    Source: docs/arithmetic.md, "Requantize".
    """
    if to.shift < 0:
        acc = acc << np.int64(-to.shift)
        shift = 0
    else:
        shift = to.shift
    denominator = to.divisor << shift
    if denominator == 1:
        return np.asarray(np.clip(acc, to.lo, to.hi))
    if to.divisor == 1:
        floor = acc >> np.int64(shift)
        rest = acc & np.int64(denominator - 1)
        half = np.int64(denominator >> 1)
        up = (rest > half) | ((rest == half) & ((floor & 1) == 1))
    else:
        floor, rest = np.divmod(acc, np.int64(denominator))
        twice = rest * 2
        up = (twice > denominator) | ((twice == denominator) & ((floor & 1) == 1))
    return np.asarray(np.clip(floor + up, to.lo, to.hi))
