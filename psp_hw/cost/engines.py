"""The bill of operators and the data path of every engine (docs/estimate.md has a figure of each)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import assert_never

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.cost.bill import (
    Add,
    Bill,
    Compare,
    ConstantMultiply,
    Delay,
    Divide,
    Gate,
    Item,
    LoopControl,
    Multiply,
    Mux,
    Operator,
    Register,
    Rom,
    Select,
    StreamPort,
    bill,
)
from psp_hw.cost.devices import Fabric
from psp_hw.cost.pipeline import DELAYS, Delays, Level, Pipeline, cut
from psp_hw.cost.prices import ADDER_PRODUCT_BITS, LUT_PRODUCT_BITS
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
)
from psp_hw.folding.plan import MemoryKind
from psp_hw.folding.scan import Scan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import MaxPool
from psp_hw.units import Clock

Parts = Iterator[Item | Operator]


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
    delays = DELAYS[fabric]
    pipeline = cut(_levels(engine, delays), clock)
    control = (Register(pipeline.registers), LoopControl(pipeline.depth + 1))
    return EngineBill(bill((*_operators(engine, graph), *control)), pipeline)


def pipeline_depth(engine: Engine, fabric: Fabric, clock: Clock) -> int:
    """Cycles from the end of a step to its token in the FIFO."""
    return cut(_levels(engine, DELAYS[fabric]), clock).depth


def _operators(engine: Engine, graph: Graph) -> Parts:
    match engine:
        case ConvEngine():
            yield from _conv(engine, graph)
        case WindowPoolEngine():
            yield from _window(engine.scan, engine.source.fmt.width, engine.delays)
            yield from _pool(engine)
        case GlobalPoolEngine():
            channels = engine.source.channels
            yield Item(Add(engine.acc_fmt.width), channels)
            yield Register(channels * engine.acc_fmt.width)
            yield from _counter(engine.source.pixels)
            yield from _requantizers(engine.op.requantize, engine.acc_fmt, (), channels)
        case AddEngine():
            yield Item(Add(engine.sum_fmt.width), engine.result.channels)
            yield from _requantizers(engine.op.requantize, engine.sum_fmt, (), engine.result.channels)
            yield from _counter(engine.result.pixels)
        case PointwiseEngine():
            to = requantizer_of(engine)
            if to is None:
                yield Item(Gate(engine.result.fmt.width), engine.result.channels)
            yield from _requantizers(to, engine.source.fmt, (), engine.result.channels)
            yield from _counter(engine.result.pixels)
        case ConcatEngine() | ForkEngine():
            pixels = engine.result.pixels if isinstance(engine, ConcatEngine) else engine.type.pixels
            yield from _counter(pixels)
        case PortEngine():
            yield StreamPort(8 * math.ceil(engine.type.pixel_bits / 8))
            yield from _counter(engine.type.pixels)
        case _:
            assert_never(engine)


def _conv(engine: ConvEngine, graph: Graph) -> Parts:
    fold, op = engine.fold, engine.op
    lanes, words = fold.taps * fold.simd, engine.cycles_per_output
    entering, acc = engine.source.fmt.width, engine.acc_fmt.width
    yield from _window(engine.scan, entering, engine.delays)
    if words > 1:
        yield Mux(engine.tap_blocks * engine.in_blocks, lanes * entering)
        yield Rom(words, engine.weight_word_bits, engine.weights)
        yield Item(Multiply(entering, engine.weight_fmt.width), fold.multipliers)
        yield from _times(_tree(lanes, entering + engine.weight_fmt.width, acc), fold.pe)
    else:
        yield from _constant_matrix(graph.constants[op.weight], entering, acc)
    if op.bias is not None:
        yield Item(Add(acc), fold.pe)
        if engine.out_blocks > 1:
            yield Rom(engine.out_blocks, fold.pe * acc, MemoryKind.LUTRAM)
    if engine.tap_blocks * engine.in_blocks > 1:
        yield Item(Add(acc), fold.pe)
        yield Item(Select(acc), fold.pe)
        yield Register(fold.pe * acc)
    yield from _requantizers(op.requantize, engine.acc_fmt, engine.shifts, fold.pe)
    if engine.out_blocks > 1:
        yield Register(engine.result.pixel_bits)  # the output pixel is put together over several cycles
    for extent in (engine.out_blocks, engine.tap_blocks, engine.in_blocks):
        if extent > 1:
            yield from _counter(extent)


def _window(scan: Scan, bits: int, kinds: tuple[MemoryKind, ...]) -> Parts:
    """Delay chain, the newest pixel's register, and what tells pixels from padding."""
    pixel = scan.source.channels * bits
    yield Register(pixel)
    for words, kind in zip(scan.delays, kinds, strict=True):
        yield Delay(words, pixel, kind)
    yield from _counter(scan.pitch)
    yield from _counter(math.ceil(scan.steps / scan.pitch))
    row_bits = max(1, scan.source.height.bit_length())
    column_bits = max(1, scan.pitch.bit_length())
    outside = [tap for tap in scan.taps if _may_leave(scan, tap.r, tap.s)]
    yield Item(Compare(row_bits + 1), len({tap.r for tap in outside}))
    yield Item(Compare(column_bits + 1), len({tap.s for tap in outside}))
    yield Item(Gate(pixel), len(outside))
    yield Compare(row_bits)  # whether a pixel is read
    yield Item(Compare(column_bits), 2)  # whether a pixel is read; whether one is written


