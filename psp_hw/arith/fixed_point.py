"""Formats of integers that stand for fixed-point values, and exact interval arithmetic on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

MAX_WIDTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoint:
    """An integer m of ``width`` bits that stands for ``m * 2**-frac``.

    ``frac`` may be negative or larger than ``width``. The same value as ``ap_fixed<width, width - frac>``
    (``ap_ufixed`` when unsigned).
    """

    width: int
    signed: bool
    frac: int

    def __post_init__(self) -> None:
        least = 2 if self.signed else 1
        if not least <= self.width <= MAX_WIDTH:
            raise ValueError(f"a width of {self.width} bits is outside {least} .. {MAX_WIDTH}")

    @property
    def min(self) -> int:
        """Smallest integer."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest integer."""
        return (1 << (self.width - 1)) - 1 if self.signed else (1 << self.width) - 1

    @property
    def range(self) -> Interval:
        """All integers of the format."""
        return Interval(self.min, self.max)

    @classmethod
    def holding(cls, interval: Interval, *, frac: int) -> Self:
        """The narrowest format that holds every integer of an interval."""
        signed = interval.lo < 0
        return cls(width=max(interval.bits, 2 if signed else 1), signed=signed, frac=frac)

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.width}.{self.frac}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` prints, as ``s8.4``."""
        width, _, frac = text[1:].partition(".")
        if text[:1] not in ("s", "u") or not frac:
            raise ValueError(f"{text!r} is no format; a format reads as s8.4 or u4.2")
        return cls(width=int(width), signed=text[0] == "s", frac=int(frac))


@dataclass(frozen=True, slots=True)
class Interval:
    """All integers from ``lo`` to ``hi``, both included."""

    lo: int
    hi: int

    def __post_init__(self) -> None:
        if self.lo > self.hi:
            raise ValueError(f"the interval {self.lo} .. {self.hi} is empty")

    @property
    def bits(self) -> int:
        """Width of the narrowest format that holds the interval (two's complement when ``lo`` < 0) [bits]."""
        if self.lo < 0:
            return max((-self.lo - 1).bit_length(), self.hi.bit_length() if self.hi > 0 else 0) + 1
        return max(1, self.hi.bit_length())

    @property
    def magnitude(self) -> int:
        """Largest absolute value."""
        return max(abs(self.lo), abs(self.hi))

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __lshift__(self, bits: int) -> Interval:
        return Interval(self.lo << bits, self.hi << bits)

    def scaled(self, factor: int) -> Interval:
        """The interval of ``factor * m``."""
        ends = (self.lo * factor, self.hi * factor)
        return Interval(min(ends), max(ends))

    def including(self, value: int) -> Interval:
        """The interval widened to include one more integer."""
        return Interval(min(self.lo, value), max(self.hi, value))

    def __contains__(self, value: int) -> bool:
        return self.lo <= value <= self.hi

    @staticmethod
    def hull(intervals: Iterable[Interval]) -> Interval:
        """The narrowest interval that holds all of them."""
        every = list(intervals)
        return Interval(min(i.lo for i in every), max(i.hi for i in every))
