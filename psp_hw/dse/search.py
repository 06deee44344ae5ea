"""Choose folds, weight memories and FIFO depths for a goal (docs/estimate.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from psp_hw.cost.optimality import Measure, Optimality
from psp_hw.cost.parts import Part
from psp_hw.dse import lone, refusals
from psp_hw.dse.arrays import CostArray
from psp_hw.dse.choose import Choice, Problem, affordable, cost_of, ruled_out
from psp_hw.dse.fastest import fastest_fit
from psp_hw.dse.latency import least_cost, least_latency
from psp_hw.dse.space import (
    SMALL,
    Design,
    Space,
    array,
    fit,
    interval_of,
    search_space,
    settle,
    with_least_fifos,
)
from psp_hw.dse.tables import folds_tried
from psp_hw.errors import SpecError
from psp_hw.folding.bindable import ANYTHING, Bindable
from psp_hw.folding.plan import Fold, FoldPlan, check_fold, foldable
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d
from psp_hw.spec.target import COMFORTABLE_SHARE, DEFAULT_GOAL, Fps, Goal, Latency, MaxThroughput, MinArea
from psp_hw.units import TIME_ROUNDING, Clock

# Intervals that are tried for a rate: FIFOs may make a design slower than asked, or dearer than a faster one. In small graphs more.
ROUNDS = 5
SMALL_ROUNDS = 20

# Of those, the intervals after which the folds aim higher by as much as FIFOs made the last design slower; before, at the next interval.
NEXT_ONES = 3

# Share of its cost that a bound has to leave to save, in large graphs, for further intervals to be tried once a design is fast enough.
SAVED = 0.05

# An interval that every design meets [cycles].
HOWEVER_SLOW = 1 << 62

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
    bindable: Bindable = ANYTHING,
) -> FoldPlan:
    """The plan that ``search`` finds."""
    return search(graph, part, clock, goal, folds=folds, bindable=bindable).plan


def search(
    graph: Graph,
    part: Part,
    clock: Clock,
    goal: Goal = DEFAULT_GOAL,
    *,
    folds: Mapping[str, Fold] = NO_FOLDS,
    bindable: Bindable = ANYTHING,
) -> Found:
    """Folds, weight memories and FIFO depths for a goal.

    Args:
        goal: how fast or how small. When nothing fits, ``MaxThroughput`` and ``MinArea`` give the least design there is, for
            the estimate to say what is missing.
        folds: folds that are asked for, by convolution; the others are chosen for the goal around them.
        bindable: what the back end can tell its tool.

    Raises:
        SpecError: a fold does not divide, or names no convolution.
        DoesNotFitError: the frame rate or latency cannot be reached on this part; says what binds and the nearest.
    """
    _check_folds(graph, folds, maps=bindable.folded_maps)
    space = search_space(graph, part, clock, folds, bindable)
    found = _found(space, goal)
    if found.optimality is None:
        return found
    within = f"{found.optimality.within} with the folds given" if folds else found.optimality.within
    claim = replace(found.optimality, within=within, tried=folds_tried(graph, folds))
    return replace(found, optimality=claim)


def _found(space: Space, goal: Goal) -> Found:
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


def budgets(space: Space) -> tuple[CostArray, CostArray]:
    """What a design may take: comfortably, and at all."""
    return array(space.part.resources.scaled(COMFORTABLE_SHARE)), space.problem.capacity


def _words(space: Space, budget: CostArray, share: float) -> str:
    return f"{share:.0%} of the part" if (budget < space.problem.capacity).any() else "the part"


def _for_rate(space: Space, goal: Fps) -> Found:
    """The cheapest design that is fast enough within a comfortable share of the part; else within the part."""
    wanted = math.floor(1.0 / (space.clock.seconds(1) * goal.frames_per_second) * (1.0 + TIME_ROUNDING))
    if wanted < space.floor:
        raise refusals.too_slow(space, goal, space.floor)
    slowed = False
    for budget in budgets(space):
        found, reached = _at_rate(space, wanted, budget)
        if found is not None:
            within = _words(space, budget, COMFORTABLE_SHARE)
            return Found(plan=found[1].plan, optimality=_of_cost(space, found[0], wanted, budget, within))
        slowed = reached is not None
    nearest = fastest_design(space, space.problem.capacity)
    if nearest is not None and nearest[1].interval <= wanted:
        choice, design = nearest
        optimality = _of_cost(space, choice, wanted, space.problem.capacity, "the part")
        return Found(plan=design.plan, optimality=optimality)
    if nearest is not None and slowed:
        raise refusals.too_slow(space, goal, nearest[1].interval)
    raise refusals.too_large(space, goal, wanted, nearest)


def _at_rate(space: Space, wanted: int, budget: CostArray) -> tuple[tuple[Choice, Design] | None, int | None]:
    """The cheapest design whose frames take so many cycles at most.

    FIFOs may cost a little speed, then the folds aim higher; and they may cost more than shorter intervals do, so those are tried
    too, as long as a bound leaves room for something cheaper.

    Returns:
        The design, None where none was found; and the interval of the last that its FIFOs made too slow, None where none did.
    """
    problem, prices = space.within(budget), space.problem.prices
    best: tuple[Choice, Design] | None = None
    least, target = math.inf, wanted
    slow: int | None = None
    small = len(space.flow.channels) <= SMALL
    for tried in range(SMALL_ROUNDS if small else ROUNDS):
        worth = least if small else (1.0 - SAVED) * least
        if target < space.floor or affordable(problem, target).bound >= worth:
            break
        found = cheapest_design(space, budget, target)
        if found is None:
            break
        choice, design = found
        shorter = interval_of(space, choice) - 1
        if design.interval > wanted:
            slow = design.interval
            target = shorter if tried < NEXT_ONES else min(target * wanted // design.interval, shorter)
            continue
        cost = float(design.total @ prices)
        if cost < least:
            best, least = found, cost
        target = shorter
    return best, slow


def cheapest_design(space: Space, budget: CostArray, interval: int) -> tuple[Choice, Design] | None:
    """The cheapest design within an interval and a budget, FIFOs included."""
    cheap = affordable(space.within(budget), interval).choice
    if cheap is None:
        return None
    design = settle(space, cheap, budget)
    if design is not None and not design.plan.fifo_memories:
        return cheap, design
    found = [(cheap, design)] if design is not None else []
    for _ in range(ROUNDS):
        choice = fit(space, budget, interval)
        if choice is None:
            break
        design = settle(space, choice, budget)
        if design is not None:
            found.append((choice, design))
            break
    return min(found, key=lambda one: float(one[1].total @ space.problem.prices), default=None)


def fastest_design(space: Space, budget: CostArray) -> tuple[Choice, Design] | None:
    """The fastest design within a budget, FIFOs included."""
    for _ in range(ROUNDS):
        choice = fastest_fit(space, budget)
        if choice is None:
            return None
        design = settle(space, choice, budget)
        if design is not None:
            return _with_sized_fifos(space, budget, choice, design)
    return None


def _with_sized_fifos(
    space: Space, budget: CostArray, choice: Choice, design: Design
) -> tuple[Choice, Design]:
    """A design, or a faster one that fits once its FIFOs are sized, though by the quick rule it did not; small graphs only."""
    while len(space.flow.channels) <= SMALL:
        reached = interval_of(space, choice)
        shorter = [interval for interval in space.intervals if interval < reached]
        faster = cheapest_design(space, budget, shorter[-1]) if shorter else None
        if faster is None:
            break
        choice, design = faster
    return choice, design


def _of_cost(space: Space, choice: Choice, interval: int, budget: CostArray, within: str) -> Optimality:
    """How near a choice comes to the least cost of any within an interval and a budget, FIFOs as deep as every choice needs them."""
    problem = space.within(budget)
    bound = affordable(problem, interval).bound
    reached = cost_of(problem, with_least_fifos(space, choice, budget))
    return Optimality(measure=Measure.COST, reached=reached, bound=bound, within=within)


def _for_area(space: Space) -> Found:
    """The least design; where it does not fit, too."""
    slowest, budget = space.intervals[-1], space.problem.capacity
    found, _ = _at_rate(space, HOWEVER_SLOW, budget)
    if found is None:
        return _least(space)
    choice, design = found
    return Found(plan=design.plan, optimality=_of_cost(space, choice, slowest, budget, "the part"))


def _least(space: Space) -> Found:
    """The least design where the search found none that fits."""
    design = refusals.least_design(space)
    fits = bool((design.total <= space.problem.capacity).all())
    remedy = "" if fits else refusals.nothing_fits(space, design.depths)
    return Found(plan=design.plan, optimality=None, remedy=remedy)


def _for_latency(space: Space, goal: Latency) -> Found:
    """A cheap design whose lone frame is done in time: within a comfortable share of the part where one is found, else within the part."""
    wanted = math.floor(goal.microseconds * 1e-6 / space.clock.seconds(1) * (1.0 + TIME_ROUNDING))
    best: lone.Timed | None = None
    for budget in budgets(space):
        best = _quick(space, wanted, budget)
        if best is not None and best.latency <= wanted:
            found = lone.in_time(space, wanted, budget, best)
            optimality = Optimality(
                measure=Measure.COST,
                reached=cost_of(space.problem, with_least_fifos(space, found.choice, budget)),
                bound=least_cost(space, wanted, budget),
                within=_words(space, budget, COMFORTABLE_SHARE),
            )
            return Found(plan=found.design.plan, optimality=optimality)
    if best is None:
        raise refusals.too_late(space, goal)
    least = least_latency(space, space.problem.capacity, best.latency)
    raise refusals.too_late(space, goal, best.latency, least, proven=wanted < least)


def _quick(space: Space, wanted: int, budget: CostArray) -> lone.Timed | None:
    """The design of the shortest interval where its lone frame is in time, else that of least latency; None where nothing fits."""
    fastest = fastest_design(space, budget)
    one = None if fastest is None else lone.timed(space, fastest[0], budget)
    return one if one is None or one.latency <= wanted else lone.quickest(space, budget, one)


def _for_speed(space: Space, goal: MaxThroughput) -> Found:
    """The fastest design within the share of the part, else within the part, else the least design there is."""
    for budget in (array(space.part.resources.scaled(goal.share)), space.problem.capacity):
        found = fastest_design(space, budget)
        if found is not None:
            design = found[1]
            best = _least_interval(space.within(budget), space.intervals, design.interval)
            optimality = Optimality(
                measure=Measure.INTERVAL,
                reached=design.interval,
                bound=best,
                within=_words(space, budget, goal.share),
            )
            return Found(plan=design.plan, optimality=optimality)
    return _least(space)


def _least_interval(problem: Problem, intervals: Sequence[int], reached: int) -> int:
    """An interval below which it is proven that nothing is within the budget, whatever its FIFOs [cycles]."""
    shorter = [interval for interval in intervals if interval < reached]
    low, high = 0, len(shorter)  # all before ``low`` are ruled out; ``high`` is not, or is what was reached
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
