"""The engines that are mapped, each as a small graph with random constants around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, Affine, AvgPool, Conv2d, Input, MaxPool, Op, Output, Requantize, Threshold
from psp_hw.ir.types import Padding, Tap, TensorType

LUTRAM, BRAM = MemoryKind.LUTRAM, MemoryKind.BRAM
DSP, PAIR = MultiplierKind.DSP, MultiplierKind.DSP_PAIR
ALL = tuple((r, s) for r in range(3) for s in range(3))
FOUR = ((0, 1), (1, 0), (1, 2), (2, 1))
DIAGONAL = ((0, 0), (1, 1), (2, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An engine that is to be mapped.

    Args:
        text: what is particular about it.
        op: the op that it does.
        graph: makes the graph that it stands in.
        node: how it is folded.
    """

    text: str
    op: str
    graph: Callable[[], Graph]
    node: NodePlan | None = None


def unsigned(width: int, frac: int = 0) -> FixedPoint:
    """Format of an activation."""
    return FixedPoint(width=width, signed=False, frac=frac)


def all_wanted() -> list[Wanted]:
    """Every engine, convolutions first."""
    return [*convolutions(), *tables(), *pools(), *maps()]


def convolutions() -> list[Wanted]:
    """Of every kind of fold, multiplier and memory."""
    return [
        conv("9 taps, one product at a time", (8, 8), ALL, Fold()),
        conv("4 taps, 8 products at a time", (8, 8), FOUR, Fold(pe=2, simd=4)),
        conv("4 taps, 16 products in DSPs", (16, 16), FOUR, Fold(pe=4, taps=4), multipliers=DSP),
        conv("4 taps, 16 products in pairs", (16, 16), FOUR, Fold(pe=4, simd=4), multipliers=PAIR),
        conv("3 taps, stride 2, weights in block RAM", (8, 16), DIAGONAL, Fold(pe=4, taps=3), stride=2, weights=BRAM),
        conv("1 tap, 4 bits", (16, 16), ((1, 1),), Fold(pe=4, simd=4), bits=4),
        conv("4 taps, 4 bits, wide frame", (8, 8), FOUR, Fold(pe=4, simd=2, taps=2), size=80, bits=4),
        conv("4 taps, constants, a pixel per cycle", (4, 4), FOUR, Fold(pe=4, simd=4, taps=4)),
        conv("9 taps, constants of 4 bits", (3, 8), ALL, Fold(pe=8, simd=3, taps=9), bits=4),
    ]  # fmt: skip


def tables() -> list[Wanted]:
    """Convolutions from connection tables: columns that all outputs lack, kernels and single weights that each output lacks."""
    return [
        conv("table, a third of the columns", (8, 8), ALL, Fold(pe=2, lanes=4), keep=_columns),
        conv("table, half of the kernels", (8, 8), FOUR, Fold(pe=2, lanes=4), keep=_kernels),
        conv("table, a quarter of the weights, in DSPs", (8, 8), FOUR, Fold(pe=1, lanes=4), keep=_weights, multipliers=DSP),
    ]  # fmt: skip


