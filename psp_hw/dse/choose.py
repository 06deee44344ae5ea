"""Choose one option per engine: within an interval, within a budget, at least cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from psp_hw.cost.resources import Resource
from psp_hw.dse.arrays import CostArray, FloatArray, Indices
from psp_hw.dse.options import Options
from psp_hw.dse.pareto import undominated
from psp_hw.dse.relax import Choosing, Relaxing, least_excess, search
from psp_hw.dse.repair import Walk, into_budget
from psp_hw.dse.shelf import Shelf, Shown

_DSP, _LUT, _FF, _BRAM18, _ = range(len(Resource))

# Steps into which the budgets of DSP and block RAM are cut when partial sums are merged: one sum is kept for each pair.
DSP_STEPS = 32
BRAM_STEPS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What is to be chosen; what was found out about an interval is kept.

    Args:
        options: per engine.
        fixed: resources of everything that cannot be chosen [5].
        budget: resources that may be taken [5].
        capacity: resources of the whole part, by which cost is measured [5].
        beside: what is chosen whatever the interval, one of each: resources beyond ``fixed`` [ways, 5].
        shelves: where ``shelf`` is kept; problems of the same options share it.
    """

    options: tuple[Options, ...]
    fixed: CostArray
    budget: CostArray
    capacity: CostArray
    beside: tuple[CostArray, ...] = ()
    shelves: list[Shelf] = field(default_factory=list)
    known: dict[int, _Known] = field(init=False, default_factory=dict)

    @property
    def shelf(self) -> Shelf:
        """The options one below the other."""
        if not self.shelves or not self.shelves[0].holds(self.options):
            self.shelves[:] = [Shelf(self.options)]
        return self.shelves[0]

    @property
    def prices(self) -> FloatArray:
        """Cost of one of each resource: its share of the part; what the part has none of is never affordable [5]."""
        return np.where(self.capacity > 0, 1.0 / np.maximum(self.capacity, 1), 1e6)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """An option per engine (its index).

    Args:
        total: what they take together with what is fixed [5].
        beside: what the cheapest that was found beside them takes [5].
    """

    picks: tuple[int, ...]
    total: CostArray
    beside: CostArray = field(default_factory=lambda: np.zeros(len(Resource), dtype=np.int64))

    @property
    def whole(self) -> CostArray:
        """What all takes [5]."""
        return self.total + self.beside


def cheapest(problem: Problem, interval: int) -> Choice | None:
    """The choice of least cost that meets an interval, whatever the budget; None where none meets it.

    Cost is a sum over engines, so the cheapest of each is the cheapest of all.
    """
    return _cheapest(problem, problem.shelf.at(interval))


