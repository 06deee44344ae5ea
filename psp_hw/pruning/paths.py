"""Whether an image still reaches the result when layers are gone."""

from __future__ import annotations

from collections.abc import Collection

from torch import fx, nn

from psp_hw.errors import ModelError
from psp_hw.quant.functions import is_shape_query
from psp_hw.quant.steps import INPUT, Step, trace_steps


def steps_or_none(net: nn.Module) -> tuple[Step, ...] | None:
    """The steps of a network; None where it holds something that is not understood."""
    try:
        return trace_steps(net)
    except ModelError:
        return None


def is_cut(steps: tuple[Step, ...], dead: Collection[str]) -> bool:
    """Whether no way leads from the image to the result around the dead layers.

    Args:
        steps: of the network.
        dead: names of layers whose weights are all zero.
    """
    alive = {INPUT}
    for step in steps:
        if step.name not in dead and any(name in alive for name in step.inputs):
            alive.add(step.name)
    return steps[-1].name not in alive


def indispensable(steps: tuple[Step, ...]) -> frozenset[str]:
    """The layers with weights whose loss alone would cut the network."""
    weighted = [step.name for step in steps if isinstance(step.module, nn.Conv2d | nn.Linear)]
    return frozenset(name for name in weighted if is_cut(steps, {name}))


def cutting_layers(net: nn.Module, dead: Collection[str]) -> tuple[str, ...]:
    """Of layers that are gone, those that cut the network: together, and none of them for nothing.

    Any operation may stand between them, also one that is not understood otherwise.

    Args:
        net: any network.
        dead: names of layers whose weights are all zero.

    Returns:
        Empty where a way is left, or where torch.fx cannot follow the network.
    """
    graph = _graph(net) if dead else None
    if graph is None or _passes(graph, dead):
        return ()
    cutting = list(dead)
    for name in dead:
        others = [other for other in cutting if other != name]
        if not _passes(graph, others):
            cutting = others
    return tuple(cutting)


class _Layers(fx.Tracer):
    """Layers with weights are one node each, parametrized ones and Brevitas' among them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.Linear) or super().is_leaf_module(m, module_qualified_name)


def _graph(net: nn.Module) -> fx.Graph | None:
    try:
        return _Layers().trace(net)
    except Exception:  # noqa: BLE001 what torch.fx cannot follow raises anything
        return None


def _passes(graph: fx.Graph, dead: Collection[str]) -> bool:
    """Whether anything of the image reaches the result; a shape is nothing of it."""
    alive: set[fx.Node] = set()
    for node in graph.nodes:
        gone = is_shape_query(node) or (node.op == "call_module" and node.target in dead)
        if node.op == "placeholder" or (not gone and any(source in alive for source in node.all_input_nodes)):
            alive.add(node)
    return any(node in alive for node in graph.nodes if node.op == "output")
