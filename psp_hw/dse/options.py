"""What can be chosen for an engine: ways to build it, with their cycles and resources, without those that never matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np

from psp_hw.dse.arrays import CostArray, Indices
from psp_hw.dse.pareto import ascending, dominated_nearby, matters_until, undominated
from psp_hw.dse.paths import Datapaths
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import MemoryKind, NodePlan
from psp_hw.sim.process import RESTART_CYCLES


@dataclass(frozen=True, slots=True)
class _Kept:
    """Data paths with one way to keep the delay chain."""

    paths: Datapaths
    delays: tuple[MemoryKind, ...]


class Plans(Sequence[NodePlan]):
    """What each of an engine's options is; an object only when it is asked for."""

    def __init__(self, kept: Sequence[_Kept], order: Indices) -> None:
        self._kept, self._order = kept, order
        self._ends = np.cumsum([len(one.paths) for one in kept])

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, at: int) -> NodePlan: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[NodePlan]: ...

    def __getitem__(self, at: int | slice) -> NodePlan | Sequence[NodePlan]:
        if isinstance(at, slice):
            return [self[index] for index in range(len(self))[at]]
        place = int(self._order[at])
        group = int(np.searchsorted(self._ends, place, side="right"))
        one = self._kept[group]
        fold, multipliers, memory = one.paths.way(place - int(self._ends[group]) + len(one.paths))
        return NodePlan(fold=fold, weights=memory, delays=one.delays, multipliers=multipliers)


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """Choices for one engine, by ascending interval.

    Args:
        name: of the engine.
        plans: the choices [n].
        intervals: cycles from frame to frame when nothing waits [n], ascending.
        costs: resources in the order of ``Resource`` [n, 5].
        until: the interval from which on another takes no more of anything, where that is known [n] (``matters_until``).
    """

    name: str
    plans: Sequence[NodePlan]
    intervals: CostArray
    costs: CostArray
    until: CostArray | None = None

    def within(self, interval: int) -> int:
        """How many of the choices, from the first, meet an interval."""
        return int(np.searchsorted(self.intervals, interval, side="right"))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Data paths of an engine that may be had with each of some ways to keep the delay chain.

    Args:
        engine: which it is.
        paths: the data paths.
        chains: memories of the delays, and what window, walk and chain then take [5].
    """

    engine: int
    paths: Datapaths
    chains: tuple[tuple[tuple[MemoryKind, ...], tuple[int, ...]], ...]


def by_engine(engines: Sequence[ConvEngine], blocks: Sequence[Block], interval: int | None) -> list[Options]:
    """The options of every engine, by ascending interval, without those that never matter.

    Args:
        blocks: of its data paths, engine after engine.
        interval: the one interval that will be asked for; None where it may be any.
    """
    if not engines:
        return []
    walks = np.array([(one.scan.steps, one.scan.outputs) for one in engines], dtype=np.int64)
    rows = np.concatenate([block.paths.rows for block in blocks])
    steps, outputs = walks[np.repeat([b.engine for b in blocks], [len(b.paths) for b in blocks])].T
    takes = steps + outputs * (rows[:, 0] - 1) + rows[:, 1] + RESTART_CYCLES
    kept: list[list[_Kept]] = [[] for _ in engines]
    places: list[Indices] = []
    for block, (paths, some) in zip(blocks, _worth_a_look(blocks, takes, rows[:, 2:], interval), strict=True):
        kept[block.engine] += [_Kept(paths, kinds) for kinds, _ in block.chains]
        places += [some] * len(block.chains)
    sizes = [len(some) for some in places]
    chains = np.array([amounts for block in blocks for _, amounts in block.chains], dtype=np.int64)
    of = np.repeat([block.engine for block in blocks for _ in block.chains], sizes)
    every = np.concatenate(places)
    intervals = takes[every]
    costs = rows[every, 2:] + np.repeat(chains, sizes, axis=0)
    order = ascending(np.stack([of, intervals], axis=1))
    order = order[~dominated_nearby(of[order], costs[order])]
    intervals, costs = intervals[order], costs[order]
    starts = np.searchsorted(of, np.arange(len(engines))).tolist()
    ends = np.searchsorted(of[order], np.arange(len(engines) + 1)).tolist()
    return [
        _mattering(engine.name, some, order[first:end] - start, intervals[first:end], costs[first:end])
        for engine, some, start, (first, end) in zip(engines, kept, starts, pairwise(ends), strict=True)
    ]


def _worth_a_look(
    blocks: Sequence[Block], takes: CostArray, costs: CostArray, interval: int | None
) -> Iterator[tuple[Datapaths, Indices]]:
    """Of each block those data paths that may matter, and their rows among all."""
    start = 0
    for block in blocks:
        end = start + len(block.paths)
        if interval is None:
            yield block.paths, np.arange(start, end)
        else:
            some = _at_one(takes[start:end], costs[start:end], interval)
            yield block.paths.only(some), start + some
        start = end


def _mattering(
    name: str,
    kept: Sequence[_Kept],
    order: Indices,
    intervals: CostArray,
    costs: CostArray,
) -> Options:
    """The options of an engine that ever matter."""
    until = matters_until(intervals, costs)
    ever = until > intervals
    return Options(name, Plans(kept, order[ever]), intervals[ever], costs[ever], until[ever])


def _at_one(intervals: CostArray, costs: CostArray, interval: int) -> Indices:
    """Indices of the choices that matter for one interval, of the fastest and of the slowest."""
    some = np.flatnonzero(intervals <= interval)
    ends = [int(intervals.argmin()), int(intervals.argmax())]
    return np.unique(np.concatenate([some[undominated(costs[some])], ends]))
