"""The data path of every engine, level by level: what ``pipeline.cut`` puts registers into."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import assert_never

from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.pipeline import Delays, Level
from psp_hw.cost.pricing import ADDER_PRODUCT_BITS, uses_dsp
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
from psp_hw.folding.maps import AffineEngine, MapEngine, ThresholdEngine
from psp_hw.folding.plan import MultiplierKind


def levels_of(engine: Engine, delays: Delays) -> Iterator[Level]:
    """The data path of an engine from the FIFO that it reads to the one that it writes."""
    match engine:
        case ConvEngine():
            yield from _conv_path(path_key(engine), delays)
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
        case AffineEngine():
            yield from _block_levels(engine, delays)
            in_dsp = engine.scale_fmt.width > ADDER_PRODUCT_BITS
            if engine.blocks > 1:
                in_dsp = uses_dsp(engine.source.fmt.width, engine.scale_fmt.width, engine.multipliers)
            products = engine.fold.pe * engine.acc_fmt.width
            delay = delays.dsp_product if in_dsp else delays.lut_product
            yield Level(delay, products, absorbed=in_dsp and engine.blocks > 1)
            yield Level(_adding(delays, engine.acc_fmt.width), products)
            leaving = engine.fold.pe * engine.result.fmt.width
            yield from _requantize_levels(engine.op.requantize, leaving, delays)
        case ThresholdEngine():
            yield from _block_levels(engine, delays)
            yield Level(delays.compare, engine.fold.pe * engine.levels)
            leaving = engine.fold.pe * engine.result.fmt.width
            yield Level(_adding(delays, engine.result.fmt.width), leaving)
            yield Level(delays.stream_write, leaving)
        case ConcatEngine():
            yield Level(delays.stream_read, engine.result.pixel_bits)
            yield Level(delays.stream_write, engine.result.pixel_bits)
        case ForkEngine() | PortEngine():
            yield Level(delays.stream_read, engine.type.pixel_bits)
            yield Level(delays.stream_write, engine.type.pixel_bits)
        case _:
            assert_never(engine)


def _block_levels(engine: MapEngine, delays: Delays) -> Iterator[Level]:
    """From the FIFO to the channels that are worked on at once, and their constants beside them."""
    entering = engine.fold.pe * engine.source.fmt.width
    if engine.blocks == 1:
        yield Level(delays.stream_read, entering)
        return
    operands = entering + sum(engine.word_bits.values())
    yield Level(delays.stream_read + delays.select, operands)
    yield Level(2 * delays.select, operands)
    yield Level(delays.memory - delays.select, operands)


@dataclass(frozen=True, slots=True)
class PathKey:
    """What the data path of a convolution depends on, so that equal ones are worked out once."""

    entering: int
    weight: int
    acc: int
    pe: int
    lanes: int
    constant: bool
    muxed: bool
    select_bits: int
    accumulates: bool
    bias: bool
    rounds: bool
    leaving: int
    multipliers: MultiplierKind
    lane: int


def path_key(engine: ConvEngine) -> PathKey:
    """The key of a convolution's data path, the FIFO that it writes apart."""
    return PathKey(
        entering=engine.source.fmt.width,
        weight=engine.weight_fmt.width,
        acc=engine.acc_fmt.width,
        pe=engine.fold.pe,
        lanes=engine.fold.operands,
        constant=engine.cycles_per_output == 1,
        muxed=engine.ways > 1,
        select_bits=engine.select_bits,
        accumulates=engine.most_words > 1,
        bias=engine.op.bias is not None,
        rounds=engine.op.requantize is not None,
        leaving=engine.result.fmt.width,
        multipliers=engine.multipliers,
        lane=engine.pair_lane,
    )


@cache
def _conv_path(key: PathKey, delays: Delays) -> tuple[Level, ...]:
    operands = key.lanes * key.entering + (0 if key.constant else key.pe * key.lanes * key.weight)
    levels = [Level(delays.stream_read + delays.select, operands)]
    if key.select_bits:
        levels.append(Level(delays.memory, key.select_bits))  # what to select is read first
    if key.muxed:
        levels.append(Level(2 * delays.select, operands))
    in_dsp = uses_dsp(key.entering, key.weight, key.multipliers)
    paired = key.multipliers is MultiplierKind.DSP_PAIR
    if not key.constant:
        levels.append(Level(delays.memory - delays.select, operands, absorbed=in_dsp and not paired))
    product = min(key.entering + key.weight, key.acc)
    products = key.pe * key.lanes * product
    if paired:
        levels.append(Level(_adding(delays, key.lane + key.weight + 1), operands, absorbed=True))
    levels.append(
        Level(delays.dsp_product, products, absorbed=not key.constant)
        if in_dsp
        else Level(delays.lut_product, products)
    )
    if paired:
        levels.append(Level(_adding(delays, key.lane), products))
    inputs = key.lanes
    while inputs > 1:
        inputs, product = math.ceil(inputs / 2), min(product + 1, key.acc)
        levels.append(Level(_adding(delays, product), key.pe * inputs * product))
    if key.bias or key.accumulates:
        # What is carried from cycle to cycle stands in a register of its own, which holds the same.
        levels.append(
            Level(_adding(delays, key.acc) + delays.select, key.pe * key.acc, absorbed=key.accumulates)
        )
    if key.rounds:
        levels.append(Level(delays.compare + _adding(delays, key.acc), key.pe * key.acc))
        levels.append(Level(delays.compare + delays.select, key.pe * key.leaving))
    return tuple(levels)


def _requantize_levels(to: Requantizer | None, pixel_bits: int, delays: Delays) -> Iterator[Level]:
    if to is not None:
        if to.divisor > 1:
            yield Level(2 * delays.dsp_product, pixel_bits)
        yield Level(delays.compare + _adding(delays, to.fmt.width), pixel_bits)
        yield Level(delays.compare + delays.select, pixel_bits)
    yield Level(delays.stream_write, pixel_bits)


def _adding(delays: Delays, bits: int) -> float:
    return delays.add + delays.add_per_bit * bits
