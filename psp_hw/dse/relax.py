"""How good any choice can be: a Lagrangian relaxation of the budget, and a search that its prices make small.

Every resource gets a price for what is taken of the budget, the same for all engines. For given prices the best of each engine is
the best of all, and what that costs, less the price of the whole budget, is no more than what any choice within the budget
costs (weak duality: Everett, "Generalized Lagrange multiplier method", Operations Research 11, 1963). The prices that give
most are approached by subgradient steps of Polyak's length. A bound beyond what the whole budget is worth proves that
nothing fits.

Source of the search: options whose reduced cost alone passes the gap are in no better choice; the rest is gone through
depth first, reduced costs adding up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from psp_hw.dse.arrays import CostArray, FloatArray, Indices

# Subgradient steps; the bound holds after any number of them.
STEPS = 120

# Steps without a better bound after which the step length is halved.
PATIENCE = 6

# Where no choice within the budget is known, steps aim beyond what the whole budget is worth: a bound that comes near it from below
# proves nothing, one that passes it proves that there is none.
AIM = 1.3

# How fast a resource that is taken too much of becomes dearer.
RATE = 0.2

# Options that the search behind the relaxation looks at: about a microsecond each.
LOOKS = 20_000

# Where no choice within the budget is known, more combinations than this are not searched: it would end in one corner.
COMBINATIONS = 1e6

# What rounding may do to sums of shares of a part.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Choosing:
    """One option per list so that sums stay within a budget, at least cost.

    Args:
        lists: resources of the options, per engine [options, 5].
        fixed: resources of what is not chosen [5].
        budget: what may be taken [5].
        prices: cost of one of each resource [5].
    """

    lists: Sequence[CostArray]
    fixed: CostArray
    budget: CostArray
    prices: FloatArray

    @property
    def most(self) -> float:
        """Every choice within the budget costs less."""
        return float(self.budget @ self.prices) * (1.0 + ROUNDING) + ROUNDING


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What the relaxation found.

    Args:
        bound: no choice within the budget costs less; infinite where none is within it.
        reduced: what each option adds to the bound, per engine [options]; at least 0.
        picks: the cheapest choice within the budget that was met on the way; None where none was.
        cost: of ``picks``; infinite where there are none.
        nearest: the choice that was met which passes the budget by least, all resources added up.
    """

    bound: float
    reduced: Sequence[FloatArray]
    picks: tuple[int, ...] | None
    cost: float
    nearest: tuple[int, ...]


class Relaxing:
    """A relaxation that can go on where it stopped."""

    def __init__(self, problem: Choosing) -> None:
        self._problem = problem
        self._table = _Table(problem)
        # A cost above that of the best choice, and whether some choice has it.
        self._top, self._aimed = problem.most, False
        self._prices = self._best_prices = np.zeros(len(problem.budget))
        self._best, self._length, self._idle = -np.inf, 1.0, 0
        self._picks: tuple[int, ...] | None = None
        self._cost = math.inf
        self._nearest, self._beyond = tuple([0] * len(problem.lists)), math.inf
        self._left = STEPS

    def run(self, *, until_met: bool = False) -> Relaxed:
        """Approach the best bound from below.

        Args:
            until_met: stop at the first choice within the budget, as good as it may be.
        """
        while self._left and not (until_met and self._picks is not None):
            self._left = self._left - 1 if self._step() else 0
        bound = self._best if self._best <= self._problem.most else math.inf
        return Relaxed(bound, self._table.reduced(self._best_prices), self._picks, self._cost, self._nearest)

    def know(self, cost: float) -> None:
        """A choice of such a cost is known from elsewhere: go on from the best prices, towards it."""
        if cost < self._top:
            self._top, self._aimed = cost, True
            self._prices, self._length, self._idle = self._best_prices, 1.0, 0
            self._left = STEPS

    def _step(self) -> bool:
        """One step; whether another may give more."""
        table, prices = self._table, self._prices
        value, picks, used = table.at(prices)
        over = used / table.unit - table.room
        if value > self._best:
            self._best, self._best_prices, self._idle = value, prices, 0
        else:
            self._idle += 1
        if self._idle > PATIENCE:
            self._length, self._idle = self._length / 2, 0
        if (used <= self._problem.budget).all():
            cost = float(used @ self._problem.prices)
            if cost < self._cost:
                self._cost, self._picks = cost, tuple(picks.tolist())
                self._top = min(self._top, cost)
        ahead = np.where((prices <= 0) & (over < 0), 0.0, over)  # prices stay at or above zero
        norm = float(ahead @ ahead)
        beyond = float(np.maximum(over, 0.0).sum())
        if beyond < self._beyond:
            self._beyond, self._nearest = beyond, tuple(picks.tolist())
        if norm == 0.0 or self._best > (self._top - ROUNDING if self._aimed else self._problem.most):
            return False
        aim = self._top if self._aimed else AIM * self._top
        self._prices = np.maximum(prices + self._length * (aim - value) / norm * ahead, 0.0)
        return True


