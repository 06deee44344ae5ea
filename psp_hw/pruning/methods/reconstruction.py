"""Structures of a trained network chosen by least squares: those from which a layer's results can be reconstructed best.

Layer after layer, in the order of execution, it is asked with which structures, and which weights of theirs, the results come nearest to
those of the dense network, from inputs as the layers before, pruned already, leave them (He, Zhang, Sun, arXiv 1707.06168, Sec. 3.1
and 3.2, for channels). A kernel has so few positions that every choice of them can be tried; where there are more structures, the one
that is missed least goes first, again and again (Hassibi, Stork, "Second order derivatives for network pruning", NIPS 1992, Eq. 5, for
blocks of weights).

No gradient is needed, and no training: what is trained on afterwards starts near the dense network.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from psp_hw.errors import ModelError
from psp_hw.pruning.parametrization import StructureParameter, parameters_of, pruned_layers
from psp_hw.pruning.tiling import spread

# Choices of which every one is tried; 126 are the most of a 3x3 kernel. Of more, structures go one by one.
EVERY_CHOICE = 256
# Positions of a result that are looked at, per image. Neighbours tell little that is new.
POSITIONS = 32
# What is added to the diagonal of the moments, as a share of its mean: inputs that never differ from zero, or from each other, have no
# least squares of their own.
DAMPING = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Second moments of the inputs x of a layer and its wanted results y, over images and positions; g groups of the convolution.

    Args:
        inputs: sum of x x^T, damped [g, C/g * R * S, C/g * R * S].
        cross: sum of x y^T [g, C/g * R * S, K/g].
        energy: sum of y^T y.
    """

    inputs: Tensor
    cross: Tensor
    energy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What least squares chose in a layer.

    Args:
        kept: indices of the structures, ascending.
        weights: of all, zero where they are not kept [g, C/g * R * S, K/g].
        lost: share of the energy of the results that is not reconstructed, on the images that were looked at.
    """

    kept: tuple[int, ...]
    weights: Tensor
    lost: float


@torch.no_grad()
def reconstruct(net: nn.Module, batches: Sequence[Tensor], *, seed: int = 0) -> dict[str, float]:
    """Choose the structures of every pruned layer, and give those that are kept new weights, in place; after an error, all is as it was.

    Args:
        net: trained, with one structure parameter on each pruned layer that keeps a share of its structures.
        batches: images [n, C, H, W] as the network sees them.
        seed: of the positions that are looked at.

    Returns:
        By layer, in the order of execution, the share of the energy of its results that is not reconstructed.

    Raises:
        ModelError: the results of a layer are not numbers, or a layer is not reached.
    """
    layers = pruned_layers(net)
    dense = copy.deepcopy(net).eval()
    random = torch.Generator().manual_seed(seed)
    lost = {}
    with _evaluating(net, dense):
        for name in _order(net, layers, batches[0][:1]):
            (parameter,) = parameters_of(layers[name])
            moments = _moments(net, dense, name, batches, random)
            if not math.isfinite(moments.energy) or not bool(moments.inputs.isfinite().all()):
                what = f"what '{name}' sees or gives is not finite"
                raise ModelError(
                    what, where="pruning", hint="start from a network that was trained to its end"
                )
            chosen = choose(moments, structures_of(parameter, layers[name]), parameter.budget())
            _settle(layers[name], parameter, chosen)
            lost[name] = chosen.lost
    return lost


@contextmanager
def _evaluating(net: nn.Module, dense: nn.Module) -> Iterator[None]:
    """As in evaluation, every module for itself; weights and choices are those of the dense network again after an error."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    except BaseException:
        net.load_state_dict(dense.state_dict())
        raise
    finally:
        for module in training:
            module.training = True


def structures_of(parameter: StructureParameter, layer: nn.Module) -> Tensor:
    """The inputs of each structure of a layer, as indices into C/g * R * S [structures, inputs of each]."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    shape = parameter.alpha.shape
    numbers = torch.arange(shape.numel(), device=weight.device).view(shape)
    owner = spread(numbers, weight.shape).expand(1, *weight.shape[1:]).flatten()
    return owner.argsort(stable=True).view(shape.numel(), -1)


def choose(moments: Moments, structures: Tensor, count: int) -> Chosen:
    """So many structures, and weights with which they reconstruct most.

    Args:
        moments: of the layer.
        structures: inputs of each [structures, inputs of each].
        count: how many are kept.
    """
    if math.comb(len(structures), count) <= EVERY_CHOICE:
        every = itertools.combinations(range(len(structures)), count)
        kept = max(every, key=lambda some: _explained(moments, structures[list(some)].flatten()))
    else:
        kept = _eliminated(moments, structures, count)
    inputs = structures[list(kept)].flatten()
    weights = torch.zeros_like(moments.cross)
    weights[:, inputs] = _solved(moments, inputs)
    explained = float((weights * moments.cross).sum())
    lost = 1.0 - explained / moments.energy if moments.energy > 0.0 else 0.0
    return Chosen(kept=kept, weights=weights, lost=min(1.0, max(0.0, lost)))


def _solved(moments: Moments, inputs: Tensor) -> Tensor:
    """Weights of some inputs, all others zero [g, inputs, K/g]."""
    factor = torch.linalg.cholesky(moments.inputs[:, inputs][:, :, inputs])
    return torch.cholesky_solve(moments.cross[:, inputs], factor)


def _explained(moments: Moments, inputs: Tensor) -> float:
    """How much of the energy some inputs reconstruct."""
    factor = torch.linalg.cholesky(moments.inputs[:, inputs][:, :, inputs])
    return float(torch.linalg.solve_triangular(factor, moments.cross[:, inputs], upper=False).square().sum())


def _eliminated(moments: Moments, structures: Tensor, count: int) -> tuple[int, ...]:
    """What is left when the structure that is missed least goes first, again and again; the others make up for it as they can."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moments.inputs))
    # The inverse of what is left, and its weights.
    both = torch.cat((inverse, inverse @ moments.cross), dim=2)
    inputs = inverse.shape[2]
    left = list(range(len(structures)))
    while len(left) > count:
        some = structures[left]  # [structures, inputs of each]
        own = both[:, some, inputs:]  # [g, structures, inputs of each, K/g]
        blocks = both[:, some[:, :, None], some[:, None, :]]
        missed = (own * torch.linalg.solve(blocks, own)).sum(dim=(0, 2, 3))
        least = int(missed.argmin())
        gone = some[least]
        both.baddbmm_(both[:, :, gone], torch.linalg.solve(blocks[:, least], both[:, gone]), alpha=-1.0)
        del left[least]
    return tuple(left)


