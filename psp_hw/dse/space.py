"""What can be chosen for a graph on a part, and what a choice comes to: its dataflow, its FIFOs, its cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from psp_hw.cost.bill import ControlPort, Fifo
from psp_hw.cost.engines import engine_bill, pipeline_depth
from psp_hw.cost.parts import Part
from psp_hw.cost.pricing import price, price_bill
from psp_hw.cost.resources import Resource, Resources
from psp_hw.dse.branches import Region, regions
from psp_hw.dse.choose import Choice, Problem, affordable, chosen
from psp_hw.dse.fifos import COMMON_DEPTHS, Sizing
from psp_hw.dse.maps import map_options
from psp_hw.dse.options import Catalog, CostArray, Options
from psp_hw.dse.relax import Choosing, relax, search
from psp_hw.folding.dataflow import Channel, Dataflow, build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.folding.memory import memory_for_fifo
from psp_hw.folding.plan import (
    DEFAULT_FIFO_DEPTH,
    Fold,
    FoldPlan,
    MemoryKind,
    MultiplierKind,
    NodePlan,
    foldable,
)
from psp_hw.folding.ports import FIFO_MEMORIES
from psp_hw.ir.graph import Graph
from psp_hw.sim.cycles import simulate
from psp_hw.sim.process import RESTART_CYCLES
from psp_hw.units import Clock

# Channels of a graph whose FIFOs are sized, and chosen with all else, in a few milliseconds.
SMALL = 24

# Choices whose dataflow is kept for the next question about them.
KEPT_FLOWS = 8

NO_MEMORIES: Mapping[str, MemoryKind] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A choice as a dataflow.

    Args:
        flow: its FIFOs not sized yet.
        depths: of pipelines, by engine [cycles].
        nodes: the plan of everything that folds.
        sizing: what was found of the depths of its FIFOs so far.
    """

    flow: Dataflow
    depths: Mapping[str, int]
    nodes: Mapping[str, NodePlan]
    sizing: Sizing


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """A graph on a part: what can be chosen, and what is fixed."""

    graph: Graph
    part: Part
    clock: Clock
    flow: Dataflow
    problem: Problem
    floor: int  # interval of the slowest engine without a fold
    others: Mapping[str, CostArray]  # what each engine takes that has nothing to choose [5]
    regions: tuple[Region, ...]  # of all joins
    depths: dict[tuple[int, ...], Mapping[str, int]] = field(default_factory=dict)  # of FIFOs, by choice
    flows: dict[tuple[int, ...], Folded] = field(default_factory=dict)  # by choice, the last few

    @property
    def intervals(self) -> list[int]:
        """Every interval that some choice brings, ascending."""
        every = np.unique(np.concatenate([[self.floor], *(one.intervals for one in self.problem.options)]))
        return [int(interval) for interval in every[every >= self.floor]]


def search_space(
    graph: Graph,
    part: Part,
    clock: Clock,
    folds: Mapping[str, Fold],
    multipliers: Collection[MultiplierKind] = tuple(MultiplierKind),
    *,
    maps: bool = True,
) -> Space:
    """Price everything once: options per convolution and map, and the sum of all that has none.

    Args:
        folds: those that are asked for.
        multipliers: kinds that the back end can bind.
        maps: whether the back end can fold maps (``psp_hw.folding.maps``).
    """
    flow = build(graph, FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions}))
    catalog = Catalog(graph, part, clock, multipliers)
    options = []
    fixed = price(ControlPort(), part.fabric)
    others: dict[str, CostArray] = {}
    floor = 1
    for engine in flow.engines:
        if isinstance(engine, ConvEngine):
            options.append(catalog.options(engine, folds.get(engine.name)))
            continue
        if maps and isinstance(engine, AffineEngine | ThresholdEngine):
            options.append(map_options(engine, catalog.site, frozenset(multipliers), folds.get(engine.name)))
            continue
        found = engine_bill(engine, graph, part.fabric, clock)
        takes = price_bill(found.items, part.fabric)
        others[engine.name] = array(takes)
        fixed = fixed + takes
        floor = max(floor, engine.schedule().iterations + found.pipeline.depth + RESTART_CYCLES)
    for channel in flow.channels:
        fixed = fixed + price(least_fifo(channel), part.fabric)
    floor = max([floor, *(int(one.intervals[0]) for one in options)])
    capacity = array(part.resources)
    problem = Problem(tuple(options), array(fixed), capacity, capacity)
    return Space(graph, part, clock, flow, problem, floor, others, regions(flow))


