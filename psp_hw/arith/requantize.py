"""Requantize: from an exact accumulator to the format of an activation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from psp_hw.arith.fixed_point import FixedPoint, Interval

IntArray = npt.NDArray[np.int64]

MAX_SHIFT = 62
_MOST = 1 << 62  # magnitudes below it can be doubled, and added to one another, in int64


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
        exact = Fraction(acc) / (self.divisor * Fraction(2) ** self.shift)
        rounded = round(exact)  # Python rounds half to even
        return min(max(rounded, self.lo), self.hi)

    def divides(self, width: int) -> bool:
        """Whether the division by a constant takes accumulators of so many bits, sign included.

        The quotient is the product with a reciprocal of as many bits as the accumulator, less those shifted out, and the
        divisor have together; its constants have at most 62 (psp/requantize.h).
        """
        divisor_bits = self.divisor.bit_length()
        bits = max(width - self.shift, 1, divisor_bits) + 1
        return self.divisor == 1 or bits + divisor_bits <= MAX_SHIFT

    def image(self, acc: Interval) -> Interval:
        """The interval of results for an interval of accumulators (the map is monotone)."""
        return Interval(self.exactly(acc.lo), self.exactly(acc.hi))


def requantize(acc: IntArray, to: Requantizer) -> IntArray:
    """Bring accumulators to the format of an activation, rounding half to even, saturating.

    Args:
        acc: accumulators, any shape; magnitude below ``2**62``.
        to: shift, divisor, saturation and format of the result.

    Returns:
        ``to.exactly`` of every element, same shape.

    Source: docs/arithmetic.md, "Requantize".
    """
    if to.shift < 0:
        acc = _shifted_left(acc, -to.shift, to)
    denominator = to.divisor << max(to.shift, 0)
    if denominator == 1:
        return np.asarray(np.clip(acc, to.lo, to.hi))
    if to.divisor == 1:
        shift = np.int64(to.shift)
        floor = acc >> shift
        rest = acc & np.int64(denominator - 1)
        half = np.int64(denominator >> 1)
        up = (rest > half) | ((rest == half) & ((floor & 1) == 1))
    elif denominator > _MOST:
        return np.asarray(np.clip(_to_unit(acc, denominator), to.lo, to.hi))
    else:
        floor, rest = np.divmod(acc, np.int64(denominator))
        twice = rest * 2
        up = (twice > denominator) | ((twice == denominator) & ((floor & 1) == 1))
    return np.asarray(np.clip(floor + up, to.lo, to.hi))


def _shifted_left(acc: IntArray, left: int, to: Requantizer) -> IntArray:
    """``acc * 2**left``, as far as the result is not saturated in any case: no product leaves 63 bits."""
    least, most = (to.lo - 1) * to.divisor >> left, -(-(to.hi + 1) * to.divisor >> left)
    reach = _MOST >> left
    return np.asarray(np.clip(acc, max(least, -reach), min(most, reach)) << np.int64(left))


def _to_unit(acc: IntArray, denominator: int) -> IntArray:
    """Quotients of magnitude below one, rounded half to even: -1, 0 or 1."""
    beyond = np.abs(acc) > denominator // 2
    return np.asarray(np.sign(acc) * beyond)
