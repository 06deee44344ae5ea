"""Structure parameters laid over a weight, and what a weight holds per structure.

Along an axis a parameter is as long as the weight, or 1 long and broadcasts, or shorter: then entry i belongs to the positions
i, i + m, i + 2 m, ... (``psp_hw.pruning.structures``).
"""

from __future__ import annotations

import torch
from torch import Tensor


def spread(values: Tensor, shape: torch.Size) -> Tensor:
    """One value per structure as one that broadcasts against a weight of this shape; differentiable."""
    for axis, (count, length) in enumerate(zip(values.shape, shape, strict=True)):
        if count not in (1, length):
            values = values.index_select(axis, torch.arange(length, device=values.device) % count)
    return values


def total(values: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """The sum over each structure, in the shape of its parameters."""
    for axis, count in enumerate(shape):
        length = values.shape[axis]
        if count not in (1, length):
            places = [torch.arange(first, length, count, device=values.device) for first in range(count)]
            values = torch.stack([values.index_select(axis, at).sum(axis) for at in places], dim=axis)
    return values.sum_to_size(shape)


def is_tiled(shape: torch.Size | tuple[int, ...], weight_shape: torch.Size) -> bool:
    """Whether parameters of a shape are repeated along some axis, so that structures may differ in size."""
    return any(count not in (1, length) for count, length in zip(shape, weight_shape, strict=True))