def least_excess(problem: Choosing) -> tuple[int, ...]:
    """A choice that takes little more than the budget of what it takes most of.

    Multiplicative weights (Arora, Hazan, Kale, Theory of Computing 8, 2012): what is taken too much of becomes dearer, by and by.
    """
    table = _Table(problem)
    weights = np.ones(len(problem.budget))
    best, least = None, np.inf
    for _ in range(STEPS):
        picks, used = table.under(weights)
        shares = used / table.unit
        worst = float(shares.max())
        if worst < least:
            best, least = picks, worst
        weights *= np.exp(RATE * shares / max(worst, ROUNDING))
        weights /= weights.max()
    assert best is not None
    return tuple(best.tolist())


class _Table:
    """All options of a problem one below the other, so that one product prices them."""

    def __init__(self, problem: Choosing) -> None:
        counts = [len(costs) for costs in problem.lists]
        self._starts = np.cumsum([0, *counts[:-1]]) if counts else np.zeros(0, dtype=np.intp)
        self._row = np.repeat(np.arange(len(counts)), counts)
        empty = np.zeros((0, len(problem.budget)), dtype=np.int64)
        # Whole numbers below 2**53: sums of them are exact.
        self._costs: FloatArray = np.concatenate([empty, *problem.lists]).astype(np.float64)
        self._own = self._costs @ problem.prices
        self.unit = np.maximum(problem.budget, 1).astype(np.float64)
        self.room = problem.budget / self.unit
        self._fixed = problem.fixed
        self._fixed_cost = float(problem.fixed @ problem.prices)

    def at(self, prices: FloatArray) -> tuple[float, Indices, CostArray]:
        """The bound at some prices of the whole budget, the choice that attains it, and what that takes."""
        scores = self._own + self._costs @ (prices / self.unit)
        picks, used = self._least(scores)
        value = self._fixed_cost + float(scores[picks].sum())
        value += float((self._fixed / self.unit - self.room) @ prices)
        return value, picks - self._starts, used

    def under(self, weights: FloatArray) -> tuple[Indices, CostArray]:
        """The choice whose shares of the budget, weighted, sum to the least, and what it takes."""
        picks, used = self._least(self._costs @ (weights / self.unit))
        return picks - self._starts, used

    def reduced(self, prices: FloatArray) -> list[FloatArray]:
        """What each option costs at some prices beyond the cheapest of its engine."""
        scores = self._own + self._costs @ (prices / self.unit)
        if not len(self._starts):
            return []
        scores -= np.minimum.reduceat(scores, self._starts)[self._row]
        return np.split(scores, self._starts[1:])

    def _least(self, scores: FloatArray) -> tuple[Indices, CostArray]:
        """Where each engine's least score is, the first of equals, and what those options take with what is fixed."""
        if not len(self._starts):
            return self._starts, self._fixed
        least = np.minimum.reduceat(scores, self._starts)
        places = np.flatnonzero(scores == least[self._row])
        picks = places[np.searchsorted(self._row[places], np.arange(len(self._starts)))]
        return picks, self._fixed + self._costs[picks].sum(axis=0).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Proof:
    """What the search behind a relaxation found.

    Args:
        picks: a choice within the budget that is cheaper than the one that was known; None where none was met.
        bound: no choice within the budget costs less; infinite where there is none.
    """

    picks: tuple[int, ...] | None
    bound: float


