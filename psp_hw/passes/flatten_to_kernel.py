"""A dense layer on a flattened frame is a convolution whose kernel is the frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from psp_hw.arith.requantize import IntArray
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Flatten, Op
from psp_hw.ir.types import NO_PADDING, Tap
from psp_hw.passes.base import without_unread


@dataclass(frozen=True)
class FlattenToKernel:
    """Read the frame in place instead of flattening it.

    Before:    flatten [H, W, C]; conv2d of one tap, weight [1, H * W * C, Co]
    After:     conv2d of H * W taps, kernel HxW without padding, weight [H * W, C, Co]
    Requires:  a kernel of 1x1 without padding, as a dense layer has.
    Preserves: every output, bit for bit; every value but the flattened one.
    """

    name: ClassVar[str] = "flatten-to-kernel"

    def run(self, graph: Graph) -> Graph:
        ops: list[Op] = []
        constants: dict[str, IntArray] = {}
        for op in graph.ops:
            source = graph.by_name.get(op.input) if isinstance(op, Conv2d) else None
            if isinstance(op, Conv2d) and isinstance(source, Flatten) and _is_dense(op):
                frame = graph.types[source.input]
                weight = graph.constants[op.weight]
                constants[op.weight] = weight.reshape(frame.pixels, frame.channels, weight.shape[2])
                taps = tuple(Tap(r, s) for r in range(frame.height) for s in range(frame.width))
                ops.append(
                    replace(
                        op,
                        input=source.input,
                        taps=taps,
                        kernel=(frame.height, frame.width),
                        dense_in_channels=frame.channels,
                    )
                )
            else:
                ops.append(op)
        return without_unread(graph.with_ops(ops, constants))


def _is_dense(op: Conv2d) -> bool:
    return op.kernel == (1, 1) and op.padding == NO_PADDING
