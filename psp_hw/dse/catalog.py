"""The choices for convolutions: every fold, connection table and weight memory, with its cycles and resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from psp_hw.cost.engines import (
    conv_arithmetic,
    conv_delays,
    conv_roms,
    conv_selection,
    conv_window,
    engine_pipeline,
    pipeline_parts,
    reads_padding,
)
from psp_hw.cost.parts import Part
from psp_hw.cost.pricing import price_parts
from psp_hw.cost.resources import Resources
from psp_hw.dse.dense import MEMORIES, dense_datapaths, multipliers_of
from psp_hw.dse.options import Block, Options, by_engine
from psp_hw.dse.pareto import undominated
from psp_hw.dse.paths import Datapath, Datapaths
from psp_hw.dse.prices import Site
from psp_hw.dse.tables import MAX_PRODUCTS, table_folds
from psp_hw.errors import SpecError
from psp_hw.folding.bindable import Bindable
from psp_hw.folding.dataflow import connection_table, with_delays_by_size
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.memory import delay_may_be_ultra
from psp_hw.folding.plan import Fold, MemoryKind
from psp_hw.folding.ports import MOST_BITS
from psp_hw.ir.graph import Graph
from psp_hw.units import Clock

# Pixels of a delay below which block RAM is not tried: a ring of so few rows comes back to an address before the pipeline
# has written it, and a shift register LUT per bit is cheaper anyway.
LEAST_BLOCK_DELAY = 16

# Products at once, as a multiple of those that one interval needs, beyond which no fold is tried where that interval alone is asked for.
ROOM = 8


def memories_of(engine: ConvEngine) -> tuple[MemoryKind, ...]:
    """Where the weights of a folded engine may be kept; none where a word of theirs is wider than a memory's can be.

    A single word is wiring.
    """
    if engine.cycles_per_output == 1:
        return (MemoryKind.REGISTERS,)
    if max(engine.weight_word_bits, engine.select_bits) > MOST_BITS:
        return ()
    return MEMORIES


class Catalog:
    """Options of convolutions on a part at a clock; data paths of one shape are priced once.

    Args:
        graph: where the weights are.
        part, clock: what is built for.
        bindable: what the back end can tell its tool, on this part.
        interval: the one interval that will be asked for; None where it may be any.
    """

    def __init__(
        self,
        graph: Graph,
        part: Part,
        clock: Clock,
        bindable: Bindable,
        *,
        interval: int | None = None,
    ) -> None:
        self._bindable, self._interval = bindable, interval
        self._graph, self._part, self._clock = graph, part, clock
        self.site = Site(graph, part.fabric, clock)
        self._known: dict[int, Datapaths] = {}
        self._shapes: dict[tuple[object, ...], int] = {}
        self._shape_of: dict[str, int] = {}
        self._arithmetic: dict[tuple[object, ...], Resources] = {}
        self._pipelines: dict[tuple[object, ...], tuple[int, Resources]] = {}

    def options(self, engines: Sequence[ConvEngine], folds: Mapping[str, Fold]) -> list[Options]:
        """All choices of each engine, or those of one fold; those that another beats in everything are left out.

        Args:
            folds: those that are asked for, by engine.

        Raises:
            SpecError: a fold that was asked for cannot be fed with weights.
        """
        self._price_dense([engine for engine in engines if engine.name not in folds])
        blocks = []
        for place, engine in enumerate(engines):
            fold = folds.get(engine.name)
            groups = self._every(engine) if fold is None else [self._asked(engine, fold)]
            blocks += [self._block(engine, place, some) for some in groups if len(some)]
        return by_engine(engines, blocks, self._interval)

    def _asked(self, engine: ConvEngine, fold: Fold) -> Datapaths:
        asked = self._datapaths(engine, [fold])
        if asked:
            return Datapaths.of(asked)
        folded = self._folded(engine, fold)
        width, what = folded.weight_word_bits, "weights"
        if width <= MOST_BITS:
            width, what = folded.select_bits, "selections"
        raise SpecError(
            f"{fold} reads {width} bits of {what} per cycle; a memory's word has at most {MOST_BITS}",
            where=f"fold.{engine.name}",
            hint="use a smaller fold, or the whole pixel at once",
        )

    def _price_dense(self, engines: Sequence[ConvEngine]) -> None:
        """Price the folds of the dense schedule of every shape that is not known yet."""
        fresh = {self._shape(engine): engine for engine in reversed(engines)}
        fresh = {shape: fresh[shape] for shape in reversed(fresh) if shape not in self._known}
        some = list(fresh.values())
        found = dense_datapaths(
            some, self.site, self._bindable.multipliers, [self._most(engine) for engine in some]
        )
        self._known |= dict(zip(fresh, found, strict=True))

    def _every(self, engine: ConvEngine) -> list[Datapaths]:
        """Folds of the dense schedule and the whole pixel at once, then those with a table."""
        full = Fold(pe=engine.out_channels, simd=engine.in_channels, taps=len(engine.op.taps))
        constant = self._datapaths(engine, [full]) if full.multipliers <= MAX_PRODUCTS else []
        dense = self._known[self._shape(engine)]
        tables = table_folds(self._graph.constants[engine.op.weight])
        sparse = Datapaths.of(self._datapaths(engine, tables))
        return [
            dense.and_then(Datapaths.of(constant)) if constant else dense,
            sparse.only(undominated(sparse.rows)),
        ]

    def _most(self, engine: ConvEngine) -> int:
        """Products at once that are worth a look."""
        if self._interval is None:
            return MAX_PRODUCTS
        words = max(1, (self._interval - engine.scan.steps) // engine.scan.outputs)
        products = engine.in_channels * engine.out_channels * len(engine.op.taps)
        return min(MAX_PRODUCTS, ROOM * -(-products // words))

    def _datapaths(self, engine: ConvEngine, folds: list[Fold]) -> list[Datapath]:
        fabric = self._part.fabric
        found = []
        for folded in self._ways(engine, folds):
            depth, cost = self._priced(folded)
            words = folded.cycles_per_output
            for memory in memories_of(folded):
                kept = cost + price_parts(conv_roms(replace(folded, weights=memory)), fabric)
                path = Datapath(folded.fold, folded.multipliers, memory, words, depth, kept.amounts)
                found.append(path)
        return found

    def _priced(self, engine: ConvEngine) -> tuple[int, Resources]:
        """Depth of the pipeline [cycles], and what the data path takes, the memories of weights and selections apart."""
        fabric = self._part.fabric
        fold, words = engine.fold, engine.cycles_per_output
        key: tuple[object, ...] = (
            self._shape(engine),
            fold.pe,
            fold.operands,
            engine.multipliers,
            words > 1,
            engine.most_words > 1,
        )
        levels = (*key, engine.ways > 1, engine.select_bits)
        if words == 1:  # the products of constants, at their widths
            pipeline = engine_pipeline(engine, fabric, self._clock, self._graph)
            depth, registers = pipeline.depth, price_parts(pipeline_parts(pipeline), fabric)
            arithmetic = price_parts(conv_arithmetic(engine, self._graph), fabric)
        else:
            if levels not in self._pipelines:
                pipeline = engine_pipeline(engine, fabric, self._clock)
                self._pipelines[levels] = pipeline.depth, price_parts(pipeline_parts(pipeline), fabric)
            depth, registers = self._pipelines[levels]
            if key not in self._arithmetic:
                self._arithmetic[key] = price_parts(conv_arithmetic(engine, self._graph), fabric)
            arithmetic = self._arithmetic[key]
        return depth, arithmetic + registers + price_parts(conv_selection(engine), fabric)

    def _shape(self, engine: ConvEngine) -> int:
        """A number for everything but their values that a data path with weights in memory depends on."""
        if engine.name not in self._shape_of:
            self._shape_of[engine.name] = self._shapes.setdefault(_shape(engine), len(self._shapes))
        return self._shape_of[engine.name]

    def _ways(self, engine: ConvEngine, folds: list[Fold]) -> Iterator[ConvEngine]:
        """The engine under every fold with every kind of multiplier."""
        for fold in folds:
            folded = self._folded(engine, fold)
            for kind in multipliers_of(folded, self._part.fabric):
                if kind in self._bindable.multipliers:
                    yield replace(folded, multipliers=kind)

    def _folded(self, engine: ConvEngine, fold: Fold) -> ConvEngine:
        table = connection_table(fold, self._graph.constants[engine.op.weight])
        return replace(engine, fold=fold, table=table)

    def _block(self, engine: ConvEngine, place: int, some: Datapaths) -> Block:
        """Data paths with every way to keep the delay chain."""
        # What a table holds of a pixel depends on the weights alone: one chain serves all tables of an engine.
        table = connection_table(some[0].fold, self._graph.constants[engine.op.weight])
        chained = with_delays_by_size(replace(engine, table=table))
        return Block(place, some, tuple(self._chains(chained)))

    def _chains(self, engine: ConvEngine) -> Iterator[tuple[tuple[MemoryKind, ...], tuple[int, ...]]]:
        """Every way to keep the delay chain, and what window, walk and chain then take [5]."""
        fabric = self._part.fabric
        window = price_parts(conv_window(engine), fabric)
        for kinds in delay_choices(engine, ultra=self._bindable.ultra_delays):
            chain = window + price_parts(conv_delays(replace(engine, delays=kinds)), fabric)
            yield kinds, chain.amounts


def delay_choices(engine: ConvEngine, *, ultra: bool) -> list[tuple[MemoryKind, ...]]:
    """How the delay chain may be kept: as the size of each segment says, in block RAM where a segment is long enough, or in UltraRAM
    where it is so large that this may pay.

    Args:
        engine: its delays as their sizes say.
        ultra: whether UltraRAM can be had.
    """
    segments = list(zip(engine.scan.delays, engine.held_bits, engine.delays, strict=False))

    def moved(to: MemoryKind, worth: Callable[[int, int], bool]) -> tuple[MemoryKind, ...]:
        return tuple(
            to if bits <= MOST_BITS and worth(words, bits) else kind for words, bits, kind in segments
        )

    ways = [engine.delays, moved(MemoryKind.BRAM, lambda words, _: words >= LEAST_BLOCK_DELAY)]
    if ultra:
        ways.append(moved(MemoryKind.URAM, delay_may_be_ultra))
    return list(dict.fromkeys(ways))


def _shape(engine: ConvEngine) -> tuple[object, ...]:
    """What the data path depends on when the weights are in memory: all but their values."""
    op = engine.op
    return (
        engine.source.channels,
        engine.source.fmt.width,
        engine.result.channels,
        engine.result.fmt.width,
        len(op.taps),
        reads_padding(engine.scan),
        engine.weight_fmt,
        engine.pair_lane,
        engine.acc_fmt,
        engine.shifts,
        op.bias is None,
        op.requantize,
    )
