"""Every fold of the dense schedule priced at once, of all engines of a network together.

What a fold takes is a sum of parts that each depend on little of it: products and their trees on the operands, and so much per
output channel; what makes the output on ``pe``; what selects operands on ``simd`` and ``taps``; pipeline registers on the operands,
and linearly on ``pe``. Each part is priced once per value that it depends on, in a table with a row for every such value of every
engine; the folds are rows that add those of the tables up by index. A test holds the sums against engines whose bills are priced one by
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from psp_hw.cost.bill import MultiplyPair
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import product_of, reads_padding
from psp_hw.cost.memories import gates, muxes, roms
from psp_hw.cost.pricing import fits_dsp, packed_bits, uses_dsp
from psp_hw.cost.resources import Resource
from psp_hw.dse.arrays import CostArray, Indices
from psp_hw.dse.chains import trees
from psp_hw.dse.pareto import ascending
from psp_hw.dse.paths import Datapaths
from psp_hw.dse.prices import Amounts, Site
from psp_hw.folding.engine import ConvEngine, signed_width
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind, divisors
from psp_hw.folding.ports import MOST_BITS

# Where the weight words of a folded engine may be kept. UltraRAM holds no constants (``psp_hw.folding.ports``).
MEMORIES = (MemoryKind.LUTRAM, MemoryKind.BRAM)

_LUT = list(Resource).index(Resource.LUT)


def multipliers_of(engine: ConvEngine, fabric: Fabric) -> tuple[MultiplierKind, ...]:
    """How a folded engine may make its products on a fabric: left to the tool, or the way that the tool would not take.

    Pairs only where one DSP holds them.
    """
    if engine.cycles_per_output == 1:
        return (MultiplierKind.TOOL,)
    some = _multipliers(engine, fabric)
    return (
        some
        if engine.fold.pe % 2 == 0
        else tuple(kind for kind in some if kind is not MultiplierKind.DSP_PAIR)
    )


def _multipliers(engine: ConvEngine, fabric: Fabric) -> tuple[MultiplierKind, ...]:
    """``multipliers_of`` some fold or other."""
    entering, weight = engine.source.fmt.width, engine.weight_fmt.width
    if min(entering, weight) == 1:
        return (MultiplierKind.TOOL,)
    other = MultiplierKind.LUT if uses_dsp(entering, weight) else MultiplierKind.DSP
    pair = MultiplyPair(engine.operand_bits, signed_width(engine.weight_fmt), engine.pair_lane)
    if fits_dsp(packed_bits(pair), engine.operand_bits, fabric):
        return (MultiplierKind.TOOL, other, MultiplierKind.DSP_PAIR)
    return (MultiplierKind.TOOL, other)


def dense_datapaths(
    engines: Sequence[ConvEngine],
    site: Site,
    kinds: frozenset[MultiplierKind],
    most: Sequence[int],
) -> list[Datapaths]:
    """Folds that go through all taps and channels, the whole pixel at once apart, with each kind of multipliers and memory.

    Args:
        engines: their folds and multipliers are not looked at.
        kinds: multipliers that the back end can bind.
        most: products at once, at most, by engine.

    Returns:
        by engine, by ascending words, depth and resources, the first before the others.
    """
    if not engines:
        return []
    grid = _Grid.of(engines, site, most)
    ways = [tuple(kind for kind in _multipliers(one, site.fabric) if kind in kinds) for one in engines]
    longest = max(map(len, ways))
    found = [
        rows
        for turn in range(longest)
        for rows in grid.rows([way[turn] if turn < len(way) else None for way in ways], site)
    ]
    owners = np.concatenate([grid.owner[rows.folds] for rows in found])
    folds = np.concatenate([rows.folds for rows in found])
    source = np.repeat(np.arange(len(found)), [len(rows.folds) for rows in found])
    numbers = np.concatenate([rows.numbers for rows in found])
    order = ascending(np.concatenate([owners[:, None], numbers], axis=1))
    ends = np.cumsum(np.bincount(owners, minlength=len(engines))).tolist()
    table = _Table(grid, found, folds[order], source[order], numbers[order])
    return [table.part(start, end) for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Folds with one kind of multipliers per engine and one memory.

    Args:
        kinds: of multipliers, by engine; None where it has no such row.
        memory: where the weights are.
        folds: which fold of the grid each is [n].
        numbers: words, depth, resources [n, 7].
    """

    kinds: Sequence[MultiplierKind | None]
    memory: MemoryKind
    folds: Indices
    numbers: CostArray


