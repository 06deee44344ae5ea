"""For which part, how fast and how large a design shall be."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from psp_hw.errors import SpecError
from psp_hw.spec.names import shown

# Share of a part that a design may take when nobody says otherwise. Vivado's own advice is to stay below 70 % of LUTs and
# 80 % of DSPs and block RAM for timing to close without effort (UG949, "Assessing the maximum frequency of the design").
COMFORTABLE_SHARE = 0.7

# What a goal may ask for: a frame in no more than 10**12 us (eleven days) and no less often, 64 bits of cycles at any clock.
LONGEST_US = 1e12
LEAST_FPS = 1e-6

# What vendors make part names of. A name goes into Tcl, C++, YAML and Markdown as it is, so it holds nothing else.
_PART_NAME = re.compile(r"[A-Za-z0-9-]{1,40}")


def check_part_name(name: str) -> str:
    """The name of a part, if it can be one.

    Raises:
        SpecError: it holds anything but letters, digits and dashes, or too much of them.
    """
    if _PART_NAME.fullmatch(name) is None:
        raise SpecError(
            f"{shown(name)} is no name of a part",
            where="part",
            hint="it has letters, digits and dashes alone, at most 40",
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Fps:
    """At least so many frames per second, at least cost."""

    frames_per_second: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.frames_per_second) and self.frames_per_second > 0):
            raise SpecError(
                f"{self.frames_per_second} frames per second", where="fps", hint="give a number above 0"
            )
        if self.frames_per_second < LEAST_FPS:
            raise SpecError(
                f"{self.frames_per_second:g} frames per second is less than {LEAST_FPS:g}, a frame in eleven days",
                where="fps",
                hint="ask for the smallest design, however slow (--min-area)",
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
        if self.microseconds > LONGEST_US:
            raise SpecError(
                f"a latency of {self.microseconds:g} us is more than {LONGEST_US:g} us, eleven days",
                where="latency-us",
                hint="ask for the smallest design, however slow (--min-area)",
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
