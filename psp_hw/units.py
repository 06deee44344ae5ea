"""Quantities that carry their unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from psp_hw.errors import SpecError

# What rounding does to a time or a rate: an interval's own rate asks for that interval.
TIME_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A clock, by its period [ns]."""

    period_ns: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.period_ns) and 0.5 <= self.period_ns <= 1000.0):
            raise SpecError(
                f"a clock period of {self.period_ns} ns is outside 0.5 .. 1000 ns",
                where="clock",
                hint="10 ns is 100 MHz",
            )

    def seconds(self, cycles: int) -> float:
        """Duration of a number of cycles [s]."""
        return cycles * self.period_ns * 1e-9

    def per_second(self, cycles: int) -> float:
        """How often something that takes so many cycles happens in a second [1/s]."""
        return 1.0 / self.seconds(cycles)


def microseconds(time: float) -> str:
    """A time [us] in words, with three digits at least: as ``231.1 us``, ``0.0433 us``."""
    return f"{time:,.1f} us" if time >= 10 else f"{time:.3g} us"
