"""Folded steps to a quantized network: where quantizers go, and in which width.

- The image is signed with `input_bits`.
- A convolution or fully connected layer gives its accumulator, unrounded.
- ReLU requantizes to `act_bits`, unsigned.
- A branch of an addition that is an accumulator is brought to `branch_bits`, signed; the sum itself is exact.
- Average pooling takes quantized values and is followed by a quantizer with `pool_bits`.
- A value that feeds a convolution, a pooling or a flatten without being quantized gets `act_bits`, signed.
- Concatenation takes quantized values of any scales and leaves them as they are.
- A BN that no convolution takes in reads quantized values; its gains have `affine_bits`, its offsets lie on the grid
  of the products, so its result is exact like an accumulator.
- The result of the last layer stays the raw accumulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import Tensor, fx, nn

from psp_hw.errors import ModelError
from psp_hw.quant.affine import QuantizedAffine
from psp_hw.quant.fold import ChannelAffine
from psp_hw.quant.functions import Add, Concat
from psp_hw.quant.quantizers import (
    is_activation,
    is_weighted,
    plain,
    quantized_conv,
    quantized_linear,
    quantized_relu,
    quantizer,
)
from psp_hw.quant.steps import INPUT, Step
from psp_hw.spec.train import QuantSpec

INPUT_QUANT = "input_quant"


class QuantizedAdd(nn.Module):
    """The exact sum of two quantized branches; their scales may differ."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """[N, C, H, W] + [N, C, H, W]."""
        return plain(left) + plain(right)


class QuantizedConcat(nn.Module):
    """Quantized feature maps side by side in channels; their scales may differ."""

    def forward(self, *parts: Tensor) -> Tensor:
        """[N, C1, H, W], [N, C2, H, W], ... to [N, C1 + C2 + ..., H, W]."""
        return torch.cat([plain(part) for part in parts], dim=1)


class PooledMean(nn.AvgPool2d):
    """Average pooling of quantized values."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, H', W']."""
        return super().forward(plain(input))


class GlobalMean(nn.AdaptiveAvgPool2d):
    """Average over the whole map of quantized values."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, 1, 1]."""
        return super().forward(plain(input))


class _State(Enum):
    QUANTIZED = auto()
    ACCUMULATOR = auto()
    SUM = auto()
    JOINED = auto()  # every channel is quantized, the scales may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    node: fx.Node
    state: _State
    signed: bool
    image: bool = False


class _Builder:
    """Appends quantized modules to an fx graph, step by step."""

    def __init__(self, spec: QuantSpec, last: str) -> None:
        self.spec = spec
        self.last = last
        self.graph = fx.Graph()
        self.modules: dict[str, nn.Module] = {}
        self.values: dict[str, _Value] = {}
        self.quantized: dict[str, _Value] = {}
        node = self.graph.placeholder(INPUT)
        made = self._call(INPUT_QUANT, quantizer(bits=spec.input_bits, signed=True), node)
        self.values[INPUT] = _Value(node=made, state=_State.QUANTIZED, signed=True, image=True)

    def _call(self, name: str, module: nn.Module, *args: fx.Node) -> fx.Node:
        if name in self.modules:
            raise ModelError("the name is taken by a quantizer", where=name, hint="rename the module")
        self.modules[name] = module
        return self.graph.call_module(name, args)

    def need_quantized(self, name: str, *, bits: int) -> _Value:
        """The value of a step on a grid; a quantizer is put behind it once, where it has none."""
        value = self.values[name]
        if value.state is _State.QUANTIZED:
            return value
        if name not in self.quantized:
            node = self._call(f"{name}_quant", quantizer(bits=bits, signed=True), value.node)
            self.quantized[name] = _Value(node=node, state=_State.QUANTIZED, signed=True)
        return self.quantized[name]

    def need_grid(self, name: str, *, bits: int) -> _Value:
        """As `need_quantized`, but channels may lie on grids of their own."""
        value = self.values[name]
        return value if value.state is _State.JOINED else self.need_quantized(name, bits=bits)

    def add_step(self, step: Step) -> None:
        """Append the quantized form of one step."""
        module = step.module
        act = self.spec.act_bits
        if isinstance(module, nn.Conv2d | nn.Linear):
            self.values[step.name] = self._weighted(step, module)
        elif isinstance(module, nn.ReLU):
            node = self._call(step.name, quantized_relu(bits=act), self.values[step.inputs[0]].node)
            self.values[step.name] = _Value(node=node, state=_State.QUANTIZED, signed=False)
        elif isinstance(module, Add):
            branches = [self.need_quantized(name, bits=self.spec.branch_bits) for name in step.inputs]
            node = self._call(step.name, QuantizedAdd(), *(b.node for b in branches))
            self.values[step.name] = _Value(node=node, state=_State.SUM, signed=True)
        elif isinstance(module, Concat):
            parts = [self.need_grid(name, bits=self.spec.branch_bits) for name in step.inputs]
            node = self._call(step.name, QuantizedConcat(), *(part.node for part in parts))
            signed = any(part.signed for part in parts)
            self.values[step.name] = _Value(node=node, state=_State.JOINED, signed=signed)
        elif isinstance(module, ChannelAffine):
            source = self.need_grid(step.inputs[0], bits=self.spec.branch_bits)
            affine = QuantizedAffine(module.weight, module.bias, bits=self.spec.affine_bits)
            node = self._call(step.name, affine, source.node)
            self.values[step.name] = _Value(node=node, state=_State.ACCUMULATOR, signed=True)
        elif isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            self.values[step.name] = self._pooled(step, module)
        else:
            source = self.need_quantized(step.inputs[0], bits=act)
            node = self._call(step.name, module, source.node)
            self.values[step.name] = _Value(node=node, state=_State.QUANTIZED, signed=source.signed)

    def _weighted(self, step: Step, module: nn.Conv2d | nn.Linear) -> _Value:
        source = self.need_quantized(step.inputs[0], bits=self.spec.act_bits)
        bits = self.spec.weight_bits
        if source.image or step.name == self.last:
            bits = max(bits, self.spec.edge_bits)
        make = quantized_conv if isinstance(module, nn.Conv2d) else quantized_linear
        layer = make(module, bits=bits, scale=self.spec.weight_scale)  # type: ignore[arg-type]
        node = self._call(step.name, layer, source.node)
        return _Value(node=node, state=_State.ACCUMULATOR, signed=True)

    def _pooled(self, step: Step, module: nn.AvgPool2d | nn.AdaptiveAvgPool2d) -> _Value:
        source = self.need_quantized(step.inputs[0], bits=self.spec.act_bits)
        node = self._call(step.name, _pooling(step.name, module), source.node)
        made = quantizer(bits=self.spec.pool_bits, signed=source.signed)
        behind = self._call(f"{step.name}_quant", made, node)
        return _Value(node=behind, state=_State.QUANTIZED, signed=source.signed)


