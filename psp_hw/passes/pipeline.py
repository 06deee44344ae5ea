"""The order of the passes, and their runner."""

from __future__ import annotations

from collections.abc import Callable

from psp_hw.ir.graph import Graph
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

    Args:
        graph: verified or not.
        stop_after: how many passes to run; None runs all.
        on_pass: called with the name of every pass and the graph it gave, for writing graphs down.
    """
    graph = verify(graph)
    for step in PASSES[:stop_after]:
        graph = verify(step.run(graph))
        if on_pass is not None:
            on_pass(step.name, graph)
    return graph
