"""Who carries the name of a layer: the value that its quantizer gives, not the accumulators before it."""

from __future__ import annotations

from dataclasses import replace

from psp_hw.ir.ops import Add, AvgPool, Conv2d, Relu
from psp_hw.lowering.builder import Builder
from psp_hw.lowering.features import Value
from psp_hw.lowering.names import layer_name
from psp_hw.lowering.onnx_file import Node

ACCUMULATOR_SUFFIX = "_acc"


def claim_name(builder: Builder, node: Node, value: Value) -> tuple[Value, str]:
    """The value to be quantized, perhaps renamed, and the name of what comes of it."""
    layer = _layer_behind(value, builder)
    if layer is None:
        return value, builder.names.fresh(layer_name(node.name, node.op_type, keep_type=False))
    accumulators = builder.names.fresh(layer + ACCUMULATOR_SUFFIX)
    builder.rename(layer, accumulators)
    builder.named_by_quantizer.add(layer)
    return (replace(value, name=accumulators) if value.name == layer else value), layer


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
