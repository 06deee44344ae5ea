"""The bill of operators of every engine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from psp_hw.cost.bill import (
    AbsorbedRegister,
    Add,
    Bill,
    Compare,
    Delay,
    Gate,
    Item,
    LoopControl,
    Multiply,
    MultiplyPair,
    Mux,
    Operator,
    Register,
    Rom,
    Select,
    StreamPort,
    bill,
)
from psp_hw.cost.datapath import affine_constants, conv_constants, levels_of
from psp_hw.cost.devices import Fabric
from psp_hw.cost.maps import folded_map
from psp_hw.cost.operators import Parts, counter, pool_sum, product, requantizers, times, tree
from psp_hw.cost.pipeline import DELAYS, Pipeline, cut
from psp_hw.folding.connections import KEPT_TABLES, ConnectionTable
from psp_hw.folding.engine import (
    AddEngine,
    ConcatEngine,
    ConvEngine,
    Engine,
    ForkEngine,
    GlobalPoolEngine,
    PointwiseEngine,
    PortEngine,
    WindowPoolEngine,
    requantizer_of,
    signed_width,
)
from psp_hw.folding.maps import AffineEngine, MapEngine, ThresholdEngine
from psp_hw.folding.plan import MemoryKind, MultiplierKind
from psp_hw.folding.scan import Scan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import MaxPool
from psp_hw.ir.types import Tap
from psp_hw.units import Clock


@dataclass(frozen=True, slots=True)
class EngineBill:
    """What an engine is made of, and the pipeline that its data path is cut into."""

    items: Bill
    pipeline: Pipeline


def engine_bill(engine: Engine, graph: Graph, fabric: Fabric, clock: Clock) -> EngineBill:
    """The bill of an engine at a clock: operators, pipeline registers and control.

    Args:
        engine: an engine of ``graph``.
        graph: where the weights are, which matter when the fold covers the whole pixel.
        fabric, clock: decide where the pipeline is cut, hence how many registers there are.
    """
    pipeline = engine_pipeline(engine, fabric, clock, graph)
    return EngineBill(bill((*_operators(engine, graph), *pipeline_parts(pipeline))), pipeline)


def engine_pipeline(engine: Engine, fabric: Fabric, clock: Clock, graph: Graph | None = None) -> Pipeline:
    """How the data path of an engine is cut at a clock; with ``graph`` at the width of its constants (``levels_of``)."""
    return cut(levels_of(engine, DELAYS[fabric], graph), clock)


def pipeline_parts(pipeline: Pipeline) -> tuple[Operator, ...]:
    """The registers between the stages, and the control of the loop."""
    beside = (AbsorbedRegister(pipeline.absorbed),) if pipeline.absorbed else ()
    return (Register(pipeline.registers - pipeline.absorbed), *beside, LoopControl(pipeline.depth + 1))


def pipeline_depth(engine: Engine, fabric: Fabric, clock: Clock) -> int:
    """Cycles from the end of a step to its token in the FIFO."""
    return engine_pipeline(engine, fabric, clock).depth


def _operators(engine: Engine, graph: Graph) -> Parts:
    match engine:
        case ConvEngine():
            yield from _conv(engine, graph)
        case WindowPoolEngine():
            yield Register(engine.source.pixel_bits)
            yield from _walk(engine.scan)
            for words, kind in zip(engine.scan.delays, engine.delays, strict=True):
                yield Delay(words, engine.source.pixel_bits, kind)
            yield Item(Gate(engine.source.pixel_bits), len(_outside(engine.scan)))
            yield from _pool(engine)
        case GlobalPoolEngine():
            channels = engine.source.channels
            yield Item(Add(engine.acc_fmt.width), channels)
            yield Register(channels * engine.acc_fmt.width)
            yield from counter(engine.source.pixels)
            yield from requantizers(engine.op.requantize, engine.acc_fmt, (), channels)
        case AddEngine():
            # What one input has below the other's lowest bit passes by the adder.
            yield Item(Add(engine.sum_fmt.width - max(engine.shifts)), engine.result.channels)
            yield from requantizers(engine.op.requantize, engine.sum_fmt, (), engine.result.channels)
            yield from counter(engine.result.pixels)
        case PointwiseEngine():
            to = requantizer_of(engine)
            if to is None:
                yield Item(Gate(engine.result.fmt.width), engine.result.channels)
            yield from requantizers(to, engine.source.fmt, (), engine.result.channels)
            yield from counter(engine.result.pixels)
        case AffineEngine() | ThresholdEngine():
            yield from folded_map(engine) if engine.blocks > 1 else _whole_map(engine, graph)
            yield from counter(engine.result.pixels)
        case ConcatEngine() | ForkEngine():
            pixels = engine.result.pixels if isinstance(engine, ConcatEngine) else engine.type.pixels
            yield from counter(pixels)
        case PortEngine():
            yield StreamPort(8 * math.ceil(engine.type.pixel_bits / 8))
            yield from counter(engine.type.pixels)
        case _:
            assert_never(engine)


def _whole_map(engine: MapEngine, graph: Graph) -> Parts:
    """A map per channel that does all channels at once: its constants are in the operators."""
    channels = engine.result.channels
    if isinstance(engine, AffineEngine):
        sums = affine_constants(engine, graph)
        yield from (*sums.products, *sums.adders)
        yield from requantizers(engine.op.requantize, engine.acc_fmt, (), channels)
    else:
        yield Item(Compare(engine.source.fmt.width, constant=True), channels * engine.levels)
        yield from times(tree(engine.levels, 1, engine.result.fmt.width), channels)


def _conv(engine: ConvEngine, graph: Graph) -> Parts:
    yield from conv_window(engine)
    yield from conv_delays(engine)
    yield from conv_datapath(engine, graph)
    yield from conv_roms(engine)


def conv_roms(engine: ConvEngine) -> Iterator[Rom]:
    """The memories of the weights and of the selections; none where weights are constants in the multipliers."""
    words = engine.cycles_per_output
    if words > 1:
        yield Rom(words, engine.weight_word_bits, engine.weights)
    if words > 1 and engine.select_bits:
        yield Rom(words, engine.select_bits, engine.weights)


def conv_delays(engine: ConvEngine) -> Parts:
    """The delay chain between the taps. A segment as long as the distance of its taps ends in the window register."""
    # The newest tap has no delay behind it.
    for words, bits, kind in zip(engine.scan.delays, engine.held_bits, engine.delays, strict=False):
        yield Delay(words, bits, kind)


def conv_window(engine: ConvEngine) -> Parts:
    """What a convolution has whatever its fold: the newest pixel's register, and the walk over the frame."""
    yield Register(engine.held_bits[-1])
    yield from _walk(engine.scan)


