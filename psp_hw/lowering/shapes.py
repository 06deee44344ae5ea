"""Ops that only arrange: Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Pad, Concat, and what does nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from psp_hw.errors import ModelError
from psp_hw.ir.ops import Concat
from psp_hw.ir.types import Padding
from psp_hw.lowering.builder import Builder, Known
from psp_hw.lowering.features import (
    Layout,
    PendingInput,
    PendingMean,
    Reals,
    Value,
    compact,
    features,
    spread,
)
from psp_hw.lowering.names import layer_name
from psp_hw.lowering.onnx_file import Node
from psp_hw.lowering.quant import QuantTensor
from psp_hw.lowering.units import settled
from psp_hw.lowering.windows import joined

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_FLOAT_TYPES = (1, 10, 11, 16)  # TensorProto.FLOAT, FLOAT16, DOUBLE, BFLOAT16


def lower_concat(node: Node, builder: Builder) -> None:
    """Concat along the channels."""
    values = [builder.value(name, node) for name in node.inputs]
    layout = values[0].layout
    axis = node.integer("axis", 1) % layout.rank
    one_pixel = all(builder.types[value.name].pixels == 1 for value in values)
    if axis != layout.channel_axis or any(value.layout is not layout for value in values):
        raise ModelError("only concatenation along the channels is supported", where=node.place)
    if layout.flat and not one_pixel:
        raise ModelError("concatenation of flattened frames is not supported", where=node.place)
    if any((value.lo, value.hi) != (values[0].lo, values[0].hi) for value in values):
        values = [settled(builder, node, value) for value in values]
    factors: Reals = ()
    offsets: Reals = ()
    for value in values:
        channels = builder.types[value.name].channels
        factors += spread(value.factors, channels)
        offsets += spread(value.offsets, channels)
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=True))
    emitted = builder.emit(Concat(name=name, inputs=tuple(v.name for v in values)))
    builder.remark(node, f"channels of {len(values)} feature maps side by side")
    first = values[0]
    result = replace(emitted, layout=layout, lo=first.lo, hi=first.hi)
    builder.define(node.outputs[0], replace(result, factors=compact(factors), offsets=compact(offsets)))


def _arranged(node: Node, builder: Builder, layout: Layout) -> None:
    """The same feature map seen in another layout."""
    known = builder.known(node.inputs[0])
    if isinstance(known, PendingInput | PendingMean):
        builder.define(node.outputs[0], replace(known, layout=layout))
        return
    value = builder.value(node.inputs[0], node, padded=not layout.flat)
    builder.define(node.outputs[0], replace(value, layout=layout))


def _layout(node: Node, builder: Builder) -> Layout:
    known = builder.known(node.inputs[0])
    if isinstance(known, Value | PendingInput | PendingMean):
        return known.layout
    raise ModelError(f"{node.inputs[0]!r} is a constant where a feature map is expected", where=node.place)


def _pixels(node: Node, builder: Builder) -> int:
    known = builder.known(node.inputs[0])
    if isinstance(known, PendingInput):
        return known.height * known.width
    if isinstance(known, PendingMean):
        source = builder.types[known.source.name]
        return 1 if known.kernel == (source.height, source.width) else source.pixels
    return builder.types[builder.value(node.inputs[0], node, padded=True).name].pixels


def lower_flatten(node: Node, builder: Builder) -> None:
    """Flatten: the frame stays as it is; the dense layer after it reorders its weights instead."""
    layout = _layout(node, builder)
    if node.integer("axis", 1) not in (1, 1 - layout.rank):
        raise ModelError("only flattening from axis 1 is supported", where=node.place)
    builder.remark(node, "no operation: the dense layer behind it reads in the order of the frame")
    _arranged(node, builder, layout.flattened)


def lower_reshape(node: Node, builder: Builder) -> None:
    """Reshape: a flattening, or axes of extent 1 that come or go."""
    shape = builder.floats(node.inputs[1]) if len(node.inputs) > 1 else None
    if shape is None:
        raise ModelError(
            "its shape is not constant", where=node.place, hint="run qonnx-cleanup on the model first"
        )
    floats = builder.floats(node.inputs[0])
    wanted = [int(extent) for extent in shape.reshape(-1)]
    if floats is not None:
        _reshape_floats(node, builder, wanted)
        return
    known = builder.known(node.inputs[0])
    layout = _layout(node, builder)
    if len(wanted) == 2:
        count = features(builder.types[known.name]) if isinstance(known, Value) else None
        if wanted[0] not in (-1, 0, 1) or (wanted[1] not in (-1, count) and count is not None):
            raise ModelError(f"a reshape to {wanted} is not a flattening", where=node.place)
        builder.remark(node, "no operation: the dense layer behind it reads in the order of the frame")
        _arranged(node, builder, layout.flattened)
        return
    last = wanted[1:3] == [1, 1] and wanted[3:] != [1]
    one_pixel = len(wanted) == 4 and wanted[0] in (-1, 0, 1) and (last or wanted[2:] == [1, 1])
    if one_pixel and _pixels(node, builder) == 1:
        builder.remark(node, "no operation")
        _arranged(node, builder, Layout.NHWC if last else Layout.NCHW)
        return
    raise ModelError(f"only a reshape to [N, features] is supported, not {wanted}", where=node.place)


def _reshape_floats(node: Node, builder: Builder, wanted: list[int]) -> None:
    floats = builder.floats(node.inputs[0])
    assert floats is not None
    extents = [
        floats.shape[i] if extent == 0 and i < floats.ndim else extent for i, extent in enumerate(wanted)
    ]
    builder.define_floats(node.outputs[0], floats.reshape(extents))
    builder.remark(node, "a constant")


def lower_transpose(node: Node, builder: Builder) -> None:
    """Transpose: of a constant; of a feature map between channels first and channels last, which the graph does not mind."""
    floats = builder.floats(node.inputs[0])
    known = builder.known(node.inputs[0])
    axes = node.attributes.get("perm")
    rank = (
        floats.ndim if floats is not None else known.values.ndim if isinstance(known, QuantTensor) else None
    )
    if rank is not None:
        order = tuple(int(axis) for axis in axes) if isinstance(axes, tuple) else tuple(reversed(range(rank)))
        if sorted(order) != list(range(rank)):
            raise ModelError(f"perm={list(order)} does not order {rank} axes", where=node.place)
        if floats is not None:
            builder.define_floats(node.outputs[0], floats.transpose(order))
        elif isinstance(known, QuantTensor):
            builder.define(node.outputs[0], known.transposed(order))
        builder.remark(node, "a constant")
        return
    layout = _layout(node, builder)
    if axes == tuple(range(layout.rank)):
        changed = layout
    elif (layout, axes) == (Layout.NHWC, _TO_NCHW):
        changed = Layout.NCHW
    elif (layout, axes) == (Layout.NCHW, _TO_NHWC):
        changed = Layout.NHWC
    else:
        raise ModelError(
            f"perm={list(axes) if isinstance(axes, tuple) else axes} of a feature map of axes {layout.value} is not supported",
            where=node.place,
            hint="supported are the ways between channels first and channels last",
        )
    builder.remark(node, "no operation: the graph has its own layout")
    _arranged(node, builder, changed)


def lower_squeeze(node: Node, builder: Builder) -> None:
    """Squeeze of height and width of one pixel."""
    layout = _layout(node, builder)
    expected = [1, 2] if layout is Layout.NHWC else [2, 3]
    if layout.flat or _pixels(node, builder) != 1 or _axes(node, builder, 4) not in (expected, None):
        raise ModelError("only height and width of one pixel can be squeezed", where=node.place)
    builder.remark(node, "no operation")
    _arranged(node, builder, Layout.FLAT_CHW)


def lower_unsqueeze(node: Node, builder: Builder) -> None:
    """Unsqueeze of features to a frame of one pixel."""
    layout, axes = _layout(node, builder), _axes(node, builder, 4)
    if not layout.flat or _pixels(node, builder) != 1 or axes not in ([2, 3], [1, 2]):
        raise ModelError(
            "only features can be unsqueezed, to height and width of one pixel", where=node.place
        )
    builder.remark(node, "no operation")
    _arranged(node, builder, Layout.NCHW if axes == [2, 3] else Layout.NHWC)


def _axes(node: Node, builder: Builder, rank: int) -> list[int] | None:
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1:
        given = builder.floats(node.inputs[1])
        axes = None if given is None else tuple(int(axis) for axis in given.reshape(-1))
    return sorted(int(axis) % rank for axis in axes) if isinstance(axes, tuple) else None


def lower_pad(node: Node, builder: Builder) -> None:
    """Pad with zeros: padding of the convolution or max pooling behind it."""
    value = builder.value(node.inputs[0], node, padded=True)
    if node.text("mode", "constant") != "constant":
        raise ModelError(f"mode {node.text('mode', '')} is not supported", where=node.place)
    fill = builder.floats(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    if fill is None or np.any(fill != 0) or node.number("value", 0.0) != 0.0:
        raise ModelError("padding with other than zeros is not supported", where=node.place)
    pads = _pads(node, builder, value.layout.rank)
    if pads is None or value.layout.flat:
        raise ModelError("its pads are not two constants for each of 4 axes", where=node.place)
    rows = 1 if value.layout is Layout.NHWC else 2
    around = Padding(top=pads[rows], left=pads[rows + 1], bottom=pads[rows + 4], right=pads[rows + 5])
    if any(pads[axis] for axis in range(8) if axis % 4 not in (rows, rows + 1)):
        raise ModelError("padding of other axes than height and width is not supported", where=node.place)
    builder.remark(node, "padding of the convolution or pooling behind it")
    builder.define(node.outputs[0], replace(value, padding=joined(value.padding, around)))


def _pads(node: Node, builder: Builder, rank: int) -> tuple[int, ...] | None:
    """What is added before every axis, then after every axis; None where that is not constant or does not fit.

    Since opset 18 the axes that are padded may be named; the others stay.
    """
    pads: object = node.attributes.get("pads")
    if pads is None and len(node.inputs) > 1:
        given = builder.floats(node.inputs[1])
        pads = None if given is None else tuple(int(extent) for extent in given.reshape(-1))
    axes = list(range(rank))
    if len(node.inputs) > 3 and node.inputs[3]:
        named = builder.floats(node.inputs[3])
        axes = [] if named is None else [int(axis) % rank for axis in named.reshape(-1)]
    if not isinstance(pads, tuple) or not axes or len(pads) != 2 * len(axes):
        return None
    whole = [0] * (2 * rank)
    for place, axis in enumerate(axes):
        whole[axis], whole[rank + axis] = pads[place], pads[len(axes) + place]
    return tuple(whole)


def lower_identity(node: Node, builder: Builder) -> None:
    """Identity, and Dropout in eval."""
    if node.op_type == "Cast" and node.integer("to", 1) not in _FLOAT_TYPES:
        raise ModelError("a cast to other than floats is not supported", where=node.place)
    floats = builder.floats(node.inputs[0])
    if floats is not None:
        builder.define_floats(node.outputs[0], floats)
        builder.remark(node, "a constant")
        return
    known: Known | None = builder.known(node.inputs[0])
    if known is None:
        raise ModelError("it reads nothing known", where=node.place)
    builder.remark(node, "no operation")
    builder.define(node.outputs[0], known)
