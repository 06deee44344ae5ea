"""The order of the passes, and their runner."""

from __future__ import annotations

from collections.abc import Callable

from psp_hw.ir.graph import Graph
from psp_hw.ir.text import print_graph
from psp_hw.ir.verify import verify
from psp_hw.passes.base import Pass
from psp_hw.passes.drop_dead_channels import DropDeadChannels
from psp_hw.passes.drop_dead_taps import DropDeadTaps
from psp_hw.passes.flatten_to_kernel import FlattenToKernel
from psp_hw.passes.fold_constant_branches import FoldConstantBranches
from psp_hw.passes.fuse_relu import FuseRelu
from psp_hw.passes.fuse_requantize import FuseRequantize

PASSES: tuple[Pass, ...] = (
    FlattenToKernel(),
    FuseRelu(),
    FuseRequantize(),
    FoldConstantBranches(),
    DropDeadChannels(),
    DropDeadTaps(),
)


def optimize(
    graph: Graph, *, stop_after: int | None = None, on_pass: Callable[[str, Graph], None] | None = None
) -> Graph:
    """The graph after the passes, verified before and after each.

    What one pass removes can lay bare something for an earlier one (a channel that goes may leave a branch constant), so
    the passes run in rounds until a round changes nothing; every round but the last removes an op, a channel or a tap.

    Args:
        graph: verified or not.
        stop_after: how many passes of the first round to run; None runs all, in rounds.
        on_pass: called with the name of every pass and the graph it gave, for writing graphs down.
    """
    graph = verify(graph)
    while True:
        before = print_graph(graph)
        for step in PASSES[:stop_after]:
            graph = verify(step.run(graph))
            if on_pass is not None:
                on_pass(step.name, graph)
        if stop_after is not None or print_graph(graph) == before:
            return graph