def least_fifo(channel: Channel) -> Fifo:
    """The FIFO that a channel has at least."""
    return Fifo(DEFAULT_FIFO_DEPTH, channel.type.pixel_bits)


def array(resources: Resources) -> CostArray:
    """Amounts of every resource [5]."""
    return np.array(resources.amounts, dtype=np.int64)


def interval_of(space: Space, choice: Choice) -> int:
    """The interval of the slowest engine of a choice."""
    picked = zip(space.problem.options, choice.picks, strict=True)
    return max([space.floor, *(int(options.intervals[pick]) for options, pick in picked)])


def alone(space: Space, choice: Choice) -> int:
    """Latency of a lone frame where no FIFO is full [cycles]."""
    one = folded(space, choice)
    every = frozenset(channel.name for channel in one.flow.channels)
    return simulate(one.flow, depths=one.depths, unbounded=every, max_frames=1).latency


def fit(space: Space, budget: CostArray, interval: int) -> Choice | None:
    """A choice within an interval that fits with its FIFOs, as far as three tries find one.

    First nothing is set aside for FIFOs, then what those of the first choice take; of small graphs the memories of FIFOs as deep as
    those are at last chosen together with all else.
    """
    problem = replace(space.problem, budget=budget)
    choice = affordable(problem, interval).choice
    if choice is None:
        return None
    needed = fifo_needs(space, choice, budget)
    if (choice.total + needed <= budget).all():
        return choice
    depths = space.depths[choice.picks]
    attempts = [replace(problem, budget=budget - needed)]
    if len(space.flow.channels) <= SMALL:
        attempts.append(_with_fifos(space, depths, budget))
    for attempt in attempts:
        found = affordable(attempt, interval).choice
        if found is None:
            continue
        choice = chosen(space.problem, found.picks[: len(space.problem.options)])
        if (choice.total + fifo_needs(space, choice, budget) <= budget).all():
            return choice
    return None


def _with_fifos(space: Space, depths: Mapping[str, int], budget: CostArray) -> Problem:
    """The problem with the memory of every FIFO to be chosen as well, depths given."""
    fixed = space.problem.fixed
    options = list(space.problem.options)
    for channel, ways in zip(space.flow.channels, _fifo_ways(space, depths), strict=True):
        fixed = fixed - array(price(least_fifo(channel), space.part.fabric))
        options.append(Options(channel.name, (), np.zeros(len(ways), dtype=np.int64), ways))
    return Problem(tuple(options), fixed, budget, space.problem.capacity)


def _fifo_ways(space: Space, depths: Mapping[str, int]) -> list[CostArray]:
    """What each FIFO takes in each of ``FIFO_MEMORIES`` [2, 5]."""
    fabric = space.part.fabric
    return [
        np.array(
            [array(price(Fifo(depths[c.name], c.type.pixel_bits, kind), fabric)) for kind in FIFO_MEMORIES]
        )
        for c in space.flow.channels
    ]


def fifo_needs(space: Space, choice: Choice, budget: CostArray) -> CostArray:
    """What the FIFOs of a choice take beyond the least depth [5]: depths by a quick rule, memories so that they fit if they can."""
    if choice.picks not in space.depths:
        space.depths[choice.picks] = folded(space, choice).sizing.quick()
    known = space.depths[choice.picks]
    return fifo_cost(space, known, fifo_memories(space, choice, known, budget) or NO_MEMORIES)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """A plan with its FIFOs sized, its interval as simulated [cycles], and what it takes in all [5]."""

    plan: FoldPlan
    interval: int
    total: CostArray


def folded(space: Space, choice: Choice) -> Folded:
    """A choice as a dataflow; the last few are kept."""
    if choice.picks not in space.flows:
        if len(space.flows) >= KEPT_FLOWS:
            del space.flows[next(iter(space.flows))]
        space.flows[choice.picks] = _fold(space, choice)
    return space.flows[choice.picks]


