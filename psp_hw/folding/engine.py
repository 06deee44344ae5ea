"""What the hardware of each op is: taps, folds, memories, schedule. Nothing here belongs to one back end.

Every engine takes and gives whole pixels: one token of a stream is all channels of one pixel. Its work on a frame is a
sequence of steps; a step may take one token from every input at its start, lasts some cycles, and may give one token to
every output at its end. Loops are flat: a step's cycles follow the previous step's without a gap (II = 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.folding.connections import ConnectionTable
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind
from psp_hw.folding.scan import Scan
from psp_hw.folding.schedule import KEPT_SCHEDULES, Schedule, token_per_cycle
from psp_hw.ir.ops import Add, AvgPool, Concat, Conv2d, MaxPool, Relu, Requantize
from psp_hw.ir.types import TensorType


@lru_cache(maxsize=KEPT_SCHEDULES)
def _walk(scan: Scan, cycles_per_output: int) -> Schedule:
    writes = scan.writes()
    return Schedule(scan.reads(), writes, np.where(writes, cycles_per_output, 1).astype(np.int64))


def signed_width(fmt: FixedPoint) -> int:
    """Width of the narrowest signed word that holds a format [bits]."""
    return fmt.width + (not fmt.signed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvEngine:
    """Direct convolution: a delay chain between the surviving taps, then ``fold.multipliers`` products per cycle.

    Args:
        op: the convolution.
        source, result: types of its input and output tokens.
        scan: the walk over the frame.
        fold: what is computed at once.
        weight_fmt: narrowest format of the weights that occur.
        acc_fmt: narrowest format of every partial sum, bias included, before alignment.
        weights: where the weight words are kept.
        delays: where each delay is kept, oldest first.
        multipliers: how products are made.
        table: which input each multiplier takes in which cycle, for a fold with lanes; None for the dense schedule, tap block by
            tap block and input block by input block.
    """

    op: Conv2d
    source: TensorType
    result: TensorType
    scan: Scan
    fold: Fold
    weight_fmt: FixedPoint
    acc_fmt: FixedPoint
    weights: MemoryKind
    delays: tuple[MemoryKind, ...]
    multipliers: MultiplierKind = MultiplierKind.TOOL
    table: ConnectionTable | None = None

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def in_channels(self) -> int:
        """Ci."""
        return self.source.channels

    @property
    def out_channels(self) -> int:
        """Co."""
        return self.result.channels

    @property
    def out_blocks(self) -> int:
        """Co / pe."""
        return self.out_channels // self.fold.pe

    @property
    def tap_blocks(self) -> int:
        """T / taps of the dense schedule."""
        return len(self.op.taps) // self.fold.taps

    @property
    def in_blocks(self) -> int:
        """Ci / simd of the dense schedule."""
        return self.in_channels // self.fold.simd

    @property
    def cycles_per_output(self) -> int:
        """Cycles per output pixel, which is also the number of weight words."""
        return self.table.words if self.table else self.out_blocks * self.tap_blocks * self.in_blocks

    @property
    def most_words(self) -> int:
        """Cycles of the output block that takes most: above one, sums are carried from cycle to cycle."""
        return max(self.table.lengths) if self.table else self.tap_blocks * self.in_blocks

    @property
    def ways(self) -> int:
        """Registers of the window among which an operand is selected."""
        return self.table.ways if self.table else self.tap_blocks * self.in_blocks

    @property
    def select_bits(self) -> int:
        """Width of the selections of one word that are kept in a memory; 0 where counters select [bits]."""
        return self.table.select_bits * self.table.lanes if self.table else 0

    @property
    def held_bits(self) -> tuple[int, ...]:
        """Bits of a pixel that the window holds under each tap, and the delay behind it keeps [T]."""
        if self.table is None:
            return (self.source.pixel_bits,) * len(self.scan.taps)
        return tuple(channels * self.source.fmt.width for channels in self.table.held)

    @property
    def weight_word_bits(self) -> int:
        """Width of one weight word: all weights used in one cycle [bits]."""
        return self.fold.multipliers * self.weight_fmt.width

    @property
    def operand_bits(self) -> int:
        """An input as a multiplier takes it, its sign included [bits]."""
        return signed_width(self.source.fmt)

    @property
    def pair_lane(self) -> int:
        """Distance of two products in one DSP: what holds any product of an input and a weight, with its sign [bits].

        Of n and w bits, two signed numbers give at most 2**(n + w - 2), a signed and an unsigned one at most 2**(n + w - 1), and
        that only below zero: both fit a signed word of n + w bits. Two unsigned ones give up to 2**(n + w) - 1: a bit more.
        """
        both_unsigned = not self.source.fmt.signed and not self.weight_fmt.signed
        return self.source.fmt.width + self.weight_fmt.width + both_unsigned

    @property
    def shifts(self) -> tuple[int, ...]:
        """Right shift per output channel from accumulator to result [Co], in bits; negative shifts left."""
        shift = self.op.requantize.shift if self.op.requantize is not None else 0
        if not self.op.align:
            return (shift,) * self.out_channels
        return tuple(shift - left for left in self.op.align)

    def schedule(self) -> Schedule:
        return _walk(self.scan, self.cycles_per_output)

    def weight_words(self, weight: IntArray) -> IntArray:
        """Weights in the order in which the engine reads them.

        Args:
            weight: [T, Ci, Co].

        Returns:
            [words, pe * taps * simd]. Word ``(o * tap_blocks + t) * in_blocks + i`` holds output channels
            ``o * pe ..``, taps ``t * taps ..``, input channels ``i * simd ..``; inside a word the output channel is
            slowest and the input channel fastest. With a connection table [words, pe * lanes], block after block.
        """
        if self.table is not None:
            return self.table.weight_words(weight)
        fold = self.fold
        blocks = weight.reshape(
            self.tap_blocks, fold.taps, self.in_blocks, fold.simd, self.out_blocks, fold.pe
        )
        ordered = blocks.transpose(4, 0, 2, 5, 1, 3)
        return np.ascontiguousarray(ordered.reshape(self.cycles_per_output, fold.multipliers))

    def by_block(self, values: IntArray) -> IntArray:
        """One value per output channel [Co] in the order in which channels are computed [blocks, pe]."""
        ordered = values if self.table is None else values[self.table.order]
        return ordered.reshape(self.out_blocks, self.fold.pe)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPoolEngine:
    """Pooling over windows: the same delay chain, a maximum or a sum of the window, all channels at once."""

    op: MaxPool | AvgPool
    source: TensorType
    result: TensorType
    scan: Scan
    delays: tuple[MemoryKind, ...]

    @property
    def name(self) -> str:
        return self.op.name

    def schedule(self) -> Schedule:
        return _walk(self.scan, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPoolEngine:
    """Mean over the whole frame: one accumulator per channel, one output pixel after the last input pixel."""

    op: AvgPool
    source: TensorType
    result: TensorType

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def acc_fmt(self) -> FixedPoint:
        """Format of the running sums."""
        whole = self.source.fmt.range.including(0).scaled(self.source.pixels)
        return FixedPoint.holding(whole, frac=self.source.fmt.frac)

    def schedule(self) -> Schedule:
        pixels = self.source.pixels
        writes = np.zeros(pixels, dtype=np.bool_)
        writes[-1] = True
        return Schedule(np.ones(pixels, dtype=np.bool_), writes, np.ones(pixels, dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddEngine:
    """Sum of two streams, a pixel per cycle."""

    op: Add
    sources: tuple[TensorType, TensorType]
    result: TensorType

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def shifts(self) -> tuple[int, int]:
        """Left shift of each input [bits] that brings both to one format."""
        frac = max(source.fmt.frac for source in self.sources)
        return (frac - self.sources[0].fmt.frac, frac - self.sources[1].fmt.frac)

    @property
    def sum_fmt(self) -> FixedPoint:
        """Format of the exact sum, before requantizing."""
        ranges = [s.fmt.range << shift for s, shift in zip(self.sources, self.shifts, strict=True)]
        frac = max(source.fmt.frac for source in self.sources)
        return FixedPoint.holding(ranges[0] + ranges[1], frac=frac)

    def schedule(self) -> Schedule:
        return token_per_cycle(self.result.pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcatEngine:
    """Channels side by side, a pixel per cycle."""

    op: Concat
    sources: tuple[TensorType, ...]
    result: TensorType

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def shifts(self) -> tuple[int, ...]:
        """Left shift of each input [bits] that brings all to one format."""
        frac = max(source.fmt.frac for source in self.sources)
        return tuple(frac - source.fmt.frac for source in self.sources)

    def schedule(self) -> Schedule:
        return token_per_cycle(self.result.pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointwiseEngine:
    """ReLU or requantization that no other engine took in, a pixel per cycle."""

    op: Relu | Requantize
    source: TensorType
    result: TensorType

    @property
    def name(self) -> str:
        return self.op.name

    def schedule(self) -> Schedule:
        return token_per_cycle(self.result.pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkEngine:
    """Copies a stream for every reader of a value, a pixel per cycle."""

    name: str
    type: TensorType
    copies: int

    def schedule(self) -> Schedule:
        return token_per_cycle(self.type.pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortEngine:
    """Where frames enter or leave the design: AXI4-Stream beats to tokens or back, a pixel per cycle."""

    name: str
    type: TensorType
    enters: bool

    def schedule(self) -> Schedule:
        return token_per_cycle(self.type.pixels)


Engine = (
    ConvEngine
    | WindowPoolEngine
    | GlobalPoolEngine
    | AddEngine
    | ConcatEngine
    | PointwiseEngine
    | AffineEngine
    | ThresholdEngine
    | ForkEngine
    | PortEngine
)


def requantizer_of(engine: Engine) -> Requantizer | None:
    """The requantizer at the engine's output, if it has one."""
    match engine:
        case ConvEngine() | AddEngine() | GlobalPoolEngine() | AffineEngine():
            return engine.op.requantize
        case WindowPoolEngine():
            return engine.op.requantize if isinstance(engine.op, AvgPool) else None
        case PointwiseEngine():
            return engine.op.requantize if isinstance(engine.op, Requantize) else None
        case _:
            return None
