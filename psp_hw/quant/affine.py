"""A multiplication and an addition per channel, quantized: a BN that no convolution takes in (DenseNet)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from psp_hw.quant.quantizers import plain


class _Rounded(torch.autograd.Function):
    """On the grid in the forward pass, straight through in the backward pass."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, step: Tensor, limit: float) -> Tensor:
        return (value / step).round().clamp(-limit, limit) * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0], None, None


class QuantizedAffine(nn.Module):
    """``x * weight + bias`` per channel: integer gains times one power of two, offsets on the grid of the products.

    The result of quantized values is exact in float64, as an accumulator is.

    Args:
        weight: gain [C].
        bias: offset [C].
        bits: width of the integer gains [bits], signed and symmetric.
    """

    gain_exponent: Tensor
    offset_exponent: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, *, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())
        self.register_buffer("gain_exponent", torch.zeros(()))
        self.register_buffer("offset_exponent", torch.zeros(()))

    @property
    def limit(self) -> int:
        """Largest integer gain."""
        return 2 ** (self.bits - 1) - 1

    def gain(self) -> Tensor:
        """The quantized gains [C]."""
        gain: Tensor = _Rounded.apply(self.weight, torch.exp2(self.gain_exponent), float(self.limit))
        return gain

    def offset(self) -> Tensor:
        """The quantized offsets [C]."""
        offset: Tensor = _Rounded.apply(self.bias, torch.exp2(self.offset_exponent), float(_OFFSET_LIMIT))
        return offset

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        """[N, C, H, W] to [N, C, H, W]."""
        return plain(x) * self.gain()[:, None, None] + self.offset()[:, None, None]


class FixedAffine(nn.Module):
    """A `QuantizedAffine` as two constants, for export.

    Args:
        source: calibrated.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, source: QuantizedAffine) -> None:
        super().__init__()
        with torch.no_grad():
            self.register_buffer("gain", source.gain()[None, :, None, None].clone())
            self.register_buffer("offset", source.offset()[None, :, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        """[N, C, H, W] to [N, C, H, W]."""
        return plain(x) * self.gain + self.offset


_OFFSET_LIMIT = 2**31 - 1
