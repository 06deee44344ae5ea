"""The data path of every engine, level by level: what ``pipeline.cut`` puts registers into."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import assert_never
from weakref import WeakKeyDictionary

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.constants import ConstantSums, affine_sums, constant_sums
from psp_hw.cost.operators import aligned_bits, pool_sum, quotient_bits, rounded_bits
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
    signed_width,
)
from psp_hw.folding.maps import AffineEngine, MapEngine, ThresholdEngine
from psp_hw.folding.plan import MultiplierKind
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import MaxPool


def levels_of(engine: Engine, delays: Delays, graph: Graph | None = None) -> Iterator[Level]:
    """The data path of an engine from the FIFO that it reads to the one that it writes.

    Args:
        engine: an engine.
        delays: of the fabric.
        graph: where the constants are. Without it what is multiplied with constants has the bits that any constants of their width
            would give; delays are the same.
    """
    match engine:
        case ConvEngine():
            yield from _conv_levels(engine, delays, graph)
        case WindowPoolEngine():
            yield from _pool_levels(engine, delays)
        case GlobalPoolEngine():
            yield Level(delays.stream_read, engine.source.pixel_bits)
            yield Level(_adding(delays, engine.acc_fmt.width), 0)
            lanes = engine.result.channels
            yield from _finish_levels(engine.op.requantize, engine.acc_fmt, lanes, engine.result.fmt, delays)
        case AddEngine():
            lanes = engine.result.channels
            yield Level(delays.stream_read, sum(source.pixel_bits for source in engine.sources))
            yield Level(_adding(delays, engine.sum_fmt.width), lanes * engine.sum_fmt.width)
            yield from _finish_levels(engine.op.requantize, engine.sum_fmt, lanes, engine.result.fmt, delays)
        case PointwiseEngine():
            lanes, to = engine.result.channels, requantizer_of(engine)
            bits = engine.result.fmt.width if to is None else engine.source.fmt.width
            yield Level(delays.stream_read, engine.source.pixel_bits)
            yield Level(delays.compare + delays.select, lanes * bits)
            yield from _finish_levels(to, engine.source.fmt, lanes, engine.result.fmt, delays)
        case AffineEngine():
            yield from _affine_levels(engine, delays, graph)
        case ThresholdEngine():
            yield from _block_levels(engine, "thresholds", delays)
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


def _conv_levels(engine: ConvEngine, delays: Delays, graph: Graph | None) -> Iterator[Level]:
    lanes, pe, sums = engine.fold.operands, engine.fold.pe, None
    if graph is not None and engine.cycles_per_output == 1:
        sums = conv_constants(engine, graph)
    for step in conv_steps(path_key(engine), delays):
        bits = step.bits(lanes, pe) if sums is None else step.bits_of(sums, pe)
        yield Level(step.delay, bits, step.absorbed)
    yield Level(delays.stream_write, engine.result.pixel_bits)


def conv_constants(engine: ConvEngine, graph: Graph) -> ConstantSums:
    """Products and sums of a convolution whose weights are constants in the multipliers."""
    weight = graph.constants[engine.op.weight]
    matrix = weight.reshape(-1, weight.shape[-1])
    return constant_sums(matrix, engine.source.fmt, engine.acc_fmt.width)


# What constants of maps come to, by op and the format that enters: a bill asks for it, and so does the pipeline.
_AFFINE: WeakKeyDictionary[Graph, dict[tuple[str, FixedPoint], ConstantSums]] = WeakKeyDictionary()


def affine_constants(engine: AffineEngine, graph: Graph) -> ConstantSums:
    """Products and sums of a map whose constants are in logic."""
    known, key = _AFFINE.setdefault(graph, {}), (engine.name, engine.source.fmt)
    if key not in known:
        scale, offset = (graph.constants[name] for name in (engine.op.scale, engine.op.offset))
        known[key] = affine_sums(scale, offset, engine.source.fmt)
    return known[key]


def _pool_levels(engine: WindowPoolEngine, delays: Delays) -> Iterator[Level]:
    """Maxima keep their width, sums grow by a bit per level."""
    inputs, channels, bits = len(engine.scan.taps), engine.source.channels, engine.source.fmt.width
    summed = pool_sum(engine)
    yield Level(delays.stream_read + delays.compare + delays.select, inputs * engine.source.pixel_bits)
    while inputs > 1:
        inputs = math.ceil(inputs / 2)
        if not isinstance(engine.op, MaxPool):
            bits = min(bits + 1, summed.width)
        yield Level(delays.compare + delays.select, inputs * channels * bits)
    yield from _finish_levels(requantizer_of(engine), summed, channels, engine.result.fmt, delays)


def _affine_levels(engine: AffineEngine, delays: Delays, graph: Graph | None) -> Iterator[Level]:
    yield from _block_levels(engine, "scale", delays)
    in_dsp = engine.scale_fmt.width > ADDER_PRODUCT_BITS
    if engine.blocks > 1:
        in_dsp = uses_dsp(engine.source.fmt.width, engine.scale_fmt.width, engine.multipliers)
    products = sums = engine.fold.pe * engine.acc_fmt.width
    if graph is not None and engine.blocks == 1:
        products, sums = affine_constants(engine, graph).live
    delay = delays.dsp_product if in_dsp else delays.lut_product
    yield Level(delay, products, absorbed=in_dsp and engine.blocks > 1)
    yield Level(_adding(delays, engine.acc_fmt.width), sums)
    yield from _finish_levels(engine.op.requantize, engine.acc_fmt, engine.fold.pe, engine.result.fmt, delays)


def _block_levels(engine: MapEngine, first: str, delays: Delays) -> Iterator[Level]:
    """From the FIFO to the channels that are worked on at once, and the constants that they meet first beside them.

    A memory is read as late as its word is needed, and its register is that of the stage: what waits is the address.
    """
    entering = engine.fold.pe * engine.source.fmt.width
    if engine.blocks == 1:
        yield Level(delays.stream_read, entering)
        return
    yield Level(delays.stream_read + delays.select, entering)
    yield Level(2 * delays.select, entering)
    yield Level(delays.memory - delays.select, entering + engine.word_bits[first])


@dataclass(frozen=True, slots=True)
class PathKey:
    """What the levels of a convolution's data path depend on, so that equal ones are worked out once.

    Args:
        signed_weight: a weight as a bound multiplier takes it, its sign included [bits].
        halvings: levels of the tree that sums the products.
        rounded: what rounding leaves of it, before it is clipped [bits]; 0 where nothing is requantized.
    """

    entering: int
    weight: int
    signed_weight: int
    acc: int
    halvings: int
    constant: bool
    muxed: bool
    select_bits: int
    accumulates: bool
    bias: bool
    rounded: int
    leaving: int
    multipliers: MultiplierKind
    lane: int


def path_key(engine: ConvEngine) -> PathKey:
    """The key of a convolution's data path, the FIFO that it writes apart."""
    to = engine.op.requantize
    return PathKey(
        entering=engine.source.fmt.width,
        weight=engine.weight_fmt.width,
        signed_weight=signed_width(engine.weight_fmt),
        acc=engine.acc_fmt.width,
        halvings=(engine.fold.operands - 1).bit_length(),
        constant=engine.cycles_per_output == 1,
        muxed=engine.ways > 1,
        select_bits=engine.select_bits,
        accumulates=engine.most_words > 1,
        bias=engine.op.bias is not None,
        rounded=0 if to is None else rounded_bits(to, aligned_bits(to, engine.acc_fmt, engine.shifts)),
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
        leaf: bits of a product, which is what is left over where the operands are no power of two.
        halvings: levels of the tree so far.
        absorbed: see ``Level``.
    """

    delay: float
    fixed: int = 0
    operand: int = 0
    output: int = 0
    sums: int = 0
    leaf: int = 0
    halvings: int = 0
    absorbed: bool = False

    def bits(self, lanes: int, pe: int) -> int:
        """Bits that are alive behind it."""
        return self.beside(lanes) + pe * self.per_output(lanes)

    def bits_of(self, constants: ConstantSums, pe: int) -> int:
        """The same where the weights are known: the inputs that some weight meets, and every value at its own width."""
        sums = constants.live[self.halvings] if self.sums else 0
        return self.fixed + (constants.entering if self.operand else 0) + pe * self.output + sums

    def beside(self, lanes: int) -> int:
        """Of them, those that all output channels share."""
        return self.fixed + self.operand * lanes

    def per_output(self, lanes: int) -> int:
        """Of them, those of each output channel at once. The last sum may be of fewer products, and narrower."""
        whole, rest = divmod(lanes, 1 << self.halvings)
        last = min(self.sums, self.leaf + (rest - 1).bit_length()) if rest else 0
        return self.output + self.sums * whole + last


@cache
def conv_steps(key: PathKey, delays: Delays) -> tuple[Step, ...]:
    """The data path of a convolution, the FIFO that it writes apart.

    A memory is read as late as its word is needed, and its register is that of the stage: what waits is the address. A DSP has two registers
    for each operand, one behind its multiplier and one behind its adder (UG479, UG579).
    """
    in_dsp = uses_dsp(key.entering, key.weight, key.multipliers) and not key.constant
    paired = key.multipliers is MultiplierKind.DSP_PAIR
    steps = [Step(delays.stream_read + delays.select, operand=key.entering)]
    if key.select_bits:
        steps.append(Step(delays.memory))  # what to select is read first
    if key.muxed:
        steps.append(Step(2 * delays.select, operand=key.entering, absorbed=in_dsp))
    if not key.constant:
        wide, weight = delays.memory - delays.select, key.weight
        operands = Step(wide, operand=key.entering, sums=weight, leaf=weight, absorbed=in_dsp and not paired)
        steps.append(operands)
    steps += _product_steps(key, delays)
    leaf = product = min(key.entering + key.weight, key.acc)
    for halvings in range(1, key.halvings + 1):
        product = min(product + 1, key.acc)
        steps.append(Step(_adding(delays, product), sums=product, leaf=leaf, halvings=halvings))
    if key.bias or key.accumulates:
        # What is carried from cycle to cycle stands in a register of its own, which holds the same.
        adding = _adding(delays, key.acc) + delays.select
        steps.append(Step(adding, output=key.acc, absorbed=key.accumulates))
    if key.rounded:
        steps.append(Step(delays.compare + _adding(delays, key.acc), output=key.rounded))
        steps.append(Step(delays.compare + delays.select, output=key.leaving))
    return tuple(steps)


def _product_steps(key: PathKey, delays: Delays) -> Iterator[Step]:
    """From operands to products."""
    product = min(key.entering + key.weight, key.acc)
    if key.multipliers is not MultiplierKind.DSP_PAIR:
        in_dsp = uses_dsp(key.entering, key.weight, key.multipliers)
        delay = delays.dsp_product if in_dsp else delays.lut_product
        yield Step(delay, sums=product, leaf=product, absorbed=in_dsp and not key.constant)
        return
    packed = key.lane + key.signed_weight + 1  # of two output channels
    each = math.ceil(packed / 2)
    yield Step(_adding(delays, packed), operand=key.entering, sums=each, leaf=each, absorbed=True)
    yield Step(delays.dsp_product, sums=product, leaf=product, absorbed=True)
    yield Step(_adding(delays, key.lane), sums=product, leaf=product)


def _finish_levels(
    to: Requantizer | None, exact: FixedPoint, lanes: int, leaving: FixedPoint, delays: Delays
) -> Iterator[Level]:
    """From exact numbers to the FIFO: the quotient and what decides its rounding, the rounded number, the clipped one."""
    bits = lanes * leaving.width
    if to is not None:
        if to.divisor > 1:
            rest = to.divisor.bit_length() + max(0, to.shift)
            yield Level(2 * delays.dsp_product, lanes * (quotient_bits(to, exact.width) + rest))
        rounded = lanes * rounded_bits(to, exact.width)
        yield Level(delays.compare + _adding(delays, to.fmt.width), rounded)
        yield Level(delays.compare + delays.select, bits)
    yield Level(delays.stream_write, bits)


def _adding(delays: Delays, bits: int) -> float:
    return delays.add + delays.add_per_bit * bits
