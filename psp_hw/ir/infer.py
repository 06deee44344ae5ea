"""The type of every result, from the op, its inputs and the actual constants. Accumulators never wrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.ir.ops import (
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv2d,
    Flatten,
    Input,
    MaxPool,
    Op,
    Output,
    Relu,
    Requantize,
    Threshold,
)
from psp_hw.ir.types import NO_PADDING, Padding, TensorType

# What is computed in int64 stays below this.
MOST_INT64 = 1 << 62


def result_type(op: Op, inputs: Sequence[TensorType], constants: Mapping[str, IntArray]) -> TensorType:
    """Type of the result of an op.

    Raises:
        ValueError: the inputs do not suit the op.
    """
    match op:
        case Input():
            return op.type
        case Conv2d():
            return _conv2d_type(op, inputs[0], constants)
        case Add():
            return _add_type(op, inputs[0], inputs[1])
        case Concat():
            return _concat_type(op, inputs)
        case AvgPool():
            return _avg_pool_type(op, inputs[0])
        case MaxPool():
            height, width = windows(inputs[0], op.kernel, op.stride, op.padding)
            return _typed(height, width, inputs[0].channels, inputs[0].fmt)
        case Affine():
            return _affine_type(op, inputs[0], constants)
        case Threshold():
            return _threshold_type(op, inputs[0], constants)
        case Relu():
            fmt = inputs[0].fmt
            positive = FixedPoint.holding(Interval(0, fmt.max), frac=fmt.frac)
            return _typed(inputs[0].height, inputs[0].width, inputs[0].channels, positive)
        case Requantize():
            _check_requantizer(op.name, inputs[0].fmt, op.requantize)
            return _typed(inputs[0].height, inputs[0].width, inputs[0].channels, op.requantize.fmt)
        case Flatten():
            return _typed(1, 1, inputs[0].pixels * inputs[0].channels, inputs[0].fmt)
        case Output():
            return inputs[0]
        case _:
            assert_never(op)


def windows(
    image: TensorType, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
) -> tuple[int, int]:
    """Number of kernel positions (vertically, horizontally).

    Raises:
        ValueError: the kernel is larger than the padded frame.
    """
    height = image.height + padding.top + padding.bottom - kernel[0]
    width = image.width + padding.left + padding.right - kernel[1]
    if height < 0 or width < 0:
        raise ValueError(
            f"a kernel of {kernel[0]}x{kernel[1]} is larger than the padded {image.height}x{image.width}"
        )
    return height // stride[0] + 1, width // stride[1] + 1


def accumulator(op: Conv2d, source: TensorType, constants: Mapping[str, IntArray]) -> Interval:
    """The exact range of the accumulator of a convolution before alignment, from its weights and the input's format.

    Zero belongs to the range of every input, since padding reads it, and so does every partial sum.
    """
    return _hull(*_accumulators(op, source, constants))


def accumulators_by_channel(
    op: Conv2d, source: TensorType, constants: Mapping[str, IntArray]
) -> tuple[Interval, ...]:
    """The range of the accumulator of every output channel, all partial sums in any order included."""
    low, high = _accumulators(op, source, constants)
    return tuple(Interval(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True))


def _accumulators(
    op: Conv2d, source: TensorType, constants: Mapping[str, IntArray], shifts: Sequence[int] = ()
) -> tuple[IntArray, IntArray]:
    """Least and greatest accumulator of every output channel [Co], shifted left where that is asked for."""
    weight = constants[op.weight]
    # Tap by tap first: rows of few output channels are summed slowly.
    positive = np.maximum(weight, 0).sum(axis=0).sum(axis=0)
    negative = weight.sum(axis=0).sum(axis=0) - positive
    bias = constants[op.bias] if op.bias is not None else np.zeros(weight.shape[-1], dtype=np.int64)
    for what, found in (("bias", len(bias)), ("align", len(shifts) or len(bias))):
        if found != weight.shape[-1]:
            raise ValueError(f"{op.name}: {what} of {found} values for {weight.shape[-1]} output channels")
    if min(shifts, default=0) < 0:
        raise ValueError(f"{op.name}: align shifts to the left, by {min(shifts)} bits it cannot")
    entering = source.fmt.range.including(0)
    largest = (_magnitude(positive) + _magnitude(negative)) * entering.magnitude + _magnitude(bias)
    largest <<= max(shifts, default=0)
    up, down, offset = (_exact(part, largest) for part in (positive, negative, bias))
    low = up * entering.lo + down * entering.hi + np.minimum(offset, 0)
    high = up * entering.hi + down * entering.lo + np.maximum(offset, 0)
    if shifts:
        left = _exact(np.array(shifts, dtype=np.int64), largest)
        low, high = low << left, high << left
    return low, high


def _hull(low: IntArray, high: IntArray) -> Interval:
    return Interval(int(low.min()), int(high.max()))


def _exact(values: IntArray, largest: int) -> IntArray:
    """Values with which results up to the largest are exact: of any size where 64 bits would not hold those."""
    kind = np.dtype(np.int64 if largest < MOST_INT64 else object)
    return np.asarray(values.astype(kind, copy=False))


def affine_range(op: Affine, source: TensorType, constants: Mapping[str, IntArray]) -> Interval:
    """The exact range of ``in * scale + offset`` over all channels, each product included."""
    scales, offsets = constants[op.scale], constants[op.offset]
    largest = _magnitude(scales) * source.fmt.range.magnitude + _magnitude(offsets)
    entering = np.array([[source.fmt.range.lo], [source.fmt.range.hi]], dtype=object)
    ends = _exact(scales, largest) * _exact(entering, largest)
    moved = _exact(offsets, largest)
    lo, hi = ends.min(axis=0) + np.minimum(moved, 0), ends.max(axis=0) + np.maximum(moved, 0)
    return _hull(lo, hi)


def _magnitude(values: IntArray) -> int:
    """The largest absolute value."""
    return max(abs(int(values.min())), abs(int(values.max())))


def _typed(height: int, width: int, channels: int, fmt: FixedPoint) -> TensorType:
    return TensorType(height=height, width=width, channels=channels, fmt=fmt)


def _check_requantizer(name: str, exact: FixedPoint, to: Requantizer) -> None:
    _check_division(name, exact, to)
    if to.divisor == 1 and exact.frac - to.shift != to.fmt.frac:
        raise ValueError(
            f"{name}: {exact.frac} fractional bits shifted right by {to.shift} are not the {to.fmt.frac} of {to.fmt}"
        )


def _check_division(name: str, exact: FixedPoint, to: Requantizer) -> None:
    if not to.divides(exact.width + (not exact.signed)):
        raise ValueError(
            f"{name}: {exact.width} bits shifted right by {to.shift} are too wide for a division by {to.divisor}"
        )


def _settled(name: str, exact: FixedPoint, to: Requantizer | None) -> FixedPoint:
    if to is None:
        return exact
    _check_requantizer(name, exact, to)
    return to.fmt


def _conv2d_type(op: Conv2d, source: TensorType, constants: Mapping[str, IntArray]) -> TensorType:
    weight = constants[op.weight]
    if weight.ndim != 3 or weight.shape[:2] != (len(op.taps), source.channels):
        raise ValueError(
            f"{op.name}: weight {weight.shape} does not suit {len(op.taps)} taps and {source.channels} input channels"
        )
    height, width = windows(source, op.kernel, op.stride, op.padding)
    aligned = _hull(*_accumulators(op, source, constants, op.align))
    exact = FixedPoint.holding(aligned, frac=source.fmt.frac + op.weight_frac)
    return _typed(height, width, weight.shape[2], _settled(op.name, exact, op.requantize))


def _affine_type(op: Affine, source: TensorType, constants: Mapping[str, IntArray]) -> TensorType:
    for name in (op.scale, op.offset):
        if constants[name].shape != (source.channels,):
            raise ValueError(
                f"{op.name}: {name} of shape {constants[name].shape} for {source.channels} channels"
            )
    whole = affine_range(op, source, constants)
    exact = FixedPoint.holding(whole, frac=source.fmt.frac + op.scale_frac)
    fmt = _settled(op.name, exact, op.requantize)
    return _typed(source.height, source.width, source.channels, fmt)


def _threshold_type(op: Threshold, source: TensorType, constants: Mapping[str, IntArray]) -> TensorType:
    thresholds, start, step = (constants[name] for name in (op.thresholds, op.start, op.step))
    if thresholds.ndim != 2 or thresholds.shape[0] != source.channels:
        raise ValueError(f"{op.name}: thresholds of shape {thresholds.shape} for {source.channels} channels")
    if start.shape != (source.channels,) or step.shape != (source.channels,):
        raise ValueError(
            f"{op.name}: start {start.shape} and step {step.shape} for {source.channels} channels"
        )
    ends = np.concatenate([start, start + step * thresholds.shape[1]])
    if not op.fmt.min <= int(ends.min()) <= int(ends.max()) <= op.fmt.max:
        raise ValueError(f"{op.name}: results {ends.min()} .. {ends.max()} leave the range of {op.fmt}")
    return _typed(source.height, source.width, source.channels, op.fmt)


def _add_type(op: Add, left: TensorType, right: TensorType) -> TensorType:
    if left.shape != right.shape:
        raise ValueError(f"{op.name}: shapes {left.shape} and {right.shape} differ")
    frac = max(left.fmt.frac, right.fmt.frac)
    total = (left.fmt.range << (frac - left.fmt.frac)) + (right.fmt.range << (frac - right.fmt.frac))
    exact = FixedPoint.holding(total, frac=frac)
    return _typed(left.height, left.width, left.channels, _settled(op.name, exact, op.requantize))


def _concat_type(op: Concat, inputs: Sequence[TensorType]) -> TensorType:
    first = inputs[0]
    for other in inputs:
        if (other.height, other.width) != (first.height, first.width):
            raise ValueError(f"{op.name}: shapes {first.shape} and {other.shape} differ in height or width")
    frac = max(t.fmt.frac for t in inputs)
    hull = Interval.hull(t.fmt.range << (frac - t.fmt.frac) for t in inputs)
    channels = sum(t.channels for t in inputs)
    return _typed(first.height, first.width, channels, FixedPoint.holding(hull, frac=frac))


def _avg_pool_type(op: AvgPool, source: TensorType) -> TensorType:
    height, width = windows(source, op.kernel, op.stride, NO_PADDING)
    area = op.kernel[0] * op.kernel[1]
    twos = (area & -area).bit_length() - 1
    odd = area >> twos
    if odd > 1 and (op.requantize is None or op.requantize.divisor != odd):
        raise ValueError(f"{op.name}: a mean over {area} pixels needs a requantizer with divisor {odd}")
    exact = FixedPoint.holding(source.fmt.range.scaled(area), frac=source.fmt.frac + twos)
    to = op.requantize
    if to is None:
        return _typed(height, width, source.channels, exact)
    _check_division(op.name, exact, to)
    if to.divisor == odd and exact.frac - to.shift != to.fmt.frac:
        raise ValueError(f"{op.name}: the requantizer's shift does not lead to {to.fmt}")
    return _typed(height, width, source.channels, to.fmt)