def _settle(layer: nn.Module, parameter: StructureParameter, chosen: Chosen) -> None:
    """Make a choice the layer's own."""
    groups, inputs, outputs = chosen.weights.shape
    weight = layer.parametrizations["weight"].original  # type: ignore[index, union-attr]
    assert isinstance(weight, Tensor)
    weight.copy_(chosen.weights.transpose(1, 2).reshape(groups * outputs, inputs).view_as(weight))
    kept = torch.zeros(parameter.alpha.numel(), dtype=torch.bool)
    kept[list(chosen.kept)] = True
    parameter.settle(kept.view(parameter.alpha.shape))


def _moments(
    net: nn.Module, dense: nn.Module, name: str, batches: Sequence[Tensor], random: torch.Generator
) -> Moments:
    """From what a layer sees in the pruned network, and gives in the dense one."""
    inputs = cross = None
    energy = 0.0
    for images in batches:
        seen, _ = _at(net, name, images)
        _, wanted = _at(dense, name, images)
        x, y = _sampled(net.get_submodule(name), seen, wanted, random)
        square, product = x.mT @ x, x.mT @ y
        inputs = square if inputs is None else inputs + square
        cross = product if cross is None else cross + product
        energy += float(y.square().sum())
    assert inputs is not None
    assert cross is not None
    diagonal = inputs.diagonal(dim1=1, dim2=2)
    floor = torch.finfo(inputs.dtype).tiny ** 0.5  # inputs that are always zero
    diagonal += DAMPING * diagonal.mean(dim=1, keepdim=True) + floor
    return Moments(inputs=inputs, cross=cross, energy=energy)


def _sampled(
    layer: nn.Module, seen: Tensor, wanted: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Inputs [g, rows, C/g * R * S] and results without their bias [g, rows, K/g], at some positions of each image."""
    if isinstance(layer.bias, Tensor):
        wanted = wanted - (layer.bias[:, None, None] if isinstance(layer, nn.Conv2d) else layer.bias)
    if not isinstance(layer, nn.Conv2d):
        return seen.flatten(0, -2).double()[None], wanted.flatten(0, -2).double()[None]
    images, outputs, height, width = wanted.shape
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    framed = functional.pad(seen, layer._reversed_padding_repeated_twice, mode=mode)
    patches = functional.unfold(framed, layer.kernel_size, dilation=layer.dilation, stride=layer.stride)
    count = min(POSITIONS, height * width)
    some = torch.rand(images, height * width, generator=random).topk(count, dim=1).indices.to(seen.device)
    x = patches.gather(2, some[:, None].expand(-1, patches.shape[1], -1))
    y = wanted.flatten(2).gather(2, some[:, None].expand(-1, outputs, -1))
    return tuple(  # type: ignore[return-value]
        part.permute(1, 0, 2).reshape(layer.groups, part.shape[1] // layer.groups, -1).mT.double()
        for part in (x, y)
    )


class _ReachedError(Exception):
    """A forward pass is as far as it need be."""


def _at(net: nn.Module, name: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer sees, and what it gives, the first time that it is called."""
    found: list[tuple[Tensor, Tensor]] = []

    def stop(layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        found.append((given[0], result))
        raise _ReachedError

    with _hooked({name: net.get_submodule(name)}, stop), suppress(_ReachedError):
        net(images.to(next(net.parameters())))
    return found[0]


def _order(net: nn.Module, layers: Mapping[str, nn.Module], images: Tensor) -> list[str]:
    """The layers as they are called first."""
    names = {id(layer): name for name, layer in layers.items()}
    seen: dict[str, None] = {}

    def note(layer: nn.Module, given: object, result: object) -> None:
        seen[names[id(layer)]] = None

    with _hooked(layers, note):
        net(images.to(next(net.parameters())))
    missing = [name for name in layers if name not in seen]
    if missing:
        what = f"no image reaches {', '.join(missing)}"
        raise ModelError(what, where="pruning", hint="exclude what the network does not use")
    return list(seen)


@contextmanager
def _hooked(layers: Mapping[str, nn.Module], hook: Callable[..., None]) -> Iterator[None]:
    handles = [layer.register_forward_hook(hook) for layer in layers.values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
