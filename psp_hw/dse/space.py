"""What can be chosen for a graph on a part, and what a choice comes to: its dataflow, its FIFOs, its cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from psp_hw.cost.bill import ControlPort, Fifo
from psp_hw.cost.engines import engine_bill, pipeline_depth
from psp_hw.cost.parts import Part
from psp_hw.cost.pricing import price, price_bill
from psp_hw.cost.resources import Resource, Resources
from psp_hw.dse.choose import Choice, Problem, affordable
from psp_hw.dse.fifos import COMMON_DEPTHS, quick_depths, size_fifos
from psp_hw.dse.maps import map_options
from psp_hw.dse.options import Catalog, CostArray
from psp_hw.folding.dataflow import Channel, Dataflow, build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, Fold, FoldPlan, MultiplierKind, NodePlan, foldable
from psp_hw.ir.graph import Graph
from psp_hw.sim.cycles import simulate
from psp_hw.sim.process import RESTART_CYCLES
from psp_hw.units import Clock


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
    needs: dict[tuple[int, ...], CostArray] = field(
        default_factory=dict
    )  # of FIFOs, by choice: ``fifo_needs``

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
    return Space(graph, part, clock, flow, problem, floor, others)


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
    flow, depths, _ = folded(space, choice)
    every = frozenset(channel.name for channel in flow.channels)
    return simulate(flow, depths=depths, unbounded=every, max_frames=1).latency


def fit(space: Space, budget: CostArray, interval: int) -> Choice | None:
    """A choice within an interval that fits with its FIFOs, as far as two tries find one."""
    reserve = np.zeros(len(Resource), dtype=np.int64)
    for _ in range(2):
        choice = affordable(replace(space.problem, budget=budget - reserve), interval).choice
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


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """A plan with its FIFOs sized, and its interval as simulated [cycles]."""

    plan: FoldPlan
    interval: int


def folded(space: Space, choice: Choice) -> tuple[Dataflow, Mapping[str, int], Mapping[str, NodePlan]]:
    """The dataflow of a choice, its pipeline depths, and the plan of every convolution."""
    picked = zip(space.problem.options, choice.picks, strict=True)
    chosen = {options.name: options.plans[pick] for options, pick in picked}
    nodes = {op.name: chosen[op.name] for op in foldable(space.graph) if op.name in chosen}
    for engine in space.flow.engines:  # a map that the plan does not name computes a pixel at once
        if not isinstance(engine, AffineEngine | ThresholdEngine) or engine.name not in nodes:
            continue
        if nodes[engine.name].fold.pe == engine.result.channels:
            del nodes[engine.name]
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
        shallow = price(least_fifo(channel), space.part.fabric)
        extra = extra + array(deep) - array(shallow)
    return np.maximum(extra, 0)
