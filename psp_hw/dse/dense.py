"""Every fold of the dense schedule priced at once.

What a fold takes is a sum of parts that each depend on little of it: products and their trees on the operands, and so much per
output channel; what makes the output on ``pe``; what selects operands on ``simd`` and ``taps``; pipeline registers on the operands,
and linearly on ``pe``. Each part is priced by ``psp_hw.cost.engines`` once per value it depends on, and added up by index. A test
holds the sums against engines priced one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from psp_hw.cost.bill import Item, MultiplyPair, Operator, Register, Rom
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import conv_outputs, conv_selection, conv_sums, engine_pipeline, pipeline_parts
from psp_hw.cost.pipeline import Pipeline
from psp_hw.cost.pricing import fits_dsp, packed_bits, price_parts, uses_dsp
from psp_hw.cost.resources import Resource
from psp_hw.dse.paths import CostArray, Datapaths
from psp_hw.dse.tables import MAX_PRODUCTS
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind, divisors
from psp_hw.folding.ports import MOST_BITS
from psp_hw.ir.graph import Graph
from psp_hw.units import Clock

Indices = npt.NDArray[np.intp]

# Where the weight words of a folded engine may be kept. UltraRAM holds no constants (``psp_hw.folding.ports``).
MEMORIES = (MemoryKind.LUTRAM, MemoryKind.BRAM)

# Fabrics and clocks whose prices are kept for the next question about them.
KEPT_CLOCKS = 8

# Rows that are compared with each other at once.
RANKED_AT_ONCE = 128

NOTHING: CostArray = np.zeros(len(Resource), dtype=np.int64)


def multipliers_of(engine: ConvEngine, fabric: Fabric) -> tuple[MultiplierKind, ...]:
    """How a folded engine may make its products on a fabric: left to the tool, or the way that the tool would not take.

    Pairs only where one DSP holds them.
    """
    entering, weight = engine.source.fmt.width, engine.weight_fmt.width
    if engine.cycles_per_output == 1 or min(entering, weight) == 1:
        return (MultiplierKind.TOOL,)
    other = MultiplierKind.LUT if uses_dsp(entering, weight) else MultiplierKind.DSP
    pair = MultiplyPair(engine.operand_bits, weight, engine.pair_lane)
    if engine.fold.pe % 2 == 0 and fits_dsp(packed_bits(pair), engine.operand_bits, fabric):
        return (MultiplierKind.TOOL, other, MultiplierKind.DSP_PAIR)
    return (MultiplierKind.TOOL, other)


# By operands of a word: products and their trees at the least pe [5], pipeline there [5], more of it per pe [5], depth [cycles].
_Parts = tuple[CostArray, CostArray, CostArray, int]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was priced for a fabric at a clock, by all that it depends on: neither the weights nor the part are among it."""

    paths: dict[tuple[object, ...], dict[tuple[int, ...], _Parts]] = field(default_factory=dict)
    controls: dict[tuple[Item | Operator, ...], CostArray] = field(default_factory=dict)
    tails: dict[tuple[object, ...], CostArray] = field(default_factory=dict)
    roms: dict[MemoryKind, dict[tuple[int, int], CostArray]] = field(
        default_factory=lambda: {memory: {} for memory in MEMORIES}
    )


@lru_cache(maxsize=KEPT_CLOCKS)
def _known(fabric: Fabric, clock: Clock) -> _Known:
    return _Known()


@dataclass(frozen=True, slots=True)
class Site:
    """What folds are priced for: where the weights are, and the device; what engines have in common is priced once."""

    graph: Graph
    fabric: Fabric
    clock: Clock

    def path(
        self, engine: ConvEngine, pes: Sequence[int], inner: tuple[int, int], base: tuple[object, ...]
    ) -> _Parts:
        """What the data path of a folded engine takes between selection and output.

        Registers of the pipeline grow linearly with ``pe``: two of them say all.

        Args:
            engine: its fold is not looked at.
            pes: the least pe, and the one after it if there is one; no word of theirs is the whole pixel.
            inner: simd and taps.
            base: ``path_base(engine)``.
        """
        operands = inner[0] * inner[1]
        known = _known(self.fabric, self.clock).paths.setdefault(base, {})
        key = (operands, operands < engine.in_channels * len(engine.op.taps), *pes)
        if key not in known:
            engines = [_folded(engine, pe, inner) for pe in pes]
            cuts = [engine_pipeline(one, self.fabric, self.clock) for one in engines]
            taken = [self.stages(one) for one in cuts]
            slope = (taken[1] - taken[0]) // (pes[1] - pes[0]) if len(pes) > 1 else NOTHING
            known[key] = self.price(conv_sums(engines[0], self.graph)), taken[0], slope, cuts[0].depth
        return known[key]

    def stages(self, pipeline: Pipeline) -> CostArray:
        """What a pipeline takes [5]; a register takes as many times a bit as it has."""
        parts = pipeline_parts(pipeline)
        bits = sum(part.bits for part in parts if isinstance(part, Register))
        others = tuple(part for part in parts if not isinstance(part, Register))
        known = _known(self.fabric, self.clock).controls
        if others not in known:
            known[others] = self.price(others)
        if () not in known:
            known[()] = self.price([Register(1)])
        return known[others] + bits * known[()]

    def rom(self, words: int, bits: int, memory: MemoryKind) -> CostArray:
        """What a memory of constants takes [5]."""
        known, key = _known(self.fabric, self.clock).roms[memory], (words, bits)
        if key not in known:
            known[key] = self.price([Rom(words, bits, memory)])
        return known[key]

    def outputs(self, engine: ConvEngine) -> CostArray:
        """What makes the output of a folded engine [5]."""
        op = engine.op
        key = (
            engine.out_channels,
            engine.result.fmt,
            engine.acc_fmt,
            engine.shifts,
            op.bias is None,
            op.requantize,
            engine.fold.pe,
            engine.most_words > 1,
        )
        known = _known(self.fabric, self.clock).tails
        if key not in known:
            known[key] = self.price(conv_outputs(engine))
        return known[key]

    def price(self, parts: Iterable[Item | Operator]) -> CostArray:
        """What parts take [5]."""
        return np.array(price_parts(parts, self.fabric).amounts, dtype=np.int64)