def _may_leave(scan: Scan, r: int, s: int) -> bool:
    """Whether the tap (r, s) falls outside the frame for some output pixel."""
    top, left = r - scan.padding.top, s - scan.padding.left
    bottom = top + (scan.out_height - 1) * scan.stride[0]
    right = left + (scan.out_width - 1) * scan.stride[1]
    return top < 0 or left < 0 or bottom >= scan.source.height or right >= scan.source.width


def _counter(extent: int) -> Parts:
    bits = max(1, (extent - 1).bit_length())
    yield Add(bits)
    yield Compare(bits)
    yield Select(bits)
    yield Register(bits)


def _tree(inputs: int, bits: int, most: int) -> Iterator[tuple[Add, int]]:
    """Adders of a balanced tree, level by level; no sum is wider than ``most`` bits."""
    while inputs > 1:
        bits = min(bits + 1, most)
        yield Add(bits), inputs // 2
        inputs = math.ceil(inputs / 2)


def _times(adders: Iterator[tuple[Add, int]], count: int) -> Iterator[Item]:
    for adder, number in adders:
        yield Item(adder, number * count)


def _constant_matrix(weight: IntArray, entering: int, acc: int) -> Iterator[Item]:
    """Products with the actual weights [T, Ci, Co] and the trees that sum them: zeros vanish, powers of two are wiring."""
    magnitude = np.abs(weight.reshape(-1, weight.shape[-1]))
    digits = signed_digits(magnitude)
    widths = np.frexp(magnitude.astype(np.float64))[1].astype(np.int64)  # bit lengths, exact below 2**53
    pairs, counts = np.unique(np.stack([widths, digits], axis=-1).reshape(-1, 2), axis=0, return_counts=True)
    for (width, number), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        if number:
            yield Item(ConstantMultiply(entering, width, number), count)
    kept = np.count_nonzero(magnitude, axis=0)
    typical = entering + int(np.ceil(widths[magnitude > 0].mean())) if magnitude.any() else entering
    for inputs, columns in zip(*np.unique(kept, return_counts=True), strict=True):
        yield from _times(_tree(int(inputs), typical, acc), int(columns))


def signed_digits(magnitude: IntArray) -> IntArray:
    """Nonzero digits of the canonical signed digit form of each number (no two are adjacent, hence fewest).

    Source: the digits are where x and 3 x differ in binary (Prodinger, "On binary representations of integers with
    digits -1, 0, 1", Integers 0, 2000).
    """
    differing = (magnitude ^ (3 * magnitude)).astype(np.uint64)
    count = np.zeros(magnitude.shape, dtype=np.int64)
    while differing.any():
        count += (differing & np.uint64(1)).astype(np.int64)
        differing >>= np.uint64(1)
    return count


def _requantizers(to: Requantizer | None, exact: FixedPoint, shifts: tuple[int, ...], lanes: int) -> Parts:
    """Shift, round half to even, saturate, once per lane."""
    if to is None:
        return
    kept = max(2, exact.width - max(0, to.shift))
    different = len(set(shifts))
    if different > 1:
        yield Item(Mux(different, exact.width), lanes)
    if to.divisor > 1:
        yield Item(Divide(exact.width), lanes)
    if to.shift > 0 or to.divisor > 1:
        yield Item(Compare(max(1, to.shift)), lanes)  # whether the rest is half, above or below
        yield Item(Add(kept), lanes)
    if kept > to.fmt.width or exact.signed:
        yield Item(Compare(kept), lanes * (2 if exact.signed and to.fmt.signed else 1))
        yield Item(Select(to.fmt.width), 2 * lanes)


def _pool(engine: WindowPoolEngine) -> Parts:
    inputs, channels = len(engine.scan.taps), engine.source.channels
    width = engine.source.fmt.width
    if isinstance(engine.op, MaxPool):
        yield Item(Compare(width), channels * (inputs - 1))
        yield Item(Select(width), channels * (inputs - 1))
        return
    total = _pool_sum(engine)
    yield from _times(_tree(inputs, width, total.width), channels)
    yield from _requantizers(engine.op.requantize, total, (), channels)


def _pool_sum(engine: WindowPoolEngine) -> FixedPoint:
    whole = engine.source.fmt.range.including(0).scaled(len(engine.scan.taps))
    return FixedPoint.holding(whole, frac=engine.source.fmt.frac)


