"""What the FIFOs of a design take, by their depths and memories, beyond what they take at the least depth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from psp_hw.cost.bill import Fifo
from psp_hw.cost.devices import Fabric
from psp_hw.cost.pricing import price
from psp_hw.cost.resources import Resource
from psp_hw.dse.arrays import CostArray, FloatArray
from psp_hw.dse.relax import Choosing, Relaxing, search
from psp_hw.dse.repair import Walk
from psp_hw.folding.dataflow import Dataflow
from psp_hw.folding.memory import fifo_may_be_ultra, memory_for_fifo
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, MemoryKind

# FIFOs that are taken together where there are three memories for each: 45 ways. What more there are that are equal is another group.
MOST_EQUAL = 8

NO_MEMORIES: Mapping[str, MemoryKind] = {}


class FifoCosts:
    """The FIFOs of a dataflow on a fabric; equal ones are looked at once.

    Args:
        flow: the depths and memories of its channels are not looked at.
        fabric: decides the prices.
        ultra: whether the part has UltraRAM and the back end can keep FIFOs in it.
    """

    def __init__(self, flow: Dataflow, fabric: Fabric, *, ultra: bool) -> None:
        self._fabric, self._ultra = fabric, ultra
        self._bits = {channel.name: channel.type.pixel_bits for channel in flow.channels}
        self._beyond: dict[tuple[int, int, MemoryKind | None], CostArray] = {}

    @property
    def least(self) -> CostArray:
        """What all of them take at the least depth [5]."""
        taken = [self._one(bits, DEFAULT_FIFO_DEPTH, None) for bits in self._bits.values()]
        return np.sum(taken, axis=0) if taken else np.zeros(len(Resource), dtype=np.int64)

    def beyond(
        self, depths: Mapping[str, int], memories: Mapping[str, MemoryKind] = NO_MEMORIES
    ) -> CostArray:
        """What they take beyond the least depth [5]; less than nothing of LUTs where block RAM takes their place.

        Args:
            depths: of channels [tokens]; those that are not named have the least.
            memories: of channels; the sizes of those that are not named decide.
        """
        extra = np.zeros(len(Resource), dtype=np.int64)
        for name, depth in depths.items():
            extra += self._more(self._bits[name], depth, memories.get(name))
        return extra

    def ways(self, depths: Mapping[str, int]) -> tuple[CostArray, ...]:
        """What they may take beyond the least depth [ways, 5]: of equal FIFOs every number of them in each memory that may pay.

        A number of ways to take for each group of equal FIFOs; those that have one way only are together the first.
        """
        return tuple(group.ways for group in self._groups(depths))

    def memories(
        self, depths: Mapping[str, int], beside: CostArray, budget: CostArray, prices: FloatArray
    ) -> Mapping[str, MemoryKind] | None:
        """Memories with which they fit, those alone that differ from what their sizes say; None where none do.

        Sizes decide where that fits. Else FIFOs trade LUTs, block RAM and UltraRAM for each other, at least cost.

        Args:
            depths: of all channels [tokens].
            beside: what all else takes, and FIFOs at the least depth [5].
            budget: what may be taken [5].
            prices: cost of one of each resource [5].
        """
        if (beside + self.beyond(depths) <= budget).all():
            return NO_MEMORIES
        groups = self._groups(depths)
        picks = _chosen([group.ways for group in groups], beside, budget, prices)
        if picks is None:
            return None
        return {
            name: kind
            for group, pick in zip(groups, picks, strict=True)
            for name, kind in group.kinds_of(pick)
            if kind is not memory_for_fifo(depths[name], self._bits[name])
        }

    def cheapest(
        self, depths: Mapping[str, int], beside: CostArray, budget: CostArray, prices: FloatArray
    ) -> CostArray:
        """What they take beyond the least depth in the cheapest memories with which they fit [5]; as their sizes say where none do."""
        lists = self.ways(depths)
        picks = _chosen(lists, beside, budget, prices)
        if picks is None:
            return self.beyond(depths)
        taken = [ways[pick] for ways, pick in zip(lists, picks, strict=True)]
        return np.asarray(np.sum(taken, axis=0), dtype=np.int64)

    def _groups(self, depths: Mapping[str, int]) -> list[_Group]:
        """FIFOs in groups, first all that have one way only."""
        equal: dict[tuple[int, int], list[str]] = {}
        for name, depth in depths.items():
            equal.setdefault((self._bits[name], depth), []).append(name)
        single: list[str] = []
        fixed = np.zeros(len(Resource), dtype=np.int64)
        groups = []
        for (bits, depth), names in equal.items():
            kinds = self._kinds(bits, depth)
            each = [self._more(bits, depth, kind) for kind in kinds]
            if len(kinds) == 1:
                single += names
                fixed += len(names) * each[0]
                continue
            together = len(names) if len(kinds) == 2 else MOST_EQUAL
            for start in range(0, len(names), together):
                groups.append(_group(names[start : start + together], kinds, each))
        return [_Group(single, (MemoryKind.REGISTERS,), np.array([[len(single)]]), fixed[None, :]), *groups]

    def _kinds(self, bits: int, depth: int) -> tuple[MemoryKind, ...]:
        """Memories worth a try: shift registers, and each of which a FIFO takes less of something than in those before."""
        kinds = [MemoryKind.REGISTERS]
        ultra = self._ultra and fifo_may_be_ultra(depth, bits)
        for kind in (MemoryKind.BRAM, *((MemoryKind.URAM,) if ultra else ())):
            taken = self._more(bits, depth, kind)
            if not any((self._more(bits, depth, known) <= taken).all() for known in kinds):
                kinds.append(kind)
        return tuple(kinds)

    def _more(self, bits: int, depth: int, kind: MemoryKind | None) -> CostArray:
        key = bits, depth, kind
        if key not in self._beyond:
            self._beyond[key] = self._one(bits, depth, kind) - self._one(bits, DEFAULT_FIFO_DEPTH, None)
        return self._beyond[key]

    def _one(self, bits: int, depth: int, kind: MemoryKind | None) -> CostArray:
        return np.array(price(Fifo(depth, bits, kind), self._fabric).amounts, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Equal FIFOs, or all of which there is one way to keep them.

    Args:
        names: of the FIFOs.
        kinds: memories that may keep them, shift registers first.
        counts: how many of them each memory keeps, by way [ways, kinds].
        ways: what they then take beyond the least depth [ways, 5].
    """

    names: Sequence[str]
    kinds: tuple[MemoryKind, ...]
    counts: CostArray
    ways: CostArray

    def kinds_of(self, way: int) -> Iterator[tuple[str, MemoryKind]]:
        """Where one of the ways keeps each of them; blocks come first."""
        counts = self.counts[way].tolist()
        order = [*range(1, len(self.kinds)), 0]
        return zip(self.names, [self.kinds[at] for at in order for _ in range(counts[at])], strict=True)


def _group(names: Sequence[str], kinds: tuple[MemoryKind, ...], each: Sequence[CostArray]) -> _Group:
    """Equal FIFOs, every number of them in each memory, those in shift registers the most first.

    Args:
        each: what one of them takes beyond the least depth in each of the memories [5].
    """
    count = len(names)
    tuples = product(range(count + 1), repeat=len(kinds) - 1)
    counts = np.array([(count - sum(some), *some) for some in tuples if sum(some) <= count], dtype=np.int64)
    return _Group(names, kinds, counts, counts @ np.array(each))


def _chosen(
    lists: Sequence[CostArray], beside: CostArray, budget: CostArray, prices: FloatArray
) -> tuple[int, ...] | None:
    """One of each list, at little cost, so that all fits; None where nothing was found."""
    if (beside + sum(ways.min(axis=0) for ways in lists) > budget).any():
        return None
    choosing = Choosing(lists, beside, budget, prices)
    relaxed = Relaxing(choosing).run()
    walk = Walk(choosing, relaxed.picks or relaxed.nearest)
    cost = math.inf
    if walk.into_budget():
        walk.cheaper()
        cost = walk.cost
    better = search(choosing, relaxed, cost).picks
    return better or (walk.picks if walk.fits else None)