def _cheapest(problem: Problem, shown: Shown) -> Choice | None:
    if not shown.whole:
        return None
    prices = problem.prices
    beside = [int(np.argmin(ways @ prices)) for ways in problem.beside]
    return chosen(problem, shown.picks([*shown.cheapest(prices), *beside]))


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The best choice within a budget, and how good any can be.

    Args:
        choice: what was found; None where nothing was.
        bound: no choice within the budget costs less; the cost of ``choice`` where it is proven to be the best, infinite where
            it is proven that there is none.
    """

    choice: Choice | None
    bound: float

    @property
    def ruled_out(self) -> bool:
        """Whether it is proven that nothing is within the budget."""
        return math.isinf(self.bound)


@dataclass(slots=True)
class _Known:
    """What was found out about an interval so far.

    Args:
        shown: the options that matter.
        settled: the answer where no relaxation is needed.
        relaxing: the relaxation where one is, and its problem.
        good: a good choice, and the bound then.
        best: the answer of a thorough search.
        closest: a choice that passes the budget by little.
    """

    shown: Shown
    settled: Answer | None
    relaxing: tuple[Choosing, Relaxing] | None = None
    good: Answer | None = None
    best: Answer | None = None
    closest: Choice | None = None


NONE = Answer(None, math.inf)


def affordable(problem: Problem, interval: int, *, thorough: bool = True) -> Answer:
    """The choice of least cost that meets an interval within the budget.

    Where the cheapest choice is within the budget it is the answer. Else the budget is relaxed (``psp_hw.dse.relax``), which gives a
    bound and mostly a choice; where it gives none, partial sums are merged engine by engine. A search through what may be
    better yet then finds the best choice, or gives up.

    Args:
        thorough: search for the best choice; else a good one will do.
    """
    known = _known(problem, interval)
    if known.settled is not None:
        return known.settled
    if known.best is not None:
        return known.best
    if known.good is None:
        known.good = _good(problem, known)
    if thorough and not known.good.ruled_out:
        known.best = _best(problem, known, known.good)
    return known.best or known.good


def _good(problem: Problem, known: _Known) -> Answer:
    """A good choice, and a bound."""
    choosing, relaxing = _relaxing(problem, known)
    relaxed = relaxing.run()
    if math.isinf(relaxed.bound):
        return NONE
    walk = into_budget(choosing, relaxed)
    if walk is None:
        merged = _merged(choosing)
        if merged is None:
            return Answer(None, relaxed.bound)
        walk = Walk(choosing, merged)
    walk.cheaper()
    return Answer(chosen(problem, known.shown.picks(walk.picks)), relaxed.bound)


def _best(problem: Problem, known: _Known, good: Answer) -> Answer:
    """The best choice that a search finds, and what it proves."""
    assert known.relaxing is not None
    choosing, relaxing = known.relaxing
    cost = cost_of(problem, good.choice) if good.choice is not None else math.inf
    relaxing.know(cost)
    proof = search(choosing, relaxing.run(), cost)
    if proof.picks is None:
        return Answer(good.choice, proof.bound)
    return Answer(chosen(problem, known.shown.picks(proof.picks)), proof.bound)


def possible(problem: Problem, interval: int) -> bool:
    """Whether a choice within the budget is found that meets an interval."""
    known = _known(problem, interval)
    answer = known.settled or known.best or known.good
    if answer is not None:
        return answer.choice is not None
    _, relaxing = _relaxing(problem, known)
    relaxed = relaxing.run(until_met=True)
    if relaxed.picks is not None or math.isinf(relaxed.bound):
        return relaxed.picks is not None
    return affordable(problem, interval, thorough=False).choice is not None


def ruled_out(problem: Problem, interval: int) -> bool:
    """Whether it is proven that no choice within the budget meets an interval."""
    known = _known(problem, interval)
    answer = known.settled or known.best
    if answer is not None:
        return answer.ruled_out
    choosing, relaxing = _relaxing(problem, known)
    relaxed = relaxing.run(until_met=True)
    if relaxed.picks is not None or math.isinf(relaxed.bound):
        return relaxed.picks is None
    return math.isinf(search(choosing, relaxed, math.inf).bound)


def _known(problem: Problem, interval: int) -> _Known:
    if interval not in problem.known:
        shown = problem.shelf.at(interval)
        problem.known[interval] = _Known(shown, _quickly(problem, shown))
    return problem.known[interval]


def _relaxing(problem: Problem, known: _Known) -> tuple[Choosing, Relaxing]:
    if known.relaxing is None:
        choosing = _choosing(problem, known.shown)
        known.relaxing = choosing, Relaxing(choosing)
    return known.relaxing


def closest(problem: Problem, interval: int) -> Choice:
    """A choice that meets an interval and passes the budget by little, if at all."""
    known = _known(problem, interval)
    if known.settled is not None and known.settled.choice is not None:
        return known.settled.choice
    if known.closest is None:
        picks = least_excess(_choosing(problem, known.shown))
        known.closest = chosen(problem, known.shown.picks(picks))
    return known.closest


def cost_of(problem: Problem, choice: Choice) -> float:
    """The sum of the shares of the part that a choice takes."""
    return float(choice.whole @ problem.prices)


def _quickly(problem: Problem, shown: Shown) -> Answer | None:
    """The answer where the cheapest choice is within the budget, or one resource alone rules all out."""
    first = _cheapest(problem, shown)
    if first is None:
        return NONE
    if (first.whole <= problem.budget).all():
        return Answer(first, cost_of(problem, first))
    return None if (_least(problem, shown) <= problem.budget).all() else NONE


def least_of(problem: Problem, interval: int) -> CostArray:
    """The least of every resource for itself that any choice takes which meets an interval [5]: necessary, quick."""
    return _least(problem, problem.shelf.at(interval))


def _least(problem: Problem, shown: Shown) -> CostArray:
    beside = sum((ways.min(axis=0) for ways in problem.beside), start=problem.fixed)
    return np.asarray(beside + shown.least, dtype=np.int64)


def _choosing(problem: Problem, shown: Shown) -> Choosing:
    return Choosing([*shown.lists, *problem.beside], problem.fixed, problem.budget, problem.prices)


def chosen(problem: Problem, picks: tuple[int, ...]) -> Choice:
    """The choice of some options, and of what is beside them, with their sums."""
    count = len(problem.options)
    total = problem.fixed.copy()
    for options, pick in zip(problem.options, picks, strict=False):
        total += options.costs[pick]
    beside = np.zeros_like(total)
    for ways, pick in zip(problem.beside, picks[count:], strict=True):
        beside += ways[pick]
    return Choice(picks[:count], total, beside)


def _merged(problem: Choosing) -> tuple[int, ...] | None:
    """A choice within the budget by dynamic programming over the engines; None where it finds none.

    After each engine, of all partial sums that can still fit, those of one step of DSP and of block RAM are represented by the
    one of fewest LUTs. Prices move all engines alike, this lets some take DSPs and others LUTs.
    """
    fronts = [_mattering(costs) for costs in problem.lists]
    lists = [costs[front] for costs, front in zip(problem.lists, fronts, strict=True)]
    least = [costs.min(axis=0) for costs in lists]
    rest = np.sum(least, axis=0)
    sums = problem.fixed[None, :]
    trails: list[tuple[Indices, Indices]] = []
    for costs, own in zip(lists, least, strict=True):
        rest = rest - own
        every = (sums[:, None, :] + costs[None, :, :]).reshape(-1, sums.shape[1])
        able = np.flatnonzero((every + rest <= problem.budget).all(axis=1))
        kept = able[_fewest_luts(every[able], problem.budget)]
        if kept.size == 0:
            return None
        trails.append((kept // len(costs), kept % len(costs)))
        sums = every[kept]
    at = int(np.argmin(sums @ problem.prices))
    picks = []
    for front, (parents, options_taken) in zip(reversed(fronts), reversed(trails), strict=True):
        picks.append(int(front[options_taken[at]]))
        at = int(parents[at])
    return tuple(reversed(picks))


def _mattering(costs: CostArray) -> Indices:
    """Indices of the options that no other dominates, in their order.

    Flip-flops are left out: they hardly ever bind, and almost every option would be the best at them.
    """
    return np.sort(undominated(np.delete(costs, _FF, axis=1)))


def _fewest_luts(sums: CostArray, budget: CostArray) -> Indices:
    """Indices of the sums of fewest LUTs, one for each step of DSP and of block RAM."""
    steps = [
        sums[:, resource] * count // np.maximum(budget[resource], 1)
        for resource, count in ((_DSP, DSP_STEPS), (_BRAM18, BRAM_STEPS))
    ]
    order = np.lexsort((sums[:, _LUT], steps[1], steps[0]))
    ranked = np.stack(steps)[:, order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (ranked[:, 1:] != ranked[:, :-1]).any(axis=0)
    return np.asarray(order[first], dtype=np.intp)
