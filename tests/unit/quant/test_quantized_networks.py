"""From a float network to a quantized one: steps, folding, placement, calibration, exactness."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from psp_hw.errors import ModelError
from psp_hw.nn.registry import build_net
from psp_hw.quant.calibrate import best_exponent, calibrate_activations, calibrate_weights
from psp_hw.quant.convert import activation_quantizers, quantize, trace_values, weighted_layers
from psp_hw.quant.exact import exact_in_float32
from psp_hw.quant.fold import fold_batch_norm
from psp_hw.quant.quantizers import integer_weight, scale_of
from psp_hw.quant.steps import trace_steps
from psp_hw.spec.enums import WeightScale
from psp_hw.spec.train import NetSpec, QuantSpec

pytestmark = pytest.mark.slow  # whole networks in float64


def _trained(net: nn.Module, channels: int) -> nn.Module:
    """Statistics and affine parameters of BN that are neither zero nor one."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    net.train()
    for _ in range(3):
        net(torch.randn(16, channels, 8, 8))
    return net.eval()


def _digits_net() -> nn.Module:
    torch.manual_seed(0)
    return _trained(build_net(NetSpec(), image=(1, 8, 8), classes=10), 1)


def _calibrated(net: nn.Module, spec: QuantSpec, images: Tensor):  # type: ignore[no-untyped-def]
    model = quantize(fold_batch_norm(trace_steps(net)), spec)
    calibrate_weights(model, spec)
    calibrate_activations(model, [images])
    return model.eval()


def test_folding_bn_keeps_the_function_and_the_network() -> None:
    net = _digits_net().double()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    values = {"input": images}

    for step in fold_batch_norm(trace_steps(net)):
        values[step.name] = step.module(*(values[name] for name in step.inputs))
        assert not isinstance(step.module, nn.BatchNorm2d)

    assert torch.allclose(net(images), values["fc"], rtol=0, atol=1e-12)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_folding_keeps_zeros_exactly_zero() -> None:
    net = _trained(nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)), 1)
    with torch.no_grad():
        net[0].weight[:, :, 1] = 0.0
    (step,) = fold_batch_norm(trace_steps(net))
    assert bool((step.module.weight[:, :, 1] == 0).all())
    assert bool((step.module.weight[:, :, 0] != 0).all())


