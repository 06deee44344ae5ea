"""What is left of a pruned layer, read off its weight: taps, structures, density."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from psp_hw.pruning.structures import alpha_shape
from psp_hw.pruning.tiling import spread, total
from psp_hw.spec.enums import StructureKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSurvey:
    """What survives in one layer.

    Args:
        name: module path.
        kernel: R and S.
        channels: Ci and Co.
        taps: surviving (r, s), those at which any weight is nonzero.
        kept: weights in surviving structures.
        total: all weights.
        macs: of the surviving structures, per image.
        prunable: whether the layer was open to pruning; only such layers count in the density of a network.
    """

    name: str
    kernel: tuple[int, int]
    channels: tuple[int, int]
    taps: tuple[tuple[int, int], ...]
    kept: int
    total: int
    macs: int
    prunable: bool

    @property
    def density(self) -> float:
        """Kept weights per weight."""
        return self.kept / self.total


@torch.no_grad()
def surviving(weight: Tensor, kinds: tuple[StructureKind, ...]) -> Tensor:
    """Which weights lie in surviving structures, bool in the shape of the weight.

    A structure survives when any of its weights is nonzero; with several kinds, a weight needs all of its
    structures.
    """
    nonzero = weight != 0
    alive = torch.ones_like(nonzero)
    for kind in kinds:
        shape = alpha_shape(kind, tuple(weight.shape))
        alive &= spread(total(nonzero.long(), shape) > 0, weight.shape)
    return alive


@torch.no_grad()
def survey_layer(
    name: str, weight: Tensor, kinds: tuple[StructureKind, ...], *, positions: int, prunable: bool
) -> LayerSurvey:
    """Survey one weight.

    Args:
        name: module path.
        weight: [K, C, R, S] or [K, C].
        kinds: the structures that were pruned; empty: the weight counts as dense.
        positions: output pixels per image.
        prunable: whether the layer was open to pruning.
    """
    four = weight.reshape(*weight.shape, *([1] * (4 - weight.ndim)))  # [K, C, R, S]
    k, c, r, s = (int(n) for n in four.shape)
    alive = surviving(four, kinds)
    taps = tuple((int(i), int(j)) for i, j in (alive & (four != 0)).amax(dim=(0, 1)).nonzero().tolist())
    kept = int(alive.sum())
    return LayerSurvey(
        name=name,
        kernel=(r, s),
        channels=(c, k),
        taps=taps,
        kept=kept,
        total=four.numel(),
        macs=kept * positions,
        prunable=prunable,
    )


def density(layers: tuple[LayerSurvey, ...]) -> float:
    """Kept weights per weight over the prunable layers; 1 where nothing is prunable."""
    prunable = [layer for layer in layers if layer.prunable]
    total = sum(layer.total for layer in prunable)
    return sum(layer.kept for layer in prunable) / total if total else 1.0
