"""PSP itself: the penalty on alpha (Eq. 6, 7), and when the threshold applies."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from psp_hw.errors import TrainingError
from psp_hw.pruning.parametrization import StructureParameter, parameters_of, pruned_layers, weight_mask
from psp_hw.pruning.paths import is_cut, steps_or_none
from psp_hw.spec.enums import Penalty, StructureKind
from psp_hw.spec.train import PruningSpec


def tightness(progress: float, spec: PruningSpec) -> float:
    """The share of the threshold (or of the budget) that applies now.

    Args:
        progress: share of the training that is done, 0 .. 1.
        spec: warmup and ramp; both zero, as in the paper: the threshold always applies in full.

    Returns:
        0 during the warmup, then rising linearly over the ramp, then 1.
    """
    if progress < spec.warmup:
        return 0.0
    if spec.ramp == 0.0:
        return 1.0
    return min(1.0, (progress - spec.warmup) / spec.ramp)


class Pace:
    """Tells the structure parameters of a network how far its training is, in one go; what does not change is not written.

    Nothing is read back from the device that trains, but once, when the choice settles.

    Args:
        net: with structure parameters attached.
    """

    def __init__(self, net: nn.Module) -> None:
        self._parameters = [p for layer in pruned_layers(net).values() for p in parameters_of(layer)]
        self._share: float | None = None
        self._settled = False

    @torch.no_grad()
    def tell(self, progress: float, spec: PruningSpec) -> None:
        """Set the share of the threshold that applies now, and keep the choice once it settles.

        Args:
            progress: share of the training that is done, 0 .. 1.
            spec: warmup, ramp and settle.
        """
        share = tightness(progress, spec)
        if share != self._share and self._parameters:
            told = [parameter.tightness for parameter in self._parameters]
            torch._foreach_zero_(told)
            torch._foreach_add_(told, share)
            self._share = share
        if spec.settle > 0.0 and progress >= 1.0 - spec.settle and not self._settled:
            for parameter in self._parameters:
                if not bool(parameter.frozen):
                    parameter.freeze()
            self._settled = True


def set_progress(net: nn.Module, progress: float, spec: PruningSpec) -> None:
    """Tell every structure parameter how far the training is; `Pace` does so at less cost per step."""
    Pace(net).tell(progress, spec)


def penalty_groups(net: nn.Module) -> list[tuple[list[nn.Parameter], float]]:
    """The structure parameters that learn, with the weight decay of each (PSP Eq. 6); zero under other penalties."""
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in _learning(net):
        decays = parameter.pruning.penalty is Penalty.DECAY
        groups.setdefault(parameter.structure.strength if decays else 0.0, []).append(parameter.alpha)
    return [(alphas, strength) for strength, alphas in groups.items()]


def l1_term(net: nn.Module) -> Tensor | None:
    """lambda * sum |alpha| (PSP Eq. 7), or None under other penalties."""
    return l1_of(l1_parameters(net))


def l1_parameters(net: nn.Module) -> tuple[tuple[float, nn.Parameter], ...]:
    """The structure parameters under an l1 penalty, each with its lambda."""
    return tuple((p.structure.strength, p.alpha) for p in _learning(net) if p.pruning.penalty is Penalty.L1)


def l1_of(alphas: Iterable[tuple[float, Tensor]]) -> Tensor | None:
    """lambda * sum |alpha| (PSP Eq. 7), or None where there are none."""
    terms = [strength * alpha.abs().sum() for strength, alpha in alphas]
    return torch.stack(terms).sum() if terms else None


def _learning(net: nn.Module) -> list[StructureParameter]:
    layers = pruned_layers(net).values()
    return [p for layer in layers for p in parameters_of(layer) if p.alpha.requires_grad]


def require_alive(net: nn.Module) -> None:
    """Refuse a network in which all structures of a layer are gone.

    A layer under ``layer`` pruning may vanish, that is what the structure is for, as long as another way leads around.

    Raises:
        TrainingError: names the layers.
    """
    dead: list[str] = []
    vanished: list[str] = []
    for name, layer in pruned_layers(net).items():
        if bool(weight_mask(layer).any()):
            continue
        kinds = {parameter.kind for parameter in parameters_of(layer)}
        (vanished if StructureKind.LAYER in kinds else dead).append(name)
    if dead:
        raise TrainingError(
            f"all structures of {', '.join(dead)} are gone: nothing would pass through",
            where="pruning",
            hint="lower lambda or epsilon, set a density, or exclude the layer",
        )
    steps = steps_or_none(net) if vanished else None
    if steps is not None and is_cut(steps, vanished):
        raise TrainingError(
            f"{', '.join(vanished)} pruned away: no way is left from the image to the result",
            where="pruning",
            hint="lower lambda or epsilon, or exclude one of them",
        )
