"""Choose folds, weight memories and FIFO depths for a goal (docs/estimate.md)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np

from psp_hw.cost.optimality import Measure, Optimality
from psp_hw.cost.parts import Part
from psp_hw.cost.resources import Resource
from psp_hw.dse import refusals
from psp_hw.dse.choose import Choice, Problem, affordable, cheapest, cost_of, possible, ruled_out
from psp_hw.dse.options import CostArray
from psp_hw.dse.space import (
    Design,
    Space,
    alone,
    array,
    fifo_cost,
    fifo_needs,
    finish,
    fit,
    interval_of,
    search_space,
)
from psp_hw.errors import SpecError
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, Fold, FoldPlan, MultiplierKind, check_fold, foldable
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d
from psp_hw.spec.target import DEFAULT_GOAL, Fps, Goal, Latency, MaxThroughput, MinArea
from psp_hw.units import Clock

# Times the folds aim higher because FIFOs made the design slower than asked.
ROUNDS = 5

# What a frame rate may lack by having been rounded: an interval's own rate asks for that interval.
ROUNDING = 1e-12

NO_FOLDS: Mapping[str, Fold] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A plan, and how good any can be.

    Args:
        optimality: None where nothing fits or, for a latency, nothing is known.
        remedy: where nothing fits, what binds and what would help; empty where the plan fits.
    """

    plan: FoldPlan
    optimality: Optimality | None
    remedy: str = ""


def plan(
    graph: Graph,
    part: Part,
    clock: Clock,
    goal: Goal = DEFAULT_GOAL,
    *,
    folds: Mapping[str, Fold] = NO_FOLDS,
    multipliers: Collection[MultiplierKind] = tuple(MultiplierKind),
    maps: bool = True,
) -> FoldPlan:
    """The plan that ``search`` finds."""
    return search(graph, part, clock, goal, folds=folds, multipliers=multipliers, maps=maps).plan


def search(
    graph: Graph,
    part: Part,
    clock: Clock,
    goal: Goal = DEFAULT_GOAL,
    *,
    folds: Mapping[str, Fold] = NO_FOLDS,
    multipliers: Collection[MultiplierKind] = tuple(MultiplierKind),
    maps: bool = True,
) -> Found:
    """Folds, weight memories and FIFO depths for a goal.

    Args:
        goal: how fast or how small. When nothing fits, ``MaxThroughput`` and ``MinArea`` give the least design there is, for
            the estimate to say what is missing.
        folds: folds that are asked for, by convolution; the others are chosen for the goal around them.
        multipliers: kinds that the back end can bind.
        maps: whether the back end can fold affine maps and thresholds.

    Raises:
        SpecError: a fold does not divide, or names no convolution.
        DoesNotFitError: the frame rate or latency cannot be reached on this part; says what binds and the nearest.
    """
    _check_folds(graph, folds, maps=maps)
    space = search_space(graph, part, clock, folds, multipliers, maps=maps)
    match goal:
        case Fps():
            return _for_rate(space, goal)
        case Latency():
            return _for_latency(space, goal)
        case MaxThroughput():
            return _for_speed(space, goal)
        case MinArea():
            return _for_area(space)
        case _:
            assert_never(goal)


def _check_folds(graph: Graph, folds: Mapping[str, Fold], *, maps: bool) -> None:
    ops = {op.name: op for op in foldable(graph) if maps or isinstance(op, Conv2d)}
    for name, fold in folds.items():
        if name not in ops:
            raise SpecError(
                f"nothing that folds is called {name!r}", where="fold", hint=f"there are {', '.join(ops)}"
            )
        check_fold(ops[name], fold, graph)


def _for_rate(space: Space, goal: Fps) -> Found:
    """The cheapest design that is fast enough. FIFOs may cost a little speed: then the folds aim higher."""
    wanted = math.floor(1.0 / (space.clock.seconds(1) * goal.frames_per_second) * (1.0 + ROUNDING))
    target, reached = wanted, space.floor
    for _ in range(ROUNDS):
        if target < space.floor:
            break
        found = _designed(space, target)
        if found is None:
            raise refusals.too_large(space, goal, target, fastest_fit(space, space.problem.capacity))
        choice, design = found
        if design.interval <= wanted:
            return Found(plan=design.plan, optimality=_of_cost(space, choice, wanted))
        reached = design.interval
        target = math.floor(target * wanted / design.interval)
    raise refusals.too_slow(space, goal, max(reached, space.floor))


def _designed(space: Space, interval: int) -> tuple[Choice, Design] | None:
    """The cheapest design within an interval: FIFOs are looked at again only where those of the cheapest choice do not fit."""
    cheap = affordable(space.problem, interval).choice
    if cheap is None:
        return None
    design = finish(space, cheap)
    depths = {c.name: design.plan.fifo_depths.get(c.name, DEFAULT_FIFO_DEPTH) for c in space.flow.channels}
    if (cheap.total + fifo_cost(space, depths) <= space.problem.capacity).all():
        return cheap, design
    choice = fit(space, space.problem.capacity, interval)
    return (choice, finish(space, choice)) if choice is not None else None


def _of_cost(space: Space, choice: Choice, interval: int) -> Optimality:
    """How near a choice comes to the least cost of any within an interval, FIFOs not counted."""
    bound = affordable(space.problem, interval).bound
    return Optimality(measure=Measure.COST, reached=cost_of(space.problem, choice), bound=bound)