def path_base(engine: ConvEngine) -> tuple[object, ...]:
    """What the data path between selection and output depends on beside the fold."""
    return (
        engine.source.fmt.width,
        engine.operand_bits,
        engine.pair_lane,
        engine.weight_fmt.width,
        engine.acc_fmt.width,
        engine.op.bias is None,
        engine.op.requantize is None,
        engine.result.fmt.width,
        engine.result.pixel_bits,
        engine.multipliers,
    )


def dense_datapaths(engine: ConvEngine, site: Site, kinds: frozenset[MultiplierKind]) -> Datapaths:
    """Folds that go through all taps and channels, the whole pixel at once apart, that no other beats.

    Args:
        engine: its fold and multipliers are not looked at.
        kinds: multipliers that the back end can bind.

    Returns:
        those that no other beats in words, depth and every resource.
    """
    grid = _Grid.of(replace(engine, table=None, multipliers=MultiplierKind.TOOL), site)
    possible = [kind for kind in grid.kinds(site.fabric) if kind in kinds]
    found = [row for kind in possible for row in grid.rows(kind, site)]
    if not found:
        return Datapaths.of([])
    rows = np.concatenate([numbers for _, _, numbers, _ in found])
    places = np.concatenate([where for _, _, _, where in found])
    source = np.repeat(np.arange(len(found)), [len(where) for _, _, _, where in found])
    kept = unbeaten(rows)
    places, source = places[kept], source[kept]

    def way(at: int) -> tuple[Fold, MultiplierKind, MemoryKind]:
        kind, memory, _, _ = found[int(source[at])]
        return grid.fold(*places[at].tolist()), kind, memory

    return Datapaths(rows[kept], way)


