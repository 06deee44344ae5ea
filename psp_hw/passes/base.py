"""What a pass is, and what several of them need."""

from __future__ import annotations

from typing import ClassVar, Protocol

from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Op, op_inputs


class Pass(Protocol):
    """Rewrites a graph and preserves every output, bit for bit.

    A value that keeps its name and its type keeps its content: traces of the graph before and after can be compared by name.
    """

    name: ClassVar[str]

    def run(self, graph: Graph) -> Graph:
        """A new graph; the argument stays as it is."""
        ...


def without_unread(graph: Graph) -> Graph:
    """The graph without ops whose value nothing reads."""
    read: set[str] = set()
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if op in (graph.input, graph.output) or op.name in read:
            kept.append(op)
            read |= set(op_inputs(op))
    return graph.with_ops(tuple(reversed(kept)))
