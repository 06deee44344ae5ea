"""Choose one option per engine: within an interval, within a budget, at least cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from psp_hw.cost.resources import Resource
from psp_hw.dse.options import CostArray, Options
from psp_hw.dse.relax import Choosing, least_excess, relax, search

FloatArray = npt.NDArray[np.float64]

_DSP, _LUT, _, _BRAM18, _ = range(len(Resource))

# Steps into which the budgets of DSP and block RAM are cut when partial sums are merged: one sum is kept for each pair.
DSP_STEPS = 32
BRAM_STEPS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What is to be chosen.

    Args:
        options: per engine.
        fixed: resources of everything that cannot be chosen [5].
        budget: resources that may be taken [5].
        capacity: resources of the whole part, by which cost is measured [5].
    """

    options: tuple[Options, ...]
    fixed: CostArray
    budget: CostArray
    capacity: CostArray

    @property
    def prices(self) -> FloatArray:
        """Cost of one of each resource: its share of the part; what the part has none of is never affordable [5]."""
        return np.where(self.capacity > 0, 1.0 / np.maximum(self.capacity, 1), 1e6)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """An option per engine (its index), and what they take together with what is fixed [5]."""

    picks: tuple[int, ...]
    total: CostArray


def cheapest(problem: Problem, interval: int) -> Choice | None:
    """The choice of least cost that meets an interval, whatever the budget; None where none meets it.

    Cost is a sum over engines, so the cheapest of each is the cheapest of all.
    """
    prices = problem.prices
    picks = []
    for options in problem.options:
        count = options.within(interval)
        if count == 0:
            return None
        picks.append(int(np.argmin(options.costs[:count] @ prices)))
    return chosen(problem, tuple(picks))


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


NONE = Answer(None, math.inf)


def affordable(problem: Problem, interval: int, *, thorough: bool = True) -> Answer:
    """The choice of least cost that meets an interval within the budget.

    Where the cheapest choice is within the budget it is the answer. Else the budget is relaxed (``psp_hw.dse.relax``), which gives a
    bound and mostly a choice; where it gives none, partial sums are merged engine by engine. A search through what may be
    better yet then finds the best choice, or gives up.

    Args:
        thorough: search for the best choice; else a good one will do.
    """
    first, settled = _quickly(problem, interval)
    if settled:
        return first
    choosing = _choosing(problem, interval)
    relaxed = relax(choosing)
    if math.isinf(relaxed.bound):
        return NONE
    found = chosen(problem, relaxed.picks) if relaxed.picks is not None else _merged(problem, interval)
    if found is not None and not thorough:
        return Answer(found, relaxed.bound)
    known = cost_of(problem, found) if found is not None else math.inf
    proof = search(choosing, relaxed, known)
    if proof.picks is not None:
        found = chosen(problem, proof.picks)
    return Answer(found, proof.bound)


def possible(problem: Problem, interval: int) -> bool:
    """Whether a choice within the budget is found that meets an interval."""
    first, settled = _quickly(problem, interval)
    if settled:
        return first.choice is not None
    relaxed = relax(_choosing(problem, interval), until_met=True)
    if relaxed.picks is not None or math.isinf(relaxed.bound):
        return relaxed.picks is not None
    return affordable(problem, interval, thorough=False).choice is not None


def ruled_out(problem: Problem, interval: int) -> bool:
    """Whether it is proven that no choice within the budget meets an interval."""
    first, settled = _quickly(problem, interval)
    if settled:
        return first.choice is None
    choosing = _choosing(problem, interval)
    relaxed = relax(choosing, until_met=True)
    if relaxed.picks is not None or math.isinf(relaxed.bound):
        return relaxed.picks is None
    return math.isinf(search(choosing, relaxed, math.inf).bound)


def closest(problem: Problem, interval: int) -> Choice:
    """A choice that meets an interval and passes the budget by little, if at all."""
    first, settled = _quickly(problem, interval)
    if settled and first.choice is not None:
        return first.choice
    return chosen(problem, least_excess(_choosing(problem, interval)))


def cost_of(problem: Problem, choice: Choice) -> float:
    """The sum of the shares of the part that a choice takes."""
    return float(choice.total @ problem.prices)


def _quickly(problem: Problem, interval: int) -> tuple[Answer, bool]:
    """The answer where the cheapest choice is within the budget, or one resource alone rules all out; and whether that is so."""
    first = cheapest(problem, interval)
    if first is None:
        return NONE, True
    if _fits(first, problem):
        return Answer(first, cost_of(problem, first)), True
    return NONE, not _least_fits(problem, interval)


def _choosing(problem: Problem, interval: int) -> Choosing:
    lists = [options.costs[: options.within(interval)] for options in problem.options]
    return Choosing(lists, problem.fixed, problem.budget, problem.prices)


def chosen(problem: Problem, picks: tuple[int, ...]) -> Choice:
    """The choice of some options, with its sum."""
    total = problem.fixed.copy()
    for options, pick in zip(problem.options, picks, strict=True):
        total = total + options.costs[pick]
    return Choice(picks, total)


def _fits(choice: Choice, problem: Problem) -> bool:
    return bool((choice.total <= problem.budget).all())


def _least_fits(problem: Problem, interval: int) -> bool:
    """Whether the least of every resource for itself is within the budget: necessary, quick."""
    least = problem.fixed.copy()
    for options in problem.options:
        least = least + options.costs[: options.within(interval)].min(axis=0)
    return bool((least <= problem.budget).all())


def _merged(problem: Problem, interval: int) -> Choice | None:
    """A choice within the budget by dynamic programming over the engines; None where it finds none.

    After each engine, of all partial sums that can still fit, those of one step of DSP and of block RAM are represented by the
    one of fewest LUTs. Prices move all engines alike, this lets some take DSPs and others LUTs.
    """
    fronts = [options.front(options.within(interval)) for options in problem.options]
    lists = [options.costs[front] for options, front in zip(problem.options, fronts, strict=True)]
    least = [costs.min(axis=0) for costs in lists]
    rest = np.sum(least, axis=0)
    sums = problem.fixed[None, :]
    trails: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = []
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
    total, picks = sums[at], []
    for front, (parents, options_taken) in zip(reversed(fronts), reversed(trails), strict=True):
        picks.append(int(front[options_taken[at]]))
        at = int(parents[at])
    return Choice(tuple(reversed(picks)), total)


def _fewest_luts(sums: CostArray, budget: CostArray) -> npt.NDArray[np.intp]:
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