def _levels(engine: Engine, delays: Delays) -> Iterator[Level]:
    """The data path of an engine from the FIFO that it reads to the one that it writes."""
    match engine:
        case ConvEngine():
            yield from _conv_levels(_conv_key(engine), delays)
            yield Level(delays.stream_write, engine.result.pixel_bits)
        case WindowPoolEngine():
            pixel, inputs = engine.source.pixel_bits, len(engine.scan.taps)
            yield Level(delays.stream_read + delays.compare + delays.select, inputs * pixel)
            while inputs > 1:
                inputs = math.ceil(inputs / 2)
                yield Level(delays.compare + delays.select, inputs * pixel)
            yield from _requantize_levels(requantizer_of(engine), engine.result.pixel_bits, delays)
        case GlobalPoolEngine():
            yield Level(delays.stream_read, engine.source.pixel_bits)
            yield Level(_adding(delays, engine.acc_fmt.width), 0)
            yield from _requantize_levels(engine.op.requantize, engine.result.pixel_bits, delays)
        case AddEngine():
            yield Level(delays.stream_read, sum(source.pixel_bits for source in engine.sources))
            yield Level(_adding(delays, engine.sum_fmt.width), engine.result.channels * engine.sum_fmt.width)
            yield from _requantize_levels(engine.op.requantize, engine.result.pixel_bits, delays)
        case PointwiseEngine():
            yield Level(delays.stream_read, engine.source.pixel_bits)
            yield Level(delays.compare + delays.select, engine.result.pixel_bits)
            yield from _requantize_levels(requantizer_of(engine), engine.result.pixel_bits, delays)
        case ConcatEngine():
            yield Level(delays.stream_read, engine.result.pixel_bits)
            yield Level(delays.stream_write, engine.result.pixel_bits)
        case ForkEngine() | PortEngine():
            yield Level(delays.stream_read, engine.type.pixel_bits)
            yield Level(delays.stream_write, engine.type.pixel_bits)
        case _:
            assert_never(engine)


@dataclass(frozen=True, slots=True)
class _ConvKey:
    """What the data path of a convolution depends on, so that equal ones are worked out once."""

    entering: int
    weight: int
    acc: int
    pe: int
    lanes: int
    constant: bool
    muxed: bool
    accumulates: bool
    bias: bool
    rounds: bool
    leaving: int


def _conv_key(engine: ConvEngine) -> _ConvKey:
    return _ConvKey(
        entering=engine.source.fmt.width,
        weight=engine.weight_fmt.width,
        acc=engine.acc_fmt.width,
        pe=engine.fold.pe,
        lanes=engine.fold.taps * engine.fold.simd,
        constant=engine.cycles_per_output == 1,
        muxed=engine.tap_blocks * engine.in_blocks > 1,
        accumulates=engine.tap_blocks * engine.in_blocks > 1,
        bias=engine.op.bias is not None,
        rounds=engine.op.requantize is not None,
        leaving=engine.result.fmt.width,
    )


@cache
def _conv_path(key: _ConvKey, delays: Delays) -> tuple[Level, ...]:
    operands = key.lanes * key.entering + (0 if key.constant else key.pe * key.lanes * key.weight)
    levels = [Level(delays.stream_read + delays.select, operands)]
    if key.muxed:
        levels.append(Level(2 * delays.select, operands))
    if not key.constant:
        levels.append(Level(delays.memory - delays.select, operands))
    wide, narrow = max(key.entering, key.weight), min(key.entering, key.weight)
    in_dsp = wide > LUT_PRODUCT_BITS and narrow > ADDER_PRODUCT_BITS
    product = min(key.entering + key.weight, key.acc)
    levels.append(Level(delays.dsp_product if in_dsp else delays.lut_product, key.pe * key.lanes * product))
    inputs = key.lanes
    while inputs > 1:
        inputs, product = math.ceil(inputs / 2), min(product + 1, key.acc)
        levels.append(Level(_adding(delays, product), key.pe * inputs * product))
    if key.bias or key.accumulates:
        levels.append(Level(_adding(delays, key.acc) + delays.select, key.pe * key.acc))
    if key.rounds:
        levels.append(Level(delays.compare + _adding(delays, key.acc), key.pe * key.acc))
        levels.append(Level(delays.compare + delays.select, key.pe * key.leaving))
    return tuple(levels)


def _conv_levels(key: _ConvKey, delays: Delays) -> Iterator[Level]:
    yield from _conv_path(key, delays)


def _requantize_levels(to: Requantizer | None, pixel_bits: int, delays: Delays) -> Iterator[Level]:
    if to is not None:
        if to.divisor > 1:
            yield Level(2 * delays.dsp_product, pixel_bits)
        yield Level(delays.compare + _adding(delays, to.fmt.width), pixel_bits)
        yield Level(delays.compare + delays.select, pixel_bits)
    yield Level(delays.stream_write, pixel_bits)


def _adding(delays: Delays, bits: int) -> float:
    return delays.add + delays.add_per_bit * bits
