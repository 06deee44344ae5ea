"""A ReLU before a requantization is the lower bound of its saturation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Op, Relu, Requantize
from psp_hw.passes.base import without_unread


@dataclass(frozen=True)
class FuseRelu:
    """Let the requantization saturate at zero.

    Before:    relu, once or more; requantize clip lo..hi
    After:     requantize clip max(lo, 0)..hi
    Requires:  hi >= 0; otherwise the pair stays.
    Preserves: every output, bit for bit: rounding is monotone and maps zero to zero.
    """

    name: ClassVar[str] = "fuse-relu"

    def run(self, graph: Graph) -> Graph:
        ops: list[Op] = []
        for op in graph.ops:
            if isinstance(op, Requantize) and op.requantize.hi >= 0:
                source = graph.by_name[op.input]
                while isinstance(source, Relu):
                    clipped = replace(op.requantize, lo=max(op.requantize.lo, 0))
                    op = replace(op, input=source.input, requantize=clipped)
                    source = graph.by_name[op.input]
            ops.append(op)
        return without_unread(graph.with_ops(ops))
