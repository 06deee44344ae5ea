"""The structure parameters on a weight: q = w * nu(alpha), through `torch.nn.utils.parametrize`.

nu is alpha where ``|alpha| >= epsilon`` and zero elsewhere (PSP Eq. 3). The threshold is passed straight through
in the backward pass (PSP Eq. 4), so a dropped structure may come back.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from psp_hw.pruning.structures import alpha_shape
from psp_hw.pruning.tiling import is_tiled, spread, total
from psp_hw.spec.enums import AlphaInit, Criterion, GradientRule, StructureKind
from psp_hw.spec.train import PruningSpec, StructureSpec

# PSP Sec. 4: alpha ~ N(0, 0.1), a variance (docs/paper.md, "How alpha starts").
PAPER_INIT_STD = math.sqrt(0.1)


class _ScaleAsPrinted(torch.autograd.Function):
    """w * nu, with the plain sum of dE/dq over the structure as gradient of nu (PSP Eq. 5 as printed)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, nu: Tensor) -> Tensor:
        ctx.save_for_backward(nu)
        return weight * nu

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (nu,) = ctx.saved_tensors
        return grads[0] * nu, grads[0].sum_to_size(nu.shape)


class StructureParameter(nn.Module):
    """One structure of one weight.

    Nothing in here branches on a value, so that `torch.compile` makes one graph of it.

    Args:
        weight: the weight [K, C, R, S] or [K, C] that alpha scales.
        structure: kind, epsilon, density.
        pruning: how alpha starts and learns.
    """

    alpha: nn.Parameter
    tightness: Tensor
    frozen: Tensor
    chosen: Tensor
    norm: Tensor

    def __init__(self, weight: Tensor, structure: StructureSpec, pruning: PruningSpec | None = None) -> None:
        super().__init__()
        self.structure = structure
        self.pruning = pruning or PruningSpec(structures=(structure,))
        shape = alpha_shape(structure.kind, tuple(weight.shape))
        learns = self.pruning.criterion is Criterion.ALPHA
        measures = self.pruning.criterion is Criterion.L1_NORM
        ones = self.pruning.init is AlphaInit.ONES or not learns
        start = torch.ones(shape) if ones else torch.randn(shape) * PAPER_INIT_STD
        self.alpha = nn.Parameter(start.to(weight), requires_grad=learns)
        self.register_buffer("tightness", torch.ones(()))
        # Reconstruction chooses before the first step; until then everything is kept.
        settled = self.pruning.criterion is Criterion.RECONSTRUCTION
        self.register_buffer("frozen", torch.tensor(settled))
        self.register_buffer("chosen", torch.ones(shape, dtype=torch.bool))
        self.register_buffer("norm", torch.zeros(shape if measures else ()), persistent=measures)
        if measures:
            self._measure(weight)

    @property
    def kind(self) -> StructureKind:
        """The structure that alpha stands for."""
        return self.structure.kind

    @torch.no_grad()
    def _measure(self, weight: Tensor) -> None:
        """Note the mean magnitude of the weights of each structure."""
        shape = self.alpha.shape
        if is_tiled(shape, weight.shape):
            self.norm.copy_(total(weight.detach().abs(), shape) / total(torch.ones_like(weight), shape))
        else:
            self.norm.copy_(weight.detach().abs().sum_to_size(shape) * (self.alpha.numel() / weight.numel()))

    def keep(self) -> Tensor:
        """Which structures are kept now, bool in the shape of alpha."""
        return torch.where(self.frozen, self.chosen, self._choice())

    def _choice(self) -> Tensor:
        learns = self.pruning.criterion is Criterion.ALPHA
        magnitude = self.alpha.detach().abs() if learns else self.norm
        structure = self.structure
        if structure.density is not None:
            return _largest(magnitude, self._budget(structure.density))
        keep = magnitude >= structure.epsilon * self.tightness
        if structure.at_most is not None:
            keep = keep & _largest(magnitude, self._budget(structure.at_most))
        if structure.at_least is not None:
            keep = keep | _largest(magnitude, math.ceil(structure.at_least * magnitude.numel() - 1e-6))
        return keep

    def _budget(self, share: float) -> Tensor:
        """How many structures may stay at the present tightness; at least one."""
        relaxed = 1.0 - (1.0 - share) * self.tightness.double()
        return torch.floor(relaxed * self.alpha.numel() + 1e-6).clamp(min=1.0)

    def budget(self) -> int:
        """How many structures the density keeps in the end, at least one; all where there is none."""
        share = 1.0 if self.structure.density is None else self.structure.density
        return max(1, math.floor(share * self.alpha.numel() + 1e-6))

    def nu(self) -> Tensor:
        """The thresholded parameters, in the shape of alpha (PSP Eq. 3)."""
        dropped = self.alpha - self.alpha.detach()  # zero, with the gradient of alpha (PSP Eq. 4)
        return torch.where(self.keep(), self.alpha, dropped)

    def forward(self, weight: Tensor) -> Tensor:
        """q = w * nu (PSP Eq. 2)."""
        if self.pruning.criterion is Criterion.L1_NORM:
            self._measure(weight)
        nu = spread(self.nu(), weight.shape)
        if self.pruning.gradient is GradientRule.AS_PRINTED:
            scaled: Tensor = _ScaleAsPrinted.apply(weight, nu)
            return scaled
        return weight * nu

    @torch.no_grad()
    def freeze(self) -> None:
        """From now on the present choice stays, whatever alpha becomes."""
        self.settle(self.keep())

    @torch.no_grad()
    def settle(self, kept: Tensor) -> None:
        """From now on this choice stays, bool in the shape of alpha."""
        self.chosen.copy_(kept)
        self.frozen.fill_(True)


