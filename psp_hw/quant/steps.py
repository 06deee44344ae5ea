"""A network as a list of steps: what the quantizer understands, traced by torch.fx.

Every step has a name (its module path) and one module. Functions such as ``F.relu`` and ``+`` become modules, a
module without weights that is called twice becomes two steps, and whatever is not understood is refused by name.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from psp_hw.errors import ModelError
from psp_hw.spec.names import first_line

SUPPORTED = (
    "Conv2d, BatchNorm2d behind a Conv2d, ReLU, addition of two tensors, AvgPool2d, AdaptiveAvgPool2d(1), "
    "MaxPool2d, Flatten, Linear, Identity, Dropout"
)
INPUT = "input"


class Add(nn.Module):
    """The sum of two branches."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """[N, C, H, W] + [N, C, H, W]."""
        return left + right


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
    if node.op == "call_module":
        module = modules[str(node.target)]
        name = str(node.target)
        if isinstance(module, _NOTHING):
            results[node] = results[_tensor_args(node, 1)[0]]
            return
        if isinstance(module, _WEIGHTED) and name in taken:
            raise ModelError("used twice: shared weights are not supported", where=name)
        if not isinstance(module, (*_WEIGHTED, *_PLAIN)):
            raise _unsupported(f"module {type(module).__name__}", name)
        arity = 1
    else:
        module, name, arity = _function_module(node)
    name = _free_name(name, taken)
    if not isinstance(module, _WEIGHTED):
        module = copy.deepcopy(module)
    inputs = tuple(results[arg] for arg in _tensor_args(node, arity))
    taken.add(name)
    steps.append(Step(name=name, module=module, inputs=inputs))
    results[node] = name


def _function_module(node: fx.Node) -> tuple[nn.Module, str, int]:
    """The module for a call of a function or of a tensor method, its name, and its number of tensors."""
    make = _FUNCTIONS.get(node.target)
    if node.op not in ("call_function", "call_method") or make is None:
        label = getattr(node.target, "__name__", str(node.target))
        raise _unsupported(f"{node.op.replace('_', ' ')} '{label}'", node.name)
    module = make(node)
    stack = node.meta.get("nn_module_stack") or {}
    inside = next(reversed(stack), "")  # the module whose forward() holds the call
    label = f"{inside}.{_base_name(node)}" if inside else _base_name(node)
    return module, label, 2 if isinstance(module, Add) else 1


def _free_name(name: str, taken: set[str]) -> str:
    """The name itself, or with the first free number from 2 on."""
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _base_name(node: fx.Node) -> str:
    """The name of the operation, without the number that makes an fx name unique."""
    return str(getattr(node.target, "__name__", node.target)).strip("_")


def _flatten(node: fx.Node) -> nn.Module:
    start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
    if start != 1:
        raise _unsupported(f"flatten from dimension {start}", node.name)
    return nn.Flatten()


def _relu(node: fx.Node) -> nn.Module:
    return nn.ReLU()


def _add(node: fx.Node) -> nn.Module:
    if node.kwargs.get("alpha", 1) != 1:
        raise _unsupported("add with alpha", node.name)
    return Add()


_FUNCTIONS: dict[object, Callable[[fx.Node], nn.Module]] = {
    functional.relu: _relu,
    torch.relu: _relu,
    torch.relu_: _relu,
    "relu": _relu,
    "relu_": _relu,
    operator.add: _add,
    operator.iadd: _add,
    torch.add: _add,
    "add": _add,
    "add_": _add,
    torch.flatten: _flatten,
    "flatten": _flatten,
}


def _tensor_args(node: fx.Node, arity: int) -> list[fx.Node]:
    """The tensor operands of a node; anything else in their place is refused."""
    args = list(node.args[:arity])
    if len(args) != arity or not all(isinstance(arg, fx.Node) for arg in args):
        raise _unsupported(f"'{node.name}' with a constant operand", node.name)
    return [arg for arg in args if isinstance(arg, fx.Node)]


def _unsupported(what: str, where: str) -> ModelError:
    return ModelError(f"{what} is not supported", where=where, hint=f"supported: {SUPPORTED}")


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
