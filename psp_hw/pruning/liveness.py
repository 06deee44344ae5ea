"""Which channels of a network are the same number everywhere, and which channels anything reads.

Values are named after their steps. A channel is constant when it has one value at every pixel of every image, in eval;
zero is the constant that may go even in front of zero padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from psp_hw.quant.functions import Add, Concat
from psp_hw.quant.steps import INPUT, Step

Constants = Mapping[str, Tensor]  # [C] float64 per value: the constant, NaN where the channel varies
Needs = Mapping[str, Tensor]  # [C] bool per value
Shapes = Mapping[str, tuple[int, ...]]  # of one image, (C, H, W) or (F,)


@torch.no_grad()
def shapes_of(steps: tuple[Step, ...], example: Tensor) -> Shapes:
    """The shape of every value, for one image.

    Args:
        steps: of the network, in eval.
        example: images [N, C, H, W].
    """
    values = {INPUT: example}
    for step in steps:
        values[step.name] = step.module(*(values[name] for name in step.inputs))
    return {name: tuple(value.shape[1:]) for name, value in values.items()}


def is_padded(module: nn.Module) -> bool:
    """Whether a convolution or a mean reads zeros around the frame, so that a constant is none at the border."""
    if isinstance(module, nn.Conv2d | nn.AvgPool2d):
        padding = module.padding
        return isinstance(padding, str) or (any(padding) if isinstance(padding, tuple) else bool(padding))
    return False


def foldable(module: nn.Module, constants: Tensor) -> Tensor:
    """Which constant channels a weighted layer can take into its bias, bool [C]."""
    known = ~constants.isnan()
    return known & (constants == 0) if is_padded(module) else known


@torch.no_grad()
def constants_of(steps: tuple[Step, ...], shapes: Shapes) -> Constants:
    """The constant channels of every value."""
    found: dict[str, Tensor] = {INPUT: torch.full((shapes[INPUT][0],), torch.nan, dtype=torch.float64)}
    for step in steps:
        found[step.name] = _constant(step, [found[name] for name in step.inputs], shapes)
    return found


def _constant(step: Step, sources: list[Tensor], shapes: Shapes) -> Tensor:
    module: Any = step.module
    if isinstance(module, nn.Conv2d | nn.Linear):
        return _constant_result(module, sources[0])
    if isinstance(module, nn.BatchNorm2d):
        one = sources[0][None, :, None, None].clone()  # [1, C, 1, 1]
        return _in_float64(module, one).flatten()
    if isinstance(module, nn.ReLU):
        return sources[0].relu()
    if isinstance(module, Add):
        return sources[0] + sources[1]
    if isinstance(module, Concat):
        return torch.cat(sources)
    if isinstance(module, nn.Flatten):
        return sources[0].repeat_interleave(shapes[step.name][0] // len(sources[0]))
    if is_padded(module):
        return torch.where(sources[0] == 0, sources[0], torch.nan)
    return sources[0]  # maximum and mean of equal values


def _in_float64(bn: nn.BatchNorm2d, one: Tensor) -> Tensor:
    def double(parameter: Tensor | None) -> Tensor | None:
        return None if parameter is None else parameter.detach().double()

    mean, var = double(bn.running_mean), double(bn.running_var)
    if mean is None or var is None:
        return torch.full_like(one, torch.nan)  # statistics of the batch: nothing is known
    return nn.functional.batch_norm(one, mean, var, double(bn.weight), double(bn.bias), False, 0.0, bn.eps)


def _constant_result(module: nn.Conv2d | nn.Linear, source: Tensor) -> Tensor:
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        return torch.full((module.out_channels,), torch.nan, dtype=torch.float64)
    weight = module.weight.detach().double()  # [K, C, R, S] or [K, C]
    sums = weight.flatten(2).sum(dim=2) if weight.ndim == 4 else weight  # [K, C]
    used = (weight.flatten(2) != 0).any(dim=2) if weight.ndim == 4 else weight != 0
    folds = foldable(module, source)
    bias = module.bias.detach().double() if module.bias is not None else weight.new_zeros(len(weight))
    result = bias + sums[:, folds] @ source[folds]
    return torch.where((used & ~folds).any(dim=1), torch.nan, result)


@torch.no_grad()
def needs_of(steps: tuple[Step, ...], constants: Constants, shapes: Shapes) -> Needs:
    """The channels of every value that some reader has to see."""
    needs = {name: torch.zeros(shape[0], dtype=torch.bool) for name, shape in shapes.items()}
    needs[steps[-1].name][:] = True
    for step in reversed(steps):
        wanted = needs[step.name]
        if not bool(wanted.any()) or is_constant(step.name, needs, constants):
            continue
        if isinstance(step.module, nn.Flatten):  # a channel goes with all of its pixels
            wanted |= (
                wanted.view(len(needs[step.inputs[0]]), -1)
                .any(dim=1)
                .repeat_interleave(len(wanted) // len(needs[step.inputs[0]]))
            )
        if isinstance(step.module, nn.Conv2d) and step.module.groups != 1:
            wanted[:] = True
        for name, demand in zip(step.inputs, _demands(step, wanted, constants, needs), strict=True):
            needs[name] |= demand
    return needs


def is_constant(name: str, needs: Needs, constants: Constants) -> bool:
    """Whether all needed channels of a value are constant."""
    return not bool(constants[name][needs[name]].isnan().any())


def constant_branch(step: Step, needs: Needs, constants: Constants) -> int | None:
    """Which input of a sum is constant in all channels that are needed of the sum; None where neither is."""
    wanted = needs[step.name]
    for index in (1, 0):
        if not bool(constants[step.inputs[index]][wanted].isnan().any()):
            return index
    return None


def _demands(step: Step, wanted: Tensor, constants: Constants, needs: Needs) -> list[Tensor]:
    """What a step reads of each of its inputs."""
    module: Any = step.module
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        return [torch.ones_like(needs[step.inputs[0]])]
    if isinstance(module, nn.Conv2d | nn.Linear):
        used = (module.weight.detach()[wanted].flatten(2 if module.weight.ndim == 4 else 1) != 0).any(dim=0)
        used = used.view(module.weight.shape[1], -1).any(dim=1)
        return [used & ~foldable(module, constants[step.inputs[0]])]
    if isinstance(module, Add):
        dead = constant_branch(step, needs, constants)
        return [torch.zeros_like(wanted) if index == dead else wanted for index in (0, 1)]
    if isinstance(module, Concat):
        return list(wanted.split([len(needs[name]) for name in step.inputs]))
    if isinstance(module, nn.Flatten):
        return [wanted.view(len(needs[step.inputs[0]]), -1).any(dim=1)]
    return [wanted]
