"""A network as a list of steps: what the quantizer understands, traced by torch.fx.

Every step has a name (its module path) and one module. Functions such as ``F.relu`` and ``+`` become modules, a
module without weights that is called twice becomes two steps, and whatever is not understood is refused by name.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import fx, nn

from psp_hw.errors import ModelError
from psp_hw.quant.functions import Add, Concat, is_shape_query, modules_of_call, unsupported
from psp_hw.spec.names import first_line

INPUT = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation.

    Args:
        name: module path; unique.
        module: what computes it.
        inputs: names of the steps whose results it takes; ``input`` is the image.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]


_WEIGHTED = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
_PLAIN = (nn.ReLU, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d, nn.Flatten)
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)


class _Tracer(fx.Tracer):
    """Everything that has no children is one node."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*_WEIGHTED, *_PLAIN, *_NOTHING)) or super().is_leaf_module(
            m, module_qualified_name
        )


def trace_steps(net: nn.Module) -> tuple[Step, ...]:
    """Trace a network in eval mode; weights are shared with it.

    Raises:
        ModelError: the network cannot be traced, or holds an operation that is not supported.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(net)
    except Exception as error:
        what = f"cannot be traced: {first_line(error)}"
        hint = "torch.fx needs a forward() without branches that depend on values"
        raise ModelError(what, where=type(net).__name__, hint=hint) from error
    modules = dict(net.named_modules())
    steps: list[Step] = []
    results: dict[fx.Node, str] = {}  # the step that holds the value of each node
    taken: set[str] = {INPUT}
    for node in graph.nodes:
        _add_step(node, modules, steps, results, taken)
    return _used(steps, _output(graph, results))


def _add_step(
    node: fx.Node,
    modules: dict[str, nn.Module],
    steps: list[Step],
    results: dict[fx.Node, str],
    taken: set[str],
) -> None:
    """Append the step of one fx node."""
    if node.op == "output":
        return
    if node.op == "placeholder":
        if results:
            raise ModelError(f"more than one input ('{node.target}')", where="network")
        results[node] = INPUT
        return
    if is_shape_query(node):
        return
    if node.op == "call_module":
        name = str(node.target)
        made = (_checked(modules[name], name, taken),)
    else:
        name, made = _label(node), modules_of_call(node)
    inputs = tuple(results[arg] for arg in _operands(node, made[0]))
    for module in made:
        if isinstance(module, _NOTHING):
            continue
        free = _free_name(name, taken)
        taken.add(free)
        own = module if isinstance(module, _WEIGHTED) else copy.deepcopy(module)
        steps.append(Step(name=free, module=own, inputs=inputs))
        inputs = (free,)
    results[node] = inputs[0]


def _checked(module: nn.Module, name: str, taken: set[str]) -> nn.Module:
    """A module of the network, if it is supported and its weights are not in use already."""
    if not isinstance(module, (*_WEIGHTED, *_PLAIN, *_NOTHING)):
        raise unsupported(f"module {type(module).__name__}", name)
    if isinstance(module, _WEIGHTED) and name in taken:
        raise ModelError("used twice: shared weights are not supported", where=name)
    return module


def _label(node: fx.Node) -> str:
    """A name for a call of a function: the module whose forward() holds it, and what is called."""
    stack = node.meta.get("nn_module_stack") or {}
    inside = next(reversed(stack), "")
    base = str(getattr(node.target, "__name__", node.target)).strip("_")
    return f"{inside}.{base}" if inside else base


def _free_name(name: str, taken: set[str]) -> str:
    """The name itself, or with the first free number from 2 on."""
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _operands(node: fx.Node, module: nn.Module) -> list[fx.Node]:
    """The tensors that a node reads."""
    if isinstance(module, Concat):
        parts = node.args[0] if node.args else node.kwargs.get("tensors")
        if not isinstance(parts, tuple | list):
            raise unsupported(f"'{node.name}' of other than a list of tensors", node.name)
        return _tensor_args(node, tuple(parts), len(parts))
    return _tensor_args(node, node.args, 2 if isinstance(module, Add) else 1)


def _tensor_args(node: fx.Node, given: tuple[object, ...], arity: int) -> list[fx.Node]:
    """The tensor operands of a node; anything else in their place is refused."""
    args = list(given[:arity])
    if len(args) != arity or not all(isinstance(arg, fx.Node) for arg in args):
        raise unsupported(f"'{node.name}' with a constant operand", node.name)
    return [arg for arg in args if isinstance(arg, fx.Node)]


def _output(graph: fx.Graph, results: dict[fx.Node, str]) -> str:
    (out,) = [node for node in graph.nodes if node.op == "output"]
    value = out.args[0]
    if not isinstance(value, fx.Node):
        raise ModelError("returns more than one tensor", where="network")
    return results[value]


def _used(steps: list[Step], output: str) -> tuple[Step, ...]:
    """Only the steps that the output depends on; the last one is the output."""
    needed = {output}
    for step in reversed(steps):
        if step.name in needed:
            needed.update(step.inputs)
    used = tuple(step for step in steps if step.name in needed)
    if not used or used[-1].name != output:
        raise ModelError("the last operation is not the result", where="network")
    return used
