"""The choices for one convolution: every fold and weight memory, with its cycles and resources."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from psp_hw.cost.bill import bill
from psp_hw.cost.engines import (
    conv_datapath,
    conv_delays,
    conv_weights,
    conv_window,
    engine_pipeline,
    pipeline_parts,
)
from psp_hw.cost.parts import Part
from psp_hw.cost.pricing import price, price_bill
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, MemoryKind, NodePlan, divisors
from psp_hw.ir.graph import Graph
from psp_hw.sim.cycles import RESTART_CYCLES
from psp_hw.units import Clock

CostArray = npt.NDArray[np.int64]

# Products that an engine may do at once. Vivado HLS and Vitis HLS refuse to unroll or partition beyond this without being asked
# to (config_unroll, config_array_partition -maximum_size); larger loops take hours to schedule.
MAX_PRODUCTS = 4096

# Pixels of a delay below which block RAM is not tried: a ring of so few rows comes back to an address before the pipeline
# has written it, and a shift register LUT per bit is cheaper anyway.
LEAST_BLOCK_DELAY = 16


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """Choices for one engine, by ascending interval.

    Args:
        name: of the engine.
        plans: the choices [n].
        intervals: cycles from frame to frame when nothing waits [n], ascending.
        costs: resources in the order of ``Resource`` [n, 5].
    """

    name: str
    plans: tuple[NodePlan, ...]
    intervals: CostArray
    costs: CostArray

    def within(self, interval: int) -> int:
        """How many of the choices, from the first, meet an interval."""
        return int(np.searchsorted(self.intervals, interval, side="right"))


def folds_of(engine: ConvEngine) -> list[Fold]:
    """Every legal fold of an engine that HLS can unroll; the one-product fold always is."""
    return [
        Fold(pe=pe, simd=simd, taps=taps)
        for pe in divisors(engine.out_channels)
        for simd in divisors(engine.in_channels)
        for taps in divisors(len(engine.op.taps))
        if pe * simd * taps <= MAX_PRODUCTS
    ]


def memories_of(words: int, part: Part) -> tuple[MemoryKind, ...]:
    """Where so many weight words may be kept; a single one is wiring."""
    if words == 1:
        return (MemoryKind.REGISTERS,)
    if part.resources.uram:
        return (MemoryKind.LUTRAM, MemoryKind.BRAM, MemoryKind.URAM)
    return (MemoryKind.LUTRAM, MemoryKind.BRAM)


@dataclass(frozen=True, slots=True)
class _Row:
    """One choice: the plan, its interval [cycles], its resources [5]."""

    plan: NodePlan
    interval: int
    cost: tuple[int, ...]


class Catalog:
    """Options of convolutions on a part at a clock; engines of one shape are priced once.

    Args:
        graph: where the weights are.
        part, clock: what is built for.
    """

    def __init__(self, graph: Graph, part: Part, clock: Clock) -> None:
        self._graph, self._part, self._clock = graph, part, clock
        self._known: dict[tuple[object, ...], list[_Row]] = {}

    def options(self, engine: ConvEngine, fold: Fold | None = None) -> Options:
        """All choices of an engine; those of one fold if it is given. None that is beaten in everything is kept."""
        if fold is not None:
            return _options(engine.name, _undominated(self._rows(engine, [fold])))
        key = _shape(engine)
        if key not in self._known:
            shared = [f for f in folds_of(engine) if not _whole(engine, f)]
            self._known[key] = _undominated(self._rows(engine, shared))
        full = Fold(pe=engine.out_channels, simd=engine.in_channels, taps=len(engine.op.taps))
        constant = self._rows(engine, [full]) if full.multipliers <= MAX_PRODUCTS else []
        return _options(engine.name, _undominated([*self._known[key], *constant]))

    def _rows(self, engine: ConvEngine, folds: list[Fold]) -> list[_Row]:
        fabric = self._part.fabric
        window = price_bill(bill(conv_window(engine)), fabric)
        chains = []
        for kinds in delay_choices(engine):
            chain = price_bill(bill(conv_delays(replace(engine, delays=kinds))), fabric)
            chains.append((kinds, window + chain))
        rows = []
        for fold in folds:
            folded = replace(engine, fold=fold)
            pipeline = engine_pipeline(folded, fabric, self._clock)
            items = bill((*conv_datapath(folded, self._graph), *pipeline_parts(pipeline)))
            datapath = price_bill(items, fabric)
            words = folded.cycles_per_output
            iterations = engine.scan.steps + engine.scan.outputs * (words - 1)
            interval = iterations + pipeline.depth + RESTART_CYCLES
            for memory in memories_of(words, self._part):
                rom = conv_weights(replace(folded, weights=memory))
                kept = datapath + price(rom, fabric) if rom is not None else datapath
                for kinds, chain in chains:
                    node = NodePlan(fold=fold, weights=memory, delays=kinds)
                    rows.append(_Row(node, interval, (kept + chain).amounts))
        return rows


def delay_choices(engine: ConvEngine) -> list[tuple[MemoryKind, ...]]:
    """How the delay chain may be kept: as the size of each segment says, or in block RAM where a segment is long enough."""
    by_size = engine.delays
    blocks = tuple(
        MemoryKind.BRAM if words >= LEAST_BLOCK_DELAY else kind
        for words, kind in zip(engine.scan.delays, by_size, strict=True)
    )
    return [by_size] if blocks == by_size else [by_size, blocks]


def _shape(engine: ConvEngine) -> tuple[object, ...]:
    """What the cost of an engine depends on when its weights are in memory: all but their values."""
    op = engine.op
    return (
        engine.source,
        engine.result,
        engine.scan,
        engine.weight_fmt.width,
        engine.acc_fmt,
        engine.delays,
        engine.shifts,
        op.bias is None,
        op.requantize,
    )


def _whole(engine: ConvEngine, fold: Fold) -> bool:
    return fold.multipliers == engine.out_channels * engine.in_channels * len(engine.op.taps)


def _undominated(rows: list[_Row]) -> list[_Row]:
    """By ascending interval; without the rows that another beats in interval and in every resource."""
    rows = sorted(rows, key=lambda row: (row.interval, row.cost))
    costs = np.array([row.cost for row in rows], dtype=np.int64)
    kept = np.empty_like(costs)
    count = 0
    found = []
    for row, cost in zip(rows, costs, strict=True):
        if not count or not (kept[:count] <= cost).all(axis=1).any():
            kept[count] = cost
            count += 1
            found.append(row)
    return found


def _options(name: str, rows: list[_Row]) -> Options:
    return Options(
        name,
        tuple(row.plan for row in rows),
        np.array([row.interval for row in rows], dtype=np.int64),
        np.array([row.cost for row in rows], dtype=np.int64),
    )
