"""The fastest choice within a budget that leaves room for its FIFOs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from psp_hw.dse.arrays import CostArray
from psp_hw.dse.choose import Choice, Problem, affordable, possible
from psp_hw.dse.space import SMALL, Space, fifo_needs, fit, interval_of, quick_depths

# Times that deeper FIFOs are asked for, and that a faster choice is.
ROUNDS = 5

# Share of its cost that another choice has to save for its dataflow to be looked at.
WORTH = 0.002

# Share of an interval that a large graph has to gain for further choices to be looked at.
CHASED = 0.001


def fastest_fit(space: Space, budget: CostArray) -> Choice | None:
    """The choice of least interval that fits with its FIFOs.

    With FIFOs as deep as every choice needs them the intervals that fit are found by bisection. Where the FIFOs of the fastest such
    choice are deeper and do not fit, that depth is asked for, and the bisection repeated. Where that leads nowhere, longer
    intervals are tried one by one.
    """
    problem, intervals = space.within(budget), space.intervals
    first: int | None = None
    deep: dict[str, int] = {}
    for _ in range(ROUNDS):
        least = _fastest(problem, intervals)
        if least is None:
            break
        first = least if first is None else first
        choice = affordable(problem, least, thorough=False).choice
        assert choice is not None
        if (choice.total + fifo_needs(space, choice, budget) <= budget).all():
            return _cheaper(space, budget, _sooner(space, budget, choice, first))
        deep = {name: max(depth, deep.get(name, 0)) for name, depth in quick_depths(space, choice).items()}
        problem, intervals = space.within(budget, deep), [i for i in intervals if i >= least]
    return None if first is None else _one_by_one(space, budget, first)


def _sooner(space: Space, budget: CostArray, found: Choice, first: int) -> Choice:
    """A choice that fits, or a faster one that fits too: deeper FIFOs may have been asked for than its own."""
    for _ in range(ROUNDS):
        intervals = [i for i in _shorter(space, found) if i >= first]
        problem = space.within(budget, quick_depths(space, found))
        least = _fastest(problem, intervals) if intervals else None
        choice = affordable(problem, least, thorough=False).choice if least is not None else None
        if choice is None or (choice.total + fifo_needs(space, choice, budget) > budget).any():
            break
        found = choice
    return _next_one(space, budget, found)


def _next_one(space: Space, budget: CostArray, found: Choice) -> Choice:
    """A choice that fits, or one at the next shorter interval: a thorough search may find what a quick one did not."""
    for _ in range(ROUNDS):
        shorter = _shorter(space, found)
        if not shorter:
            break
        choice = fit(space, budget, shorter[-1])
        if choice is None:
            break
        found = choice
    return found


def _shorter(space: Space, found: Choice) -> list[int]:
    """The intervals that are worth a look where a choice was found; of small graphs all that are shorter."""
    reached = interval_of(space, found)
    least = 1 if len(space.flow.channels) <= SMALL else max(1, math.ceil(CHASED * reached))
    return [interval for interval in space.intervals if interval <= reached - least]


def _cheaper(space: Space, budget: CostArray, found: Choice) -> Choice:
    """A choice that fits, or one as fast that costs less."""
    problem = space.within(budget, quick_depths(space, found))
    best = affordable(problem, interval_of(space, found)).choice
    if best is None or best.total @ problem.prices >= (1.0 - WORTH) * (found.total @ problem.prices):
        return found
    return best if (best.total + fifo_needs(space, best, budget) <= budget).all() else found


def _one_by_one(space: Space, budget: CostArray, first: int) -> Choice | None:
    """From an interval on, steps of growing length find one that fits with FIFOs, and a bisection the least such."""
    slower = [interval for interval in space.intervals if interval >= first]
    low, high, stride = 0, 0, 1
    found = fit(space, budget, slower[0])
    while found is None and high < len(slower) - 1:
        low, high, stride = high + 1, min(high + stride, len(slower) - 1), 2 * stride
        found = fit(space, budget, slower[high])
    while found is not None and low < high:
        middle = (low + high) // 2
        better = fit(space, budget, slower[middle])
        if better is not None:
            found, high = better, middle
        else:
            low = middle + 1
    return found


def _fastest(problem: Problem, intervals: Sequence[int]) -> int | None:
    """The least interval with an affordable choice; None where even the longest has none."""
    if not possible(problem, intervals[-1]):
        return None
    low, high = 0, len(intervals) - 1
    while low < high:
        middle = (low + high) // 2
        if possible(problem, intervals[middle]):
            high = middle
        else:
            low = middle + 1
    return intervals[high]