# Multipliers, where the weights are, (words, depth, resources) [n, 7], and (place among pe, place among inner folds) [n, 2].
_Rows = tuple[MultiplierKind, MemoryKind, CostArray, Indices]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Folds of an engine as pe x (simd, taps).

    Args:
        pes: all pe [P].
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
    roms: CostArray

    @staticmethod
    def of(engine: ConvEngine, site: Site) -> _Grid:
        """The grid of an engine."""
        most = min(MAX_PRODUCTS, MOST_BITS // engine.weight_fmt.width)  # that a word can hold
        alike: dict[int, list[tuple[int, int]]] = {}
        for simd in divisors(engine.in_channels):
            for taps in divisors(len(engine.op.taps)):
                if simd * taps <= most or simd * taps == 1:
                    alike.setdefault(simd * taps, []).append((simd, taps))
        inner, selection = [], []
        for _, some in sorted(alike.items()):
            costs = np.array([site.price(conv_selection(_folded(engine, 1, one))) for one in some])
            for index in unbeaten(costs).tolist():
                inner.append(some[index])
                selection.append(costs[index])
        operands = np.array([simd * taps for simd, taps in inner], dtype=np.int64)
        distinct, place = np.unique(operands, return_inverse=True)
        pes = divisors(engine.out_channels)
        counters = np.array([site.price(conv_selection(_folded(engine, pe, (1, 1)))) for pe in pes])
        ends = ((engine.in_channels, len(engine.op.taps)), (1, 1))
        weights, width = (
            engine.out_channels * engine.in_channels * len(engine.op.taps),
            engine.weight_fmt.width,
        )
        every = np.unique(np.multiply.outer(np.array(pes, dtype=np.int64), distinct))
        sizes = every[every <= min(most, weights - 1)]
        roms = [[site.rom(weights // n, n * width, memory) for n in sizes.tolist()] for memory in MEMORIES]
        return _Grid(
            engine=engine,
            pes=np.array(pes, dtype=np.int64),
            inner=inner,
            operands=operands,
            distinct=distinct,
            place=place,
            whole=engine.in_channels * len(engine.op.taps),
            selection=np.array(selection),
            counters=counters - counters[0],
            outputs=np.array([[site.outputs(_folded(engine, pe, inner)) for inner in ends] for pe in pes]),
            sizes=sizes,
            roms=np.array(roms, dtype=np.int64).reshape(len(MEMORIES), len(sizes), len(Resource)),
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

    def rows(self, kind: MultiplierKind, site: Site) -> Iterator[_Rows]:
        """Every fold with one kind of multiplier, for each memory of the weights."""
        paired = kind is MultiplierKind.DSP_PAIR
        some = np.flatnonzero(self.pes % 2 == 0) if paired else np.arange(len(self.pes))
        at = np.stack(np.meshgrid(some, np.arange(len(self.inner)), indexing="ij"), axis=-1).reshape(-1, 2)
        products = self.pes[at[:, 0]] * self.operands[at[:, 1]]
        bits = products * self.engine.weight_fmt.width
        words = self.engine.out_channels * self.whole // products
        at = at[(products <= MAX_PRODUCTS) & (bits <= MOST_BITS) & (words > 1)]
        if not len(at):
            return
        pe, place = self.pes[at[:, 0]], self.place[at[:, 1]]
        products = pe * self.operands[at[:, 1]]
        words = self.engine.out_channels * self.whole // products
        sums, first, slope, depth = self._by_operands(kind, site, self.pes[some])
        least = int(self.pes[some][0])
        cost = (
            sums[place] * (pe // least)[:, None]
            + self.outputs[at[:, 0], (self.distinct[place] < self.whole).astype(np.intp)]
            + self.selection[at[:, 1]]
            + self.counters[at[:, 0]]
            + first[place]
            + slope[place] * (pe - least)[:, None]
        )
        head = np.stack([words, depth[place]], axis=1)
        which = np.searchsorted(self.sizes, products)
        for memory, roms in zip(MEMORIES, self.roms, strict=True):
            yield kind, memory, np.concatenate([head, cost + roms[which]], axis=1), at

    def _by_operands(
        self, kind: MultiplierKind, site: Site, pes: CostArray
    ) -> tuple[CostArray, CostArray, CostArray, CostArray]:
        """By operands: sums at the least pe [L, 5], pipeline there [L, 5] and more of it per pe [L, 5], depth [L]."""
        width = self.engine.weight_fmt.width
        engine, nothing = replace(self.engine, multipliers=kind), (NOTHING, NOTHING, NOTHING, 0)
        base, least = path_base(engine), pes[:2].tolist()
        found = []
        for operands in self.distinct.tolist():
            inner = self.inner[int(np.searchsorted(self.operands, operands))]
            most = (
                min(MAX_PRODUCTS, MOST_BITS // width, self.engine.out_channels * self.whole - 1) // operands
            )
            able = [pe for pe in least if pe <= most]
            found.append(site.path(engine, able[:2], inner, base) if able else nothing)
        sums, first, slope, depth = zip(*found, strict=True)
        return np.array(sums), np.array(first), np.array(slope), np.array(depth, dtype=np.int64)


@cache
def _fold(pe: int, simd: int, taps: int) -> Fold:
    """A fold; layers share most of theirs."""
    return Fold(pe=pe, simd=simd, taps=taps)


def _folded(engine: ConvEngine, pe: int, inner: tuple[int, int]) -> ConvEngine:
    return replace(engine, fold=_fold(pe, *inner))


def unbeaten(rows: CostArray) -> Indices:
    """Indices of the rows than which no other has less of something and no more of the rest; of equals the first.

    In order of their columns, the first before the others, a row can only be beaten by an earlier one.

    Args:
        rows: [n, columns].

    Returns:
        by ascending columns, the first before the others.
    """
    if len(rows) < 2:
        return np.arange(len(rows))
    order = np.lexsort(rows.T[::-1])
    columns = [column[order] for column in rows.T[1:] if (column != column[0]).any()]
    ranked = np.array(columns, dtype=np.int64).reshape(len(columns), len(rows))
    kept, count = np.empty_like(ranked), 0
    found: list[Indices] = []
    for start in range(0, len(rows), RANKED_AT_ONCE):
        block = ranked[:, start : start + RANKED_AT_ONCE]
        places = np.flatnonzero(~_no_more(kept[:, :count], block).any(axis=0))
        block = block[:, places]
        earlier = ~np.tri(len(places), dtype=np.bool_)
        some = np.flatnonzero(~(_no_more(block, block) & earlier).any(axis=0))
        kept[:, count : count + len(some)] = block[:, some]
        count += len(some)
        found.append(order[start + places[some]])
    return np.concatenate(found)


def _no_more(some: CostArray, others: CostArray) -> npt.NDArray[np.bool_]:
    """Whether each of some rows has no more of anything than each of others, columns first [some, others]."""
    found = np.ones((some.shape[1], others.shape[1]), dtype=np.bool_)
    for one, other in zip(some, others, strict=True):
        found &= one[:, None] <= other
    return found