def conv_datapath(engine: ConvEngine, graph: Graph) -> Parts:
    """What depends on the fold, the memories of weights and selections apart."""
    yield from conv_selection(engine)
    yield from conv_arithmetic(engine, graph)


def conv_selection(engine: ConvEngine) -> Parts:
    """What brings operands from the window to the multipliers."""
    lanes, entering = engine.fold.operands, engine.source.fmt.width
    padded = reads_padding(engine.scan)
    if padded:
        yield Gate(lanes * entering)  # taps outside the frame read zero
    if engine.table is not None:
        # Lanes of a table read different taps in a cycle: each selects whether its own lies inside.
        yield from _lane_muxes(engine.table, entering + padded)
    elif engine.cycles_per_output > 1:
        yield Mux(engine.ways, lanes * entering)
    yield from _block_counters(engine)


@lru_cache(maxsize=KEPT_TABLES)
def _lane_muxes(table: ConnectionTable, bits: int) -> tuple[Item, ...]:
    """The multiplexers of the lanes of a table, each of as many ways as its lane has candidates."""
    ways = Counter(map(len, table.deal.lists))
    return tuple(Item(Mux(number, bits), count) for number, count in ways.items())


def conv_arithmetic(engine: ConvEngine, graph: Graph) -> Parts:
    """Products, sums, and what makes the output pixel."""
    yield from conv_sums(engine, graph)
    yield from conv_outputs(engine)


def conv_sums(engine: ConvEngine, graph: Graph) -> Parts:
    """Products and the trees that sum them: as many for every output channel computed at once."""
    if engine.cycles_per_output > 1:
        bits = engine.source.fmt.width + engine.weight_fmt.width
        yield _products(engine)
        yield from times(tree(engine.fold.operands, bits, engine.acc_fmt.width), engine.fold.pe)
    else:
        sums = conv_constants(engine, graph)
        yield from (*sums.products, *sums.adders)


