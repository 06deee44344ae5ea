"""One option changed after the other: until a choice is within the budget, and then as long as it becomes cheaper."""

from __future__ import annotations

import numpy as np

from psp_hw.dse.arrays import FloatArray
from psp_hw.dse.relax import Choosing, Relaxed, least_excess

# A change counts that saves this share of the part; less is rounding.
LEAST_GAIN = 1e-9

# Changes per engine after which a choice is left as it is.
MOST_CHANGES = 4

Picks = tuple[int, ...]


def into_budget(problem: Choosing, relaxed: Relaxed) -> Walk | None:
    """A walk that has come into the budget from where a relaxation ended, else from the choice of least excess; None where neither does."""
    walk = Walk(problem, relaxed.picks or relaxed.nearest)
    if not walk.into_budget():
        walk = Walk(problem, least_excess(problem))
    return walk if walk.into_budget() else None


class Walk:
    """The choices next to a choice: one engine with another option.

    Args:
        problem: what is chosen from.
        picks: the choice to begin with.
    """

    def __init__(self, problem: Choosing, picks: Picks) -> None:
        self._costs: FloatArray = np.concatenate(problem.lists).astype(np.float64)  # exact below 2**53
        counts = [len(costs) for costs in problem.lists]
        self._first = np.cumsum([0, *counts[:-1]])
        self._row = np.repeat(np.arange(len(counts)), counts)
        self._prices = problem.prices
        self._own = self._costs @ problem.prices
        self._budget = problem.budget.astype(np.float64)
        self._unit = np.maximum(self._budget, 1.0)
        self._left = MOST_CHANGES * len(counts)
        self._at = self._first + np.array(picks)
        self._used = problem.fixed + self._costs[self._at].sum(axis=0)

    @property
    def picks(self) -> Picks:
        """Where the walk is."""
        return tuple((self._at - self._first).tolist())

    @property
    def fits(self) -> bool:
        """Whether that is within the budget."""
        return bool((self._used <= self._budget).all())

    @property
    def cost(self) -> float:
        """The sum of the shares of the part that it takes."""
        return float(self._used @ self._prices)

    def into_budget(self) -> bool:
        """Change what takes most off what is beyond the budget, all resources added up; whether that leads into it."""
        while not self.fits and self._left:
            after = self._after()
            over = (np.maximum(after - self._budget, 0.0) / self._unit).sum(axis=1)
            place = int(over.argmin())
            now = float((np.maximum(self._used - self._budget, 0.0) / self._unit).sum())
            if over[place] > now - LEAST_GAIN:
                return False
            self._change(place, after[place])
        return self.fits

    def cheaper(self) -> None:
        """From a choice within the budget, change what saves most and stays within it, as long as something does."""
        while self._left:
            gain = self._own[self._at][self._row] - self._own
            some = np.flatnonzero(gain > LEAST_GAIN)
            after = self._used + self._costs[some] - self._costs[self._at[self._row[some]]]
            some = some[(after <= self._budget).all(axis=1)]
            if not some.size:
                return
            place = int(some[gain[some].argmax()])
            self._change(place, self._used + self._costs[place] - self._costs[self._at[self._row[place]]])

    def _after(self) -> FloatArray:
        """What all takes with each option in place of its engine's own [options, 5]."""
        return np.asarray(self._used + self._costs - self._costs[self._at][self._row])

    def _change(self, place: int, used: FloatArray) -> None:
        self._at[self._row[place]] = place
        self._used = used
        self._left -= 1
