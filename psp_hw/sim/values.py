"""Execute a graph on whole test sets, in exact integers.

Feature maps are carried channel first, [C, N, H, W], so that a convolution is one matrix product
[Co, T * Ci] x [T * Ci, N * Ho * Wo] over the surviving taps alone. The arithmetic of each op is chosen from its actual
weights (sim/arithmetic.py): float32 BLAS where no sum can leave 2**24, float64 below 2**53, integers beyond.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, assert_never

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.infer import accumulators_by_channel, affine_range
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
    op_inputs,
)
from psp_hw.ir.types import NO_PADDING, Padding, Tap, TensorType
from psp_hw.sim.arithmetic import Arithmetic, NumberType, Values, arithmetic_for, requantize_in_place

T = TypeVar("T")

FloatArray = npt.NDArray[np.float32] | npt.NDArray[np.float64]

# Measured on resnet20 with two threads, in images per second: 1 MiB 530, 2 MiB 870, 4 MiB 1230, 8 MiB 1300, 16 MiB 1170, 32 MiB 950.
# Smaller chunks spend their time between the matrix products, larger ones leave the third-level cache.
CHUNK_BYTES = 1 << 23
CHUNK_IMAGES = 64


def encode(images: FloatArray, source: TensorType, unit: float = 1.0) -> IntArray:
    """Codes of real-valued images: scaled, rounded half to even, saturated, as the input quantizer does.

    Args:
        images: [N, C, H, W], finite.
        source: type of the graph's input.
        unit: of the graph's input. Dividing by a power of two is exact; by any other unit it rounds in float32, as the model
            that quantizes them does.

    Returns:
        [N, H, W, C].
    """
    step = np.asarray(unit * 2.0**-source.fmt.frac, dtype=np.float64 if unit == 1.0 else np.float32)
    scaled = np.rint(images.astype(step.dtype, copy=False) / step)
    codes = np.clip(scaled, source.fmt.min, source.fmt.max).astype(np.int64)
    return np.ascontiguousarray(codes.transpose(0, 2, 3, 1))


def decode(codes: IntArray, fmt: FixedPoint, unit: float = 1.0) -> npt.NDArray[np.float64]:
    """Real values of codes, exactly where the unit is 1.0: every format of up to 53 bits is exact in float64."""
    return codes.astype(np.float64) * (2.0**-fmt.frac * unit)


@dataclass(frozen=True)
class Simulator:
    """The graph as a function on codes.

    Args:
        graph: any verified graph.
        threads: chunks of images computed at the same time; None takes every core.
    """

    graph: Graph
    threads: int | None = None

    @cached_property
    def arithmetic(self) -> Mapping[str, Arithmetic]:
        """The arithmetic of every op, from its actual weights and the ranges of its inputs."""
        return {op.name: _arithmetic(op, self.graph) for op in self.graph.ops}

    @cached_property
    def _kernels(self) -> tuple[tuple[Op, Callable[..., Values]], ...]:
        return tuple((op, _kernel(op, self.graph, self.arithmetic[op.name])) for op in self.graph.ops)

    def run(self, codes: IntArray, *, on_chunk: Callable[[int], None] | None = None) -> IntArray:
        """Codes of the output.

        Args:
            codes: [N, H, W, C] in the format of the input.
            on_chunk: called with the number of images done, after every chunk.

        Returns:
            [N, Ho, Wo, Co].
        """
        self._check(codes)
        out = self.graph.types[self.graph.output.name]
        result = np.empty((len(codes), *out.shape), dtype=np.int64)

        def work(part: slice) -> int:
            values = self._execute(codes[part])[self.graph.output.name]
            result[part] = values.transpose(1, 2, 3, 0)
            return len(values[0])

        for done in self._map(work, len(codes)):
            if on_chunk is not None:
                on_chunk(done)
        return result

    def trace(self, codes: IntArray) -> dict[str, IntArray]:
        """Codes of every value, by name: [N, H, W, C] each."""
        self._check(codes)
        parts = list(self._map(lambda part: self._execute(codes[part], keep=True), len(codes)))
        return {
            op.name: np.concatenate([part[op.name].transpose(1, 2, 3, 0).astype(np.int64) for part in parts])
            for op in self.graph.ops
        }

    def _check(self, codes: IntArray) -> None:
        source = self.graph.input.type
        if codes.ndim != 4 or codes.shape[1:] != source.shape:
            raise ValueError(f"codes of shape {codes.shape} are no frames of {source}")
        if codes.size and not (source.fmt.min <= codes.min() and codes.max() <= source.fmt.max):
            raise ValueError(f"codes {codes.min()} .. {codes.max()} leave the range of {source.fmt}")

    def _map(self, work: Callable[[slice], T], images: int) -> Iterator[T]:
        workers = self.threads or os.cpu_count() or 1
        chunk = max(1, min(_chunk_images(self.graph), -(-images // workers)))
        parts = [slice(at, min(at + chunk, images)) for at in range(0, images, chunk)]
        _ = self._kernels
        with threadpool_limits(1), ThreadPoolExecutor(min(workers, max(1, len(parts)))) as pool:
            yield from pool.map(work, parts)

    def _execute(self, codes: IntArray, *, keep: bool = False) -> dict[str, Values]:
        values: dict[str, Values] = {}
        left = {name: len(users) for name, users in self.graph.users.items()}
        for op, kernel in self._kernels:
            if isinstance(op, Input):
                values[op.name] = kernel(codes.transpose(3, 0, 1, 2))
                continue
            names = op_inputs(op)
            values[op.name] = kernel(*(values[name] for name in names))
            for name in names:
                left[name] -= 1
                if left[name] == 0 and not keep:
                    del values[name]
        return values


def _chunk_images(graph: Graph) -> int:
    largest = 1
    for op in graph.convolutions:
        out = graph.types[op.name]
        largest = max(largest, len(op.taps) * graph.types[op.input].channels * out.pixels)
    return int(np.clip(CHUNK_BYTES // (4 * largest), 1, CHUNK_IMAGES))


def _arithmetic(op: Op, graph: Graph) -> Arithmetic:
    ranges = [graph.types[op.name].fmt.range]
    if isinstance(op, Conv2d):
        by_channel = accumulators_by_channel(op, graph.types[op.input], graph.constants)
        align = op.align or (0,) * len(by_channel)
        ranges += [acc << shift for acc, shift in zip(by_channel, align, strict=True)]
        ranges.append(_hull(graph.constants[op.weight]))
    if isinstance(op, Add):
        types = [graph.types[name] for name in op.inputs]
        frac = max(t.fmt.frac for t in types)
        shifted = [t.fmt.range << (frac - t.fmt.frac) for t in types]
        ranges += [*shifted, shifted[0] + shifted[1]]
    if isinstance(op, Affine):
        ranges.append(affine_range(op, graph.types[op.input], graph.constants))
        ranges += [_hull(graph.constants[op.scale]), _hull(graph.constants[op.offset])]
    if isinstance(op, Threshold):
        ranges += [_hull(graph.constants[op.start]), _hull(graph.constants[op.step])]
    if isinstance(op, AvgPool):
        area = op.kernel[0] * op.kernel[1]
        ranges.append(graph.types[op.input].fmt.range.including(0).scaled(area))
    ranges += [graph.types[name].fmt.range for name in op_inputs(op)]
    return arithmetic_for(*ranges)


def _hull(constant: IntArray) -> Interval:
    return Interval(min(0, int(constant.min())), max(0, int(constant.max())))


def _kernel(op: Op, graph: Graph, arithmetic: Arithmetic) -> Callable[..., Values]:
    dtype = arithmetic.dtype
    match op:
        case Input() | Output() | Flatten():
            return _flatten if isinstance(op, Flatten) else lambda values: values.astype(dtype)
        case Conv2d():
            return _Convolution.of(op, graph, arithmetic)
        case Add():
            return lambda a, b: _add(
                a, b, graph.types[op.inputs[0]].fmt, graph.types[op.inputs[1]].fmt, op, dtype
            )
        case Concat():
            frac = graph.types[op.name].fmt.frac
            lifts = [frac - graph.types[name].fmt.frac for name in op.inputs]
            return lambda *maps: np.concatenate(
                [_shifted(m, lift, dtype) for m, lift in zip(maps, lifts, strict=True)]
            )
        case AvgPool():
            return lambda values: _avg_pool(values, op, graph.types[op.name], dtype)
        case MaxPool():
            return lambda values: _max_pool(values, op, graph.types[op.name])
        case Affine():
            scale, offset = (_by_channel(graph.constants[name], dtype) for name in (op.scale, op.offset))
            return lambda values: _settle(values.astype(dtype, copy=False) * scale + offset, op.requantize)
        case Threshold():
            return lambda values: _threshold(values, op, graph, dtype)
        case Relu():
            return lambda values: np.maximum(values, 0)
        case Requantize():
            return lambda values: _settle(values.astype(dtype), op.requantize)
        case _:
            assert_never(op)


def _settle(values: Values, to: Requantizer | None) -> Values:
    return values if to is None else requantize_in_place(values, to)


def _shifted(values: Values, left: int, dtype: NumberType) -> Values:
    return values.astype(dtype) if left == 0 else values.astype(dtype) * np.asarray(1 << left, dtype=dtype)


def _by_channel(constant: IntArray, dtype: NumberType) -> Values:
    return constant.astype(dtype)[:, None, None, None]


def _threshold(values: Values, op: Threshold, graph: Graph, dtype: NumberType) -> Values:
    """Counts by binary search, channel by channel: the thresholds ascend."""
    whole = values.astype(np.int64)
    counts = np.empty(whole.shape, dtype=np.int64)
    for place, channel, thresholds in zip(counts, whole, graph.constants[op.thresholds], strict=True):
        place[:] = np.searchsorted(thresholds, channel, side="right")
    start, step = (_by_channel(graph.constants[name], dtype) for name in (op.start, op.step))
    return np.add(np.multiply(counts, step, dtype=dtype), start)


def _flatten(values: Values) -> Values:
    channels, images, height, width = values.shape
    return values.transpose(2, 3, 0, 1).reshape(height * width * channels, images, 1, 1)


def _add(a: Values, b: Values, a_fmt: FixedPoint, b_fmt: FixedPoint, op: Add, dtype: NumberType) -> Values:
    frac = max(a_fmt.frac, b_fmt.frac)
    total = np.add(_shifted(a, frac - a_fmt.frac, dtype), _shifted(b, frac - b_fmt.frac, dtype))
    return _settle(total, op.requantize)


def _window(
    values: Values, tap: Tap, out: TensorType, stride: tuple[int, int], padding: Padding
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the pixels under one tap lie: the rectangle of output pixels that see the frame, and of the frame."""
    rows = _overlap(tap.r - padding.top, stride[0], out.height, values.shape[2])
    columns = _overlap(tap.s - padding.left, stride[1], out.width, values.shape[3])
    return (rows[0], columns[0]), (rows[1], columns[1])


