"""Every fold of the dense schedule priced at once.

What a fold takes is a sum of parts that each depend on little of it: products and their trees on the operands, and so much per
output channel; what makes the output on ``pe``; what selects operands on ``simd`` and ``taps``; pipeline registers on the operands,
and linearly on ``pe``. Each part is priced once per value that it depends on (``psp_hw.dse.prices``), and added up by index. A test
holds the sums against engines whose bills are priced one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from psp_hw.cost.bill import MultiplyPair
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import reads_padding
from psp_hw.cost.memories import roms
from psp_hw.cost.pricing import fits_dsp, packed_bits, uses_dsp
from psp_hw.dse.beaten import Indices
from psp_hw.dse.paths import CostArray, Datapaths
from psp_hw.dse.prices import Amounts, Site
from psp_hw.dse.tables import MAX_PRODUCTS
from psp_hw.folding.engine import ConvEngine, signed_width
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind, divisors
from psp_hw.folding.ports import MOST_BITS

# Where the weight words of a folded engine may be kept. UltraRAM holds no constants (``psp_hw.folding.ports``).
MEMORIES = (MemoryKind.LUTRAM, MemoryKind.BRAM)


def multipliers_of(engine: ConvEngine, fabric: Fabric) -> tuple[MultiplierKind, ...]:
    """How a folded engine may make its products on a fabric: left to the tool, or the way that the tool would not take.

    Pairs only where one DSP holds them.
    """
    entering, weight = engine.source.fmt.width, engine.weight_fmt.width
    if engine.cycles_per_output == 1 or min(entering, weight) == 1:
        return (MultiplierKind.TOOL,)
    other = MultiplierKind.LUT if uses_dsp(entering, weight) else MultiplierKind.DSP
    pair = MultiplyPair(engine.operand_bits, signed_width(engine.weight_fmt), engine.pair_lane)
    if engine.fold.pe % 2 == 0 and fits_dsp(packed_bits(pair), engine.operand_bits, fabric):
        return (MultiplierKind.TOOL, other, MultiplierKind.DSP_PAIR)
    return (MultiplierKind.TOOL, other)


def dense_datapaths(
    engine: ConvEngine, site: Site, kinds: frozenset[MultiplierKind], most: int = MAX_PRODUCTS
) -> Datapaths:
    """Folds that go through all taps and channels, the whole pixel at once apart, with each kind of multipliers and memory.

    Args:
        engine: its fold and multipliers are not looked at.
        kinds: multipliers that the back end can bind.
        most: products at once, at most.

    Returns:
        by ascending words, depth and resources, the first before the others.
    """
    grid = _Grid.of(replace(engine, table=None, multipliers=MultiplierKind.TOOL), site, most)
    possible = [kind for kind in grid.kinds(site.fabric) if kind in kinds]
    found = list(grid.rows(possible, site))
    if not found:
        return Datapaths.of([])
    rows = np.concatenate([numbers for _, _, numbers, _ in found])
    places = np.concatenate([where for _, _, _, where in found])
    source = np.repeat(np.arange(len(found)), [len(where) for _, _, _, where in found])
    order = np.lexsort(rows.T[::-1])
    places, source = places[order], source[order]

    def way(at: int) -> tuple[Fold, MultiplierKind, MemoryKind]:
        kind, memory, _, _ = found[int(source[at])]
        return grid.fold(*places[at].tolist()), kind, memory

    return Datapaths(rows[order], way)


# Multipliers, where the weights are, (words, depth, resources) [n, 7], and (place among pe, place among inner folds) [n, 2].
_Rows = tuple[MultiplierKind, MemoryKind, CostArray, Indices]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Folds of an engine as pe x (simd, taps).

    Args:
        most: products at once, at most.
        pes: all pe up to that [P].
        inner: (simd, taps) [I], ascending in their product; of equal products those whose counters no other beats.
        operands: simd * taps [I].
        distinct: the operands that occur [L], and for each inner fold its place among them [I].
        whole: operands of the whole window.
        selection: what brings operands to the multipliers, at pe = 1 [I, 5].
        counters: what that takes more at each pe [P, 5]; negative, as there are fewer blocks to count.
        outputs: what makes the output at each pe: sums complete at once, and carried from cycle to cycle [P, 2, 5].
        sizes: numbers of weights that a word can have, ascending [S].
        roms: what a memory of such words takes, for each of ``MEMORIES`` [2, S, 5].
    """

    engine: ConvEngine
    most: int
    pes: CostArray
    inner: list[tuple[int, int]]
    operands: CostArray
    distinct: CostArray
    place: Indices
    whole: int
    selection: CostArray
    counters: CostArray
    outputs: CostArray
    sizes: CostArray
    roms: list[CostArray]

    @staticmethod
    def of(engine: ConvEngine, site: Site, most: int) -> _Grid:
        """The grid of an engine, up to so many products at once."""
        width, channels = engine.weight_fmt.width, engine.out_channels
        most = min(most, MOST_BITS // width)  # that a word can hold
        inner, selection = _inner_folds(engine, site, most)
        operands = np.array([simd * taps for simd, taps in inner], dtype=np.int64)
        distinct, place = np.unique(operands, return_inverse=True)
        pes = [pe for pe in divisors(channels) if pe <= most]
        counters = np.array([site.counter(channels // pe) for pe in pes], dtype=np.int64)
        weights = channels * engine.in_channels * len(engine.op.taps)
        every = np.unique(np.multiply.outer(np.array(pes, dtype=np.int64), distinct))
        sizes = every[every <= min(most, weights - 1)]
        return _Grid(
            engine=engine,
            most=most,
            pes=np.array(pes, dtype=np.int64),
            inner=inner,
            operands=operands,
            distinct=distinct,
            place=place,
            whole=engine.in_channels * len(engine.op.taps),
            selection=selection,
            counters=counters - counters[0],
            outputs=np.array(site.outputs(engine, pes), dtype=np.int64),
            sizes=sizes,
            roms=[roms(weights // sizes, sizes * width, memory) for memory in MEMORIES],
        )

    def fold(self, pe: int, inner: int) -> Fold:
        """The fold at two places."""
        return _fold(int(self.pes[pe]), *self.inner[inner])

    def kinds(self, fabric: Fabric) -> tuple[MultiplierKind, ...]:
        """Multipliers that some fold can have; none where there is nothing to fold."""
        if self.engine.out_channels * self.whole == 1:
            return ()
        even = self.pes[self.pes % 2 == 0]
        pe = int(even[0]) if even.size else 1
        kinds = multipliers_of(_folded(self.engine, pe, (1, 1)), fabric)
        # The even pe may be all there is of the pixel: what one output at a time can have, some fold can.
        return tuple(dict.fromkeys((*multipliers_of(_folded(self.engine, 1, (1, 1)), fabric), *kinds)))

    def rows(self, kinds: Sequence[MultiplierKind], site: Site) -> Iterator[_Rows]:
        """Every fold with each of some kinds of multipliers, for each memory of the weights."""
        at = np.indices((len(self.pes), len(self.inner))).reshape(2, -1)
        products = self.pes[at[0]] * self.operands[at[1]]
        words = self.engine.out_channels * self.whole // products
        able = (products <= self.most) & (words > 1)
        at, words, which = at[:, able], words[able], np.searchsorted(self.sizes, products[able])
        beside = (
            self.outputs[at[0], (self.operands[at[1]] < self.whole).astype(np.intp)]
            + self.selection[at[1]]
            + self.counters[at[0]]
        )
        even = np.flatnonzero(self.pes[at[0]] % 2 == 0)
        for kind in kinds:
            paired = kind is MultiplierKind.DSP_PAIR
            some = even if paired else np.arange(len(words))
            if not len(some):
                continue
            pe, place = self.pes[at[0, some]], self.place[at[1, some]]
            least = int(self.pes[self.pes % 2 == 0][0]) if paired else int(self.pes[0])
            paths = site.paths(self.engine, kind, least, self.distinct.tolist())
            cost = paths.sums[place] * (pe // least)[:, None] + paths.more[place] * pe[:, None]
            cost += paths.fixed[place]
            cost += beside[some]
            head = np.stack([words[some], paths.depth[place]], axis=1)
            for memory, taken in zip(MEMORIES, self.roms, strict=True):
                yield kind, memory, np.concatenate([head, cost + taken[which[some]]], axis=1), at[:, some].T


def _inner_folds(engine: ConvEngine, site: Site, most: int) -> tuple[list[tuple[int, int]], CostArray]:
    """(simd, taps) [I] of at most so many operands, and what brings those to the multipliers, one output channel at once [I, 5].

    In order of their operands; of as many only those that no other beats.
    """
    channels, taps_all, entering = engine.in_channels, len(engine.op.taps), engine.source.fmt.width
    alike: dict[int, list[tuple[int, int]]] = {}
    for simd in divisors(channels):
        for taps in divisors(taps_all):
            if simd * taps <= most or simd * taps == 1:
                alike.setdefault(simd * taps, []).append((simd, taps))
    padded, whole = reads_padding(engine.scan), channels * taps_all
    by_simd = {simd: site.counter(channels // simd) for simd in divisors(channels)}
    by_taps = {taps: site.counter(taps_all // taps) for taps in divisors(taps_all)}
    inner: list[tuple[int, int]] = []
    common, counters = [], []
    for operands, some in sorted(alike.items()):
        costs = [_plus(by_taps[taps], by_simd[simd]) for simd, taps in some]
        shared = site.mux(whole // operands, operands * entering)
        if padded:
            shared = _plus(site.gate(operands * entering), shared)
        for place in _unbeaten_few(costs) if len(some) > 1 else (0,):
            inner.append(some[place])
            common.append(shared)
            counters.append(costs[place])
    outer = np.array(site.counter(engine.out_channels), dtype=np.int64)
    return inner, np.array(common, dtype=np.int64) + np.array(counters, dtype=np.int64) + outer


@cache
def _fold(pe: int, simd: int, taps: int) -> Fold:
    """A fold; layers share most of theirs."""
    return Fold(pe=pe, simd=simd, taps=taps)


def _folded(engine: ConvEngine, pe: int, inner: tuple[int, int]) -> ConvEngine:
    return replace(engine, fold=_fold(pe, *inner))


def _unbeaten_few(rows: Sequence[Amounts]) -> list[int]:
    """``unbeaten`` of a few rows."""
    found: list[int] = []
    for at in sorted(range(len(rows)), key=lambda index: rows[index]):
        if not any(all(map(int.__le__, rows[other], rows[at])) for other in found):
            found.append(at)
    return found


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return tuple(map(int.__add__, one, other))
