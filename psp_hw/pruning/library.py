"""Pruning of the user's own network, in the user's own training loop. `psp_hw.prune` and its neighbours lead here.

model = psp_hw.prune(model, structure="shape", epsilon=0.3, strength=0.1, init="ones")
optimizer = torch.optim.SGD(psp_hw.parameter_groups(model, weight_decay=5e-4), lr=0.1, momentum=0.9)
for step, (images, labels) in enumerate(batches):
    psp_hw.advance(model, step / steps)                   # only for warmup, ramp and settle
    loss = cross_entropy(model(images), labels) + psp_hw.penalty(model)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
psp_hw.remove(model)                                      # a plain module again, alpha in its weights
small = psp_hw.compact(model, images)
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from psp_hw.errors import SpecError
from psp_hw.pruning.methods.psp import l1_term, penalty_groups, require_alive, set_progress
from psp_hw.pruning.methods.reconstruction import reconstruct
from psp_hw.pruning.parametrization import fold, parameters_of, pruned_layers, weight_mask
from psp_hw.pruning.select import prune as attach_all
from psp_hw.spec.enums import AlphaInit, Criterion, GradientRule, Method, StructureKind
from psp_hw.spec.names import suggestion
from psp_hw.spec.presets import with_method
from psp_hw.spec.train import PruningSpec, StructureSpec

Choice = TypeVar("Choice", bound=Enum)


def prune(
    model: nn.Module,
    structure: str | Iterable[str | StructureSpec] | StructureSpec = "shape",
    epsilon: float = 0.2,
    *,
    strength: float = 1e-4,
    density: float | None = None,
    method: str = "decay",
    gradient: str = "chain-rule",
    init: str = "paper",
    warmup: float = 0.0,
    ramp: float = 0.0,
    settle: float = 0.0,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    images: Iterable[Tensor] = (),
) -> nn.Module:
    """Attach structure parameters to the convolutions (and, where named, fully connected layers) of a model, in place.

    Args:
        model: any module with Conv2d or Linear layers, Brevitas' among them.
        structure: ``shape``, ``column``, ``channel``, ``layer``, ``filter``, ``kernel``, ``vector-row``,
            ``vector-col``, ``weight``, ``strided``; several as ``layer,channel`` or as a list. A StructureSpec brings its own epsilon
            and strength.
        epsilon: structures with a smaller ``|alpha|`` are dropped (PSP Eq. 3).
        strength: lambda, the factor of the penalty on alpha (PSP Eq. 6, 7).
        density: where given, exactly this share of the structures of each layer is kept, and epsilon is not used.
        method: ``decay``, ``l1``, ``fixed`` or ``l1-norm`` (PSP Fig. 3); or ``reconstruction``: of a trained model, the structures and
            weights from which the results of each layer can be reconstructed best, chosen here, once
            (`psp_hw.pruning.methods.reconstruction`).
        gradient: of alpha: ``chain-rule``, or ``as-printed`` (PSP Eq. 5).
        init: how alpha starts: ``paper`` (variance 0.1) or ``ones``.
        warmup, ramp, settle: shares of the training; see `advance`.
        include, exclude: name patterns of layers; the first convolution, shortcuts, transitions and fully connected
            layers are left alone unless included.
        images: for ``reconstruction``: some hundreds, as the model sees them, in batches [n, C, H, W].

    Returns:
        The model.

    Raises:
        SpecError: an unknown word, a number out of range, a pattern that matches nothing, nothing to prune, a
            model that is pruned already, or a reconstruction without images.
        ModelError: what is to be reconstructed is no number, or no image reaches it.
    """
    if pruned_layers(model):
        raise SpecError("the model is pruned already", where="prune", hint="psp_hw.remove(model) first")
    structures = tuple(_structures(structure, epsilon, strength, density))
    spec = PruningSpec(
        structures=structures,
        gradient=_choice(gradient, GradientRule, "gradient"),
        init=_choice(init, AlphaInit, "init"),
        warmup=warmup,
        ramp=ramp,
        settle=settle,
        include=tuple(include),
        exclude=tuple(exclude),
    )
    spec = with_method(spec, _choice(method, Method, "method"), density=density)
    batches = list(images)
    if spec.criterion is Criterion.RECONSTRUCTION and not batches:
        hint = "images=[batch, ...], some hundreds in all"
        raise SpecError("reconstruction needs images", where="prune", hint=hint)
    first = next((name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)), "")
    attach_all(model, spec, first=first)
    if spec.criterion is Criterion.RECONSTRUCTION:
        try:
            reconstruct(model, batches)
        except BaseException:
            fold(model)
            raise
    return model


def _structures(
    given: Any, epsilon: float, strength: float, density: float | None
) -> Iterable[StructureSpec]:
    if isinstance(given, str):
        given = [word.strip() for word in given.split(",")]
    for item in [given] if isinstance(given, StructureSpec) else given:
        if isinstance(item, StructureSpec):
            yield item
            continue
        kind = _choice(item, StructureKind, "structure")
        yield StructureSpec(kind=kind, epsilon=epsilon, strength=strength, density=density)


def _choice(word: str, kind: type[Choice], where: str) -> Choice:
    words = [str(member.value) for member in kind]
    if word not in words:
        raise SpecError(f"unknown {where} '{word}'", where="prune", hint=suggestion(str(word), words))
    return kind(word)


def advance(model: nn.Module, progress: float) -> None:
    """Tell the structure parameters how far the training is, 0 .. 1: for warmup, ramp and settle."""
    for layer in pruned_layers(model).values():
        set_progress(model, progress, parameters_of(layer)[0].pruning)
        return


def penalty(model: nn.Module) -> Tensor | float:
    """What to add to the loss: lambda * sum |alpha| under ``l1`` (PSP Eq. 7), else 0.

    The decay of Eq. 6 is in `parameter_groups`, as it is in SGD.
    """
    term = l1_term(model)
    return 0.0 if term is None else term


def parameter_groups(model: nn.Module, *, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """The parameters for an optimizer: alpha with its own decay (PSP Eq. 6), all others with `weight_decay`."""
    groups = penalty_groups(model)
    alphas = {id(alpha) for group, _ in groups for alpha in group}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in alphas]
    own = [{"params": group, "weight_decay": strength} for group, strength in groups]
    return [{"params": rest, "weight_decay": weight_decay}, *own]


@torch.no_grad()
def density(model: nn.Module) -> float:
    """Kept weights per weight, over the layers that are pruned; of a plain model, nonzero weights per weight."""
    masks = [weight_mask(layer) for layer in pruned_layers(model).values()]
    if not masks:
        layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        masks = [layer.weight != 0 for layer in layers]
    total = sum(mask.numel() for mask in masks)
    return sum(int(mask.sum()) for mask in masks) / total if total else 1.0


def remove(model: nn.Module) -> dict[str, Tensor]:
    """Multiply alpha into the weights and give the model back as a plain one, in place; outputs stay bit for bit.

    Returns:
        The mask of kept weights of every layer that was pruned.

    Raises:
        TrainingError: layers of which nothing is left cut the network: no way leads from its input to its result.
    """
    require_alive(model)
    return fold(model)
