"""DenseNet: BN before the convolution, on concatenated features: Brevitas = graph before and after the passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from psp_hw.ir.ops import Affine, Concat, Threshold
from psp_hw.lowering import lower
from psp_hw.nn.dense import DenseNet
from psp_hw.passes import optimize
from psp_hw.pruning.parametrization import fold
from psp_hw.pruning.select import prune
from psp_hw.quant.calibrate import calibrate_activations, calibrate_weights
from psp_hw.quant.convert import affine_layers, quantize
from psp_hw.quant.exact import exact_in_float32
from psp_hw.quant.fold import ChannelAffine, fold_batch_norm
from psp_hw.quant.steps import trace_steps
from psp_hw.sim.values import Simulator
from psp_hw.spec.enums import AlphaInit, StructureKind
from psp_hw.spec.train import PruningSpec, QuantSpec, StructureSpec
from psp_hw.training.export import export_model

pytestmark = pytest.mark.slow  # trains and executes a network per case

IMAGE = (3, 16, 16)


def dense_net(*, bottleneck: bool, large: bool) -> nn.Module:
    """A small DenseNet whose BN have statistics that are neither zero nor one."""
    torch.manual_seed(5)
    net = DenseNet(
        3, (16, 16), 5, (4, 4), (2, 2), stem=6, large=large, bottleneck=bottleneck, halve=bottleneck
    )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 3)
            nn.init.uniform_(module.weight, 0.3, 2)
            nn.init.normal_(module.bias, std=0.3)
    return net.eval()


def quantized(net: nn.Module, spec: QuantSpec):  # type: ignore[no-untyped-def]
    model = quantize(fold_batch_norm(trace_steps(net)), spec)
    calibrate_weights(model, spec)
    calibrate_activations(model, [torch.randn(16, *IMAGE)])
    return model.eval()


@pytest.mark.parametrize("bits", [8, 3])
@pytest.mark.parametrize(("bottleneck", "large"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize(
    "kind", [StructureKind.SHAPE, StructureKind.COLUMN, StructureKind.CHANNEL, StructureKind.LAYER]
)
def test_a_pruned_dense_network_is_its_integer_graph(
    kind: StructureKind, bottleneck: bool, large: bool, bits: int, tmp_path: Path
) -> None:
    net = dense_net(bottleneck=bottleneck, large=large)
    structure = StructureSpec(kind=kind, epsilon=0.3)
    prune(net, PruningSpec(structures=(structure,), init=AlphaInit.PAPER), first="stem.conv")
    fold(net)
    model = quantized(net, QuantSpec(weight_bits=bits, act_bits=bits))
    export_model(model, IMAGE, tmp_path / "m.onnx", name="dense")
    graph = lower(tmp_path / "m.onnx")
    images = torch.randn(12, *IMAGE)

    with torch.no_grad():
        expected = model.double()(images.double()).numpy()

    for candidate in (graph, optimize(graph)):
        fmt = candidate.input.type.fmt
        codes = np.clip(np.rint(images.numpy() * 2.0**fmt.frac), fmt.min, fmt.max).astype(np.int64)
        outputs = Simulator(candidate).run(codes.transpose(0, 2, 3, 1))
        real = outputs * 2.0 ** -candidate.types[candidate.output.name].fmt.frac
        assert np.array_equal(expected, real.reshape(expected.shape))
    joined = [op for op in graph.ops if isinstance(op, Concat)]
    assert joined
    width = 9 if large else 8  # behind the maximum of a large stem, features of both signs meet
    assert all(graph.types[op.name].fmt.width <= width for op in joined)
    assert any(isinstance(op, Affine | Threshold) for op in optimize(graph).ops)


def test_a_bn_that_no_convolution_takes_in_is_an_affine_map() -> None:
    net = dense_net(bottleneck=True, large=False).double()
    images = torch.randn(4, *IMAGE, dtype=torch.float64)
    values = {"input": images}
    steps = fold_batch_norm(trace_steps(net))
    for step in steps:
        values[step.name] = step.module(*(values[name] for name in step.inputs))

    assert torch.allclose(net(images), values["fc"], rtol=0, atol=1e-12)
    # one before each 1x1 bottleneck, one in the transition, one before the pooling; those behind a 1x1 are folded
    assert 4 + 1 + 1 == sum(isinstance(step.module, ChannelAffine) for step in steps)


def test_eight_bits_stay_close_to_the_floats_and_learn_through_the_affine_maps() -> None:
    net = dense_net(bottleneck=False, large=False)
    model = quantized(net, QuantSpec())
    images = torch.randn(32, *IMAGE)
    out = net(images)

    assert float((out - model(images)).detach().abs().max()) < 0.1 * float(out.detach().abs().max())
    model.train()(images).square().sum().backward()
    for affine in affine_layers(model).values():
        assert float(affine.weight.grad.abs().max()) > 0
        assert float(affine.bias.grad.abs().max()) > 0
    assert not model.get_submodule("stem.conv").bias.requires_grad
    assert exact_in_float32(model.eval(), images[:4])