def _overlap(offset: int, stride: int, outputs: int, extent: int) -> tuple[slice, slice]:
    first = max(0, -(offset // stride))  # smallest y with y * stride + offset >= 0
    end = min(outputs, (extent - 1 - offset) // stride + 1)
    if end <= first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset
    return slice(first, end), slice(start, start + (end - first - 1) * stride + 1, stride)


def _avg_pool(values: Values, op: AvgPool, out: TensorType, dtype: NumberType) -> Values:
    values = values.astype(dtype, copy=False)
    total = np.zeros((values.shape[0], values.shape[1], out.height, out.width), dtype=dtype)
    for r in range(op.kernel[0]):
        for s in range(op.kernel[1]):
            _, (rows, columns) = _window(values, Tap(r, s), out, op.stride, NO_PADDING)
            np.add(total, values[:, :, rows, columns], out=total)
    return _settle(total, op.requantize)


def _max_pool(values: Values, op: MaxPool, out: TensorType) -> Values:
    lowest = out.fmt.min
    result = np.full((values.shape[0], values.shape[1], out.height, out.width), lowest, dtype=values.dtype)
    for r in range(op.kernel[0]):
        for s in range(op.kernel[1]):
            (ys, xs), (rows, columns) = _window(values, Tap(r, s), out, op.stride, op.padding)
            np.maximum(result[:, :, ys, xs], values[:, :, rows, columns], out=result[:, :, ys, xs])
    return result


@dataclass(frozen=True)
class _Convolution:
    """One convolution with its weights laid out for the matrix product."""

    op: Conv2d
    out: TensorType
    matrix: Values  # [Co, T * Ci]
    bias: Values | None  # [Co, 1]
    align: Values | None  # [Co, 1]

    @classmethod
    def of(cls, op: Conv2d, graph: Graph, arithmetic: Arithmetic) -> _Convolution:
        dtype = arithmetic.dtype
        weight = graph.constants[op.weight]
        bias = None if op.bias is None else graph.constants[op.bias].astype(dtype)[:, None]
        align = None if not any(op.align) else np.array([1 << a for a in op.align], dtype=dtype)[:, None]
        matrix = np.ascontiguousarray(weight.reshape(-1, weight.shape[2]).T.astype(dtype))
        return cls(op, graph.types[op.name], matrix, bias, align)

    def __call__(self, values: Values) -> Values:
        lowered = self._lowered(values.astype(self.matrix.dtype, copy=False))
        # No whole number is invalid; a product of zeros was once reported as such.
        with np.errstate(invalid="ignore"):
            acc = np.matmul(self.matrix, lowered)
        if self.bias is not None:
            np.add(acc, self.bias, out=acc)
        if self.align is not None:
            np.multiply(acc, self.align, out=acc)
        acc = _settle(acc, self.op.requantize)
        return acc.reshape(len(self.matrix), values.shape[1], self.out.height, self.out.width)

    def _lowered(self, values: Values) -> Values:
        """The pixels under the surviving taps, [T * Ci, N * Ho * Wo]."""
        op = self.op
        channels, images = values.shape[:2]
        if (
            op.taps == (Tap(0, 0),)
            and op.stride == (1, 1)
            and op.padding == NO_PADDING
            and op.kernel == (1, 1)
        ):
            return values.reshape(channels, -1)
        shape = (len(op.taps), channels, images, self.out.height, self.out.width)
        columns = np.empty(shape, dtype=values.dtype)
        for place, tap in zip(columns, op.taps, strict=True):
            (ys, xs), (rows, cols) = _window(values, tap, self.out, op.stride, op.padding)
            place[:, :, : ys.start] = 0
            place[:, :, ys.stop :] = 0
            place[:, :, :, : xs.start] = 0
            place[:, :, :, xs.stop :] = 0
            place[:, :, ys, xs] = values[:, :, rows, cols]
        return columns.reshape(len(op.taps) * channels, -1)
