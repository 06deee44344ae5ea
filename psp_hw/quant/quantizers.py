"""The Brevitas quantizers that are allowed: power-of-two scales, held as parameters that calibration sets.

A scale that is a parameter, not a running statistic, is the same number in float32 and in float64, in training
and in eval, so that the integers never depend on how they were evaluated.
"""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.core.function_wrapper.ops_ste import CeilSte
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import RestrictValueType, ScalingImplType, ScalingPerOutputType
from brevitas.quant.base import IntQuant, NarrowIntQuant, UintQuant
from brevitas.quant.scaled_int import Int32Bias
from brevitas.quant.solver.act import ActQuantSolver
from brevitas.quant.solver.weight import WeightQuantSolver
from torch import Tensor, nn

from psp_hw.spec.enums import WeightScale


class _PowerOfTwoParameter(ExtendedInjector):
    """The scale is a parameter in the domain of log2, rounded up to a whole number."""

    scaling_impl_type = ScalingImplType.PARAMETER
    restrict_scaling_type = RestrictValueType.POWER_OF_TWO
    restrict_value_float_to_int_impl = CeilSte
    scaling_init = 1.0
    bit_width = 8


class _PerTensor(_PowerOfTwoParameter):
    scaling_per_output_type = ScalingPerOutputType.TENSOR


class _PerChannel(_PowerOfTwoParameter):
    scaling_per_output_type = ScalingPerOutputType.CHANNEL


class WeightPerTensor(NarrowIntQuant, _PerTensor, WeightQuantSolver):
    """Signed weights in -(2**(n-1) - 1) .. 2**(n-1) - 1, one scale."""


class WeightPerChannel(NarrowIntQuant, _PerChannel, WeightQuantSolver):
    """Signed weights in -(2**(n-1) - 1) .. 2**(n-1) - 1, one scale per output channel."""


class SignedAct(IntQuant, _PerTensor, ActQuantSolver):
    """Signed activations in -2**(n-1) .. 2**(n-1) - 1, one scale."""


class UnsignedAct(UintQuant, _PerTensor, ActQuantSolver):
    """Unsigned activations in 0 .. 2**n - 1, one scale."""


_WEIGHT_QUANT = {WeightScale.TENSOR: WeightPerTensor, WeightScale.CHANNEL: WeightPerChannel}


def quantized_conv(conv: nn.Conv2d, *, bits: int, scale: WeightScale) -> nn.Module:
    """A convolution with the same values, its weight quantized, its bias on the grid of the accumulator."""
    made = qnn.QuantConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=True,
        weight_quant=_WEIGHT_QUANT[scale],
        weight_bit_width=bits,
        bias_quant=Int32Bias,
    )
    return _with_values(made, conv)


def quantized_linear(linear: nn.Linear, *, bits: int, scale: WeightScale) -> nn.Module:
    """A fully connected layer with the same values, quantized as `quantized_conv` does."""
    made = qnn.QuantLinear(
        linear.in_features,
        linear.out_features,
        bias=True,
        weight_quant=_WEIGHT_QUANT[scale],
        weight_bit_width=bits,
        bias_quant=Int32Bias,
    )
    return _with_values(made, linear)


def _with_values(made: Any, source: nn.Conv2d | nn.Linear) -> nn.Module:
    with torch.no_grad():
        made.weight.copy_(source.weight)
        made.bias.copy_(source.bias)
    made.bias.requires_grad_(source.bias.requires_grad)
    assert isinstance(made, nn.Module)
    return made


def quantizer(*, bits: int, signed: bool) -> nn.Module:
    """Rounds half to even, saturates; the result knows its scale."""
    act_quant = SignedAct if signed else UnsignedAct
    made: nn.Module = qnn.QuantIdentity(act_quant=act_quant, bit_width=bits, return_quant_tensor=True)
    return made


def quantized_relu(*, bits: int) -> nn.Module:
    """ReLU, then an unsigned quantizer."""
    made: nn.Module = qnn.QuantReLU(act_quant=UnsignedAct, bit_width=bits, return_quant_tensor=True)
    return made


def plain(value: Any) -> Tensor:
    """The real values of a tensor, whether or not it carries a scale."""
    result = getattr(value, "value", value)
    assert isinstance(result, Tensor)
    return result


def is_weighted(module: nn.Module) -> bool:
    """Whether the module is a quantized convolution or fully connected layer."""
    return isinstance(module, qnn.QuantConv2d | qnn.QuantLinear)


def is_activation(module: nn.Module) -> bool:
    """Whether the module quantizes activations."""
    return isinstance(module, qnn.QuantIdentity | qnn.QuantReLU)


def scale_parameter(module: nn.Module) -> nn.Parameter:
    """The parameter behind the scale of a quantizer or of a weight."""
    names = "weight_quant." if is_weighted(module) else "act_quant."
    found = [
        p for n, p in module.named_parameters() if n.startswith(names) and n.endswith("scaling_impl.value")
    ]
    (parameter,) = found
    return parameter


def scale_of(module: Any) -> Tensor:
    """The scale of the weight or of the activations that a module quantizes; powers of two."""
    scale = module.quant_weight().scale if is_weighted(module) else module.act_quant.scale()
    assert isinstance(scale, Tensor)
    return scale.detach()


@torch.no_grad()
def set_scale_exponent(module: nn.Module, exponent: Tensor) -> None:
    """Make the scale 2**exponent.

    Args:
        module: a quantized layer or activation quantizer.
        exponent: whole numbers, broadcastable to the scale.
    """
    parameter = scale_parameter(module)
    parameter.fill_(0.0)
    at_zero = torch.log2(scale_of(module)).round()
    parameter.copy_((exponent.to(at_zero) - at_zero).expand_as(parameter))
    parameter.requires_grad_(False)
    assert torch.equal(scale_of(module), torch.exp2(exponent.to(at_zero)).expand_as(at_zero))


def freeze_scales(model: nn.Module) -> None:
    """Keep every scale out of training. Brevitas makes new parameters when a state is loaded."""
    for module in model.modules():
        if is_weighted(module) or is_activation(module):
            scale_parameter(module).requires_grad_(False)


@torch.no_grad()
def integer_weight(module: Any) -> Tensor:
    """The integers of a quantized weight, float tensor of whole numbers [K, C, R, S] or [K, C]."""
    quantized = module.quant_weight()
    return torch.round(quantized.value / quantized.scale)