def _columns(rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
    return rng.random((*shape[:2], 1)) < 1 / 3


def _kernels(rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
    """Of two outputs together, as they are computed in blocks."""
    few = rng.random((1, shape[1], shape[2] // 2)) < 1 / 2
    return np.repeat(few, 2, axis=2)


def _weights(rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
    return rng.random(shape) < 1 / 4


def conv(
    text: str,
    channels: tuple[int, int],
    taps: tuple[tuple[int, int], ...],
    fold: Fold,
    *,
    size: int = 16,
    stride: int = 1,
    bits: int = 8,
    weights: MemoryKind = LUTRAM,
    multipliers: MultiplierKind = MultiplierKind.TOOL,
    keep: Callable[[np.random.Generator, tuple[int, ...]], IntArray] | None = None,
) -> Wanted:
    """A convolution on frames of ``size`` x ``size`` pixels, with random weights."""

    def graph() -> Graph:
        rng = np.random.default_rng(len(text))
        entering, leaving = channels
        top = 1 << (bits - 1)
        fmt = unsigned(bits)
        shift = max(1, (bits - 2) + round((len(taps) * entering) ** 0.5).bit_length())
        shape = (len(taps), entering, leaving)
        weight = np.clip(np.round(rng.normal(0, top / 3, size=shape)), 1 - top, top - 1).astype(np.int64)
        if keep is not None:
            weight = np.where(keep(rng, shape), weight, 0)
        op = Conv2d(
            name="conv",
            input="image",
            weight="w",
            bias="b",
            taps=tuple(Tap(r, s) for r, s in taps),
            kernel=(3, 3),
            stride=(stride, stride),
            padding=Padding(top=1, left=1, bottom=1, right=1),
            weight_frac=0,
            requantize=Requantizer(shift=shift, lo=0, hi=fmt.max, fmt=unsigned(bits, -shift)),
            dense_in_channels=entering,
            dense_out_channels=leaving,
        )
        constants = {"w": weight, "b": rng.integers(-8 * top, 8 * top, size=leaving)}
        return _graph((size, size, entering), fmt, [op], constants)

    node = NodePlan(fold=fold, weights=weights, multipliers=multipliers)
    return Wanted(text=text, op="conv", graph=graph, node=node)


def _graph(
    shape: tuple[int, int, int], fmt: FixedPoint, ops: list[Op], constants: dict[str, IntArray]
) -> Graph:
    height, width, channels = shape
    image = Input(name="image", type=TensorType(height=height, width=width, channels=channels, fmt=fmt))
    return Graph("one", (image, *ops, Output(name="result", input=ops[-1].name)), constants)


def alone(
    text: str,
    shape: tuple[int, int, int],
    fmt: FixedPoint,
    ops: list[Op],
    constants: Callable[[np.random.Generator], dict[str, IntArray]] = lambda rng: {},
    node: NodePlan | None = None,
) -> Wanted:
    """The last of some ops on frames of so many rows, columns and channels."""

    def graph() -> Graph:
        return _graph(shape, fmt, ops, constants(np.random.default_rng(len(text))))

    return Wanted(text=text, op=ops[-1].name, graph=graph, node=node)


def to(fmt: FixedPoint, shift: int, divisor: int = 1) -> Requantizer:
    """To all that a format holds."""
    return Requantizer(shift=shift, lo=fmt.min, hi=fmt.max, fmt=fmt, divisor=divisor)


def pools() -> list[Wanted]:
    """Maxima and means."""
    u8, image = unsigned(8), (16, 16, 4)
    two, three = {"kernel": (2, 2), "stride": (2, 2)}, {"kernel": (3, 3), "stride": (1, 1)}
    around = Padding(top=1, left=1, bottom=1, right=1)
    nine = AvgPool(name="pool", input="image", **three, requantize=to(u8, 0, 9))
    whole = {"name": "pool", "input": "image", "stride": (1, 1)}
    return [
        alone("maximum of 2 x 2", image, u8, [MaxPool(name="pool", input="image", **two)]),
        alone("maximum of 3 x 3, padded", image, u8, [MaxPool(name="pool", input="image", **three, padding=around)]),
        alone("mean of 2 x 2", image, u8, [AvgPool(name="pool", input="image", **two, requantize=to(unsigned(8), 2))]),
        alone("mean of 3 x 3, division by 9", image, u8, [nine]),
        alone("mean of a frame of 64", (8, 8, 8), u8, [AvgPool(**whole, kernel=(8, 8), requantize=to(unsigned(8, 6), 0))]),
        alone("mean of a frame of 49", (7, 7, 4), u8, [AvgPool(**whole, kernel=(7, 7), requantize=to(u8, 0, 49))]),
    ]  # fmt: skip


def maps() -> list[Wanted]:
    """Sums, requantization, affine maps and thresholds."""
    s10 = FixedPoint(width=10, signed=True, frac=0)
    narrow = Requantize(
        name="left", input="image", requantize=to(FixedPoint(width=8, signed=True, frac=-2), 2)
    )
    s8 = FixedPoint(width=8, signed=True, frac=0)
    return [
        alone("sum, rounded", (8, 8, 8), s8, [
            Requantize(name="left", input="image", requantize=to(FixedPoint(width=7, signed=True, frac=-1), 1)),
            Add(name="sum", inputs=("left", "image"), requantize=to(unsigned(8, -1), 1))]),
        alone("sum, left exact", (8, 8, 8), s10, [narrow, Add(name="sum", inputs=("left", "image"))]),
        alone("requantization", (8, 8, 8), FixedPoint(width=16, signed=True, frac=0), [Requantize(name="narrow", input="image", requantize=to(unsigned(8, -7), 7))]),
        affine("affine map, all channels", 8, Fold(pe=8)),
        affine("affine map, 2 channels at once", 8, Fold(pe=2)),
        affine("affine map, 2 channels, in DSPs", 8, Fold(pe=2), multipliers=DSP),
        thresholds("3 thresholds, all channels", 8, 3, Fold(pe=8)),
        thresholds("15 thresholds, all channels", 4, 15, Fold(pe=4)),
        thresholds("15 thresholds, 2 channels at once", 8, 15, Fold(pe=2)),
        thresholds("3 thresholds, 2 channels at once, block RAM", 32, 3, Fold(pe=2), weights=BRAM),
    ]  # fmt: skip


def affine(text: str, channels: int, fold: Fold, multipliers: MultiplierKind = MultiplierKind.TOOL) -> Wanted:
    """A batch norm of 8-bit inputs, with constants of 8 bits and their offsets."""
    op = Affine(
        name="map", input="image", scale="s", offset="o", scale_frac=0, requantize=to(unsigned(8, -7), 7)
    )

    def constants(rng: np.random.Generator) -> dict[str, IntArray]:
        return {
            "s": rng.integers(20, 128, size=channels) * rng.choice([-1, 1], size=channels),
            "o": rng.integers(-2000, 2001, size=channels),
        }

    plan = NodePlan(fold=fold, weights=LUTRAM, multipliers=multipliers)
    return alone(text, (8, 8, channels), unsigned(8), [op], constants, plan)


def thresholds(text: str, channels: int, levels: int, fold: Fold, weights: MemoryKind = LUTRAM) -> Wanted:
    """Of accumulators of 14 bits to as many results as thresholds have."""
    wide = FixedPoint(width=14, signed=True, frac=0)
    fmt = unsigned(levels.bit_length())
    op = Threshold(name="map", input="image", thresholds="t", start="a", step="c", fmt=fmt)

    def constants(rng: np.random.Generator) -> dict[str, IntArray]:
        found = rng.integers(-6000, 6000, size=(channels, levels))
        falls = rng.random(channels) < 1 / 2
        return {
            "t": np.sort(found, axis=1),
            "a": np.where(falls, levels, 0),
            "c": np.where(falls, -1, 1),
        }

    return alone(text, (8, 8, channels), wide, [op], constants, NodePlan(fold=fold, weights=weights))
