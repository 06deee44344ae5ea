"""Taps that add nothing to any output are not there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from psp_hw.arith.requantize import IntArray
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Op
from psp_hw.ir.types import TensorType


@dataclass(frozen=True)
class DropDeadTaps:
    """Remove every tap whose weights are zero for all channels, or that reads nothing but padding.

    The latter are most taps of a 3x3 kernel on a frame of one pixel, as the last stage of a network for larger images has.

    Before:    conv2d of T taps, weight [T, Ci, Co]
    After:     conv2d of k taps, weight [k, Ci, Co], k = taps with a nonzero weight that lie on the frame for some output, at
               least one
    Preserves: every value, bit for bit.
    """

    name: ClassVar[str] = "drop-dead-taps"

    def run(self, graph: Graph) -> Graph:
        ops: list[Op] = []
        constants: dict[str, IntArray] = {}
        for op in graph.ops:
            if isinstance(op, Conv2d):
                reads = _reading_the_frame(op, graph.types[op.input], graph.types[op.name])
                weight = graph.constants[op.weight] * reads[:, None, None]
                alive = [t for t in range(len(op.taps)) if weight[t].any()] or [len(op.taps) // 2]
                constants[op.weight] = weight[alive]
                ops.append(replace(op, taps=tuple(op.taps[t] for t in alive)))
            else:
                ops.append(op)
        return graph.with_ops(ops, constants)


def _reading_the_frame(op: Conv2d, frame: TensorType, result: TensorType) -> npt.NDArray[np.bool_]:
    """Which taps lie on a pixel of the frame for some output [T]."""
    rows = _offsets_inside(result.height, op.stride[0], op.padding.top, frame.height, op.kernel[0])
    columns = _offsets_inside(result.width, op.stride[1], op.padding.left, frame.width, op.kernel[1])
    return np.array([bool(rows[tap.r] and columns[tap.s]) for tap in op.taps])


def _offsets_inside(
    outputs: int, stride: int, before: int, extent: int, kernel: int
) -> npt.NDArray[np.bool_]:
    """Which offsets in a kernel lie inside the frame for some output, along one axis [kernel]."""
    places = np.arange(outputs)[:, None] * stride - before + np.arange(kernel)
    return np.asarray(((places >= 0) & (places < extent)).any(axis=0), dtype=np.bool_)
