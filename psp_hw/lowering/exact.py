"""Rational arithmetic of the lowering: what is a power of two, and where a rounded affine map steps (docs/qonnx.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from psp_hw.arith.fixed_point import Interval

ROOT_BITS = 160
HALF = Fraction(1, 2)


def log2(value: Fraction) -> int | None:
    """The exponent of a power of two; None for any other number."""
    above, below = value.numerator, value.denominator
    if above <= 0 or above & (above - 1) or below & (below - 1):
        return None
    return above.bit_length() - below.bit_length()


def places(value: Fraction) -> int | None:
    """Fewest bits after the point that hold a number, 0 for an integer; None where no number of bits does."""
    below = value.denominator
    return None if below & (below - 1) else below.bit_length() - 1


def root(value: Fraction) -> Fraction:
    """The square root: exact where it is rational, else below it by less than ``2**-160`` of itself."""
    product = value.numerator * value.denominator
    whole = math.isqrt(product)
    if whole * whole == product:
        return Fraction(whole, value.denominator)
    extra = max(0, 2 * ROOT_BITS - product.bit_length())
    extra += extra % 2
    return Fraction(math.isqrt(product << extra), value.denominator << (extra // 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundedMap:
    """``clip(round(scale * m + offset), lo, hi)`` of an integer m, for one channel.

    Args:
        nudge: which way a tie goes: up (1), down (-1) or to the even neighbour (0). Rounding down to the next integer is
            rounding ``x - 1/2`` with ties up, rounding up is rounding ``x + 1/2`` with ties down.
    """

    scale: Fraction
    offset: Fraction
    lo: int
    hi: int
    nudge: int = 0

    def __call__(self, m: int) -> int:
        """The result for one integer."""
        exact = self.scale * m + self.offset
        floor = math.floor(exact)
        rest = exact - floor
        tie_up = self.nudge > 0 or (self.nudge == 0 and floor % 2 == 1)
        rounded = floor + (rest > HALF or (rest == HALF and tie_up))
        return min(max(rounded, self.lo), self.hi)

    @property
    def falls(self) -> bool:
        """Whether larger integers have smaller results."""
        return self.scale < 0

    def steps(self, entering: Interval) -> list[int]:
        """Where the result changes by one: the integers from which on it is past each level, ascending.

        Args:
            entering: the integers that occur; a step that none of them reaches stands at ``hi + 1``, one that all have
                taken at ``lo``.

        Returns:
            ``hi - lo`` integers: the result is ``lo`` (``hi`` where the map falls) plus (minus) how many are at most m.
        """
        if self.scale == 0:
            return self._constant_steps(entering)
        above, below = self.scale.numerator, self.scale.denominator
        up, down = self.offset.numerator, self.offset.denominator
        sign = -1 if above < 0 else 1
        divisor = 2 * down * above * sign
        falls = self.falls
        levels = range(self.hi, self.lo, -1) if falls else range(self.lo + 1, self.hi + 1)
        found = []
        for level in levels:
            # scale * m + offset = level - 1/2 at m = place / divisor
            place = ((2 * level - 1) * down - 2 * up) * below * sign
            reached = self.nudge > 0 or (self.nudge == 0 and level % 2 == 0)
            floor, rest = divmod(place, divisor)
            # Rising, the level is reached at the first m on or past the place; falling, it is lost at the first past it.
            at = floor + (rest != 0 or reached == falls)
            found.append(min(max(at, entering.lo), entering.hi + 1))
        return found

    def _constant_steps(self, entering: Interval) -> list[int]:
        taken = self(0) - self.lo
        return [entering.lo] * taken + [entering.hi + 1] * (self.hi - self.lo - taken)


def sticky(offset: Fraction, nudge: int, shift: int) -> tuple[int, int]:
    """An integer offset that rounds as a real one does.

    ``round((m + offset) / 2**shift)`` compares ``m + offset`` with odd multiples of ``2**(shift - 1)`` alone. An offset between
    two numbers on whose grid these lie can be replaced by the middle of the two: one bit says that something is left.

    Args:
        offset: of the integers m.
        nudge: as in ``RoundedMap``.
        shift: right shift of the rounding [bits].

    Returns:
        ``(b, r)``: ``round((m * 2**r + b) / 2**(shift + r))``, half to even, is the same for every integer m.
    """
    exact = places(offset)
    finer = max(0, 1 - shift)
    if nudge == 0 and exact is not None and exact <= finer:
        return int(offset * 2**exact), exact
    scaled = offset * 2**finer
    below = math.floor(scaled)
    if scaled == below and nudge == 0:
        return below, finer
    if scaled == below and nudge < 0:
        below -= 1
    return 2 * below + 1, finer + 1
