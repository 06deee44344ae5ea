"""What the FIFOs of a design take, by their depths and memories, beyond what they take at the least depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from psp_hw.cost.bill import Fifo
from psp_hw.cost.devices import Fabric
from psp_hw.cost.pricing import price
from psp_hw.cost.resources import Resource
from psp_hw.dse.options import CostArray
from psp_hw.dse.relax import Choosing, FloatArray, relax, search
from psp_hw.dse.repair import Walk
from psp_hw.folding.dataflow import Dataflow
from psp_hw.folding.memory import memory_for_fifo
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, MemoryKind

NO_MEMORIES: Mapping[str, MemoryKind] = {}


class FifoCosts:
    """The FIFOs of a dataflow on a fabric; equal ones are looked at once.

    Args:
        flow: the depths and memories of its channels are not looked at.
        fabric: decides the prices.
    """

    def __init__(self, flow: Dataflow, fabric: Fabric) -> None:
        self._fabric = fabric
        self._bits = {channel.name: channel.type.pixel_bits for channel in flow.channels}
        self._known: dict[tuple[int, int, MemoryKind | None], CostArray] = {}
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
        """What they may take beyond the least depth [ways, 5]: of equal FIFOs every number of them in block RAM.

        A number of ways to take for each group of equal FIFOs; those that have one way only are together the first.
        """
        return tuple(ways for _, ways in self._groups(depths))

    def memories(
        self, depths: Mapping[str, int], beside: CostArray, budget: CostArray, prices: FloatArray
    ) -> Mapping[str, MemoryKind] | None:
        """Memories with which they fit, those alone that differ from what their sizes say; None where none do.

        Sizes decide where that fits. Else FIFOs trade LUTs for block RAM and back, at least cost.

        Args:
            depths: of all channels [tokens].
            beside: what all else takes, and FIFOs at the least depth [5].
            budget: what may be taken [5].
            prices: cost of one of each resource [5].
        """
        if (beside + self.beyond(depths) <= budget).all():
            return NO_MEMORIES
        groups = self._groups(depths)
        picks = _chosen([ways for _, ways in groups], beside, budget, prices)
        if picks is None:
            return None
        kinds: dict[str, MemoryKind] = {}
        for (names, _), blocks in zip(groups, picks, strict=True):
            kinds |= {
                name: MemoryKind.BRAM if place < blocks else MemoryKind.REGISTERS
                for place, name in enumerate(names)
            }
        return {
            name: kind
            for name, kind in kinds.items()
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

    def _groups(self, depths: Mapping[str, int]) -> list[tuple[list[str], CostArray]]:
        """FIFOs in groups, and what each may take beyond the least depth with none, one, .. all of them in block RAM [ways, 5]."""
        equal: dict[tuple[int, int], list[str]] = {}
        for name, depth in depths.items():
            equal.setdefault((self._bits[name], depth), []).append(name)
        single: list[str] = []
        fixed = np.zeros(len(Resource), dtype=np.int64)
        groups = []
        for (bits, depth), names in equal.items():
            shift, block = (self._more(bits, depth, kind) for kind in (MemoryKind.REGISTERS, MemoryKind.BRAM))
            if (shift <= block).all():
                single += names
                fixed += len(names) * shift
            else:
                blocks = np.arange(len(names) + 1)[:, None]
                groups.append((names, (len(names) - blocks) * shift + blocks * block))
        return [(single, fixed[None, :]), *groups]

    def _more(self, bits: int, depth: int, kind: MemoryKind | None) -> CostArray:
        key = bits, depth, kind
        if key not in self._beyond:
            self._beyond[key] = self._one(bits, depth, kind) - self._one(bits, DEFAULT_FIFO_DEPTH, None)
        return self._beyond[key]

    def _one(self, bits: int, depth: int, kind: MemoryKind | None) -> CostArray:
        key = bits, depth, kind
        if key not in self._known:
            amounts = price(Fifo(depth, bits, kind), self._fabric).amounts
            self._known[key] = np.array(amounts, dtype=np.int64)
        return self._known[key]


def _chosen(
    lists: Sequence[CostArray], beside: CostArray, budget: CostArray, prices: FloatArray
) -> tuple[int, ...] | None:
    """One of each list, at little cost, so that all fits; None where nothing was found."""
    if (beside + sum(ways.min(axis=0) for ways in lists) > budget).any():
        return None
    choosing = Choosing(lists, beside, budget, prices)
    relaxed = relax(choosing)
    walk = Walk(choosing, relaxed.picks or relaxed.nearest)
    cost = math.inf
    if walk.into_budget():
        walk.cheaper()
        cost = walk.cost
    better = search(choosing, relaxed, cost).picks
    return better or (walk.picks if walk.fits else None)
