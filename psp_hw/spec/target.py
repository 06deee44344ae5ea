"""How fast and how large a design shall be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from psp_hw.errors import SpecError

# Share of a part that a design may take when nobody says otherwise. Vivado's own advice is to stay below 70 % of LUTs and
# 80 % of DSPs and block RAM for timing to close without effort (UG949, "Assessing the maximum frequency of the design").
COMFORTABLE_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Fps:
    """At least so many frames per second, at least cost."""

    frames_per_second: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.frames_per_second) and self.frames_per_second > 0):
            raise SpecError(
                f"{self.frames_per_second} frames per second", where="fps", hint="give a number above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A lone frame done in at most so many microseconds, at least cost."""

    microseconds: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.microseconds) and self.microseconds > 0):
            raise SpecError(
                f"a latency of {self.microseconds} us", where="latency-us", hint="give a number above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxThroughput:
    """As many frames per second as fit the part."""

    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise SpecError(f"a share of {self.share} of the part is outside 0 .. 1", where="share")


@dataclass(frozen=True, slots=True, kw_only=True)
class MinArea:
    """The least design, however slow."""


Goal = Fps | Latency | MaxThroughput | MinArea

# When nothing is said: as fast as fits comfortably.
DEFAULT_GOAL = MaxThroughput(share=COMFORTABLE_SHARE)
