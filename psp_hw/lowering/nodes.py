"""How each ONNX op becomes integer ops. Every function reads one node and appends to the builder."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.errors import ModelError
from psp_hw.ir.ops import Add, AvgPool, Concat, Conv2d, Flatten, Input, MaxPool, Relu, Requantize
from psp_hw.ir.types import NO_PADDING, Padding, Tap, TensorType
from psp_hw.lowering.builder import Builder, PendingInput, PendingMean, Value
from psp_hw.lowering.names import layer_name
from psp_hw.lowering.onnx_file import Node
from psp_hw.lowering.quant import Quantizer, QuantTensor, quantize_constant, read_quantizer

ACCUMULATOR_SUFFIX = "_acc"
RELU_SUFFIX = "_relu"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """How a convolution walks: surviving taps, dense kernel, stride, padding."""

    taps: tuple[Tap, ...]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding


_ONE_PIXEL = _Window(taps=(Tap(0, 0),), kernel=(1, 1), stride=(1, 1), padding=NO_PADDING)


def lower_quant(node: Node, builder: Builder) -> None:
    """Quant: of a constant, integers; of the image, the input; of a feature map, a requantization."""
    quantizer = read_quantizer(node, [builder.floats(name) for name in node.inputs[1:]])
    source = node.inputs[0]
    floats = builder.floats(source)
    if floats is not None:
        builder.define(node.outputs[0], quantize_constant(floats, quantizer, node))
        return
    known = builder.known(source)
    if isinstance(known, PendingInput):
        builder.define(node.outputs[0], _input(node, builder, known, quantizer))
    elif isinstance(known, PendingMean):
        builder.define(node.outputs[0], _rounded_mean(node, builder, known, quantizer))
    else:
        builder.define(node.outputs[0], _requantized(node, builder, quantizer))


def _input(node: Node, builder: Builder, image: PendingInput, quantizer: Quantizer) -> Value:
    if builder.uses(node.inputs[0]) > 1:
        raise ModelError(
            "the input image has several readers", where=node.place, hint="quantize the input once"
        )
    kind = TensorType(
        height=image.height, width=image.width, channels=image.channels, fmt=quantizer.fmt(node.place)
    )
    value = builder.emit(Input(name=builder.names.fresh("input"), type=kind))
    return _settle(builder, "input_clip", value, quantizer, node) if quantizer.lo != kind.fmt.min else value


def _settle(builder: Builder, name: str, value: Value, quantizer: Quantizer, node: Node) -> Value:
    """Append a requantization; ``name`` is free, or that of a layer which was renamed to make it free."""
    fmt = quantizer.fmt(node.place)
    shift = builder.types[value.name].fmt.frac - fmt.frac
    to = Requantizer(shift=shift, lo=quantizer.lo, hi=quantizer.hi, fmt=fmt)
    if name not in builder.named_by_quantizer:
        name = builder.names.fresh(name)
    settled = builder.emit(Requantize(name=name, input=value.name, requantize=to))
    return replace(settled, flat=value.flat)


def _rounded_mean(node: Node, builder: Builder, mean: PendingMean, quantizer: Quantizer) -> Value:
    area = mean.kernel[0] * mean.kernel[1]
    twos = (area & -area).bit_length() - 1
    fmt = quantizer.fmt(node.place)
    shift = builder.types[mean.source.name].fmt.frac + twos - fmt.frac
    to = Requantizer(shift=shift, divisor=area >> twos, lo=quantizer.lo, hi=quantizer.hi, fmt=fmt)
    name = builder.names.fresh(layer_name(mean.node.name, mean.node.op_type, keep_type=False))
    value = builder.emit(
        AvgPool(name=name, input=mean.source.name, kernel=mean.kernel, stride=mean.stride, requantize=to)
    )
    return replace(value, flat=mean.flat)


def _requantized(node: Node, builder: Builder, quantizer: Quantizer) -> Value:
    """Requantize, under the name of the layer whose accumulators it rounds."""
    value = builder.value(node.inputs[0], node)
    layer = _layer_behind(value, builder)
    if layer is None:
        return _settle(builder, layer_name(node.name, node.op_type, keep_type=False), value, quantizer, node)
    builder.rename(layer, builder.names.fresh(layer + ACCUMULATOR_SUFFIX))
    value = builder.value(node.inputs[0], node)
    builder.named_by_quantizer.add(layer)
    return _settle(builder, layer, value, quantizer, node)


def _layer_behind(value: Value, builder: Builder) -> str | None:
    """The convolution, sum or pooling behind a value, through a ReLU, unless another quantizer has taken its name."""
    op = builder.op(value.name)
    if isinstance(op, Relu):
        op = builder.op(op.input)
    if (
        not isinstance(op, Conv2d | Add | AvgPool)
        or op.name.removesuffix(ACCUMULATOR_SUFFIX) in builder.named_by_quantizer
    ):
        return None
    return op.name


def lower_conv(node: Node, builder: Builder) -> None:
    """Conv: stride, padding, dilation and groups; every tap of the kernel, to be dropped by passes where it is zero."""
    value = builder.value(node.inputs[0], node)
    weight = builder.quantized_constant(node.inputs[1], node, "weight")
    if weight.values.ndim != 4:
        raise ModelError(
            f"a weight of shape {weight.values.shape} is not that of a 2-D convolution", where=node.place
        )
    source = builder.types[value.name]
    window = _conv_window(node, source, weight)
    dense = _without_groups(weight.values, node.integer("group", 1), source.channels, node)
    by_tap = dense.transpose(2, 3, 1, 0).reshape(len(window.taps), dense.shape[1], dense.shape[0])
    lowered = QuantTensor(values=by_tap, fracs=weight.fracs_along(0, dense.shape[0], node))
    builder.define(
        node.outputs[0], _emit_conv(node, builder, value, lowered, _bias(node, builder, 2), window)
    )


def _conv_window(node: Node, source: TensorType, weight: QuantTensor) -> _Window:
    """A dilated kernel is a larger one with taps between which nothing is."""
    vertical, horizontal = node.integers("dilations", (1, 1))
    rows, columns = weight.values.shape[2:]
    if vertical < 1 or horizontal < 1:
        raise ModelError(f"a dilation of {vertical}x{horizontal} is below 1", where=node.place)
    kernel = ((rows - 1) * vertical + 1, (columns - 1) * horizontal + 1)
    taps = tuple(Tap(r * vertical, s * horizontal) for r in range(rows) for s in range(columns))
    stride = _stride(node)
    return _Window(taps=taps, kernel=kernel, stride=stride, padding=_padding(node, source, kernel, stride))


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
    dense = np.zeros((outputs, channels, *weight.shape[2:]), dtype=np.int64)
    per_group = outputs // groups
    for group in range(groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        dense[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return dense


def _padding(node: Node, source: TensorType, kernel: tuple[int, int], stride: tuple[int, int]) -> Padding:
    mode = node.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        top, left, bottom, right = node.integers("pads", (0, 0, 0, 0))
        return Padding(top=top, left=left, bottom=bottom, right=right)
    if mode == "VALID":
        return NO_PADDING
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ModelError(f"auto_pad {mode} is not supported", where=node.place)
    totals = []
    for extent, size, step in zip((source.height, source.width), kernel, stride, strict=True):
        totals.append(max(0, (-(-extent // step) - 1) * step + size - extent))
    before = [total // 2 if mode == "SAME_UPPER" else total - total // 2 for total in totals]
    return Padding(top=before[0], left=before[1], bottom=totals[0] - before[0], right=totals[1] - before[1])


def _bias(node: Node, builder: Builder, position: int) -> QuantTensor | None:
    if len(node.inputs) <= position or not node.inputs[position]:
        return None
    floats = builder.floats(node.inputs[position])
    if floats is not None and not np.any(floats):
        return None
    return builder.quantized_constant(node.inputs[position], node, "bias")


def _emit_conv(
    node: Node,
    builder: Builder,
    value: Value,
    weight: QuantTensor,
    bias: QuantTensor | None,
    window: _Window,
) -> Value:
    """Append a convolution whose weight is [T, Ci, Co], with fractional bits for each of the Co."""
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    outputs = weight.values.shape[2]
    finest = max(weight.fracs)
    align = tuple(finest - frac for frac in weight.fracs)
    op = Conv2d(
        name=name,
        input=value.name,
        weight=builder.constant(f"{name}.weight", weight.values),
        bias=None,
        taps=window.taps,
        kernel=window.kernel,
        stride=window.stride,
        padding=window.padding,
        weight_frac=finest,
        align=align if any(align) else (),
        dense_in_channels=weight.values.shape[1],
        dense_out_channels=outputs,
    )
    emitted = builder.emit(op)
    if bias is not None:
        _attach_bias(node, builder, op, bias)
    return emitted


def _attach_bias(node: Node, builder: Builder, op: Conv2d, bias: QuantTensor) -> None:
    """Set the bias of the convolution emitted last, in the format of its accumulators."""
    outputs = builder.types[op.name].channels
    values = bias.values.reshape(-1)
    if values.size not in (1, outputs):
        raise ModelError(f"a bias of {values.size} values for {outputs} output channels", where=node.place)
    entering = builder.types[op.input].fmt.frac
    align = op.align or (0,) * outputs
    fracs = QuantTensor(values=values, fracs=bias.fracs).fracs_along(0, outputs, node)
    integers = []
    for value, frac, shift in zip(np.broadcast_to(values, outputs).tolist(), fracs, align, strict=True):
        left = entering + op.weight_frac - shift - frac
        if left < 0 and value % (1 << -left):
            raise ModelError(
                "its bias is finer than its accumulators",
                where=node.place,
                hint="quantize the bias with the scale input scale * weight scale (Brevitas Int32Bias)",
            )
        integers.append(value << left if left >= 0 else value >> -left)
    name = builder.constant(f"{op.name}.bias", np.array(integers, dtype=np.int64))
    builder.amend(replace(op, bias=name))


def lower_gemm(node: Node, builder: Builder) -> None:
    """Gemm: a dense layer."""
    if float(node.attributes.get("alpha", 1.0)) != 1.0 or float(node.attributes.get("beta", 1.0)) != 1.0:  # type: ignore[arg-type]
        raise ModelError("alpha or beta other than 1 is not supported", where=node.place)
    if node.integer("transA", 0):
        raise ModelError("a transposed input is not supported", where=node.place)
    weight = builder.quantized_constant(node.inputs[1], node, "weight")
    if not node.integer("transB", 0):
        weight = _transposed(weight, node)
    _lower_dense(node, builder, weight, _bias(node, builder, 2))


def lower_matmul(node: Node, builder: Builder) -> None:
    """MatMul by a constant on the right: a dense layer without bias."""
    _lower_dense(
        node, builder, _transposed(builder.quantized_constant(node.inputs[1], node, "weight"), node), None
    )


def _transposed(weight: QuantTensor, node: Node) -> QuantTensor:
    """[C, K] as [K, C]."""
    if weight.values.ndim != 2:
        raise ModelError(
            f"a weight of shape {weight.values.shape} is not that of a dense layer", where=node.place
        )
    return QuantTensor(values=weight.values.T, fracs=weight.fracs, axis=1 - weight.axis)


def _lower_dense(node: Node, builder: Builder, weight: QuantTensor, bias: QuantTensor | None) -> None:
    """A dense layer is a convolution of one tap on the flattened frame."""
    value = builder.value(node.inputs[0], node)
    source = builder.types[value.name]
    features = source.pixels * source.channels
    if weight.values.ndim != 2 or weight.values.shape[1] != features:
        raise ModelError(
            f"a weight of shape {weight.values.shape} does not suit {features} features", where=node.place
        )
    outputs = weight.values.shape[0]
    rows = weight.values
    if source.pixels > 1:
        rows = (
            rows.reshape(outputs, source.channels, source.pixels)
            .transpose(0, 2, 1)
            .reshape(outputs, features)
        )
        value = builder.emit(Flatten(name=builder.names.fresh("flatten"), input=value.name))
    one_tap = QuantTensor(values=rows.T[None], fracs=weight.fracs_along(0, outputs, node))
    emitted = _emit_conv(node, builder, value, one_tap, bias, _ONE_PIXEL)
    builder.define(node.outputs[0], replace(emitted, flat=True))


def lower_add(node: Node, builder: Builder) -> None:
    """Add: of two feature maps, or of a constant as the bias of the convolution before it."""
    left, right = (builder.known(name) for name in node.inputs)
    if isinstance(left, QuantTensor):
        node = replace(node, inputs=(node.inputs[1], node.inputs[0]))
        left, right = right, left
    if isinstance(right, QuantTensor):
        value = builder.value(node.inputs[0], node)
        op = builder.op(value.name)
        if not isinstance(op, Conv2d) or op.bias is not None or builder.uses(node.inputs[0]) > 1:
            raise ModelError(
                "adding a constant is supported only right after a convolution or dense layer",
                where=node.place,
            )
        _attach_bias(node, builder, op, right)
        builder.define(node.outputs[0], value)
        return
    a, b = (builder.value(name, node) for name in node.inputs)
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=True))
    emitted = builder.emit(Add(name=name, inputs=(a.name, b.name)))
    builder.define(node.outputs[0], replace(emitted, flat=a.flat))


def lower_concat(node: Node, builder: Builder) -> None:
    """Concat along the channels."""
    if node.integer("axis", 1) not in (1, -3):
        raise ModelError("only concatenation along the channels (axis 1) is supported", where=node.place)
    values = [builder.value(name, node) for name in node.inputs]
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=True))
    builder.define(node.outputs[0], builder.emit(Concat(name=name, inputs=tuple(v.name for v in values))))


def lower_relu(node: Node, builder: Builder) -> None:
    """Relu."""
    value = builder.value(node.inputs[0], node)
    emitted = builder.emit(Relu(name=builder.names.fresh(value.name + RELU_SUFFIX), input=value.name))
    builder.define(node.outputs[0], replace(emitted, flat=value.flat))


def _mean(
    node: Node, builder: Builder, kernel: tuple[int, int], stride: tuple[int, int], *, flat: bool = False
) -> None:
    value = builder.value(node.inputs[0], node)
    area = kernel[0] * kernel[1]
    if area & (area - 1):
        pending = PendingMean(node=node, source=value, kernel=kernel, stride=stride, flat=flat)
        builder.define(node.outputs[0], pending)
        return
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    emitted = builder.emit(AvgPool(name=name, input=value.name, kernel=kernel, stride=stride))
    builder.define(node.outputs[0], replace(emitted, flat=flat))


def lower_average_pool(node: Node, builder: Builder) -> None:
    """AveragePool without padding."""
    kernel = node.integers("kernel_shape", (1, 1))
    _refuse_ceil(node)
    if any(node.integers("pads", (0, 0, 0, 0))):
        raise ModelError("average pooling with padding is not supported", where=node.place)
    _mean(node, builder, (kernel[0], kernel[1]), _stride(node))


def lower_global_average_pool(node: Node, builder: Builder) -> None:
    """GlobalAveragePool."""
    source = builder.types[builder.value(node.inputs[0], node).name]
    _mean(node, builder, (source.height, source.width), (1, 1))


def lower_reduce_mean(node: Node, builder: Builder) -> None:
    """ReduceMean over height and width: a global average pooling."""
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1:
        given = builder.floats(node.inputs[1])
        axes = None if given is None else tuple(int(axis) for axis in given.reshape(-1))
    if not isinstance(axes, tuple) or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
        raise ModelError("a mean over other axes than height and width is not supported", where=node.place)
    source = builder.types[builder.value(node.inputs[0], node).name]
    _mean(node, builder, (source.height, source.width), (1, 1), flat=not node.integer("keepdims", 1))


def lower_max_pool(node: Node, builder: Builder) -> None:
    """MaxPool."""
    value = builder.value(node.inputs[0], node)
    kernel = node.integers("kernel_shape", (1, 1))
    _refuse_ceil(node)
    if node.integers("dilations", (1, 1)) != (1, 1):
        raise ModelError("dilated pooling is not supported", where=node.place)
    stride = _stride(node)
    padding = _padding(node, builder.types[value.name], (kernel[0], kernel[1]), stride)
    if padding.top >= kernel[0] or padding.left >= kernel[1]:
        raise ModelError("a pooling window that lies in the padding alone is not supported", where=node.place)
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    pool = MaxPool(name=name, input=value.name, kernel=(kernel[0], kernel[1]), stride=stride, padding=padding)
    builder.define(node.outputs[0], builder.emit(pool))


def _stride(node: Node) -> tuple[int, int]:
    vertical, horizontal = node.integers("strides", (1, 1))
    if vertical < 1 or horizontal < 1:
        raise ModelError(f"a stride of {vertical}x{horizontal} is below 1", where=node.place)
    return (vertical, horizontal)


def _refuse_ceil(node: Node) -> None:
    if node.integer("ceil_mode", 0):
        raise ModelError("ceil_mode is not supported", where=node.place)


def _flattened(node: Node, builder: Builder) -> None:
    known = builder.known(node.inputs[0])
    if isinstance(known, PendingMean):
        builder.define(node.outputs[0], replace(known, flat=True))
        return
    builder.define(node.outputs[0], replace(builder.value(node.inputs[0], node), flat=True))


def lower_flatten(node: Node, builder: Builder) -> None:
    """Flatten: the frame stays as it is; the dense layer after it reorders its weights instead."""
    if node.integer("axis", 1) != 1:
        raise ModelError("only flattening from axis 1 is supported", where=node.place)
    _flattened(node, builder)


def lower_reshape(node: Node, builder: Builder) -> None:
    """Reshape to [N, features]: a flattening."""
    shape = builder.floats(node.inputs[1])
    if shape is None or shape.size != 2:
        raise ModelError("only a reshape to [N, features] is supported", where=node.place)
    known = builder.known(node.inputs[0])
    if isinstance(known, Value):
        source = builder.types[known.name]
        if int(shape[1]) not in (-1, source.pixels * source.channels):
            raise ModelError(
                f"a reshape to {shape.astype(int).tolist()} is not a flattening", where=node.place
            )
    _flattened(node, builder)


def lower_transpose(node: Node, builder: Builder) -> None:
    """Transpose of a constant matrix."""
    known = builder.known(node.inputs[0])
    if (
        not isinstance(known, QuantTensor)
        or known.values.ndim != 2
        or node.integers("perm", (1, 0)) != (1, 0)
    ):
        raise ModelError("only the transpose of a constant matrix is supported", where=node.place)
    builder.define(node.outputs[0], _transposed(known, node))


def lower_identity(node: Node, builder: Builder) -> None:
    """Identity."""
    known = builder.known(node.inputs[0])
    if known is None:
        raise ModelError("the identity of a constant is not supported", where=node.place)
    builder.define(node.outputs[0], known)
