"""Choose one option per engine: within an interval, within a budget, at least cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from psp_hw.cost.resources import Resource
from psp_hw.dse.options import CostArray, Options

FloatArray = npt.NDArray[np.float64]

_DSP, _LUT, _, _BRAM18, _ = range(len(Resource))

# Steps of the search over the prices of resources, and choices looked at by the exhaustive one that follows.
PRICE_STEPS = 24
EXACT_NODES = 20_000

# Problems with more combinations than this are not searched exhaustively: most of the nodes would be spent in one corner.
EXACT_COMBINATIONS = 1e6

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
    return _at_prices(problem, interval, problem.prices)


def affordable(problem: Problem, interval: int) -> Choice | None:
    """A choice that meets an interval within the budget, at least cost as far as found; None where there is none.

    Where the cheapest choice is within the budget it is the answer, and optimal. Else resources that run short become dearer
    until a choice fits; where none does so, partial sums are merged engine by engine. Small problems are then searched
    exhaustively for a better one.
    """
    prices = problem.prices
    first = _at_prices(problem, interval, prices)
    if first is None or _fits(first, problem):
        return first
    if not _least_fits(problem, interval):
        return None
    found: Choice | None = None
    dearer = prices.copy()
    choice = first
    for _ in range(PRICE_STEPS):
        over = choice.total / np.maximum(problem.budget, 1)
        dearer *= np.where(over > 1.0, np.minimum(over, 4.0) ** 2, 1.0)
        picked = _at_prices(problem, interval, dearer)
        assert picked is not None
        choice = picked
        if _fits(choice, problem):
            found = choice
            break
    if found is None:
        found = _merged(problem, interval)
    combinations = math.prod(float(options.within(interval)) for options in problem.options)
    exact = _exact(problem, interval, found) if combinations <= EXACT_COMBINATIONS else None
    return exact if exact is not None else found


def _fits(choice: Choice, problem: Problem) -> bool:
    return bool((choice.total <= problem.budget).all())


def _at_prices(problem: Problem, interval: int, prices: FloatArray) -> Choice | None:
    picks = []
    total = problem.fixed.copy()
    for options in problem.options:
        count = options.within(interval)
        if count == 0:
            return None
        pick = int(np.argmin(options.costs[:count] @ prices))
        picks.append(pick)
        total = total + options.costs[pick]
    return Choice(tuple(picks), total)


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


def _exact(problem: Problem, interval: int, known: Choice | None) -> Choice | None:
    """Depth first over all choices, the largest engine first; better than ``known``, or None.

    A branch ends where the least of each resource that the remaining engines need passes the budget, or their least cost
    passes the best so far. Gives up after ``EXACT_NODES`` nodes with what it has.
    """
    prices = problem.prices
    lists = [options.costs[: options.within(interval)] for options in problem.options]
    order = sorted(range(len(lists)), key=lambda index: -float((lists[index] @ prices).min()))
    lists = [lists[index] for index in order]
    scores = [costs @ prices for costs in lists]
    visits = [np.argsort(score, kind="stable") for score in scores]
    rest = np.zeros((len(lists) + 1, len(prices)), dtype=np.int64)
    rest_score = np.zeros(len(lists) + 1)
    for depth in range(len(lists) - 1, -1, -1):
        rest[depth] = rest[depth + 1] + lists[depth].min(axis=0)
        rest_score[depth] = rest_score[depth + 1] + scores[depth].min()
    best = np.inf if known is None else float((known.total - problem.fixed) @ prices)
    found: list[int] | None = None
    nodes = 0
    stack: list[tuple[int, CostArray, float, list[int]]] = [(0, problem.fixed, 0.0, [])]
    while stack and nodes < EXACT_NODES:
        depth, used, score, picks = stack.pop()
        if score + rest_score[depth] >= best or (used + rest[depth] > problem.budget).any():
            continue
        if depth == len(lists):
            best, found = score, picks
            continue
        nodes += len(visits[depth])
        for pick in reversed(visits[depth].tolist()):
            stack.append(
                (depth + 1, used + lists[depth][pick], score + float(scores[depth][pick]), [*picks, pick])
            )
    if found is None:
        return None
    picks = [0] * len(order)
    for place, pick in zip(order, found, strict=True):
        picks[place] = pick
    total = problem.fixed.copy()
    for options, pick in zip(problem.options, picks, strict=True):
        total = total + options.costs[pick]
    return Choice(tuple(picks), total)
