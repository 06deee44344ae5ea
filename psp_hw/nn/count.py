"""Parameters, layers and multiply-accumulates of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCount:
    """A convolution or fully connected layer.

    Args:
        name: module path.
        weights: number of weights, without bias.
        positions: output pixels per image; 1 for a fully connected layer.
        output: shape of the result of one image, (Co, H, W) or (Co,).
    """

    name: str
    weights: int
    positions: int
    output: tuple[int, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return self.weights * self.positions


@dataclass(frozen=True, slots=True, kw_only=True)
class NetCount:
    """The counts of a network.

    Args:
        params: trainable parameters: weights, biases, BN scales and offsets.
        layers: convolutions and fully connected layers in the order of execution.
    """

    params: int
    layers: tuple[LayerCount, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return sum(layer.macs for layer in self.layers)


def count(net: nn.Module, image: tuple[int, int, int]) -> NetCount:
    """Count a network by running one blank image.

    Args:
        net: the network.
        image: channels, height and width.
    """
    layers: list[LayerCount] = []
    names = {module: name for name, module in net.named_modules()}

    def note(module: nn.Module, _: tuple[Any, ...], out: Tensor) -> None:
        shape = tuple(out.shape[1:])
        positions = shape[1] * shape[2] if len(shape) == 3 else 1
        weight = module.weight
        assert isinstance(weight, Tensor)
        layers.append(
            LayerCount(name=names[module], weights=weight.numel(), positions=positions, output=shape)
        )

    hooks = [m.register_forward_hook(note) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    mode = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, *image, dtype=next(net.parameters()).dtype))
    finally:
        net.train(mode)
        for hook in hooks:
            hook.remove()
    params = sum(p.numel() for p in net.parameters() if p.requires_grad)
    return NetCount(params=params, layers=tuple(layers))
