"""A ReLU before a requantization is the lower bound of its saturation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Op, Relu, Requantize, Threshold
from psp_hw.passes.base import without_unread


@dataclass(frozen=True)
class FuseRelu:
    """Let the requantization saturate at zero.

    Before:    relu, once or more; requantize clip lo..hi, or threshold
    After:     requantize clip max(lo, 0)..hi; or the threshold that has always taken the steps at or below zero
    Requires:  hi >= 0; otherwise the pair stays.
    Preserves: every output, bit for bit: rounding is monotone and maps zero to zero.
    """

    name: ClassVar[str] = "fuse-relu"

    def run(self, graph: Graph) -> Graph:
        ops: list[Op] = []
        constants: dict[str, IntArray] = {}
        for op in graph.ops:
            if isinstance(op, Threshold) and isinstance(graph.by_name[op.input], Relu):
                op, changed = _from_zero(op, graph)
                constants |= changed
            if isinstance(op, Requantize) and op.requantize.hi >= 0:
                source = graph.by_name[op.input]
                while isinstance(source, Relu):
                    clipped = replace(op.requantize, lo=max(op.requantize.lo, 0))
                    op = replace(op, input=source.input, requantize=clipped)
                    source = graph.by_name[op.input]
            ops.append(op)
        return without_unread(graph.with_ops(ops, constants))


def _from_zero(op: Threshold, graph: Graph) -> tuple[Threshold, dict[str, IntArray]]:
    """A threshold behind ReLUs as one without them."""
    source = graph.by_name[op.input]
    while isinstance(source, Relu):
        op = replace(op, input=source.input)
        source = graph.by_name[op.input]
    table, step = graph.constants[op.thresholds], graph.constants[op.step]
    taken = table <= 0
    always = np.where(taken, graph.types[op.input].fmt.min, table)
    everywhere = min(int(taken.sum(axis=1).min()), table.shape[1] - 1)
    start = graph.constants[op.start] + step * everywhere
    return op, {op.thresholds: always[:, everywhere:], op.start: start}
