"""What can be chosen for a graph on a part, and what a choice comes to: its dataflow, its FIFOs, its cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from psp_hw.cost.bill import ControlPort
from psp_hw.cost.engines import engine_bill, pipeline_depth
from psp_hw.cost.parts import Part
from psp_hw.cost.pricing import price, price_bill
from psp_hw.cost.resources import Resources
from psp_hw.dse.arrays import CostArray
from psp_hw.dse.branches import Region, least_depths, regions
from psp_hw.dse.catalog import Catalog
from psp_hw.dse.choose import Choice, Problem, affordable
from psp_hw.dse.fifo_costs import NO_MEMORIES, FifoCosts
from psp_hw.dse.fifos import COMMON_DEPTHS, Sizing
from psp_hw.dse.maps import map_options
from psp_hw.dse.options import Options
from psp_hw.folding.bindable import ANYTHING, Bindable
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.engine import ConvEngine, Engine
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.folding.plan import (
    DEFAULT_FIFO_DEPTH,
    Fold,
    FoldPlan,
    MemoryKind,
    NodePlan,
    foldable,
)
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import op_constants
from psp_hw.sim.cycles import Running
from psp_hw.sim.process import RESTART_CYCLES, Depths
from psp_hw.units import Clock

# Channels of a graph whose FIFOs are sized, and chosen with all else, in a few milliseconds.
SMALL = 24

# Choices whose dataflow is kept for the next question about them.
KEPT_FLOWS = 8

# Tries for FIFOs that fit: their depths follow from the folds, and the folds from what FIFOs leave.
TRIES = 3


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
    fifos: FifoCosts
    regions: tuple[Region, ...]  # of all joins
    bindable: Bindable  # what the back end can tell its tool, on this part
    depths: dict[tuple[int, ...], Mapping[str, int]] = field(default_factory=dict)  # of FIFOs, by choice
    latencies: dict[tuple[int, ...], int] = field(default_factory=dict)  # of a lone frame, by choice
    pipelines: dict[tuple[str, NodePlan | None], int] = field(default_factory=dict)  # their depths
    flows: dict[tuple[int, ...], Folded] = field(default_factory=dict)  # by choice, the last few
    problems: dict[tuple[int, ...], Problem] = field(default_factory=dict)  # by budget

    def within(self, budget: CostArray, depths: Mapping[str, int] | None = None) -> Problem:
        """The problem within a budget, FIFOs as deep as every choice needs them; or as given, where that is deeper."""
        if depths is not None:
            least = least_depths(self.regions)
            deep = {name: max(depth, least.get(name, 0)) for name, depth in depths.items()}
            return replace(self.problem, budget=budget, beside=self.fifos.ways(deep))
        key = tuple(budget.tolist())
        if key not in self.problems:
            self.problems[key] = replace(self.problem, budget=budget)
        return self.problems[key]

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
    bindable: Bindable = ANYTHING,
    *,
    like: Space | None = None,
    interval: int | None = None,
) -> Space:
    """Price everything once: options per convolution and map, and the sum of all that has none.

    Args:
        folds: those that are asked for.
        bindable: what the back end can tell its tool.
        like: a space of the same fabric, clock, back end and folds; engines that it has too are not priced again.
        interval: the one interval that will be asked for; None where it may be any.
    """
    flow = build(graph, FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions}))
    bindable = bindable.on_part(ultra_ram=part.resources.uram > 0)
    known = _same_engines(flow, graph, like) if like is not None else {}
    fresh = [engine for engine in flow.engines if engine.name not in known]
    catalog = Catalog(graph, part, clock, bindable, interval=interval)
    known |= {one.name: one for one in _options(fresh, catalog, folds, bindable)}
    options = [known[engine.name] for engine in flow.engines if engine.name in known]
    rest = [engine for engine in flow.engines if engine.name not in known]
    others, slowest = _without_fold(rest, graph, part, clock)
    fifos, joined = FifoCosts(flow, part.fabric, ultra=bindable.ultra_fifos), regions(flow)
    capacity = array(part.resources)
    return Space(
        graph=graph,
        part=part,
        clock=clock,
        bindable=bindable,
        flow=flow,
        problem=Problem(
            tuple(options),
            array(price(ControlPort(), part.fabric)) + sum(others.values()) + fifos.least,
            capacity,
            capacity,
            fifos.ways(least_depths(joined)),
        ),
        floor=max([slowest, *(int(one.intervals[0]) for one in options)]),
        others=others,
        fifos=fifos,
        regions=joined,
    )


def _options(
    engines: Sequence[Engine], catalog: Catalog, folds: Mapping[str, Fold], bindable: Bindable
) -> list[Options]:
    """What can be chosen for those engines that fold."""
    convolutions = [engine for engine in engines if isinstance(engine, ConvEngine)]
    maps = [engine for engine in engines if isinstance(engine, AffineEngine | ThresholdEngine)]
    found = catalog.options(convolutions, folds)
    if bindable.folded_maps:
        found += map_options(maps, catalog.site, bindable.multipliers, folds)
    return found


def _without_fold(
    engines: Sequence[Engine], graph: Graph, part: Part, clock: Clock
) -> tuple[dict[str, CostArray], int]:
    """What each of some engines takes that has nothing to choose [5], and the interval of the slowest [cycles]."""
    takes: dict[str, CostArray] = {}
    slowest = 1
    for engine in engines:
        bill = engine_bill(engine, graph, part.fabric, clock)
        takes[engine.name] = array(price_bill(bill.items, part.fabric))
        slowest = max(slowest, engine.schedule().iterations + bill.pipeline.depth + RESTART_CYCLES)
    return takes, slowest


def _same_engines(flow: Dataflow, graph: Graph, like: Space) -> dict[str, Options]:
    """The options of those engines that another space has too, constants included, by name."""
    options = {one.name: one for one in like.problem.options}
    engines = {engine.name: engine for engine in like.flow.engines}
    return {
        engine.name: options[engine.name]
        for engine in flow.engines
        if isinstance(engine, ConvEngine | AffineEngine | ThresholdEngine)
        and engine.name in options
        and engine == engines[engine.name]
        and all(
            np.array_equal(graph.constants[name], like.graph.constants[name])
            for name in op_constants(engine.op)
        )
    }


def array(resources: Resources) -> CostArray:
    """Amounts of every resource [5]."""
    return np.array(resources.amounts, dtype=np.int64)


def interval_of(space: Space, choice: Choice) -> int:
    """The interval of the slowest engine of a choice."""
    picked = zip(space.problem.options, choice.picks, strict=True)
    return max([space.floor, *(int(options.intervals[pick]) for options, pick in picked)])


def alone(space: Space, choice: Choice) -> int:
    """Latency of a lone frame where no FIFO is full [cycles]."""
    if choice.picks not in space.latencies:
        one = folded(space, choice)
        every = frozenset(channel.name for channel in one.flow.channels)
        run = Running(one.flow, Depths(pipelines=one.depths, unbounded=every))
        run.advance(1)
        space.latencies[choice.picks] = run.interval
    return space.latencies[choice.picks]


def fit(space: Space, budget: CostArray, interval: int) -> Choice | None:
    """A cheap choice within an interval that fits with its FIFOs, as far as a few tries find one.

    First FIFOs have the depths that every choice needs. Where those of its own do not fit in the memories that their sizes say, they
    have the depths that the first choice needs, their memories chosen together with all else.
    """
    problem = space.within(budget)
    found: Choice | None = None
    least = math.inf
    for _ in range(TRIES):
        choice = affordable(problem, interval).choice
        if choice is None:
            break
        total = choice.total + fifo_needs(space, choice, budget)
        if (total <= budget).all() and total @ problem.prices < least:
            found, least = choice, float(total @ problem.prices)
        depths = quick_depths(space, choice)
        if found is not None and (found is not choice or by_size(space, choice, budget)):
            break
        problem = space.within(budget, depths)
    return found


def by_size(space: Space, choice: Choice, budget: CostArray) -> bool:
    """Whether the FIFOs of a choice fit in the memories that their sizes say."""
    return bool((choice.total + space.fifos.beyond(quick_depths(space, choice)) <= budget).all())


def fifo_needs(
    space: Space, choice: Choice, budget: CostArray, depths: Mapping[str, int] | None = None
) -> CostArray:
    """What the FIFOs of a choice take beyond the least depth [5], in memories so that they fit if they can.

    Args:
        depths: of them [tokens], by channel; by a quick rule where none are given.
    """
    known = quick_depths(space, choice) if depths is None else depths
    return space.fifos.beyond(known, fifo_memories(space, choice, known, budget) or NO_MEMORIES)


def with_least_fifos(space: Space, choice: Choice, budget: CostArray) -> Choice:
    """The choice, beside it FIFOs as deep as every choice needs them."""
    least = least_depths(space.regions)
    beside = space.fifos.cheapest(least, choice.total, budget, space.problem.prices)
    return replace(choice, beside=beside)


def quick_depths(space: Space, choice: Choice) -> Mapping[str, int]:
    """FIFO depths of a choice by a quick rule, or as they were when they were sized."""
    if choice.picks not in space.depths:
        space.depths[choice.picks] = folded(space, choice).sizing.quick()
    return space.depths[choice.picks]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """A plan with its FIFOs sized, its interval as simulated [cycles], what it takes in all [5], and the depth of every FIFO [tokens]."""

    plan: FoldPlan
    interval: int
    total: CostArray
    depths: Mapping[str, int]


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
    depths = {}
    for engine in flow.engines:
        key = engine.name, nodes.get(engine.name)
        if key not in space.pipelines:
            space.pipelines[key] = pipeline_depth(engine, space.part.fabric, space.clock)
        depths[engine.name] = space.pipelines[key]
    return Folded(flow, depths, nodes, Sizing(flow, depths, space.regions))


def finish(space: Space, choice: Choice, budget: CostArray | None = None) -> Design:
    """Size the FIFOs of a choice; deep ones only where the budget allows, in the memories that it has left.

    Args:
        budget: what the design may take [5]; None: what the part has, and where it has too little FIFOs may make the design slower.
    """
    one = folded(space, choice)
    flow, depths = one.flow, one.depths
    least = max(e.schedule().iterations + depths[e.name] + RESTART_CYCLES for e in flow.engines)
    most = space.problem.capacity if budget is None else budget
    fifos = one.sizing.plan(interval=least)
    memories = fifo_memories(space, choice, fifos.depths, most)
    for common in _shallower(space, fifos.common, least=budget is None):
        if memories is not None:
            break
        shallow = one.sizing.plan(commons=(common,))
        memories = fifo_memories(space, choice, shallow.depths, most)
        if common == COMMON_DEPTHS[0] or memories is not None:
            fifos = shallow
    memories = memories or NO_MEMORIES
    deep = {name: depth for name, depth in fifos.depths.items() if depth != DEFAULT_FIFO_DEPTH}
    return Design(
        plan=FoldPlan(nodes=one.nodes, fifo_depths=deep, fifo_memories=memories),
        interval=max(least, fifos.timeline.interval),
        total=choice.total + space.fifos.beyond(fifos.depths, memories),
        depths=fifos.depths,
    )


def _shallower(space: Space, common: int, *, least: bool) -> list[int]:
    """Common depths of FIFOs that take less than some do.

    Args:
        least: down to the least in small graphs: the design may be slower, but fits.
    """
    shallowest = [DEFAULT_FIFO_DEPTH] if least and len(space.flow.channels) <= SMALL else []
    return [depth for depth in (COMMON_DEPTHS[0], *shallowest) if depth < common]


def settle(space: Space, choice: Choice, budget: CostArray) -> Design | None:
    """A choice with its FIFOs sized; None where they do not fit after all, which is remembered."""
    design = finish(space, choice, budget)
    if (design.total <= budget).all():
        return design
    space.depths[choice.picks] = design.depths
    return None


def fifo_memories(
    space: Space, choice: Choice, depths: Mapping[str, int], budget: CostArray
) -> Mapping[str, MemoryKind] | None:
    """Memories with which the FIFOs of a choice fit, those alone that differ from what their sizes say; None where none do."""
    return space.fifos.memories(depths, choice.total, budget, space.problem.prices)