@dataclass(frozen=True, slots=True)
class _Table:
    """All rows of all engines, engine after engine, ascending; ``folds`` and ``source`` say what each is."""

    grid: _Grid
    found: Sequence[_Rows]
    folds: Indices
    source: Indices
    numbers: CostArray

    def part(self, start: int, end: int) -> Datapaths:
        """Those of one engine."""
        return Datapaths(self.numbers[start:end], lambda at: self.way(start + at))

    def way(self, at: int) -> tuple[Fold, MultiplierKind, MemoryKind]:
        """What a row is."""
        rows, fold = self.found[int(self.source[at])], int(self.folds[at])
        kind = rows.kinds[int(self.grid.owner[fold])]
        assert kind is not None
        return self.grid.fold(fold), kind, rows.memory


@dataclass(frozen=True, slots=True)
class _Inner:
    """(simd, taps) of engines, engine after engine, by ascending operands; of as many those whose counters no other beats.

    Args:
        owner: the engine of each [I].
        selection: what brings so many operands to the multipliers, one output channel at once [I, 5].
    """

    owner: Indices
    simd: CostArray
    taps: CostArray
    operands: CostArray
    selection: CostArray

    @staticmethod
    def of(engines: Sequence[ConvEngine], site: Site, most: Sequence[int]) -> _Inner:
        """Of at most so many operands each."""
        every = [
            inner_folds(site, one.in_channels, len(one.op.taps), limit)
            for one, limit in zip(engines, most, strict=True)
        ]
        owner = np.repeat(np.arange(len(every)), [len(some) for some in every])
        simd, taps = np.array([fold for some in every for fold in some], dtype=np.int64).T
        numbers = [
            (
                one.in_channels,
                len(one.op.taps),
                one.out_channels,
                one.source.fmt.width,
                reads_padding(one.scan),
            )
            for one in engines
        ]
        channels, taps_all, outputs, entering, padded = np.array(numbers, dtype=np.int64)[owner].T
        operands, counters = simd * taps, site.counters(max(max(row[:3]) for row in numbers))
        selection = counters(channels // simd) + counters(taps_all // taps) + counters(outputs)
        selection[:, _LUT] += muxes(channels * taps_all // operands, operands * entering)
        selection[:, _LUT] += padded * gates(operands * entering)
        return _Inner(owner, simd, taps, operands, selection)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Folds of engines as pe x (simd, taps), engine after engine.

    Args:
        pes: output channels at once, engine after engine [P].
        inner: what is behind them.
        counters: what counts blocks at each of ``pes`` beyond what it does one by one [P, 5]; negative, as there are fewer.
        outputs: what makes the output at each: sums complete at once, and carried from cycle to cycle [P, 2, 5].
        owner: the engine of each fold [n].
        outer, within: which of ``pes`` and of ``inner`` each has [n].
        words: weight words of each [n].
        carried: whether sums are carried from cycle to cycle [n].
    """

    engines: Sequence[ConvEngine]
    pes: CostArray
    inner: _Inner
    counters: CostArray
    outputs: CostArray
    owner: Indices
    outer: Indices
    within: Indices
    words: CostArray
    carried: Indices

    @staticmethod
    def of(engines: Sequence[ConvEngine], site: Site, most: Sequence[int]) -> _Grid:
        """The folds of engines, up to so many products at once each, and as a word can hold."""
        most = [
            min(limit, MOST_BITS // one.weight_fmt.width) for one, limit in zip(engines, most, strict=True)
        ]
        inner = _Inner.of(engines, site, most)
        outer = [
            [pe for pe in _divisors(one.out_channels) if pe <= limit]
            for one, limit in zip(engines, most, strict=True)
        ]
        pes = np.array([pe for some in outer for pe in some], dtype=np.int64)
        outputs = [pair for one, some in zip(engines, outer, strict=True) for pair in site.outputs(one, some)]
        channels = np.repeat([one.out_channels for one in engines], [len(some) for some in outer])
        counters = site.counters(int(channels.max()))
        owner, pe_at, inner_at = _products([len(some) for some in outer], np.bincount(inner.owner).tolist())
        whole = np.array([one.in_channels * len(one.op.taps) for one in engines], dtype=np.int64)
        products = pes[pe_at] * inner.operands[inner_at]
        words = channels[pe_at] * whole[owner] // products
        able = np.flatnonzero((products <= np.array(most)[owner]) & (words > 1))
        owner, pe_at, inner_at = owner[able], pe_at[able], inner_at[able]
        return _Grid(
            engines=engines,
            pes=pes,
            inner=inner,
            counters=counters(channels // pes) - counters(channels),
            outputs=np.array(outputs, dtype=np.int64),
            owner=owner,
            outer=pe_at,
            within=inner_at,
            words=words[able],
            carried=(inner.operands[inner_at] < whole[owner]).astype(np.intp),
        )

    def fold(self, at: int) -> Fold:
        """One of them."""
        inner = int(self.within[at])
        return _fold(int(self.pes[self.outer[at]]), int(self.inner.simd[inner]), int(self.inner.taps[inner]))

    def rows(self, kinds: Sequence[MultiplierKind | None], site: Site) -> list[_Rows]:
        """Every fold with one kind of multipliers per engine, none where that is None, for each memory of the weights."""
        has = np.array([kind is not None for kind in kinds])
        paired = np.array([kind is MultiplierKind.DSP_PAIR for kind in kinds])
        folds = np.flatnonzero(has[self.owner] & ~(paired[self.owner] & (self.pes[self.outer] % 2 == 1)))
        within, pe = self.within[folds], self.pes[self.outer[folds]]
        inner, engines = self.inner, self.engines
        paths = site.chains.paths(site.chains.of(engines, kinds, inner.owner, inner.operands), inner.operands)
        formats = [
            (one.source.fmt.width + one.weight_fmt.width, one.acc_fmt.width, one.weight_fmt.width)
            for one in engines
        ]
        product, most, weight = np.array(formats, dtype=np.int64).T
        summing = trees(inner.operands, product[inner.owner], most[inner.owner], site.fabric)
        made = [
            product_of(one, kind or MultiplierKind.TOOL) for one, kind in zip(engines, kinds, strict=True)
        ]
        makes = np.array([number for _, number in made], dtype=np.int64)
        multiplier = np.array([site.one(operator) for operator, _ in made], dtype=np.int64)
        owner, products = self.owner[folds], pe * inner.operands[within]
        cost = multiplier[owner] * (products // makes[owner])[:, None]
        cost += (paths.more + summing)[within] * pe[:, None]
        cost += (paths.fixed + inner.selection)[within]
        cost += self.counters[self.outer[folds]]
        cost += self.outputs[self.outer[folds], self.carried[folds]]
        words = self.words[folds]
        head = np.stack([words, paths.depth[within]], axis=1)
        return [
            _Rows(kinds, memory, folds, np.concatenate([head, cost + taken], axis=1))
            for memory in MEMORIES
            for taken in (roms(words, products * weight[owner], memory),)
        ]


def _products(outer: Sequence[int], inner: Sequence[int]) -> tuple[Indices, Indices, Indices]:
    """Every pair of an outer and an inner one of each engine: the engine, the place of the outer, that of the inner [n]."""
    counts, width = np.multiply(outer, inner), np.array(inner)
    owner = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    first_outer, first_inner = (np.cumsum(sizes) - sizes for sizes in (np.array(outer), width))
    return owner, first_outer[owner] + place // width[owner], first_inner[owner] + place % width[owner]


def inner_folds(site: Site, channels: int, taps_all: int, most: int) -> tuple[tuple[int, int], ...]:
    """(simd, taps) of at most so many operands, in their order; of as many only those whose counters no other's beat."""
    alike: dict[int, list[tuple[int, int]]] = {}
    for simd in _divisors(channels):
        for taps in _divisors(taps_all):
            if simd * taps <= most or simd * taps == 1:
                alike.setdefault(simd * taps, []).append((simd, taps))
    found: list[tuple[int, int]] = []
    for _, some in sorted(alike.items()):
        if len(some) == 1:
            found += some
            continue
        costs = [_plus(site.counter(taps_all // taps), site.counter(channels // simd)) for simd, taps in some]
        found += [some[place] for place in _undominated_few(costs)]
    return tuple(found)


@cache
def _divisors(number: int) -> tuple[int, ...]:
    return tuple(divisors(number))


@cache
def _fold(pe: int, simd: int, taps: int) -> Fold:
    """A fold; layers share most of theirs."""
    return Fold(pe=pe, simd=simd, taps=taps)


def _undominated_few(rows: Sequence[Amounts]) -> list[int]:
    """``undominated`` of a few rows."""
    found: list[int] = []
    for at in sorted(range(len(rows)), key=lambda index: rows[index]):
        if not any(all(map(int.__le__, rows[other], rows[at])) for other in found):
            found.append(at)
    return found


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return tuple(map(int.__add__, one, other))
