"""Choose the exponent of every scale: the power of two with the least squared error on real values.

Feature maps that are concatenated get one scale together: the hardware then puts them side by side as they are, and a
pixel of many layers (DenseNet) is no wider than its channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from psp_hw.quant.affine import QuantizedAffine
from psp_hw.quant.convert import activation_quantizers, affine_layers, weighted_layers
from psp_hw.quant.grids import finest_scale, joined_quantizers
from psp_hw.quant.quantizers import plain, set_scale_exponent
from psp_hw.spec.enums import WeightScale
from psp_hw.spec.train import QuantSpec

_CANDIDATES = 6  # exponents tried below the one that clips nothing
_SAMPLES = 1 << 16  # values kept per quantizer and batch
_LEAST_EXPONENT = -24


@torch.no_grad()
def best_exponent(values: Tensor, *, low: int, high: int) -> Tensor:
    """The exponent of the power-of-two scale that represents each row best.

    Args:
        values: [rows, n].
        low: least integer of the format.
        high: largest integer of the format.

    Returns:
        Whole numbers [rows], the e that makes ``sum (clip(round(x / 2**e), low, high) * 2**e - x)**2`` least;
        0 for a row of zeros.
    """
    values = values.double()
    need = torch.maximum(values.amax(dim=1) / high, -values.amin(dim=1) / max(-low, 1)).clamp(min=0.0)
    top = torch.log2(need.clamp(min=2.0**_LEAST_EXPONENT)).ceil()  # [rows]
    best, least = top.clone(), torch.full_like(top, torch.inf)
    for step in range(_CANDIDATES):
        exponent = (top - step).clamp(min=_LEAST_EXPONENT)
        scale = torch.exp2(exponent)[:, None]
        error = ((values / scale).round().clamp(low, high) * scale - values).square().sum(dim=1)
        better = error < least
        best, least = torch.where(better, exponent, best), torch.where(better, error, least)
    return torch.where(need > 0, best, torch.zeros_like(best))


def calibrate_weights(model: nn.Module, spec: QuantSpec) -> None:
    """Set the scales of all weights."""
    for layer in weighted_layers(model).values():
        weight = layer.weight.detach()
        assert isinstance(weight, Tensor)
        bits = int(_bits(layer.weight_quant))
        high = 2 ** (bits - 1) - 1
        per_channel = spec.weight_scale is WeightScale.CHANNEL
        rows = weight.reshape(weight.shape[0] if per_channel else 1, -1)
        exponent = best_exponent(rows, low=-high, high=high)
        shape = (-1,) + (1,) * (weight.ndim - 1) if per_channel else ()
        set_scale_exponent(layer, exponent.reshape(shape))

    for affine in affine_layers(model).values():
        exponent = best_exponent(affine.weight.detach()[None], low=-affine.limit, high=affine.limit)[0]
        affine.gain_exponent.copy_(exponent)


@torch.no_grad()
def calibrate_activations(model: nn.Module, batches: list[Tensor]) -> None:
    """Set the scales of all activations from what float inference of these batches sends through them.

    Args:
        model: quantized, its weights already calibrated.
        batches: preprocessed training images, each [N, C, H, W].
    """
    quantizers = activation_quantizers(model)
    seen: dict[str, list[Tensor]] = {name: [] for name in quantizers}

    def note(name: str, module: nn.Module, value: Tensor) -> None:
        flat = value.detach().flatten()
        seen[name].append(flat[:: max(1, flat.numel() // _SAMPLES)])

    swapped = _watch(model, note)
    mode = model.training
    model.eval()
    try:
        for batch in batches:
            model(batch)
    finally:
        _restore(model, swapped)
        model.train(mode)
    for names in joined_quantizers(model):
        values = torch.cat([value for name in names for value in seen[name]])[None]
        ranges = [_range(quantizers[name]) for name in names]
        low = max((low for low, _ in ranges if low < 0), default=0)
        high = min(high for _, high in ranges)
        exponent = best_exponent(values.clamp(min=0) if low == 0 else values, low=low, high=high)[0]
        for name in names:
            set_scale_exponent(quantizers[name], exponent)
    for name, affine in affine_layers(model).items():
        affine.offset_exponent.copy_(affine.gain_exponent + torch.log2(finest_scale(model, name)).round())


def _range(quantizer: Any) -> tuple[int, int]:
    """Least and largest integer of a quantizer of activations."""
    bits = int(_bits(quantizer.act_quant))
    if bool(quantizer.act_quant.is_signed):
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


class _Observer(nn.Module):
    """Stands in for a quantizer during calibration: notes what comes, passes it on unrounded."""

    def __init__(self, name: str, module: nn.Module, note: Any) -> None:
        super().__init__()
        self.name, self.note = name, note
        self.relu = type(module).__name__ == "QuantReLU"
        self.hidden = (module,)  # in a tuple: not a child

    def forward(self, value: Any) -> Tensor:
        """Pass the value on, through ReLU where the quantizer has one."""
        value = torch.relu(plain(value)) if self.relu else plain(value)
        self.note(self.name, self.hidden[0], value)
        return value


class _FloatLayer(nn.Module):
    """Stands in for a quantized layer during calibration: computes with its float weights."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.hidden = (module,)

    def forward(self, value: Any) -> Tensor:
        """The float layer."""
        layer: Any = self.hidden[0]
        if isinstance(layer, QuantizedAffine):
            return plain(value) * layer.weight[:, None, None] + layer.bias[:, None, None]
        if isinstance(layer, nn.Conv2d):
            result: Tensor = nn.Conv2d._conv_forward(layer, plain(value), layer.weight, layer.bias)
            return result
        return nn.functional.linear(plain(value), layer.weight, layer.bias)


def _watch(model: nn.Module, note: Any) -> dict[str, nn.Module]:
    """Put stand-ins in the place of quantizers and quantized layers; returns the originals by name."""
    originals: dict[str, nn.Module] = {
        **activation_quantizers(model),
        **weighted_layers(model),
        **affine_layers(model),
    }
    watched = set(activation_quantizers(model))
    for name, module in originals.items():
        stand_in = _Observer(name, module, note) if name in watched else _FloatLayer(module)
        _set(model, name, stand_in)
    return originals


def _restore(model: nn.Module, originals: dict[str, nn.Module]) -> None:
    for name, module in originals.items():
        _set(model, name, module)


def _set(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def _bits(proxy: Any) -> float:
    return float(proxy.bit_width())
