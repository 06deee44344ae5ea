"""How near a plan comes to the best that is possible."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

# What rounding does to a sum of shares, or to a share of such a sum.
ROUNDING = 1e-9


class Measure(Enum):
    """What a goal makes as small as it can; the value is its name in reports and JSON."""

    INTERVAL = "interval"  # cycles per frame
    COST = "cost"  # the sum of the shares of the part, FIFOs as deep as every choice needs them


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimality:
    """What a search reached, and a bound that no folds and memories within the budget pass.

    Args:
        measure: of what.
        reached: by the plan.
        bound: no choice has less.
        within: the budget and what else was given, in words: every claim is about the designs within.
        tried: what folds it is about, in words, where some are not tried; empty where all are.
    """

    measure: Measure
    reached: float
    bound: float
    within: str = "the part"
    tried: str = ""

    @property
    def gap(self) -> float:
        """The most that could be saved: reached / bound - 1."""
        return max(0.0, self.reached / self.bound - 1.0)

    @property
    def proven(self) -> bool:
        """Whether nothing is better."""
        return self.gap <= ROUNDING

    def __str__(self) -> str:
        """In words."""
        folds = f"Folds as tried ({self.tried})" if self.tried else "Folds"
        match self.measure:
            case Measure.INTERVAL if self.proven:
                return f"{folds}: proven to be the fastest within {self.within}."
            case Measure.INTERVAL:
                return (
                    f"{folds}: nothing within {self.within} takes under {self.bound:,.0f} cycles per frame, so at most "
                    f"{at_most(self.gap, 4):.2%} is left to gain."
                )
            case Measure.COST if self.proven:
                return f"{folds}: proven to be the cheapest within {self.within} that meet the goal."
            case Measure.COST:
                return (
                    f"{folds}: the shares that these take add up to {at_most(self.reached, 3):.1%}; no others within {self.within} "
                    f"that meet the goal take under {at_least(self.bound, 3):.1%}."
                )
            case _:
                assert_never(self.measure)


def at_most(number: float, digits: int) -> float:
    """A number rounded up to so many digits behind the point: what is at most one is at most the other."""
    scale = 10.0**digits
    return math.ceil(number * scale - ROUNDING) / scale


def at_least(number: float, digits: int) -> float:
    """A number rounded down to so many digits behind the point."""
    scale = 10.0**digits
    return math.floor(number * scale + ROUNDING) / scale
