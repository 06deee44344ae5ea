"""Choose folds, memories and FIFO depths for a goal (docs/estimate.md, "How folds are chosen").

The interval of a design is that of its slowest engine, and what an engine costs does not depend on the others. So for a given
interval the best choice is made engine by engine; a longer interval never makes a choice impossible, which makes the
search over intervals a bisection.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

import numpy as np

from psp_hw.cost.bill import ControlPort, Fifo
from psp_hw.cost.engines import engine_bill, pipeline_depth
from psp_hw.cost.parts import Part
from psp_hw.cost.pricing import price, price_bill
from psp_hw.cost.resources import Resource, Resources
from psp_hw.cost.shortage import advice
from psp_hw.dse.choose import Choice, Problem, affordable, cheapest
from psp_hw.dse.fifos import COMMON_DEPTHS, quick_depths, size_fifos
from psp_hw.dse.options import Catalog, CostArray
from psp_hw.errors import DoesNotFitError, SpecError
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, Fold, FoldPlan, MultiplierKind, NodePlan, check_fold
from psp_hw.ir.graph import Graph
from psp_hw.sim.cycles import simulate
from psp_hw.sim.process import RESTART_CYCLES
from psp_hw.spec.target import DEFAULT_GOAL, Fps, Goal, Latency, MaxThroughput, MinArea
from psp_hw.units import Clock

# Times the folds aim higher because FIFOs made the design slower than asked.
ROUNDS = 5

# What a frame rate may lack by having been rounded: an interval's own rate asks for that interval.
ROUNDING = 1e-12

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
    needs: dict[tuple[int, ...], CostArray] = field(
        default_factory=dict
    )  # of FIFOs, by choice: ``fifo_needs``

    @property
    def intervals(self) -> list[int]:
        """Every interval that some choice brings, ascending."""
        every = np.unique(np.concatenate([[self.floor], *(one.intervals for one in self.problem.options)]))
        return [int(interval) for interval in every[every >= self.floor]]


def plan(
    graph: Graph,
    part: Part,
    clock: Clock,
    goal: Goal = DEFAULT_GOAL,
    *,
    folds: Mapping[str, Fold] = NO_FOLDS,
    multipliers: Collection[MultiplierKind] = tuple(MultiplierKind),
) -> FoldPlan:
    """Folds, weight memories and FIFO depths for a goal.

    Args:
        goal: how fast or how small. When nothing fits, ``MaxThroughput`` and ``MinArea`` give the least design there is, for
            the estimate to say what is missing.
        folds: folds that are asked for, by convolution; the others are chosen for the goal around them.
        multipliers: kinds that the back end can bind.

    Raises:
        SpecError: a fold does not divide, or names no convolution.
        DoesNotFitError: the frame rate or latency cannot be reached on this part; says what binds and the nearest.
    """
    _check_folds(graph, folds)
    space = search_space(graph, part, clock, folds, multipliers)
    match goal:
        case Fps():
            return _for_rate(space, goal)
        case Latency():
            return _for_latency(space, goal)
        case MaxThroughput():
            return _for_speed(space, goal)
        case MinArea():
            slowest = space.intervals[-1]
            choice = fit(space, space.problem.capacity, slowest) or cheapest(space.problem, slowest)
            assert choice is not None
            return finish(space, choice).plan
        case _:
            assert_never(goal)


def _check_folds(graph: Graph, folds: Mapping[str, Fold]) -> None:
    names = [op.name for op in graph.convolutions]
    for name, fold in folds.items():
        if name not in names:
            raise SpecError(
                f"no convolution is called {name!r}", where="fold", hint=f"there are {', '.join(names)}"
            )
        op = next(op for op in graph.convolutions if op.name == name)
        check_fold(op, fold, graph)


def search_space(
    graph: Graph,
    part: Part,
    clock: Clock,
    folds: Mapping[str, Fold],
    multipliers: Collection[MultiplierKind] = tuple(MultiplierKind),
) -> Space:
    """Price everything once: options per convolution, and the sum of all that has none."""
    flow = build(graph, FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions}))
    catalog = Catalog(graph, part, clock, multipliers)
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


def _for_rate(space: Space, goal: Fps) -> FoldPlan:
    """The cheapest design that is fast enough. FIFOs may cost a little speed: then the folds aim higher."""
    wanted = math.floor(1.0 / (space.clock.seconds(1) * goal.frames_per_second) * (1.0 + ROUNDING))
    target, reached = wanted, space.floor
    for _ in range(ROUNDS):
        if target < space.floor:
            break
        design = _designed(space, target)
        if design is None:
            raise _too_large(space, goal, target)
        if design.interval <= wanted:
            return design.plan
        reached = design.interval
        target = math.floor(target * wanted / design.interval)
    raise _too_slow(space, goal, max(reached, space.floor))


def _designed(space: Space, interval: int) -> Design | None:
    """The cheapest design within an interval: FIFOs are looked at again only where those of the cheapest choice do not fit."""
    cheap = affordable(space.problem, interval)
    if cheap is None:
        return None
    design = finish(space, cheap)
    depths = {c.name: design.plan.fifo_depths.get(c.name, DEFAULT_FIFO_DEPTH) for c in space.flow.channels}
    if (cheap.total + fifo_cost(space, depths) <= space.problem.capacity).all():
        return design
    choice = fit(space, space.problem.capacity, interval)
    return finish(space, choice) if choice is not None else None


def _for_latency(space: Space, goal: Latency) -> FoldPlan:
    """The cheapest design whose lone frame is done in time, among those that slow every engine down to one interval.

    A longer interval lets every engine take longer, so latency grows with it and the longest that will do is found by bisection.
    """
    wanted = math.floor(goal.microseconds * 1e-6 / space.clock.seconds(1))
    found = fastest_fit(space, space.problem.capacity)
    if found is None:
        raise _too_late(space, goal, None)
    best = _alone(space, found)
    if best > wanted:
        raise _too_late(space, goal, best)
    slower = [interval for interval in space.intervals if interval >= interval_of(space, found)]
    low, high = 0, len(slower) - 1
    while low < high:
        middle = (low + high + 1) // 2
        choice = fit(space, space.problem.capacity, slower[middle])
        if choice is not None and _alone(space, choice) <= wanted:
            found, low = choice, middle
        else:
            high = middle - 1
    return finish(space, found).plan


def interval_of(space: Space, choice: Choice) -> int:
    """The interval of the slowest engine of a choice."""
    picked = zip(space.problem.options, choice.picks, strict=True)
    return max([space.floor, *(int(options.intervals[pick]) for options, pick in picked)])


def _alone(space: Space, choice: Choice) -> int:
    """Latency of a lone frame where no FIFO is full [cycles]."""
    flow, depths, _ = folded(space, choice)
    every = frozenset(channel.name for channel in flow.channels)
    return simulate(flow, depths=depths, unbounded=every, max_frames=1).latency


def _for_speed(space: Space, goal: MaxThroughput) -> FoldPlan:
    """The fastest design within the share of the part, else within the part, else the least design there is."""
    for budget in (_array(space.part.resources.scaled(goal.share)), space.problem.capacity):
        choice = fastest_fit(space, budget)
        if choice is not None:
            return finish(space, choice, budget).plan
    choice = cheapest(space.problem, space.intervals[-1])
    assert choice is not None
    return finish(space, choice).plan


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
        choice = affordable(replace(space.problem, budget=budget - reserve), least)
        assert choice is not None
        needed = fifo_needs(space, choice)
        if (choice.total + needed <= budget).all():
            return _sooner(space, budget, choice, first)
        reserve = np.maximum(reserve, needed)
    return None if first is None else _one_by_one(space, budget, first)


def _sooner(space: Space, budget: CostArray, found: Choice, first: int) -> Choice:
    """A choice that fits, or a faster one that fits too: more may have been set aside than its own FIFOs take."""
    for _ in range(ROUNDS):
        intervals = [i for i in space.intervals if first <= i < interval_of(space, found)]
        problem = replace(space.problem, budget=budget - fifo_needs(space, found))
        least = _fastest(problem, intervals) if intervals else None
        choice = affordable(problem, least) if least is not None else None
        if choice is None or (choice.total + fifo_needs(space, choice) > budget).any():
            break
        found = choice
    return found


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


def fit(space: Space, budget: CostArray, interval: int) -> Choice | None:
    """A choice within an interval that fits with its FIFOs, as far as two tries find one."""
    reserve = np.zeros(len(Resource), dtype=np.int64)
    for _ in range(2):
        choice = affordable(replace(space.problem, budget=budget - reserve), interval)
        if choice is None:
            return None
        reserve = fifo_needs(space, choice)
        if (choice.total + reserve <= budget).all():
            return choice
    return None


def fifo_needs(space: Space, choice: Choice) -> CostArray:
    """What the FIFOs of a choice take beyond the least depth, as a quick rule sizes them [5]."""
    if choice.picks not in space.needs:
        flow, depths, _ = folded(space, choice)
        space.needs[choice.picks] = fifo_cost(space, quick_depths(flow, depths))
    return space.needs[choice.picks]


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
class Design:
    """A plan with its FIFOs sized, and its interval as simulated [cycles]."""

    plan: FoldPlan
    interval: int


def folded(space: Space, choice: Choice) -> tuple[Dataflow, Mapping[str, int], Mapping[str, NodePlan]]:
    """The dataflow of a choice, its pipeline depths, and the plan of every convolution."""
    picked = zip(space.problem.options, choice.picks, strict=True)
    chosen = {options.name: options.plans[pick] for options, pick in picked}
    nodes = {op.name: chosen[op.name] for op in space.graph.convolutions}
    flow = build(space.graph, FoldPlan(nodes=nodes))
    depths = {engine.name: pipeline_depth(engine, space.part.fabric, space.clock) for engine in flow.engines}
    return flow, depths, nodes


def finish(space: Space, choice: Choice, budget: CostArray | None = None) -> Design:
    """Size the FIFOs of a choice; deep ones only where the budget allows."""
    flow, depths, nodes = folded(space, choice)
    least = max(e.schedule().iterations + depths[e.name] + RESTART_CYCLES for e in flow.engines)
    fifos = size_fifos(flow, depths, interval=least)
    most = space.problem.capacity if budget is None else budget
    if (choice.total + fifo_cost(space, fifos.depths) > most).any():
        fifos = size_fifos(flow, depths, commons=COMMON_DEPTHS[:1])
    deep = {name: depth for name, depth in fifos.depths.items() if depth != DEFAULT_FIFO_DEPTH}
    return Design(plan=FoldPlan(nodes=nodes, fifo_depths=deep), interval=max(least, fifos.timeline.interval))


def fifo_cost(space: Space, depths: Mapping[str, int]) -> CostArray:
    """What FIFOs take beyond the least depth [5]."""
    extra = np.zeros(len(Resource), dtype=np.int64)
    for channel in space.flow.channels:
        bits = channel.type.pixel_bits
        deep = price(Fifo(depths[channel.name], bits), space.part.fabric)
        shallow = price(Fifo(DEFAULT_FIFO_DEPTH, bits), space.part.fabric)
        extra = extra + _array(deep) - _array(shallow)
    return np.maximum(extra, 0)


def _too_slow(space: Space, goal: Fps, interval: int) -> DoesNotFitError:
    """No fold is fast enough: an engine takes a pixel per cycle at best."""
    reached = space.clock.per_second(interval)
    return DoesNotFitError(
        f"{goal.frames_per_second:g} frames per second cannot be reached at {space.clock.period_ns:g} ns: a frame takes at least "
        f"{interval} cycles, {reached:.1f} frames per second",
        where="fps",
        hint=f"ask for at most {math.floor(reached)}, or for a shorter clock period",
    )


def _too_late(space: Space, goal: Latency, cycles: int | None) -> DoesNotFitError:
    """No design that fits is done in time; what the fastest takes."""
    if cycles is None:
        hint = "even the least design does not fit: use a larger part"
    else:
        least = math.ceil(space.clock.seconds(cycles) * 1e7) / 10
        hint = f"the fastest that fits takes {least:g} us: allow as much, or use a larger part or a shorter clock period"
    return DoesNotFitError(
        f"a latency of {goal.microseconds:g} us cannot be reached on {space.part.name} at {space.clock.period_ns:g} ns",
        where="latency-us",
        hint=hint,
    )


def _too_large(space: Space, goal: Fps, wanted: int) -> DoesNotFitError:
    """The frame rate needs more than the part has: what binds, and what the part can reach."""
    least = cheapest(space.problem, wanted)
    assert least is not None
    dsp, lut, ff, bram18, uram = (int(amount) for amount in least.total)
    needed = Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram)
    nearest = fastest_fit(space, space.problem.capacity)
    can = "even the least design does not fit"
    if nearest is not None:
        can = f"the part reaches {space.clock.per_second(finish(space, nearest).interval):.1f}"
    return DoesNotFitError(
        f"{goal.frames_per_second:g} frames per second do not fit {space.part.name}; {can}",
        where="fps",
        hint=advice(needed, space.part) or "resources bind together: lower --fps",
    )
