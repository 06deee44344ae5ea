"""Requantization inside the engine that makes the accumulator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, Affine, AvgPool, Conv2d, Op, Requantize
from psp_hw.passes.base import without_unread


@dataclass(frozen=True)
class FuseRequantize:
    """Take a requantization into the convolution, sum, pooling or affine map before it.

    Before:    conv2d a; requantize b of a
    After:     conv2d b with requantize
    Requires:  nothing else reads a, and a has no requantization of its own.
    Preserves: every output, bit for bit. The op takes the name of the value that it now makes.
    """

    name: ClassVar[str] = "fuse-requantize"

    def run(self, graph: Graph) -> Graph:
        ops: list[Op] = []
        for op in graph.ops:
            source = graph.by_name.get(op.input) if isinstance(op, Requantize) else None
            alone = source is not None and len(graph.users[source.name]) == 1
            if (
                isinstance(op, Requantize)
                and isinstance(source, Conv2d | Add | AvgPool | Affine)
                and alone
                and source.requantize is None
            ):
                ops.append(replace(source, name=op.name, requantize=op.requantize))
            else:
                ops.append(op)
        return without_unread(graph.with_ops(ops))
