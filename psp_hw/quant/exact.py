"""Whether float32 evaluates a quantized network exactly: every partial sum must stay below 2**24."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from psp_hw.quant.convert import QuantizedAdd, trace_values
from psp_hw.quant.quantizers import integer_weight, is_activation, is_weighted, scale_of

_MANTISSA = 1 << 24


@torch.no_grad()
def exact_in_float32(model: fx.GraphModule, probe: torch.Tensor) -> bool:
    """Whether float32 gives the integers that float64 gives, for every image.

    The bound of every accumulator is sum |w| * max |x| + |bias| over its actual integer weights; every sum of
    branches is bounded by the widths and scales of the branches. A few images are run both ways as well, in
    case a kernel of the library does not compute the plain sum of products.

    Args:
        model: calibrated; on return in float32 and eval.
        probe: some images, float32 [N, C, H, W].
    """
    model.eval().double()
    modules = dict(model.named_modules())
    bounded = all(_bound(node, modules) < _MANTISSA for node in model.graph.nodes if node.op == "call_module")
    exact = trace_values(model, probe.double())
    model.float()
    if not bounded:
        return False
    return all(torch.equal(exact[name], value.double()) for name, value in trace_values(model, probe).items())


def _bound(node: fx.Node, modules: dict[str, nn.Module]) -> float:
    """Largest magnitude in the result of a step, in units of its finest scale."""
    module: Any = modules[str(node.target)]
    if is_weighted(module):
        weight = integer_weight(module).abs().flatten(1).sum(dim=1)  # [K]
        source = _quantizer_of(node.args[0], modules)
        scale = scale_of(source) * scale_of(module).flatten()
        bias = (module.bias.detach() / scale).abs().ceil()
        return float((weight * _largest(source) + bias).max())
    if isinstance(module, QuantizedAdd):
        branches = [_quantizer_of(arg, modules) for arg in node.args]
        finest = min(float(scale_of(branch)) for branch in branches)
        return sum(_largest(branch) * float(scale_of(branch)) for branch in branches) / finest
    if isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        return _largest(_quantizer_of(node.args[0], modules)) * _POOLED_PIXELS
    return 0.0


_POOLED_PIXELS = 1 << 12  # more pixels than any average pooling here adds up


def _quantizer_of(node: Any, modules: dict[str, nn.Module]) -> Any:
    """The quantizer whose grid a value lies on, through pooling and flatten."""
    while not is_activation(modules[str(node.target)]):
        node = node.args[0]
    return modules[str(node.target)]


def _largest(quantizer: Any) -> float:
    """Largest magnitude of the integers of a quantizer."""
    bits = int(float(quantizer.act_quant.bit_width()))
    return float(2 ** (bits - 1) if quantizer.act_quant.is_signed else 2**bits - 1)
