"""Calls of functions and tensor methods as modules, so that a network may be written either way."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from psp_hw.errors import ModelError

SUPPORTED = (
    "Conv2d, BatchNorm2d, ReLU, addition of two tensors, concatenation of channels, AvgPool2d, AdaptiveAvgPool2d(1), "
    "MaxPool2d, Flatten, Linear, Identity, Dropout, and the functions of the same names"
)


class Add(nn.Module):
    """The sum of two branches."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """[N, C, H, W] + [N, C, H, W]."""
        return left + right


class Concat(nn.Module):
    """Feature maps side by side in channels."""

    def forward(self, *parts: Tensor) -> Tensor:
        """[N, C1, H, W], [N, C2, H, W], ... to [N, C1 + C2 + ..., H, W]."""
        return torch.cat(parts, dim=1)


def unsupported(what: str, where: str) -> ModelError:
    """The error for an operation that has no quantized form."""
    return ModelError(f"{what} is not supported", where=where, hint=f"supported: {SUPPORTED}")


def modules_of_call(node: fx.Node) -> tuple[nn.Module, ...]:
    """The modules that compute what a call of a function or of a tensor method does, one after the other.

    Raises:
        ModelError: the function is not known, or its arguments have no module form.
    """
    make = _FUNCTIONS.get(node.target)
    if node.op not in ("call_function", "call_method") or make is None:
        label = getattr(node.target, "__name__", str(node.target))
        raise unsupported(f"{node.op.replace('_', ' ')} '{label}'", node.name)
    made = make(node)
    return made if isinstance(made, tuple) else (made,)


def is_shape_query(node: fx.Node) -> bool:
    """Whether a node only asks for the size of a tensor: ``x.size(0)``, ``x.shape[0]``."""
    if node.op == "call_method" and node.target == "size":
        return True
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[1] == "shape"
    inner = node.args[0] if node.args else None
    return node.target is operator.getitem and isinstance(inner, fx.Node) and is_shape_query(inner)


def _arguments(node: fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    """The arguments behind the tensor, by name; all of them constants."""
    given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    for name, value in given.items():
        if isinstance(value, fx.Node):
            raise unsupported(f"'{name}' that depends on a tensor", node.name)
    return {name: value for name, value in given.items() if value is not None}


def _flatten(node: fx.Node) -> nn.Module:
    start = _arguments(node, ("start_dim", "end_dim")).get("start_dim", 0)
    if start != 1:
        raise unsupported(f"flatten from dimension {start}", node.name)
    return nn.Flatten()


def _view(node: fx.Node) -> nn.Module:
    """``x.view(n, -1)`` with the batch size n; any other view is refused."""
    sizes = node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    batch = sizes[0] if sizes else None
    if len(sizes) != 2 or sizes[1] != -1 or not (isinstance(batch, fx.Node) and is_shape_query(batch)):
        raise unsupported(f"{node.target} other than to (batch, -1)", node.name)
    return nn.Flatten()


def _relu(node: fx.Node) -> nn.Module:
    return nn.ReLU()


def _add(node: fx.Node) -> nn.Module:
    if node.kwargs.get("alpha", 1) != 1:
        raise unsupported("add with alpha", node.name)
    return Add()


def _concat(node: fx.Node) -> nn.Module:
    if _arguments(node, ("dim",)).get("dim", 0) != 1:
        raise unsupported("concatenation of other than channels", node.name)
    return Concat()


def _dropout(node: fx.Node) -> nn.Module:
    return nn.Identity()


def _mean(node: fx.Node) -> tuple[nn.Module, ...]:
    given = _arguments(node, ("dim", "keepdim"))
    dims = given.get("dim")
    if not isinstance(dims, tuple | list) or sorted(int(d) % 4 for d in dims) != [2, 3]:
        raise unsupported(f"mean over dimensions {dims}", node.name)
    pool = nn.AdaptiveAvgPool2d(1)
    return (pool,) if given.get("keepdim") else (pool, nn.Flatten())


def _max_pool(node: fx.Node) -> nn.Module:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    return nn.MaxPool2d(**_arguments(node, names))


def _avg_pool(node: fx.Node) -> nn.Module:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    return nn.AvgPool2d(**_arguments(node, names))


def _adaptive_pool(node: fx.Node) -> nn.Module:
    return nn.AdaptiveAvgPool2d(**_arguments(node, ("output_size",)))


_FUNCTIONS: dict[object, Callable[[fx.Node], nn.Module | tuple[nn.Module, ...]]] = {
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
    torch.cat: _concat,
    torch.concat: _concat,
    torch.flatten: _flatten,
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
    "mean": _mean,
    torch.mean: _mean,
    functional.dropout: _dropout,
    functional.max_pool2d: _max_pool,
    functional.avg_pool2d: _avg_pool,
    functional.adaptive_avg_pool2d: _adaptive_pool,
}