def _fold(space: Space, choice: Choice) -> Folded:
    picked = zip(space.problem.options, choice.picks, strict=True)
    plans = {options.name: options.plans[pick] for options, pick in picked}
    nodes = {op.name: plans[op.name] for op in foldable(space.graph) if op.name in plans}
    for engine in space.flow.engines:  # a map that the plan does not name computes a pixel at once
        if not isinstance(engine, AffineEngine | ThresholdEngine) or engine.name not in nodes:
            continue
        if nodes[engine.name].fold.pe == engine.result.channels:
            del nodes[engine.name]
    flow = build(space.graph, FoldPlan(nodes=nodes))
    depths = {engine.name: pipeline_depth(engine, space.part.fabric, space.clock) for engine in flow.engines}
    return Folded(flow, depths, nodes, Sizing(flow, depths, space.regions))


def finish(space: Space, choice: Choice, budget: CostArray | None = None) -> Design:
    """Size the FIFOs of a choice; deep ones only where the budget allows, in the memories that it has left."""
    one = folded(space, choice)
    flow, depths = one.flow, one.depths
    least = max(e.schedule().iterations + depths[e.name] + RESTART_CYCLES for e in flow.engines)
    most = space.problem.capacity if budget is None else budget
    fifos = one.sizing.plan(interval=least)
    memories = fifo_memories(space, choice, fifos.depths, most)
    if memories is None and fifos.common > COMMON_DEPTHS[0]:
        fifos = one.sizing.plan(commons=COMMON_DEPTHS[:1])
        memories = fifo_memories(space, choice, fifos.depths, most)
    memories = memories or NO_MEMORIES
    deep = {name: depth for name, depth in fifos.depths.items() if depth != DEFAULT_FIFO_DEPTH}
    return Design(
        plan=FoldPlan(nodes=one.nodes, fifo_depths=deep, fifo_memories=memories),
        interval=max(least, fifos.timeline.interval),
        total=choice.total + fifo_cost(space, fifos.depths, memories),
    )


def settle(space: Space, choice: Choice, budget: CostArray) -> Design | None:
    """A choice with its FIFOs sized; None where they do not fit after all, which is remembered."""
    design = finish(space, choice, budget)
    if (design.total <= budget).all():
        return design
    space.depths[choice.picks] = {
        channel.name: design.plan.fifo_depths.get(channel.name, DEFAULT_FIFO_DEPTH)
        for channel in space.flow.channels
    }
    return None


def fifo_cost(
    space: Space, depths: Mapping[str, int], memories: Mapping[str, MemoryKind] = NO_MEMORIES
) -> CostArray:
    """What FIFOs take beyond the least depth [5]; less than nothing of LUTs where block RAM takes their place."""
    extra = np.zeros(len(Resource), dtype=np.int64)
    for channel in space.flow.channels:
        fifo = Fifo(depths[channel.name], channel.type.pixel_bits, memories.get(channel.name))
        extra = (
            extra
            + array(price(fifo, space.part.fabric))
            - array(price(least_fifo(channel), space.part.fabric))
        )
    return extra


def fifo_memories(
    space: Space, choice: Choice, depths: Mapping[str, int], budget: CostArray
) -> Mapping[str, MemoryKind] | None:
    """Memories with which the FIFOs of a choice fit, those alone that differ from what their sizes say; None where none do.

    Sizes decide where that fits. Else FIFOs trade LUTs for block RAM and back, at least cost.
    """
    if (choice.total + fifo_cost(space, depths) <= budget).all():
        return NO_MEMORIES
    lists = _fifo_ways(space, depths)
    least = sum(array(price(least_fifo(channel), space.part.fabric)) for channel in space.flow.channels)
    fixed = choice.total - least
    choosing = Choosing(lists, fixed, budget, space.problem.prices)
    if (fixed + sum(ways.min(axis=0) for ways in lists) > budget).any():
        return None
    relaxed = relax(choosing)
    picks = relaxed.picks or search(choosing, relaxed, math.inf).picks
    if picks is None:
        return None
    kinds = {c.name: FIFO_MEMORIES[pick] for c, pick in zip(space.flow.channels, picks, strict=True)}
    by_size = {c.name: memory_for_fifo(depths[c.name], c.type.pixel_bits) for c in space.flow.channels}
    return {name: kind for name, kind in kinds.items() if kind is not by_size[name]}
