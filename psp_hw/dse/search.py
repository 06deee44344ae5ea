"""Choose folds, memories and FIFO depths for a goal (docs/estimate.md, "How folds are chosen").

The interval of a design is that of its slowest engine, and what an engine costs does not depend on the others. So for a given
interval the best choice is made engine by engine; a longer interval never makes a choice impossible, which makes the
search over intervals a bisection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from psp_hw.cost.bill import ControlPort, Fifo
from psp_hw.cost.engines import engine_bill, pipeline_depth
from psp_hw.cost.parts import Part
from psp_hw.cost.pricing import price, price_bill
from psp_hw.cost.resources import Resource, Resources
from psp_hw.cost.shortage import advice
from psp_hw.dse.choose import Choice, Problem, affordable, cheapest
from psp_hw.dse.fifos import FifoPlan, size_fifos
from psp_hw.dse.options import Catalog, CostArray
from psp_hw.errors import DoesNotFitError, SpecError
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, Fold, FoldPlan, NodePlan, check_fold
from psp_hw.ir.graph import Graph
from psp_hw.sim.cycles import RESTART_CYCLES
from psp_hw.spec.target import DEFAULT_GOAL, Fps, Goal, MaxThroughput, MinArea
from psp_hw.units import Clock

# Times the folds are chosen again because FIFOs took more than was set aside or made the design slower than asked.
ROUNDS = 5

# Steps of the bisection that follows where the FIFOs cost too much for the fastest choice of folds.
BISECTIONS = 4

NO_FOLDS: Mapping[str, Fold] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """A graph on a part: what can be chosen, and what is fixed."""

    graph: Graph
    part: Part
    clock: Clock
    flow: Dataflow
    problem: Problem
    floor: int  # interval of the slowest engine without a fold

    @property
    def intervals(self) -> list[int]:
        """Every interval that some choice brings, ascending."""
        found = {int(i) for options in self.problem.options for i in options.intervals if i > self.floor}
        return sorted({self.floor, *found})


def plan(
    graph: Graph,
    part: Part,
    clock: Clock,
    goal: Goal = DEFAULT_GOAL,
    *,
    folds: Mapping[str, Fold] = NO_FOLDS,
) -> FoldPlan:
    """Folds, weight memories and FIFO depths for a goal.

    Args:
        goal: how fast or how small. When nothing fits, ``MaxThroughput`` and ``MinArea`` give the least design there is, for
            the estimate to say what is missing.
        folds: folds that are asked for, by convolution; the others are chosen for the goal around them.

    Raises:
        SpecError: a fold does not divide, or names no convolution.
        DoesNotFitError: the frame rate cannot be reached on this part; says what binds and the nearest rate.
    """
    _check_folds(graph, folds)
    space = search_space(graph, part, clock, folds)
    wanted = _wanted(space, goal)
    target, reserve = wanted, np.zeros(len(Resource), dtype=np.int64)
    best: _Design | None = None
    seen: set[tuple[int, ...]] = set()
    for _ in range(ROUNDS):
        if best is not None and wanted is not None and best.fits and best.interval <= wanted:
            break
        choice, budget = _choose(space, goal, reserve, target)
        if choice.picks in seen:
            break
        seen.add(choice.picks)
        design = _finish(space, choice, budget)
        if best is None or design.better_than(best, wanted):
            best = design
        if design.fits and (wanted is None or design.interval <= wanted) and not reserve.any():
            break
        reserve = design.extra
        if wanted is not None and target is not None and design.interval > wanted:
            target = math.floor(target * wanted / design.interval)
    assert best is not None
    if isinstance(goal, MaxThroughput) and best.fits and reserve.any():
        best = _faster(space, best)
    if wanted is not None and best.interval > wanted:
        raise _too_slow(space, goal, best.interval)
    return best.plan


def _check_folds(graph: Graph, folds: Mapping[str, Fold]) -> None:
    names = [op.name for op in graph.convolutions]
    for name, fold in folds.items():
        if name not in names:
            raise SpecError(
                f"no convolution is called {name!r}", where="fold", hint=f"there are {', '.join(names)}"
            )
        op = next(op for op in graph.convolutions if op.name == name)
        check_fold(op, fold, graph)


def search_space(graph: Graph, part: Part, clock: Clock, folds: Mapping[str, Fold]) -> Space:
    """Price everything once: options per convolution, and the sum of all that has none."""
    flow = build(graph, FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions}))
    catalog = Catalog(graph, part, clock)
    options = []
    fixed = price(ControlPort(), part.fabric)
    floor = 1
    for engine in flow.engines:
        if isinstance(engine, ConvEngine):
            options.append(catalog.options(engine, folds.get(engine.name)))
            continue
        found = engine_bill(engine, graph, part.fabric, clock)
        fixed = fixed + price_bill(found.items, part.fabric)
        floor = max(floor, engine.schedule().iterations + found.pipeline.depth + RESTART_CYCLES)
    for channel in flow.channels:
        fixed = fixed + price(Fifo(DEFAULT_FIFO_DEPTH, channel.type.pixel_bits), part.fabric)
    floor = max([floor, *(int(one.intervals[0]) for one in options)])
    capacity = _array(part.resources)
    problem = Problem(tuple(options), _array(fixed), capacity, capacity)
    return Space(graph, part, clock, flow, problem, floor)


def _array(resources: Resources) -> CostArray:
    return np.array(resources.amounts, dtype=np.int64)


def _budget(space: Space, goal: Goal) -> CostArray:
    share = goal.share if isinstance(goal, MaxThroughput) else 1.0
    return _array(space.part.resources.scaled(share))


def _wanted(space: Space, goal: Goal) -> int | None:
    """The longest interval that meets the goal; None where the goal asks for none."""
    if not isinstance(goal, Fps):
        return None
    return math.floor(1.0 / (space.clock.seconds(1) * goal.frames_per_second))


def _choose(space: Space, goal: Goal, reserve: CostArray, target: int | None) -> tuple[Choice, CostArray]:
    """The best choice for a goal with some resources set aside, and the budget that it was made for [5]."""
    budget = _budget(space, goal)
    problem = replace(space.problem, budget=budget - reserve)
    slowest = space.intervals[-1]
    match goal:
        case MinArea():
            choice = affordable(problem, slowest) or cheapest(problem, slowest)
        case Fps():
            assert target is not None
            if target < space.floor:
                raise _too_slow(space, goal, space.floor)
            choice = affordable(problem, target)
            if choice is None:
                raise _too_large(space, goal, problem, target)
        case MaxThroughput():
            interval = _fastest(problem, space.intervals)
            if interval is None and goal.share < 1.0:
                budget = problem.capacity
                problem = replace(problem, budget=budget - reserve)
                interval = _fastest(problem, space.intervals)
            choice = affordable(problem, interval) if interval is not None else cheapest(problem, slowest)
    assert choice is not None
    return choice, budget


def _fastest(problem: Problem, intervals: Sequence[int]) -> int | None:
    """The least interval with an affordable choice; None where even the longest has none."""
    if affordable(problem, intervals[-1]) is None:
        return None
    low, high = 0, len(intervals) - 1
    while low < high:
        middle = (low + high) // 2
        if affordable(problem, intervals[middle]) is not None:
            high = middle
        else:
            low = middle + 1
    return intervals[high]


@dataclass(frozen=True, slots=True, eq=False)
class _Design:
    """A choice with its FIFOs sized.

    Args:
        interval: as simulated [cycles].
        extra: what FIFOs take beyond the least depth [5].
        budget: what the choice was made for [5].
        fits: whether it stays within the budget, FIFOs included.
    """

    plan: FoldPlan
    interval: int
    extra: CostArray
    budget: CostArray
    fits: bool

    def better_than(self, other: _Design, wanted: int | None) -> bool:
        """Fitting before not fitting, fast enough before too slow, then the faster one."""
        mine = (self.fits, wanted is not None and self.interval <= wanted, -self.interval)
        return mine > (other.fits, wanted is not None and other.interval <= wanted, -other.interval)


def _faster(space: Space, best: _Design) -> _Design:
    """Look between the fastest choice that fits without its FIFOs and the one found with them."""
    budget = best.budget
    free = replace(space.problem, budget=budget)
    least = _fastest(free, space.intervals)
    if least is None:
        return best
    between = [interval for interval in space.intervals if least <= interval < best.interval]
    low, high = 0, len(between)
    for _ in range(BISECTIONS):
        if low >= high:
            break
        middle = (low + high) // 2
        choice = affordable(free, between[middle])
        design = _finish(space, choice, budget) if choice is not None else None
        if design is not None and not design.fits:
            choice = affordable(replace(free, budget=budget - design.extra), between[middle])
            design = _finish(space, choice, budget) if choice is not None else None
        if design is not None and design.fits:
            best, high = (design if design.interval < best.interval else best), middle
        else:
            low = middle + 1
    return best


def _finish(space: Space, choice: Choice, budget: CostArray) -> _Design:
    """The plan of a choice, its FIFOs sized."""
    picked = zip(space.problem.options, choice.picks, strict=True)
    chosen = {options.name: options.plans[pick] for options, pick in picked}
    nodes = {op.name: chosen[op.name] for op in space.graph.convolutions}
    flow = build(space.graph, FoldPlan(nodes=nodes))
    depths = {engine.name: pipeline_depth(engine, space.part.fabric, space.clock) for engine in flow.engines}
    least = max(e.schedule().iterations + depths[e.name] + RESTART_CYCLES for e in flow.engines)
    fifos = size_fifos(flow, depths, interval=least)
    deep = {name: depth for name, depth in fifos.depths.items() if depth != DEFAULT_FIFO_DEPTH}
    extra = _fifo_cost(space, fifos)
    return _Design(
        plan=FoldPlan(nodes=nodes, fifo_depths=deep),
        interval=max(least, fifos.timeline.interval),
        extra=extra,
        budget=budget,
        fits=bool((choice.total + extra <= budget).all()),
    )


def _fifo_cost(space: Space, fifos: FifoPlan) -> CostArray:
    """What the FIFOs take beyond the least depth [5]."""
    extra = np.zeros(len(Resource), dtype=np.int64)
    for channel in space.flow.channels:
        bits = channel.type.pixel_bits
        deep = price(Fifo(fifos.depths[channel.name], bits), space.part.fabric)
        shallow = price(Fifo(DEFAULT_FIFO_DEPTH, bits), space.part.fabric)
        extra = extra + _array(deep) - _array(shallow)
    return np.maximum(extra, 0)


def _too_slow(space: Space, goal: Goal, interval: int) -> DoesNotFitError:
    """No fold is fast enough: an engine takes a pixel per cycle at best."""
    assert isinstance(goal, Fps)
    reached = space.clock.per_second(interval)
    return DoesNotFitError(
        f"{goal.frames_per_second:g} frames per second cannot be reached at {space.clock.period_ns:g} ns: a frame takes at least "
        f"{interval} cycles, {reached:.1f} frames per second",
        where="fps",
        hint=f"ask for at most {math.floor(reached)}, or for a shorter clock period",
    )


def _too_large(space: Space, goal: Goal, problem: Problem, wanted: int) -> DoesNotFitError:
    """The frame rate needs more than the part has: what binds, and what the part can reach."""
    assert isinstance(goal, Fps)
    least = cheapest(problem, wanted)
    assert least is not None
    dsp, lut, ff, bram18, uram = (int(amount) for amount in least.total)
    needed = Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram)
    nearest = _fastest(problem, space.intervals)
    can = (
        f"the part reaches {space.clock.per_second(nearest):.1f}"
        if nearest is not None
        else "even the least design does not fit"
    )
    return DoesNotFitError(
        f"{goal.frames_per_second:g} frames per second do not fit {space.part.name}; {can}",
        where="fps",
        hint=advice(needed, space.part) or "resources bind together: lower --fps",
    )
