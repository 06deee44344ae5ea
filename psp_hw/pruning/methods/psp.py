"""PSP itself: the penalty on alpha (Eq. 6, 7), and when the threshold applies."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from psp_hw.errors import TrainingError
from psp_hw.pruning.parametrization import StructureParameter, parameters_of, pruned_layers, weight_mask
from psp_hw.pruning.paths import cutting_layers
from psp_hw.spec.enums import Penalty
from psp_hw.spec.train import PruningSpec

_HINT = "lower lambda or epsilon, set a density, exclude one of them, or let alpha start at one (init: ones)"


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


def empty_layers(net: nn.Module) -> tuple[str, ...]:
    """The pruned layers of which no structure is left now."""
    return tuple(name for name, layer in pruned_layers(net).items() if not bool(weight_mask(layer).any()))


def require_alive(net: nn.Module) -> None:
    """Refuse a network that its empty layers cut: nothing of the image would reach the result.

    A layer without any structure is no error where another way leads around it: a residual branch is then a constant, and
    dense features are. A network that torch.fx cannot follow is not refused: it cannot be told.

    Raises:
        TrainingError: names layers that cut the network together.
    """
    cutting = cutting_layers(net, empty_layers(net))
    if cutting:
        raise TrainingError(_what(cutting), where="pruning", hint=_HINT)


def require_return(net: nn.Module, images: Tensor) -> None:
    """Refuse a network that is cut and stays so: no gradient reaches any structure parameter of the layers that cut it.

    Behind BN and ReLU an empty layer is max(beta, 0); where no beta is positive, no gradient passes, and neither the layer nor
    beta ever changes again. The gradient of a copy in training mode tells, for a random direction of the logits.

    Args:
        net: with structure parameters attached; not changed, and no random number of the training is drawn.
        images: some [n, C, H, W], n >= 2, on the device of the network.

    Raises:
        TrainingError: names layers that cut the network together.
    """
    cutting = cutting_layers(net, empty_layers(net))
    if cutting and not _reached(net, images, cutting):
        raise TrainingError(f"{_what(cutting)}, and no gradient brings it back", where="pruning", hint=_HINT)


def _what(cutting: tuple[str, ...]) -> str:
    return f"all structures of {', '.join(cutting)} are gone: no way is left from the image to the result"


def _reached(net: nn.Module, images: Tensor, layers: tuple[str, ...]) -> bool:
    """Whether the gradient of any structure parameter of the layers is other than exactly zero."""
    devices = [images.device] if images.is_cuda else []
    with torch.enable_grad(), torch.random.fork_rng(devices, device_type=images.device.type):
        probe = copy.deepcopy(net).train()
        probe.zero_grad(set_to_none=True)
        logits = probe(images)
        directions = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
        (logits * directions.to(logits)).sum().backward()
    alphas = [p.alpha for name in layers for p in parameters_of(probe.get_submodule(name))]
    return any(alpha.grad is not None and bool(alpha.grad.any()) for alpha in alphas)