def conv_outputs(engine: ConvEngine) -> Parts:
    """Bias, sums carried from cycle to cycle, and what makes the output pixel of them."""
    fold, op, acc = engine.fold, engine.op, engine.acc_fmt.width
    if op.bias is not None:
        yield Item(Add(acc), fold.pe)
        if engine.out_blocks > 1:
            yield Rom(engine.out_blocks, fold.pe * acc, MemoryKind.REGISTERS)
    if engine.most_words > 1:
        yield Item(Add(acc), 0 if op.bias is not None else fold.pe)  # the bias is what the sum starts with
        yield Item(Select(acc), fold.pe)
        yield Register(fold.pe * acc)
    yield from requantizers(op.requantize, engine.acc_fmt, engine.shifts, fold.pe)
    if engine.out_blocks > 1:
        # The output pixel is put together over several cycles; what comes last leaves at once.
        yield Register((engine.out_blocks - 1) * fold.pe * engine.result.fmt.width)


def _block_counters(engine: ConvEngine) -> Parts:
    """Where the engine is inside an output pixel; with a table whose blocks differ, which words end one."""
    if engine.table is None:
        extents = (engine.out_blocks, engine.tap_blocks, engine.in_blocks)
    else:
        extents = (engine.out_blocks, engine.table.words, engine.most_words)
        if not engine.table.equal:
            yield Rom(engine.table.words, 1, MemoryKind.LUTRAM)
    for extent in extents:
        if extent > 1:
            yield from counter(extent)


def _products(engine: ConvEngine) -> Item:
    """The multipliers of a convolution whose weights come from memory."""
    product, makes = product_of(engine)
    return Item(product, engine.fold.multipliers // makes)


def product_of(engine: ConvEngine, kind: MultiplierKind | None = None) -> tuple[Multiply | MultiplyPair, int]:
    """The multiplier of a convolution whose weights come from memory, and how many products it makes at once.

    Args:
        kind: in place of the engine's own.
    """
    kind = kind or engine.multipliers
    if kind is MultiplierKind.DSP_PAIR:
        return MultiplyPair(engine.operand_bits, signed_width(engine.weight_fmt), engine.pair_lane), 2
    return product(engine.source.fmt, engine.weight_fmt, kind), 1


def _walk(scan: Scan) -> Parts:
    """Where the engine is in the frame, and what tells pixels from padding."""
    rows = math.ceil(scan.steps / scan.pitch)
    for _ in ("the pixel that enters", "the pixel that leaves"):
        yield from counter(scan.pitch)
        yield from counter(rows)
    for stride in scan.stride:
        if stride > 1:
            yield from counter(stride)
    row_bits = max(1, scan.source.height.bit_length())
    column_bits = max(1, scan.pitch.bit_length())
    outside = _outside(scan)
    top, left = scan.padding.top, scan.padding.left
    for bits, offsets in (
        (row_bits, {tap.r - top for tap in outside}),
        (column_bits, {tap.s - left for tap in outside}),
    ):
        yield Item(Add(bits + 1), len(offsets - {0}))
        yield Item(Compare(bits + 1, constant=True), len(offsets))  # below zero is a sign
    yield Item(Gate(1), len(outside))
    yield Register(len(outside))
    yield Compare(row_bits, constant=True)  # whether a pixel is read
    yield Item(Compare(column_bits, constant=True), 2)  # whether a pixel is read; whether one is written


@lru_cache(maxsize=256)
def _outside(scan: Scan) -> tuple[Tap, ...]:
    """The taps that lie outside the frame for some output pixel."""
    return tuple(tap for tap in scan.taps if _may_leave(scan, tap.r, tap.s))


def reads_padding(scan: Scan) -> bool:
    """Whether some tap lies outside the frame for some output pixel."""
    return bool(_outside(scan))


def _may_leave(scan: Scan, r: int, s: int) -> bool:
    """Whether the tap (r, s) falls outside the frame for some output pixel."""
    top, left = r - scan.padding.top, s - scan.padding.left
    bottom = top + (scan.out_height - 1) * scan.stride[0]
    right = left + (scan.out_width - 1) * scan.stride[1]
    return top < 0 or left < 0 or bottom >= scan.source.height or right >= scan.source.width


def _pool(engine: WindowPoolEngine) -> Parts:
    inputs, channels = len(engine.scan.taps), engine.source.channels
    width = engine.source.fmt.width
    if isinstance(engine.op, MaxPool):
        yield Item(Compare(width), channels * (inputs - 1))
        yield Item(Select(width), channels * (inputs - 1))
        return
    total = pool_sum(engine)
    yield from times(tree(inputs, width, total.width), channels)
    yield from requantizers(engine.op.requantize, total, (), channels)
