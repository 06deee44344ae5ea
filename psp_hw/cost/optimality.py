"""How near a plan comes to the best that is possible."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

# What rounding does to a sum of shares.
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
    """

    measure: Measure
    reached: float
    bound: float
    within: str = "the part"

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
        match self.measure:
            case Measure.INTERVAL if self.proven:
                return f"Folds: proven to be the fastest within {self.within}."
            case Measure.INTERVAL:
                return (
                    f"Folds: nothing within {self.within} takes under {self.bound:,.0f} cycles per frame, so at most "
                    f"{self.gap:.2%} is left to gain."
                )
            case Measure.COST if self.proven:
                return f"Folds: proven to be the cheapest within {self.within} that meet the goal."
            case Measure.COST:
                return (
                    f"Folds: they take {self.reached:.1%} of the part, resources added up; nothing within {self.within} that meets the "
                    f"goal takes under {self.bound:.1%}."
                )
            case _:
                assert_never(self.measure)
