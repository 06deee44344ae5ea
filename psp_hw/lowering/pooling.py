"""Poolings: maxima and means over windows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from psp_hw.arith.requantize import MAX_SHIFT, Requantizer
from psp_hw.errors import ModelError
from psp_hw.ir.ops import AvgPool, Conv2d, MaxPool
from psp_hw.ir.types import NO_PADDING, Padding, Tap
from psp_hw.lowering.builder import Builder, Outcome
from psp_hw.lowering.exact import log2
from psp_hw.lowering.features import ONE, ZERO, Layout, PendingMean, Value, features
from psp_hw.lowering.names import layer_name
from psp_hw.lowering.onnx_file import Node
from psp_hw.lowering.quant import HALF_EVEN, Quantizer
from psp_hw.lowering.rescale import quantized
from psp_hw.lowering.units import settled
from psp_hw.lowering.windows import expect_layout, joined, padding_of, refuse_uncommon_pooling, stride_of

# Fractional bits that a mean keeps where it is rounded before it is scaled.
MEAN_GUARD_BITS = 10
MOST_ONES = 1 << 24


def lower_average_pool(node: Node, builder: Builder) -> None:
    """AveragePool; the zeros of its padding count, or there are none."""
    value = builder.value(node.inputs[0], node, padded=True)
    expect_layout(node, value)
    kernel = node.integers("kernel_shape", (1, 1))
    refuse_uncommon_pooling(node)
    if node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise ModelError("average pooling with auto_pad is not supported", where=node.place)
    if min(kernel) < 1:
        raise ModelError(f"a kernel of {kernel[0]}x{kernel[1]} is below 1", where=node.place)
    size, stride = (kernel[0], kernel[1]), stride_of(node)
    padding = padding_of(node, builder.types[value.name], size, stride)
    if padding != NO_PADDING and not node.integer("count_include_pad", 0):
        raise ModelError(
            "a mean that leaves out the padding is not supported",
            where=node.place,
            hint="use count_include_pad=1, or no padding",
        )
    around = joined(padding, value.padding)
    if around == NO_PADDING:
        _mean(node, builder, size, stride)
        return
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    builder.remark(
        node, f"convolution of ones over {size[0] * size[1]} pixels, zeros of the padding included"
    )
    builder.define(node.outputs[0], _ones(node, builder, value, name, size, stride, around))


def _ones(
    node: Node,
    builder: Builder,
    value: Value,
    name: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
) -> Value:
    """A mean as a convolution that sums, its area in the factors: exact for any area, at the cost of a convolution."""
    value = settled(builder, node, replace(value, padding=NO_PADDING))
    channels, area = builder.types[value.name].channels, kernel[0] * kernel[1]
    if area * channels * channels > MOST_ONES:
        raise ModelError(
            f"a mean over {area} pixels of {channels} channels is too large here", where=node.place
        )
    ones = np.broadcast_to(np.eye(channels, dtype=np.int64), (area, channels, channels))
    op = Conv2d(
        name=name,
        input=value.name,
        weight=builder.constant(f"{name}.weight", ones),
        taps=tuple(Tap(r, s) for r in range(kernel[0]) for s in range(kernel[1])),
        kernel=kernel,
        stride=stride,
        padding=padding,
        weight_frac=0,
        dense_in_channels=channels,
        dense_out_channels=channels,
    )
    return replace(builder.emit(op), layout=value.layout, factors=(value.factors[0] / area,))


def lower_global_average_pool(node: Node, builder: Builder) -> None:
    """GlobalAveragePool."""
    value = builder.value(node.inputs[0], node)
    expect_layout(node, value)
    source = builder.types[value.name]
    _mean(node, builder, (source.height, source.width), (1, 1))


def lower_reduce_mean(node: Node, builder: Builder) -> None:
    """ReduceMean over height and width: a global average pooling."""
    value = builder.value(node.inputs[0], node)
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1:
        given = builder.floats(node.inputs[1])
        axes = None if given is None else tuple(int(axis) for axis in given.reshape(-1))
    spatial = [1, 2] if value.layout is Layout.NHWC else [2, 3]
    if value.layout.flat or not isinstance(axes, tuple) or sorted(int(axis) % 4 for axis in axes) != spatial:
        raise ModelError("a mean over other axes than height and width is not supported", where=node.place)
    source = builder.types[value.name]
    layout = value.layout if node.integer("keepdims", 1) else Layout.FLAT_CHW
    _mean(node, builder, (source.height, source.width), (1, 1), layout=layout)


def _mean(
    node: Node,
    builder: Builder,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    *,
    layout: Layout | None = None,
) -> None:
    value = builder.value(node.inputs[0], node)
    if not value.unbounded:
        value = settled(builder, node, value)
    layout = layout or value.layout
    area = kernel[0] * kernel[1]
    if area & (area - 1):
        _check_window(node, builder, value, kernel)
        pending = PendingMean(node=node, source=value, kernel=kernel, stride=stride, layout=layout)
        builder.define(node.outputs[0], pending)
        builder.remark(node, f"sum over {area} pixels; the quantizer behind it divides")
        return
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    emitted = builder.emit(AvgPool(name=name, input=value.name, kernel=kernel, stride=stride))
    result = replace(emitted, layout=layout, factors=value.factors, offsets=value.offsets)
    builder.remark(node, f"sum over {area} pixels, the point moved")
    builder.define(node.outputs[0], result)


def _check_window(node: Node, builder: Builder, value: Value, kernel: tuple[int, int]) -> None:
    source = builder.types[value.name]
    if kernel[0] > source.height or kernel[1] > source.width:
        size = f"{source.height}x{source.width}"
        raise ModelError(
            f"a kernel of {kernel[0]}x{kernel[1]} is larger than the {size} frame", where=node.place
        )


def rounded_mean(node: Node, builder: Builder, mean: PendingMean, quantizer: Quantizer) -> Value:
    """A mean over a number of pixels that is no power of two, rounded once by its quantizer."""
    area = mean.kernel[0] * mean.kernel[1]
    twos = (area & -area).bit_length() - 1
    source, value = builder.types[mean.source.name], mean.source
    name = builder.names.fresh(layer_name(mean.node.name, mean.node.op_type, keep_type=False))
    exponent = log2(value.factors[0] / quantizer.scales[0])
    once = (
        len(value.factors) == len(quantizer.scales) == 1
        and exponent is not None
        and value.offsets == ZERO
        and quantizer.zero == 0
        and quantizer.rounding == HALF_EVEN
    )
    if once and exponent is not None:
        shift = source.fmt.frac + twos - exponent
        frac = source.fmt.frac + twos - shift
        to = Requantizer(
            shift=shift,
            divisor=area >> twos,
            lo=quantizer.lo,
            hi=quantizer.hi,
            fmt=quantizer.fmt(frac),
        )
        value = _emit_mean(builder, mean, name, to)
        builder.remark(node, f"divide by {area}, saturate to {to.fmt}")
        factor = quantizer.scales[0] * Fraction(2) ** frac
        return replace(value, factors=(factor,))
    if builder.options.exact:
        summed = _ones(mean.node, builder, mean.source, name, mean.kernel, mean.stride, NO_PADDING)
        builder.remark(mean.node, "as a convolution of ones: its scale is no power of two")
        return quantized(builder, node, replace(summed, layout=mean.layout), quantizer)
    return _twice_rounded_mean(node, builder, mean, quantizer, name)


def _twice_rounded_mean(
    node: Node, builder: Builder, mean: PendingMean, quantizer: Quantizer, name: str
) -> Value:
    """The mean on a finer grid, then scaled."""
    area = mean.kernel[0] * mean.kernel[1]
    twos = (area & -area).bit_length() - 1
    fmt = builder.types[mean.source.name].fmt
    grid = replace(fmt, width=fmt.width + MEAN_GUARD_BITS, frac=fmt.frac + MEAN_GUARD_BITS)
    shift = twos - MEAN_GUARD_BITS
    to = Requantizer(shift=shift, divisor=area >> twos, lo=grid.min, hi=grid.max, fmt=grid)
    value = _emit_mean(builder, mean, builder.names.fresh(f"{name}_sum"), to)
    value = replace(value, factors=mean.source.factors, offsets=mean.source.offsets)
    text = f"the mean is rounded to 2**-{MEAN_GUARD_BITS} of a code before it is scaled"
    builder.remark(node, text, Outcome.ROUNDED)
    return quantized(builder, node, value, quantizer)


def _emit_mean(builder: Builder, mean: PendingMean, name: str, to: Requantizer) -> Value:
    op = AvgPool(name=name, input=mean.source.name, kernel=mean.kernel, stride=mean.stride, requantize=to)
    if abs(to.shift) > MAX_SHIFT:
        raise ModelError("its scale is too far from that of its input", where=mean.node.place)
    return replace(builder.emit(op), layout=mean.layout)


def lower_max_pool(node: Node, builder: Builder) -> None:
    """MaxPool; a rising map over the codes commutes with it."""
    value = builder.value(node.inputs[0], node, padded=True)
    expect_layout(node, value)
    if any(factor <= 0 for factor in value.factors):
        value = settled(builder, node, value)
    kernel = node.integers("kernel_shape", (1, 1))
    refuse_uncommon_pooling(node)
    stride = stride_of(node)
    source = builder.types[value.name]
    padding = padding_of(node, source, (kernel[0], kernel[1]), stride)
    if value.padding != NO_PADDING:
        positive = source.fmt.min >= 0 and value.offsets == ZERO and value.factors == ONE
        if not positive or node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise ModelError(
                "a maximum with the zeros of a Pad node is supported for positive values only",
                where=node.place,
            )
        padding = joined(padding, value.padding)
    if max(padding.top, padding.bottom) >= kernel[0] or max(padding.left, padding.right) >= kernel[1]:
        raise ModelError("a pooling window that lies in the padding alone is not supported", where=node.place)
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    pool = MaxPool(name=name, input=value.name, kernel=(kernel[0], kernel[1]), stride=stride, padding=padding)
    builder.emit(pool)
    builder.remark(node, f"maximum over {kernel[0]}x{kernel[1]} pixels")
    builder.define(node.outputs[0], replace(value, name=name, padding=NO_PADDING, alone=True))


def lower_global_max_pool(node: Node, builder: Builder) -> None:
    """GlobalMaxPool."""
    value = builder.value(node.inputs[0], node)
    expect_layout(node, value)
    if any(factor <= 0 for factor in value.factors):
        value = settled(builder, node, value)
    source = builder.types[value.name]
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    size = (source.height, source.width)
    builder.emit(MaxPool(name=name, input=value.name, kernel=size, stride=(1, 1)))
    builder.remark(node, f"maximum over {features(source) // source.channels} pixels")
    builder.define(node.outputs[0], replace(value, name=name, alone=True))
