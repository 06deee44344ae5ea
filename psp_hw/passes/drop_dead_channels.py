"""Channels that are always zero, or that nothing reads, and the filters that make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, assert_never

import numpy as np
import numpy.typing as npt

from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.ir.graph import Graph
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
    op_constants,
    op_inputs,
)

Channels = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DropDeadChannels:
    """Remove channels of feature maps that cannot change the output.

    A channel goes when it is zero in every frame, or when no reader uses it; through ReLU, requantization, pooling,
    concatenation and flattening, and through a residual sum where it can go from both sides. A filter that is all zero but
    whose bias is not gives a constant channel: it stays, since the zero padding around it is not that constant.

    Before:    conv2d weight [T, Ci, Co]
    After:     conv2d weight [T, ci, co], ci and co the channels that are left, at least one
    Preserves: every output, bit for bit; other values lose the channels that went.
    """

    name: ClassVar[str] = "drop-dead-channels"

    def run(self, graph: Graph) -> Graph:
        kept = _kept_channels(graph)
        ops: list[Op] = []
        constants: dict[str, IntArray] = {}
        for op in graph.ops:
            if isinstance(op, Conv2d):
                outputs = kept[op.name]
                constants[op.weight] = graph.constants[op.weight][:, kept[op.input]][:, :, outputs]
                if op.bias is not None:
                    constants[op.bias] = graph.constants[op.bias][outputs]
                align = tuple(a for a, keep in zip(op.align, outputs, strict=bool(op.align)) if keep)
                ops.append(replace(op, align=align))
                continue
            if isinstance(op, Affine | Threshold):
                constants |= {name: graph.constants[name][kept[op.name]] for name in op_constants(op)}
            ops.append(op)
        return graph.with_ops(ops, constants)


def _kept_channels(graph: Graph) -> Mapping[str, Channels]:
    """The channels of every value that stay: the least sets that satisfy every reader."""
    zero = _zero_channels(graph)
    kept = {op.name: np.zeros(graph.types[op.name].channels, dtype=np.bool_) for op in graph.ops}
    kept[graph.input.name][:] = True
    kept[graph.output.name][:] = True
    _spread(graph, kept, zero)
    for convolution in graph.convolutions:  # an engine has at least one input and one output channel
        for name in (convolution.name, convolution.input):
            if not kept[name].any():
                kept[name][0] = True
                _spread(graph, kept, zero)
    return kept


def _spread(graph: Graph, kept: dict[str, Channels], zero: Mapping[str, Channels]) -> None:
    """Widen the kept channels until every op has what it needs."""
    changed = True
    while changed:
        before = sum(int(channels.sum()) for channels in kept.values())
        for op in reversed(graph.ops):
            _demand(op, graph, kept, zero)
        changed = sum(int(channels.sum()) for channels in kept.values()) != before


def _demand(op: Op, graph: Graph, kept: dict[str, Channels], zero: Mapping[str, Channels]) -> None:
    """Widen the kept channels of an op's inputs (and result, where they are tied) to what the op needs."""
    result = kept[op.name]
    match op:
        case Input():
            pass
        case Conv2d():
            used = graph.constants[op.weight][:, :, result].any(axis=(0, 2))
            kept[op.input] |= used & ~zero[op.input]
        case Add():
            together = result | kept[op.inputs[0]] | kept[op.inputs[1]]
            for name in (op.name, *op.inputs):
                kept[name] |= together
        case Concat():
            for name, part in zip(op.inputs, _parts(op, graph), strict=True):
                result[part] |= kept[name]
                kept[name] |= result[part]
        case Flatten():
            channels = graph.types[op.input].channels
            kept[op.input] |= result.reshape(-1, channels).any(axis=0)
            result |= np.tile(kept[op.input], len(result) // channels)
        case AvgPool() | MaxPool() | Affine() | Threshold() | Relu() | Requantize() | Output():
            kept[op.input] |= result
            result |= kept[op.input]
        case _:
            assert_never(op)


def _zero_channels(graph: Graph) -> Mapping[str, Channels]:
    """Channels that are zero at every pixel of every frame."""
    zero: dict[str, Channels] = {}
    for op in graph.ops:
        sources = [zero[name] for name in op_inputs(op)]
        match op:
            case Input():
                zero[op.name] = np.zeros(op.type.channels, dtype=np.bool_)
            case Conv2d():
                zero[op.name] = _zero_filters(op, graph, sources[0])
            case Add():
                zero[op.name] = np.logical_and(sources[0] & sources[1], _zero_stays(op.requantize))
            case Concat():
                zero[op.name] = np.concatenate(sources)
            case AvgPool():
                zero[op.name] = sources[0] & _zero_stays(op.requantize)
            case Requantize():
                zero[op.name] = sources[0] & _zero_stays(op.requantize)
            case Affine():
                silent = sources[0] | (graph.constants[op.scale] == 0)
                offsets = graph.constants[op.offset].tolist()
                pairs = zip(silent.tolist(), offsets, strict=True)
                zero[op.name] = np.array(
                    [still and _is_zero(offset, op.requantize) for still, offset in pairs]
                )
            case Threshold():
                reached = (graph.constants[op.thresholds] <= 0).sum(axis=1)
                at_zero = graph.constants[op.start] + graph.constants[op.step] * reached
                zero[op.name] = np.logical_and(sources[0], at_zero == 0)
            case Flatten():
                zero[op.name] = np.tile(sources[0], graph.types[op.input].pixels)
            case MaxPool() | Relu() | Output():
                zero[op.name] = sources[0]
            case _:
                assert_never(op)
    return zero


def _zero_filters(op: Conv2d, graph: Graph, source: Channels) -> Channels:
    weight = graph.constants[op.weight]
    silent: Channels = np.logical_not(weight[:, ~source].any(axis=(0, 1)))
    if op.bias is None:
        return silent if _zero_stays(op.requantize) else np.zeros_like(silent)
    align = op.align or (0,) * weight.shape[2]
    constants = [
        bias << shift if op.requantize is None else op.requantize.exactly(bias << shift)
        for bias, shift in zip(graph.constants[op.bias].tolist(), align, strict=True)
    ]
    both: Channels = np.logical_and(silent, np.array([value == 0 for value in constants]))
    return both


def _zero_stays(to: Requantizer | None) -> bool:
    return _is_zero(0, to)


def _is_zero(acc: int, to: Requantizer | None) -> bool:
    return (acc if to is None else to.exactly(acc)) == 0


def _parts(op: Concat, graph: Graph) -> list[slice]:
    parts, start = [], 0
    for name in op.inputs:
        channels = graph.types[name].channels
        parts.append(slice(start, start + channels))
        start += channels
    return parts