def _for_area(space: Space) -> Found:
    """The least design; where it does not fit, too."""
    slowest = space.intervals[-1]
    choice = fit(space, space.problem.capacity, slowest)
    if choice is not None:
        return Found(plan=finish(space, choice).plan, optimality=_of_cost(space, choice, slowest))
    return _least(space)


def _least(space: Space) -> Found:
    """The least design where nothing fits."""
    choice = cheapest(space.problem, space.intervals[-1])
    assert choice is not None
    return Found(plan=finish(space, choice).plan, optimality=None, remedy=refusals.nothing_fits(space))


def _for_latency(space: Space, goal: Latency) -> Found:
    """The cheapest design whose lone frame is done in time, among those that slow every engine down to one interval.

    A longer interval lets every engine take longer, so latency grows with it and the longest that will do is found by bisection.
    """
    wanted = math.floor(goal.microseconds * 1e-6 / space.clock.seconds(1))
    found = fastest_fit(space, space.problem.capacity)
    if found is None:
        raise refusals.too_late(space, goal, None, 0)
    best = alone(space, found)
    if best > wanted:
        raise refusals.too_late(space, goal, found, best)
    slower = [interval for interval in space.intervals if interval >= interval_of(space, found)]
    low, high = 0, len(slower) - 1
    while low < high:
        middle = (low + high + 1) // 2
        choice = fit(space, space.problem.capacity, slower[middle])
        if choice is not None and alone(space, choice) <= wanted:
            found, low = choice, middle
        else:
            high = middle - 1
    return Found(plan=finish(space, found).plan, optimality=None)


def _for_speed(space: Space, goal: MaxThroughput) -> Found:
    """The fastest design within the share of the part, else within the part, else the least design there is."""
    share = array(space.part.resources.scaled(goal.share))
    for budget in (share, space.problem.capacity):
        choice = fastest_fit(space, budget)
        if choice is not None:
            design = finish(space, choice, budget)
            best = _least_interval(replace(space.problem, budget=budget), space.intervals, design.interval)
            return Found(
                plan=design.plan,
                optimality=Optimality(
                    measure=Measure.INTERVAL,
                    reached=design.interval,
                    bound=best,
                    within=f"{goal.share:.0%} of the part"
                    if (budget < space.problem.capacity).any()
                    else "the part",
                ),
            )
    return _least(space)


def _least_interval(problem: Problem, intervals: Sequence[int], reached: int) -> int:
    """An interval below which it is proven that nothing is within the budget, whatever its FIFOs [cycles]."""
    shorter = [interval for interval in intervals if interval < reached]
    low, high = (
        0,
        len(shorter),
    )  # all before ``low`` are ruled out; ``high`` is not, or is the one that was reached
    step = 1
    while low < high:
        # From the far end first: mostly the one before what was reached is ruled out at once.
        middle = max(low, high - step)
        if ruled_out(problem, shorter[middle]):
            low = middle + 1
            step = max(1, (high - low) // 2)
        else:
            high, step = middle, 2 * step
    return shorter[high] if high < len(shorter) else reached


def fastest_fit(space: Space, budget: CostArray) -> Choice | None:
    """The choice of least interval that fits with its FIFOs.

    Without FIFOs the intervals that fit are found by bisection. What the FIFOs of the fastest such choice take is set aside, and
    the bisection repeated, until its choice fits with its own. Where that leads nowhere, longer intervals are tried one by one.
    """
    reserve = np.zeros(len(Resource), dtype=np.int64)
    first: int | None = None
    for _ in range(ROUNDS):
        least = _fastest(replace(space.problem, budget=budget - reserve), space.intervals)
        if least is None:
            break
        first = least if first is None else first
        choice = affordable(replace(space.problem, budget=budget - reserve), least, thorough=False).choice
        assert choice is not None
        needed = fifo_needs(space, choice)
        if (choice.total + needed <= budget).all():
            return _cheaper(space, budget, _sooner(space, budget, choice, first))
        reserve = np.maximum(reserve, needed)
    return None if first is None else _one_by_one(space, budget, first)


def _sooner(space: Space, budget: CostArray, found: Choice, first: int) -> Choice:
    """A choice that fits, or a faster one that fits too: more may have been set aside than its own FIFOs take."""
    for _ in range(ROUNDS):
        intervals = [i for i in space.intervals if first <= i < interval_of(space, found)]
        problem = replace(space.problem, budget=budget - fifo_needs(space, found))
        least = _fastest(problem, intervals) if intervals else None
        choice = affordable(problem, least, thorough=False).choice if least is not None else None
        if choice is None or (choice.total + fifo_needs(space, choice) > budget).any():
            break
        found = choice
    return _next_one(space, budget, found)


def _next_one(space: Space, budget: CostArray, found: Choice) -> Choice:
    """A choice that fits, or one at the next shorter interval: a thorough search may find what a quick one did not."""
    for _ in range(ROUNDS):
        shorter = [interval for interval in space.intervals if interval < interval_of(space, found)]
        if not shorter:
            break
        problem = replace(space.problem, budget=budget - fifo_needs(space, found))
        choice = affordable(problem, shorter[-1]).choice
        if choice is None or (choice.total + fifo_needs(space, choice) > budget).any():
            break
        found = choice
    return found


def _cheaper(space: Space, budget: CostArray, found: Choice) -> Choice:
    """A choice that fits, or one as fast that costs less."""
    problem = replace(space.problem, budget=budget - fifo_needs(space, found))
    best = affordable(problem, interval_of(space, found)).choice
    if best is None or cost_of(problem, best) >= cost_of(problem, found):
        return found
    return best if (best.total + fifo_needs(space, best) <= budget).all() else found


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
