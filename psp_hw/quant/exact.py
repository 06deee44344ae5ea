"""Whether float32 evaluates a quantized network exactly: every partial sum must stay below 2**24."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from psp_hw.quant.affine import QuantizedAffine
from psp_hw.quant.convert import QuantizedAdd, trace_values
from psp_hw.quant.grids import grid_of
from psp_hw.quant.quantizers import integer_weight, is_weighted, scale_of

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
        source = grid_of(node.args[0], modules)
        scale = source.scale * scale_of(module).flatten()
        bias = (module.bias.detach() / scale).abs().ceil()
        return float((weight * source.integers + bias).max())
    if isinstance(module, QuantizedAffine):
        source = grid_of(node.args[0], modules)
        gain = module.gain() / torch.exp2(module.gain_exponent)
        offset = module.offset() / torch.exp2(module.offset_exponent)
        return float((gain.abs() * source.integers + offset.abs()).max())
    if isinstance(module, QuantizedAdd):
        return grid_of(node, modules).integers
    if isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        return grid_of(node.args[0], modules).integers * _POOLED_PIXELS
    return 0.0


_POOLED_PIXELS = 1 << 12  # more pixels than any average pooling here adds up
