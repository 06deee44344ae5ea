"""Conv, Gemm and MatMul: convolutions over all taps of their kernels; passes drop those that are zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.errors import ModelError
from psp_hw.ir.ops import Conv2d, Flatten
from psp_hw.ir.types import NO_PADDING, Padding, Tap, TensorType
from psp_hw.lowering.arithmetic import constant_of
from psp_hw.lowering.builder import Builder
from psp_hw.lowering.exact import log2
from psp_hw.lowering.features import ZERO, Layout, Reals, Value, compact, features
from psp_hw.lowering.names import layer_name
from psp_hw.lowering.onnx_file import Node
from psp_hw.lowering.quant import QuantTensor
from psp_hw.lowering.units import attach_offset, settled
from psp_hw.lowering.windows import conv_padding, expect_layout, stride_of

# [K, R, S, C] of qonnx's channels-last convolutions as [K, C, R, S].
_CHANNELS_FIRST = (0, 3, 1, 2)
MOST_CONSTANT_ELEMENTS = 1 << 27


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """How a convolution walks: taps, dense kernel, stride, padding."""

    taps: tuple[Tap, ...]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding


_ONE_PIXEL = _Window(taps=(Tap(0, 0),), kernel=(1, 1), stride=(1, 1), padding=NO_PADDING)


def lower_conv(node: Node, builder: Builder) -> None:
    """Conv: stride, padding, dilation and groups."""
    value = settled(builder, node, builder.value(node.inputs[0], node, padded=True))
    expect_layout(node, value)
    weight = builder.quantized_constant(node.inputs[1], node, "weight")
    if weight.values.ndim != 4:
        raise ModelError(
            f"a weight of shape {weight.values.shape} is not that of a 2-D convolution", where=node.place
        )
    if node.channels_last:
        weight = weight.transposed(_CHANNELS_FIRST)
    source = builder.types[value.name]
    window = _conv_window(node, source, weight, value.padding)
    groups = node.integer("group", 1)
    dense = _without_groups(weight.values, groups, source.channels, node)
    by_tap = dense.transpose(2, 3, 1, 0).reshape(len(window.taps), dense.shape[1], dense.shape[0])
    lowered = QuantTensor(values=by_tap, scales=weight.scales_along(0, dense.shape[0], node))
    emitted = _emit_conv(node, builder, value, lowered, window)
    taps = f"{len(window.taps)} tap{'s' if len(window.taps) > 1 else ''}"
    builder.remark(node, f"convolution, {taps}" + (f", {groups} groups" if groups > 1 else ""))
    result = _with_bias(node, builder, replace(emitted, layout=value.layout), 2)
    builder.define(node.outputs[0], result)


def _conv_window(node: Node, source: TensorType, weight: QuantTensor, around: Padding) -> _Window:
    """A dilated kernel is a larger one with taps between which nothing is; the zeros of a Pad node are padding."""
    vertical, horizontal = node.integers("dilations", (1, 1))
    rows, columns = weight.values.shape[2:]
    if vertical < 1 or horizontal < 1:
        raise ModelError(f"a dilation of {vertical}x{horizontal} is below 1", where=node.place)
    kernel = ((rows - 1) * vertical + 1, (columns - 1) * horizontal + 1)
    taps = tuple(Tap(r * vertical, s * horizontal) for r in range(rows) for s in range(columns))
    stride = stride_of(node)
    padding = conv_padding(node, source, kernel, stride, around)
    return _Window(taps=taps, kernel=kernel, stride=stride, padding=padding)


def _without_groups(weight: IntArray, groups: int, channels: int, node: Node) -> IntArray:
    """Weights [K, C / groups, R, S] as [K, C, R, S], zero between groups."""
    outputs, inputs = weight.shape[:2]
    if groups < 1 or outputs % groups or inputs * groups != channels:
        raise ModelError(
            f"a weight of shape {weight.shape} in {groups} groups does not suit {channels} input channels",
            where=node.place,
        )
    if groups == 1:
        return weight
    if weight.size * groups > MOST_CONSTANT_ELEMENTS:
        raise ModelError(
            f"{groups} groups of a weight of shape {weight.shape} are too large", where=node.place
        )
    dense = np.zeros((outputs, channels, *weight.shape[2:]), dtype=np.int64)
    per_group = outputs // groups
    for group in range(groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        dense[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return dense


def _emit_conv(node: Node, builder: Builder, value: Value, weight: QuantTensor, window: _Window) -> Value:
    """Append a convolution whose weight is [T, Ci, Co], with a scale for each of the Co.

    Scales that are one number times powers of two become an alignment; others stay factors of the accumulators.
    """
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    outputs = weight.values.shape[2]
    frac, align, factors = _scales(_of_something(weight))
    op = Conv2d(
        name=name,
        input=value.name,
        weight=builder.constant(f"{name}.weight", weight.values),
        bias=None,
        taps=window.taps,
        kernel=window.kernel,
        stride=window.stride,
        padding=window.padding,
        weight_frac=frac,
        align=align if any(align) else (),
        dense_in_channels=weight.values.shape[1],
        dense_out_channels=outputs,
    )
    entering = value.factors[0]
    return replace(builder.emit(op), factors=compact(tuple(entering * factor for factor in factors)))


def _of_something(weight: QuantTensor) -> Reals:
    """The scale of every output channel; a filter that is all zero has any, and takes that of one that is not."""
    alive = [bool(number) for number in np.count_nonzero(weight.values, axis=(0, 1))]
    first = next((scale for scale, some in zip(weight.scales, alive, strict=True) if some), Fraction(1))
    return tuple(scale if some else first for scale, some in zip(weight.scales, alive, strict=True))


def _scales(scales: Reals) -> tuple[int, tuple[int, ...], Reals]:
    """Fractional bits of the aligned weights, left shift of every channel, and what is left of the scales."""
    common = Fraction(1) if log2(scales[0]) is not None else scales[0]
    exponents = [log2(scale / common) for scale in scales]
    known = [exponent for exponent in exponents if exponent is not None]
    if len(known) < len(exponents) or max(known) - min(known) > 40:
        return 0, (), scales
    return -min(known), tuple(exponent - min(known) for exponent in known), (common,)


def _with_bias(node: Node, builder: Builder, value: Value, position: int) -> Value:
    """The bias in the convolution emitted last where it is whole accumulators, else as an offset of what it makes."""
    if len(node.inputs) <= position or not node.inputs[position]:
        return value
    constant = constant_of(builder, node.inputs[position], node)
    outputs = builder.types[value.name].channels
    if constant is None:
        raise ModelError("its bias is not constant", where=node.place)
    if constant.size not in (1, outputs):
        raise ModelError(f"a bias of {constant.size} values for {outputs} output channels", where=node.place)
    offsets = compact(tuple(Fraction(number) for number in constant.reshape(-1)))
    if offsets == ZERO:
        return value
    attached = attach_offset(builder, value, offsets)
    return attached if attached is not None else replace(value, offsets=offsets)


def lower_gemm(node: Node, builder: Builder) -> None:
    """Gemm: a dense layer."""
    if node.number("alpha", 1.0) != 1.0 or node.number("beta", 1.0) != 1.0:
        raise ModelError("alpha or beta other than 1 is not supported", where=node.place)
    if node.integer("transA", 0):
        raise ModelError("a transposed input is not supported", where=node.place)
    weight = builder.quantized_constant(node.inputs[1], node, "weight")
    _check_matrix(weight, node)
    _lower_dense(node, builder, weight if node.integer("transB", 0) else weight.transposed((1, 0)))


def lower_matmul(node: Node, builder: Builder) -> None:
    """MatMul by a constant on the right: a dense layer without bias."""
    weight = builder.quantized_constant(node.inputs[1], node, "weight")
    _check_matrix(weight, node)
    _lower_dense(node, builder, weight.transposed((1, 0)))


def _check_matrix(weight: QuantTensor, node: Node) -> None:
    if weight.values.ndim != 2:
        raise ModelError(
            f"a weight of shape {weight.values.shape} is not that of a dense layer", where=node.place
        )


def _lower_dense(node: Node, builder: Builder, weight: QuantTensor) -> None:
    """A dense layer is a convolution of one tap on the flattened frame. Weights [K, features]."""
    value = settled(builder, node, builder.value(node.inputs[0], node))
    source = builder.types[value.name]
    count = features(source)
    if weight.values.shape[1] != count:
        raise ModelError(
            f"a weight of shape {weight.values.shape} does not suit {count} features", where=node.place
        )
    outputs = weight.values.shape[0]
    rows = weight.values
    if source.pixels > 1:
        if value.layout.flattened is Layout.FLAT_CHW:
            rows = rows.reshape(outputs, source.channels, source.pixels).transpose(0, 2, 1)
        rows = rows.reshape(outputs, count)
        flat = builder.emit(Flatten(name=builder.names.fresh("flatten"), input=value.name))
        value = replace(flat, factors=value.factors)
    one_tap = QuantTensor(values=rows.T[None], scales=weight.scales_along(0, outputs, node))
    emitted = _emit_conv(node, builder, value, one_tap, _ONE_PIXEL)
    builder.remark(node, f"dense layer, {count} to {outputs}")
    result = replace(emitted, layout=Layout.FLAT_CHW)
    builder.define(
        node.outputs[0], _with_bias(node, builder, result, 2) if node.op_type == "Gemm" else result
    )
