"""Which machine arithmetic is exact for which range of integers (docs/arithmetic.md, "Fast and exact")."""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from psp_hw.arith.fixed_point import Interval
from psp_hw.arith.requantize import Requantizer, requantize

# Integers held in float32, float64 or int64: which one is a run-time choice, so the element type is left open.
Values = npt.NDArray[np.generic]
NumberType = np.dtype[np.generic]


class Arithmetic(Enum):
    """Number types that hold integers, with the magnitude up to which every integer is exact."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT64 = "int64"

    @property
    def dtype(self) -> NumberType:
        """The numpy type."""
        kinds: dict[Arithmetic, NumberType] = {
            Arithmetic.FLOAT32: np.dtype(np.float32),
            Arithmetic.FLOAT64: np.dtype(np.float64),
            Arithmetic.INT64: np.dtype(np.int64),
        }
        return kinds[self]

    @property
    def limit(self) -> int:
        """Largest magnitude up to which all integers are represented."""
        return {Arithmetic.FLOAT32: 2**24, Arithmetic.FLOAT64: 2**53, Arithmetic.INT64: 2**62}[self]


def arithmetic_for(*ranges: Interval) -> Arithmetic:
    """The fastest arithmetic in which every integer of all ranges is exact.

    Raises:
        ValueError: a range needs more than 62 bits.
    """
    magnitude = max(interval.magnitude for interval in ranges)
    for candidate in Arithmetic:
        if magnitude <= candidate.limit:
            return candidate
    raise ValueError(f"integers up to {magnitude} need more than 62 bits")


def requantize_in_place(values: Values, to: Requantizer) -> Values:
    """``requantize`` on integers held in any arithmetic; may reuse the array.

    In floating point the scaling by a power of two is exact (no overflow or subnormal within 62 bits of shift) and
    ``rint`` rounds half to even, so the result is the definition's; an odd divisor goes through integers.
    """
    if values.dtype == np.int64:
        return requantize(values.astype(np.int64, copy=False), to)
    if to.divisor != 1:
        exact = requantize(values.astype(np.int64), to)
        return exact.astype(values.dtype)
    if to.shift != 0:
        np.multiply(values, np.asarray(2.0**-to.shift, dtype=values.dtype), out=values)
        if to.shift > 0:
            np.rint(values, out=values)
    np.clip(values, to.lo, to.hi, out=values)
    return values
