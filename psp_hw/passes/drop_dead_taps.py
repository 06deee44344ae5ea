"""Taps whose weights are all zero are not there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from psp_hw.arith.requantize import IntArray
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Op


@dataclass(frozen=True)
class DropDeadTaps:
    """Remove every tap whose weights are zero for all channels.

    Before:    conv2d of T taps, weight [T, Ci, Co]
    After:     conv2d of k taps, weight [k, Ci, Co], k = taps with a nonzero weight, at least one
    Preserves: every value, bit for bit.
    """

    name: ClassVar[str] = "drop-dead-taps"

    def run(self, graph: Graph) -> Graph:
        ops: list[Op] = []
        constants: dict[str, IntArray] = {}
        for op in graph.ops:
            if isinstance(op, Conv2d):
                weight = graph.constants[op.weight]
                alive = [t for t in range(len(op.taps)) if weight[t].any()] or [len(op.taps) // 2]
                constants[op.weight] = weight[alive]
                ops.append(replace(op, taps=tuple(op.taps[t] for t in alive)))
            else:
                ops.append(op)
        return graph.with_ops(ops, constants)