def _largest(magnitude: Tensor, count: Tensor | int) -> Tensor:
    """Bool mask of exactly the `count` largest entries; the first of equals wins."""
    order = magnitude.flatten().argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel(), device=order.device)
    return (rank < count).view_as(magnitude)


def attach(layer: nn.Module, parameter: StructureParameter) -> None:
    """Scale the weight of a layer by structure parameters; several multiply."""
    parametrize.register_parametrization(layer, "weight", parameter)


def parameters_of(layer: nn.Module) -> tuple[StructureParameter, ...]:
    """The structure parameters on the weight of a layer, in the order in which they were attached."""
    if not parametrize.is_parametrized(layer, "weight"):
        return ()
    stack = layer.parametrizations["weight"]  # type: ignore[index]
    return tuple(p for p in stack if isinstance(p, StructureParameter))


def pruned_layers(net: nn.Module) -> dict[str, nn.Module]:
    """The layers of a network that carry structure parameters, by name."""
    return {name: module for name, module in net.named_modules() if parameters_of(module)}


@torch.no_grad()
def weight_mask(layer: nn.Module) -> Tensor:
    """Which weights of a layer are kept by all of its structures, bool in the shape of the weight."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    mask = torch.ones_like(weight, dtype=torch.bool)
    for parameter in parameters_of(layer):
        mask &= spread(parameter.keep(), weight.shape)
    return mask


def fold(net: nn.Module) -> dict[str, Tensor]:
    """Multiply alpha into the weights and remove the structure parameters, in place.

    The weight becomes the very product that the forward pass computed, so outputs are equal bit for bit.

    Returns:
        The mask of kept weights of every layer that was pruned, bool [K, C, R, S].
    """
    masks = {}
    for name, layer in pruned_layers(net).items():
        masks[name] = weight_mask(layer)
        _own_class(layer)
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return masks


def _own_class(layer: nn.Module) -> None:
    """Give a layer a class of its own: copies share one, from which torch takes the weight when it removes parametrizations."""
    shared = type(layer)
    content = {key: value for key, value in vars(shared).items() if key not in ("__dict__", "__weakref__")}
    layer.__class__ = type(shared.__name__, shared.__bases__, content)
