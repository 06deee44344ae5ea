"""The operations. An op says what is computed; folds, paths, estimates and measurements are not fields of an op.

Every op has one result, a value of the same name. Integer semantics: docs/ir.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.types import NO_PADDING, Padding, Tap, TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """The frame that enters: codes of the given type.

    Args:
        unit: what a code of value 1 stands for; 1.0 unless the model's scale is no power of two.
    """

    name: str
    type: TensorType
    unit: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2d:
    """Direct convolution over the surviving taps; a dense layer is the case of one tap on one pixel.

    ``acc[y, x, k] = bias[k] + sum over t, c of weight[t, c, k] * in[y * sh + r_t - top, x * sw + s_t - left, c]``
    with zero outside the frame. The result is ``acc[k] << align[k]``, requantized where ``requantize`` is set.

    Args:
        weight: constant [T, Ci, Co]: integers that stand for ``w * 2**-(weight_frac - align[k])``.
        bias: constant [Co] in the format of the accumulator, or None.
        taps: T positions in raster order, distinct, inside ``kernel``.
        kernel: (R, S) of the dense kernel.
        stride: (vertical, horizontal) [pixels].
        align: left shift per output channel [bits] that brings per-channel weight scales to one; empty means none.
        weight_frac: fractional bits of the aligned weight.
        dense_in_channels, dense_out_channels: channels before pruning removed some, for reports.
    """

    name: str
    input: str
    weight: str
    bias: str | None = None
    taps: tuple[Tap, ...]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    weight_frac: int
    align: tuple[int, ...] = ()
    requantize: Requantizer | None = None
    dense_in_channels: int
    dense_out_channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """Exact sum of two feature maps of one shape, brought to the finer of the two formats by left shifts."""

    name: str
    inputs: tuple[str, str]
    requantize: Requantizer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat:
    """Feature maps of one height and width, side by side in channels, brought to the finest format by left shifts."""

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AvgPool:
    """Mean over windows without padding: the exact sum, read with log2(area) more fractional bits.

    Where the window's area is not a power of two, its odd part is the divisor of ``requantize``, which is then required.
    """

    name: str
    input: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    requantize: Requantizer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool:
    """Maximum over windows; positions in the padding do not take part."""

    name: str
    input: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = NO_PADDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """``in[c] * scale[c] + offset[c]`` for every channel c, requantized where ``requantize`` is set.

    Args:
        scale: constant [C]: integers that stand for ``scale * 2**-scale_frac``.
        offset: constant [C] in the format of the products.
        scale_frac: fractional bits of the scale.
    """

    name: str
    input: str
    scale: str
    offset: str
    scale_frac: int
    requantize: Requantizer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """``start[c] + step[c] * (how many of thresholds[c] are at most in[c])`` for every channel c.

    Any monotone function of an accumulator with few results is exactly this.

    Args:
        thresholds: constant [C, L], ascending along L, in the format of the input.
        start: constant [C]: the result below the lowest threshold.
        step: constant [C]: what each threshold adds; negative where the function falls.
        fmt: format of the result.
    """

    name: str
    input: str
    thresholds: str
    start: str
    step: str
    fmt: FixedPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu:
    """``max(m, 0)``."""

    name: str
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requantize:
    """Shift, round half to even, saturate."""

    name: str
    input: str
    requantize: Requantizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten:
    """[H, W, C] read as one pixel of H * W * C channels, C fastest."""

    name: str
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The result that leaves.

    Args:
        unit: what a code of value 1 stands for; 1.0 unless the model's scale is no power of two.
    """

    name: str
    input: str
    unit: float = 1.0


Op = (
    Input
    | Conv2d
    | Add
    | Concat
    | AvgPool
    | MaxPool
    | Affine
    | Threshold
    | Relu
    | Requantize
    | Flatten
    | Output
)


def op_inputs(op: Op) -> tuple[str, ...]:
    """Names of the values that an op reads."""
    match op:
        case Input():
            return ()
        case Add() | Concat():
            return tuple(op.inputs)
        case _:
            return (op.input,)


def op_constants(op: Op) -> tuple[str, ...]:
    """Names of the constants that an op reads."""
    match op:
        case Conv2d():
            return (op.weight,) if op.bias is None else (op.weight, op.bias)
        case Affine():
            return (op.scale, op.offset)
        case Threshold():
            return (op.thresholds, op.start, op.step)
        case _:
            return ()


def kind(op: Op) -> str:
    """The word for an op in text, reports and JSON, as ``conv2d``."""
    return {
        Input: "input",
        Conv2d: "conv2d",
        Add: "add",
        Concat: "concat",
        AvgPool: "avg_pool",
        MaxPool: "max_pool",
        Affine: "affine",
        Threshold: "threshold",
        Relu: "relu",
        Requantize: "requantize",
        Flatten: "flatten",
        Output: "output",
    }[type(op)]
