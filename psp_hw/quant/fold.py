"""Fold BN into the convolution in front of it; elsewhere it is a multiplication and an addition per channel."""

from __future__ import annotations

import torch
from torch import nn

from psp_hw.errors import ModelError
from psp_hw.quant.steps import INPUT, Step


class ChannelAffine(nn.Module):
    """``x * weight + bias`` per channel: a BN in eval that no convolution can take in.

    Args:
        weight: [C].
        bias: [C].
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [N, C, H, W]
        """[N, C, H, W] to [N, C, H, W]."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def fold_batch_norm(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Replace every convolution and the BN behind it by one convolution with bias, in eval semantics.

    w' = w * g / sqrt(var + eps), b' = (b - mean) * g / sqrt(var + eps) + beta. A zero weight stays exactly zero.
    A BN that does not stand directly behind a convolution of its own becomes a `ChannelAffine`. Weights are copied,
    the network that was traced is left alone. A convolution without bias and BN gets a bias of zero that is fixed.

    Raises:
        ModelError: a BN without running statistics, or padding other than zeros.
    """
    users: dict[str, int] = {}
    for step in steps:
        for name in step.inputs:
            users[name] = users.get(name, 0) + 1
    done: dict[str, Step] = {}
    renamed: dict[str, str] = {INPUT: INPUT}
    for step in steps:
        inputs = tuple(renamed[name] for name in step.inputs)
        if not isinstance(step.module, nn.BatchNorm2d):
            done[step.name] = Step(name=step.name, module=_copied(step.module, step.name), inputs=inputs)
            renamed[step.name] = step.name
            continue
        before = done.get(inputs[0])
        if before is None or not isinstance(before.module, nn.Conv2d) or users[step.inputs[0]] != 1:
            affine = ChannelAffine(*_gain_and_offset(step.module, step.name))
            done[step.name] = Step(name=step.name, module=affine, inputs=inputs)
            renamed[step.name] = step.name
            continue
        folded = _fold_into(before.module, step.module, step.name)
        done[before.name] = Step(name=before.name, module=folded, inputs=before.inputs)
        renamed[step.name] = before.name
    return tuple(done.values())


def _copied(module: nn.Module, name: str) -> nn.Module:
    """A copy of a layer with weights, which always has a bias; other modules as they are."""
    if isinstance(module, nn.Conv2d):
        copy = _conv(module, module.weight.detach().clone(), _bias(module), name)
        copy.bias.requires_grad_(module.bias is not None)  # type: ignore[union-attr]
        return copy
    if isinstance(module, nn.Linear):
        linear = nn.Linear(module.in_features, module.out_features, dtype=module.weight.dtype)
        with torch.no_grad():
            linear.weight.copy_(module.weight)
            linear.bias.copy_(_bias(module))
        return linear
    return module


def _bias(module: nn.Conv2d | nn.Linear) -> torch.Tensor:
    if module.bias is not None:
        return module.bias.detach().clone()
    return module.weight.new_zeros(module.weight.shape[0])


@torch.no_grad()
def _gain_and_offset(bn: nn.BatchNorm2d, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A BN in eval as ``x * gain + offset``, [C] each."""
    mean, var = bn.running_mean, bn.running_var
    if mean is None or var is None:
        raise ModelError("BatchNorm2d without running statistics cannot be folded", where=name)
    gain = torch.rsqrt(var + bn.eps)
    if bn.affine:
        gain = gain * bn.weight
    offset = -mean * gain
    return gain, offset + bn.bias if bn.affine else offset


@torch.no_grad()
def _fold_into(conv: nn.Conv2d, bn: nn.BatchNorm2d, name: str) -> nn.Conv2d:
    gain, offset = _gain_and_offset(bn, name)  # [K]
    bias = _bias(conv) * gain + offset
    return _conv(conv, conv.weight * gain[:, None, None, None], bias, name)


def _conv(like: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor, name: str) -> nn.Conv2d:
    """A convolution with the geometry of `like` and these values."""
    if like.padding_mode != "zeros" or isinstance(like.padding, str):
        hint = "use zero padding given in pixels"
        raise ModelError(f"padding {like.padding!r} ({like.padding_mode})", where=name, hint=hint)
    conv = nn.Conv2d(
        like.in_channels,
        like.out_channels,
        (like.kernel_size[0], like.kernel_size[1]),
        stride=(like.stride[0], like.stride[1]),
        padding=(like.padding[0], like.padding[1]),
        dilation=(like.dilation[0], like.dilation[1]),
        groups=like.groups,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)  # type: ignore[union-attr]
    return conv