def search(problem: Choosing, relaxed: Relaxed, known: float) -> Proof:
    """Go through the choices that may be cheaper than ``known``, engines with the most such options last.

    After ``LOOKS`` options the search gives up, and the bound is that of the relaxation.
    """
    top = min(known, problem.most)
    gap = top - relaxed.bound
    places = [np.flatnonzero(reduced < gap + ROUNDING) for reduced in relaxed.reduced]
    if math.isinf(known) and math.prod(float(len(some)) for some in places) > COMBINATIONS:
        return Proof(None, relaxed.bound)
    order = sorted(range(len(places)), key=lambda index: len(places[index]))
    tree = _Tree(problem, relaxed, [places[index] for index in order], order, gap)
    whole = tree.search()
    if tree.best is None:
        beyond = np.inf if known == np.inf else known
        return Proof(None, beyond if whole else relaxed.bound)
    picks = [0] * len(order)
    for index, pick in zip(order, tree.best, strict=True):
        picks[index] = pick
    total = problem.fixed + sum(problem.lists[index][pick] for index, pick in enumerate(picks))
    return Proof(tuple(picks), float(total @ problem.prices) if whole else relaxed.bound)


# The picks on the way to a place in the tree, the last one first.
_Trail = tuple["_Trail", int] | None


def _picks(trail: _Trail) -> tuple[int, ...]:
    """The picks of a trail in their order."""
    picks = []
    while trail is not None:
        trail, pick = trail
        picks.append(pick)
    return tuple(reversed(picks))


class _Tree:
    """Depth first through the options that are left, engines in ``order``; plain integers, which are quicker than arrays of five."""

    def __init__(
        self,
        problem: Choosing,
        relaxed: Relaxed,
        places: Sequence[Indices],
        order: Sequence[int],
        gap: float,
    ) -> None:
        self._options: list[list[tuple[float, int, tuple[int, ...]]]] = []
        least = np.zeros((len(order) + 1, len(problem.budget)), dtype=np.int64)
        for depth in range(len(order) - 1, -1, -1):
            costs, reduced = problem.lists[order[depth]], relaxed.reduced[order[depth]]
            some = places[depth]
            least[depth] = least[depth + 1] + (costs[some].min(axis=0) if some.size else 0)
        for index, some in zip(order, places, strict=True):
            costs, reduced = problem.lists[index], relaxed.reduced[index]
            listed = [(float(reduced[pick]), int(pick), tuple(costs[pick].tolist())) for pick in some]
            self._options.append(sorted(listed))
        # What may be taken before the rest.
        self._room = [tuple((problem.budget - rest).tolist()) for rest in least]
        self._start = tuple(problem.fixed.tolist())
        self._prices = tuple(problem.prices.tolist())
        self._start_cost = float(problem.fixed @ problem.prices)
        self._top = relaxed.bound + gap
        self._gap = gap
        self.best: tuple[int, ...] | None = None

    def search(self) -> bool:
        """Whether all was gone through; ``best`` is the cheapest choice that was met."""
        depth_last = len(self._options)
        stack: list[tuple[int, tuple[int, ...], float, _Trail]] = [(0, self._start, 0.0, None)]
        looks = 0
        while stack:
            depth, used, added, picks = stack.pop()
            if added >= self._gap:
                continue
            if depth == depth_last:
                self._meet(used, picks)
                continue
            if looks > LOOKS:
                return False
            room = self._room[depth + 1]
            next_ones = []
            for more, pick, costs in self._options[depth]:
                if added + more >= self._gap:
                    break
                looks += 1
                total = tuple(map(int.__add__, used, costs))
                if all(map(int.__le__, total, room)):
                    next_ones.append((depth + 1, total, added + more, (picks, pick)))
            stack.extend(reversed(next_ones))
        return True

    def _meet(self, used: tuple[int, ...], picks: _Trail) -> None:
        cost = sum(map(float.__mul__, map(float, used), self._prices))
        if cost < self._top - ROUNDING:
            self._gap -= self._top - cost
            self._top, self.best = cost, _picks(picks)