def _pooling(name: str, module: nn.AvgPool2d | nn.AdaptiveAvgPool2d) -> nn.Module:
    if isinstance(module, nn.AdaptiveAvgPool2d):
        size = module.output_size
        if size not in (1, (1, 1)):
            raise ModelError(f"AdaptiveAvgPool2d to {size}", where=name, hint="only to 1, or use AvgPool2d")
        return GlobalMean(1)
    if module.ceil_mode or module.divisor_override is not None or module.padding not in (0, (0, 0)):
        hint = "use neither padding, ceil_mode nor divisor_override"
        raise ModelError("AvgPool2d with unequal windows is not supported", where=name, hint=hint)
    return PooledMean(module.kernel_size, module.stride)


def quantize(steps: tuple[Step, ...], spec: QuantSpec) -> fx.GraphModule:
    """The quantized network, uncalibrated, with the weights of the steps.

    Args:
        steps: with BN folded.
        spec: widths and scales.

    Raises:
        ModelError: a step has no quantized form.
    """
    weighted = [s.name for s in steps if isinstance(s.module, nn.Conv2d | nn.Linear)]
    if not weighted:
        raise ModelError("has no convolution and no fully connected layer", where="network")
    builder = _Builder(spec, weighted[-1])
    for step in steps:
        builder.add_step(step)
    builder.graph.output(builder.values[steps[-1].name].node)
    return fx.GraphModule(builder.modules, builder.graph, class_name="QuantizedNet")


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The quantized convolutions and fully connected layers, by name, in the order of execution."""
    modules = dict(model.named_modules())
    names = [str(node.target) for node in _nodes(model) if node.op == "call_module"]
    return {name: modules[name] for name in names if is_weighted(modules[name])}


def affine_layers(model: nn.Module) -> dict[str, QuantizedAffine]:
    """The multiplications and additions per channel, by name, in the order of execution."""
    modules = dict(model.named_modules())
    found = [
        (str(node.target), modules[str(node.target)]) for node in _nodes(model) if node.op == "call_module"
    ]
    return {name: module for name, module in found if isinstance(module, QuantizedAffine)}


def activation_quantizers(model: nn.Module) -> dict[str, nn.Module]:
    """The quantizers of activations, by name, in the order of execution."""
    modules = dict(model.named_modules())
    names = [str(node.target) for node in _nodes(model) if node.op == "call_module"]
    return {name: modules[name] for name in names if is_activation(modules[name])}


def _nodes(model: nn.Module) -> list[fx.Node]:
    assert isinstance(model, fx.GraphModule)
    return list(model.graph.nodes)


@torch.no_grad()
def trace_values(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The result of every step of a quantized network, by its name, in the order of execution.

    Args:
        model: from `quantize`.
        images: preprocessed [N, C, H, W].
    """
    values: dict[str, Tensor] = {}
    modules = dict(model.named_modules())
    hooks = []
    for node in _nodes(model):
        if node.op == "call_module":
            name = str(node.target)
            hooks.append(modules[name].register_forward_hook(_recorder(values, name)))
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return values


def _recorder(values: dict[str, Tensor], name: str):  # type: ignore[no-untyped-def]
    def record(module: nn.Module, args: object, out: object) -> None:
        values[name] = plain(out).detach()

    return record
