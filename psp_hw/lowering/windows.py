"""Attributes of ops that walk a window over a frame."""

from __future__ import annotations

from psp_hw.errors import ModelError
from psp_hw.ir.types import NO_PADDING, Padding, TensorType
from psp_hw.lowering.features import Layout, Value
from psp_hw.lowering.onnx_file import Node


def stride_of(node: Node) -> tuple[int, int]:
    """(vertical, horizontal) [pixels]."""
    vertical, horizontal = node.integers("strides", (1, 1))
    if vertical < 1 or horizontal < 1:
        raise ModelError(f"a stride of {vertical}x{horizontal} is below 1", where=node.place)
    return (vertical, horizontal)


def refuse_uncommon_pooling(node: Node) -> None:
    """Only windows without gaps that lie in the padded frame."""
    if node.integer("ceil_mode", 0):
        raise ModelError("ceil_mode is not supported", where=node.place)
    if node.integers("dilations", (1, 1)) != (1, 1):
        raise ModelError("dilated pooling is not supported", where=node.place)


def padding_of(node: Node, source: TensorType, kernel: tuple[int, int], stride: tuple[int, int]) -> Padding:
    """The padding that the node itself makes."""
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


def conv_padding(
    node: Node, source: TensorType, kernel: tuple[int, int], stride: tuple[int, int], around: Padding
) -> Padding:
    """The padding of a node together with the zeros around its frame."""
    if around != NO_PADDING and node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise ModelError("auto_pad behind a Pad node is not supported", where=node.place)
    return joined(padding_of(node, source, kernel, stride), around)


def joined(inner: Padding, outer: Padding) -> Padding:
    """Zeros around zeros."""
    return Padding(
        top=inner.top + outer.top,
        left=inner.left + outer.left,
        bottom=inner.bottom + outer.bottom,
        right=inner.right + outer.right,
    )


def expect_layout(node: Node, value: Value) -> None:
    """The feature map has the axes that the node expects."""
    expected = Layout.NHWC if node.channels_last else Layout.NCHW
    if value.layout is not expected:
        raise ModelError(
            f"it reads a feature map of axes {value.layout.value} where it expects {expected.value}",
            where=node.place,
        )
