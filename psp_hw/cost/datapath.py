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
            lanes, pe = engine.fold.operands, engine.fold.pe
            for step in conv_steps(path_key(engine), delays):
                yield Level(step.delay, step.bits(lanes, pe), step.absorbed)
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
    """What the levels of a convolution's data path depend on, so that equal ones are worked out once.

    Args:
        halvings: levels of the tree that sums the products.
    """

    entering: int
    weight: int
    acc: int
    halvings: int
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
        halvings=(engine.fold.operands - 1).bit_length(),
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


@dataclass(frozen=True, slots=True)
class Step:
    """A level of a convolution's data path whatever its fold: its delay [ns], and what the bits behind it grow with.

    Args:
        fixed: bits whatever the fold.
        operand: bits per operand.
        output: bits per output channel at once.
        sums: bits of a sum, of which each output channel at once has one for every ``2**halvings`` operands.
        halvings: levels of the tree so far.
        absorbed: see ``Level``.
    """

    delay: float
    fixed: int = 0
    operand: int = 0
    output: int = 0
    sums: int = 0
    halvings: int = 0
    absorbed: bool = False

    def bits(self, lanes: int, pe: int) -> int:
        """Bits that are alive behind it."""
        return self.beside(lanes) + pe * self.per_output(lanes)

    def beside(self, lanes: int) -> int:
        """Of them, those that all output channels share."""
        return self.fixed + self.operand * lanes

    def per_output(self, lanes: int) -> int:
        """Of them, those of each output channel at once."""
        return self.output + self.sums * -(-lanes >> self.halvings)


@cache
def conv_steps(key: PathKey, delays: Delays) -> tuple[Step, ...]:
    """The data path of a convolution, the FIFO that it writes apart."""
    weight = 0 if key.constant else key.weight
    steps = [Step(delays.stream_read + delays.select, operand=key.entering, sums=weight)]
    if key.select_bits:
        steps.append(Step(delays.memory, fixed=key.select_bits))  # what to select is read first
    if key.muxed:
        steps.append(Step(2 * delays.select, operand=key.entering, sums=weight))
    in_dsp = uses_dsp(key.entering, key.weight, key.multipliers)
    paired = key.multipliers is MultiplierKind.DSP_PAIR
    if not key.constant:
        wide = delays.memory - delays.select
        steps.append(Step(wide, operand=key.entering, sums=weight, absorbed=in_dsp and not paired))
    product = min(key.entering + key.weight, key.acc)
    if paired:
        adding = _adding(delays, key.lane + key.weight + 1)
        steps.append(Step(adding, operand=key.entering, sums=weight, absorbed=True))
    if in_dsp:
        steps.append(Step(delays.dsp_product, sums=product, absorbed=not key.constant))
    else:
        steps.append(Step(delays.lut_product, sums=product))
    if paired:
        steps.append(Step(_adding(delays, key.lane), sums=product))
    for halvings in range(1, key.halvings + 1):
        product = min(product + 1, key.acc)
        steps.append(Step(_adding(delays, product), sums=product, halvings=halvings))
    if key.bias or key.accumulates:
        # What is carried from cycle to cycle stands in a register of its own, which holds the same.
        adding = _adding(delays, key.acc) + delays.select
        steps.append(Step(adding, output=key.acc, absorbed=key.accumulates))
    if key.rounds:
        steps.append(Step(delays.compare + _adding(delays, key.acc), output=key.acc))
        steps.append(Step(delays.compare + delays.select, output=key.leaving))
    return tuple(steps)


def _requantize_levels(to: Requantizer | None, pixel_bits: int, delays: Delays) -> Iterator[Level]:
    if to is not None:
        if to.divisor > 1:
            yield Level(2 * delays.dsp_product, pixel_bits)
        yield Level(delays.compare + _adding(delays, to.fmt.width), pixel_bits)
        yield Level(delays.compare + delays.select, pixel_bits)
    yield Level(delays.stream_write, pixel_bits)


def _adding(delays: Delays, bits: int) -> float:
    return delays.add + delays.add_per_bit * bits