class _Branchy(nn.Module):
    """Functions instead of modules, one ReLU used twice, max pooling, adaptive pooling, no BN."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.max = nn.MaxPool2d(2)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.a(x))
        y = self.drop(self.relu(self.b(x)))
        x = functional.relu(torch.add(x, y))
        x = self.mean(self.max(x))
        return self.fc(torch.flatten(x, 1))


def test_functions_and_repeated_modules_become_steps() -> None:
    names = [step.name for step in trace_steps(_Branchy().eval())]
    assert ["a", "relu", "b", "relu_2", "add", "relu_3", "max", "mean", "flatten", "fc"] == names


class _Functional(nn.Module):
    """Everything that may be a function is one."""

    def __init__(self, tail: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)
        self.tail = tail

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.a(x)), 2)
        x = functional.dropout(x, 0.3, training=self.training)
        x = functional.avg_pool2d(torch.relu(x + self.b(x)), kernel_size=2)
        return self.fc(self.tail(x))


def _pooled(x: Tensor) -> Tensor:
    return functional.adaptive_avg_pool2d(x, (1, 1))


@pytest.mark.parametrize(
    "tail",
    [
        lambda x: x.mean((2, 3)),
        lambda x: torch.mean(x, dim=[-1, -2]),
        lambda x: x.mean([2, 3], keepdim=True).flatten(1),
        lambda x: _pooled(x).view(x.size(0), -1),
        lambda x: _pooled(x).reshape(x.shape[0], -1),
        lambda x: torch.flatten(_pooled(x), start_dim=1),
    ],
)
def test_functions_compute_what_they_did(tail: Callable[[Tensor], Tensor]) -> None:
    net = _Functional(tail).eval()
    images = torch.randn(4, 1, 8, 8)
    values = {"input": images}
    for step in trace_steps(net):
        values[step.name] = step.module(*(values[name] for name in step.inputs))

    assert torch.equal(net(images), values["fc"])
    quantized = _calibrated(net, QuantSpec(), images)(images)
    assert float((quantized - net(images)).detach().abs().max()) < 0.05


def test_quantizers_stand_where_the_docs_say() -> None:
    names = list(activation_quantizers(_calibrated(_digits_net(), QuantSpec(), torch.randn(8, 1, 8, 8))))
    assert [
        "input_quant",
        "relu0",
        "stage1.block1.relu1",
        "stage1.block1.conv2_quant",
        "stage1.block1.relu2",
        "stage2.block1.relu1",
        "stage2.block1.conv2_quant",
        "stage2.block1.shortcut.conv_quant",
        "stage2.block1.relu2",
        "pool_quant",
    ] == names


def test_widths_follow_the_spec() -> None:
    spec = QuantSpec(weight_bits=3, act_bits=4, edge_bits=6, branch_bits=5, input_bits=7, pool_bits=2)
    model = _calibrated(_digits_net(), spec, torch.randn(8, 1, 8, 8))
    acts = {n: int(float(q.act_quant.bit_width())) for n, q in activation_quantizers(model).items()}
    weights = {n: int(float(w.weight_quant.bit_width())) for n, w in weighted_layers(model).items()}

    assert (7, 4, 5, 2) == tuple(
        acts[n] for n in ("input_quant", "relu0", "stage1.block1.conv2_quant", "pool_quant")
    )
    assert (6, 3, 3, 6) == tuple(
        weights[n] for n in ("conv0", "stage1.block1.conv1", "stage2.block1.shortcut.conv", "fc")
    )


def _is_grid(values: Tensor, scale: Tensor) -> bool:
    return torch.equal((values / scale).round() * scale, values) and bool((torch.log2(scale) % 1 == 0).all())


@pytest.mark.parametrize("scale", list(WeightScale))
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("make", [_digits_net, lambda: _Branchy().eval()])
def test_every_value_lies_on_its_grid_in_float64(
    make: Callable[[], nn.Module], bits: int, scale: WeightScale
) -> None:
    torch.manual_seed(bits)
    images = torch.randn(8, 1, 8, 8)
    spec = QuantSpec(weight_bits=bits, act_bits=bits, weight_scale=scale)
    model = _calibrated(make(), spec, images).double()
    values = trace_values(model, images.double())
    acts = activation_quantizers(model)
    order = list(values)

    for name, quantizer in acts.items():
        assert _is_grid(values[name], scale_of(quantizer))
    for name, layer in weighted_layers(model).items():
        source = next(n for n in reversed(order[: order.index(_source(model, name)) + 1]) if n in acts)
        weight_scale = scale_of(layer).flatten()
        acc_scale = scale_of(acts[source]) * weight_scale
        shape = (-1, 1, 1) if values[name].ndim == 4 else (-1,)
        assert _is_grid(values[name], acc_scale.expand(values[name].shape[1]).reshape(shape))
        largest = 2 ** (max(bits, 8 if name in ("conv0", "a", "fc") else 0) - 1) - 1
        assert float(integer_weight(layer).abs().max()) <= largest


def _source(model, name: str) -> str:  # type: ignore[no-untyped-def]
    (node,) = [n for n in model.graph.nodes if n.op == "call_module" and n.target == name]
    return str(node.args[0].target)


def test_float32_and_float64_give_the_same_integers_where_it_is_said() -> None:
    images = torch.randn(64, 1, 8, 8)
    model = _calibrated(_digits_net(), QuantSpec(), images[:16])
    assert exact_in_float32(model, images[:4])
    single = trace_values(model, images)
    double = trace_values(model.double(), images.double())
    assert all(torch.equal(single[name].double(), double[name]) for name in double)


def test_accumulators_beyond_the_mantissa_are_noticed() -> None:
    net = nn.Sequential(nn.Conv2d(64, 2, 11, padding=5), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)).eval()
    nn.init.constant_(net[0].weight, 1.0)
    images = torch.rand(2, 64, 8, 8)
    assert not exact_in_float32(_calibrated(net, QuantSpec(), images), images)


def test_calibration_leaves_weights_and_structure_alone() -> None:
    net = _digits_net()
    spec = QuantSpec()
    model = quantize(fold_batch_norm(trace_steps(net)), spec)
    weights = {n: layer.weight.detach().clone() for n, layer in weighted_layers(model).items()}
    calibrate_weights(model, spec)
    calibrate_activations(model, [torch.randn(4, 1, 8, 8)])

    assert all(torch.equal(weights[n], layer.weight) for n, layer in weighted_layers(model).items())
    scales = [p for n, p in model.named_parameters() if n.endswith("scaling_impl.value")]
    assert len(scales) == len(activation_quantizers(model)) + len(weights)
    assert not any(p.requires_grad for p in scales)


def test_eight_bits_stay_close_to_the_floats() -> None:
    net = _digits_net()
    images = torch.randn(64, 1, 8, 8)
    out, quantized = net(images), _calibrated(net, QuantSpec(), images)(images)
    assert float((out - quantized).detach().abs().max()) < 0.1 * float(out.detach().abs().max())


@pytest.mark.parametrize(("low", "high"), [(-7, 7), (-128, 127), (0, 15), (0, 255), (-1, 1)])
def test_the_best_exponent_is_the_best_of_all(low: int, high: int) -> None:
    rows = torch.randn(6, 300, dtype=torch.float64) * torch.tensor(
        [[1e-3], [0.1], [1.0], [7.0], [100.0], [0.0]]
    )
    if low == 0:
        rows = rows.abs()

    def error(row: Tensor, exponent: int) -> float:
        scale = 2.0**exponent
        return float((((row / scale).round().clamp(low, high)) * scale - row).square().sum())

    found = best_exponent(rows, low=low, high=high)

    for row, exponent in zip(rows[:-1], found[:-1].tolist(), strict=True):
        assert error(row, int(exponent)) == min(error(row, e) for e in range(-24, 10))
    assert 0 == int(found[-1])


class _With(nn.Module):
    """A network around one doubtful operation."""

    def __init__(self, operation: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.odd = operation

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.odd(self.conv(x)), 1)


class _Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("net", "fragment"),
    [
        (_With(nn.GELU()), r"odd: module GELU is not supported \(supported: Conv2d, BatchNorm2d, "),
        (_With(torch.sigmoid), "call function 'sigmoid' is not supported"),
        (_With(lambda x: x.tanh()), "call method 'tanh' is not supported"),
        (_With(lambda x: x + 1), "constant operand"),
        (_With(lambda x: torch.cat((x, x), 2)), "concatenation of other than channels"),
        (_With(nn.BatchNorm2d(4, track_running_stats=False)), "without running statistics"),
        (_With(lambda x: x.mean(1)), "mean over dimensions 1"),
        (_With(lambda x: x.view(-1, 16)), r"view other than to \(batch, -1\)"),
        (_With(nn.AdaptiveAvgPool2d(2)), r"odd: AdaptiveAvgPool2d to 2"),
        (_With(nn.AvgPool2d(3, padding=1)), "odd: AvgPool2d with unequal windows"),
        (_With(nn.Conv2d(4, 4, 3, padding="same")), "odd: padding 'same'"),
        (_Branching(), "cannot be traced"),
        (nn.ReLU(), "has no convolution"),
    ],
)
def test_what_is_not_supported_is_named(net: nn.Module, fragment: str) -> None:
    with pytest.raises(ModelError, match=fragment):
        quantize(fold_batch_norm(trace_steps(net.eval())), QuantSpec())


def test_shared_weights_are_refused_by_name() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x))

    with pytest.raises(ModelError, match="conv: used twice: shared weights"):
        trace_steps(Twice())
