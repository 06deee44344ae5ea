"""Engines that map every channel by constants of its own: batch norm as a multiplication and an addition, thresholds.

The pixel is taken at once, ``pe`` of its channels are worked on per cycle, and the result is given after the last: its channels / pe
cycles. Where all channels are worked on at once the constants are wired into the logic; else a memory gives those of ``pe``
channels per cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.arith.requantize import IntArray
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind
from psp_hw.folding.schedule import Schedule, blocks_per_token
from psp_hw.ir.ops import Affine, Threshold
from psp_hw.ir.types import TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineEngine:
    """A constant multiplication and addition for every channel.

    Args:
        op: the map.
        source, result: types of its tokens.
        scale_fmt, offset_fmt: narrowest formats of the constants that occur.
        acc_fmt: narrowest format of every product and of every product plus offset.
        fold: ``pe`` channels at once.
        weights: where the constants are kept; REGISTERS means in logic.
        multipliers: how products are made.
    """

    op: Affine
    source: TensorType
    result: TensorType
    scale_fmt: FixedPoint
    offset_fmt: FixedPoint
    acc_fmt: FixedPoint
    fold: Fold
    weights: MemoryKind = MemoryKind.REGISTERS
    multipliers: MultiplierKind = MultiplierKind.TOOL

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def blocks(self) -> int:
        """Cycles per pixel, which is also the number of words of constants."""
        return self.result.channels // self.fold.pe

    @property
    def operand_bits(self) -> int:
        """An input as a multiplier takes it, its sign included [bits]."""
        return self.source.fmt.width + (0 if self.source.fmt.signed else 1)

    @property
    def word_bits(self) -> dict[str, int]:
        """Width of a word of each table of constants [bits]."""
        return {"scale": self.fold.pe * self.scale_fmt.width, "offset": self.fold.pe * self.offset_fmt.width}

    def schedule(self) -> Schedule:
        return blocks_per_token(self.result.pixels, self.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdEngine:
    """Every channel compared with its constant thresholds, all at once, and the comparisons counted.

    Args:
        op: the map.
        source, result: types of its tokens.
        levels: thresholds per channel.
        level_fmt, start_fmt, step_fmt: narrowest formats of the constants that occur.
        fold: ``pe`` channels at once.
        weights: where the constants are kept; REGISTERS means in logic.
    """

    op: Threshold
    source: TensorType
    result: TensorType
    levels: int
    level_fmt: FixedPoint
    start_fmt: FixedPoint
    step_fmt: FixedPoint
    fold: Fold
    weights: MemoryKind = MemoryKind.REGISTERS

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def blocks(self) -> int:
        """Cycles per pixel, which is also the number of words of constants."""
        return self.result.channels // self.fold.pe

    @property
    def word_bits(self) -> dict[str, int]:
        """Width of a word of each table of constants [bits]."""
        pe = self.fold.pe
        return {
            "thresholds": pe * self.levels * self.level_fmt.width,
            "start": pe * self.start_fmt.width,
            "step": pe * self.step_fmt.width,
        }

    def schedule(self) -> Schedule:
        return blocks_per_token(self.result.pixels, self.blocks)


MapEngine = AffineEngine | ThresholdEngine


def weight_format(weight: IntArray) -> FixedPoint:
    """Narrowest format of the weights that occur; at least one bit."""
    interval = Interval(min(0, int(weight.min())), max(0, int(weight.max())))
    return FixedPoint.holding(interval, frac=0)
