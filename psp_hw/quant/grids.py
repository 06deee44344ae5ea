"""The grid that a value of a quantized network lies on, and how far it reaches, read off the quantizers before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from psp_hw.quant.convert import QuantizedAdd, QuantizedConcat
from psp_hw.quant.quantizers import is_activation, scale_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Multiples of `scale` up to `limit` in magnitude.

    Args:
        scale: the finest power of two.
        limit: largest magnitude, a real value.
    """

    scale: float
    limit: float

    @property
    def integers(self) -> float:
        """Largest magnitude in units of the scale."""
        return self.limit / self.scale


def grid_of(node: Any, modules: dict[str, nn.Module]) -> Grid:
    """The grid of the result of a node, through sums, concatenation, pooling and flatten."""
    module: Any = modules[str(node.target)]
    if is_activation(module):
        scale = float(scale_of(module))
        bits = int(float(module.act_quant.bit_width()))
        largest = 2 ** (bits - 1) if module.act_quant.is_signed else 2**bits - 1
        return Grid(scale=scale, limit=largest * scale)
    grids = [grid_of(arg, modules) for arg in node.args]
    scale = min(grid.scale for grid in grids)
    if isinstance(module, QuantizedAdd):
        return Grid(scale=scale, limit=sum(grid.limit for grid in grids))
    assert len(grids) == 1 or isinstance(module, QuantizedConcat)
    return Grid(scale=scale, limit=max(grid.limit for grid in grids))


def finest_scale(model: nn.Module, name: str) -> Tensor:
    """The finest scale among the values that a step reads."""
    assert isinstance(model, fx.GraphModule)
    modules = dict(model.named_modules())
    (node,) = [n for n in model.graph.nodes if n.op == "call_module" and str(n.target) == name]
    return torch.tensor(min(grid_of(arg, modules).scale for arg in node.args), dtype=torch.float64)


def joined_quantizers(model: nn.Module) -> list[list[str]]:
    """The quantizers of activations in groups that share a scale, in the order of execution.

    Those that a concatenation reads, directly or through pooling and other concatenations, form a group; any other
    stands alone.
    """
    assert isinstance(model, fx.GraphModule)
    modules = dict(model.named_modules())
    nodes = [node for node in model.graph.nodes if node.op == "call_module"]
    group = {str(n.target): [str(n.target)] for n in nodes if is_activation(modules[str(n.target)])}
    for node in nodes:
        if not isinstance(modules[str(node.target)], QuantizedConcat):
            continue
        names = list(dict.fromkeys(name for arg in node.args for name in _quantizers_behind(arg, modules)))
        together = list(dict.fromkeys(member for name in names for member in group[name]))
        group.update((member, together) for member in together)
    return list({id(names): names for names in group.values()}.values())


def _quantizers_behind(node: Any, modules: dict[str, nn.Module]) -> list[str]:
    """The quantizers that made the channels of a value."""
    if is_activation(modules[str(node.target)]):
        return [str(node.target)]
    if isinstance(modules[str(node.target)], QuantizedAdd):
        return []
    return [name for arg in node.args for name in _quantizers_behind(arg, modules)]
