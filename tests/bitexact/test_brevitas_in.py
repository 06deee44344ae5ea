"""Networks as people write them with Brevitas, through Brevitas' own export: the graph computes what Brevitas computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from qonnx_models import outputs
from torch import nn

from psp_hw.ir.graph import Graph
from psp_hw.lowering import Options, lower, lower_file
from psp_hw.passes import optimize

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

IMAGE = (3, 8, 8)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *IMAGE)).astype(np.float32)


def export(model: nn.Module, path: Path) -> tuple[Path, np.ndarray]:
    """The file, and what Brevitas computes for 16 images in float64."""
    from brevitas.export import export_qonnx

    model.train()
    with torch.no_grad():
        for batch in np.split(images(64), 4):
            model(torch.from_numpy(batch))
    model.eval()
    export_qonnx(model, args=torch.zeros(1, *IMAGE), export_path=str(path / "model.onnx"), dynamo=False)
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(images(16)).double()).numpy()
    return path / "model.onnx", expected


def real(graph: Graph) -> np.ndarray:
    return outputs(graph, images(16)).reshape(16, -1)


def layers(*, weight, bits: int, bias: bool, groups: int, batch_norm: bool, activation) -> nn.Sequential:
    from brevitas import nn as qnn
    from brevitas.quant import Int8ActPerTensorFixedPoint as Act
    from brevitas.quant import Int8WeightPerTensorFixedPoint as Weight

    torch.manual_seed(bits)
    options = {} if bits == 1 else {"weight_bit_width": bits}
    inner = qnn.QuantConv2d(8, 8, 3, stride=2, groups=groups, bias=bias, weight_quant=weight, **options)
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=Act),
        qnn.QuantConv2d(3, 8, 3, padding=1, bias=bias, weight_quant=weight, **options),
        nn.BatchNorm2d(8) if batch_norm else nn.Identity(),
        qnn.QuantReLU(act_quant=activation, bit_width=max(bits, 2)),
        nn.Dropout(0.2),
        inner,
        qnn.QuantReLU(act_quant=activation, bit_width=max(bits, 2)),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(8, 5, bias=bias, weight_quant=Weight, weight_bit_width=8),
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_power_of_two_scales(bits, groups, bias, batch_norm, tmp_path):
    from brevitas.quant import SignedBinaryWeightPerTensorConst, Uint8ActPerTensorFixedPoint
    from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint

    weight = SignedBinaryWeightPerTensorConst if bits == 1 else Int8WeightPerChannelFixedPoint
    activation = Uint8ActPerTensorFixedPoint
    model = layers(
        weight=weight, bits=bits, bias=bias, groups=groups, batch_norm=batch_norm, activation=activation
    )
    path, expected = export(model, tmp_path)

    graph = lower(path)

    assert np.array_equal(expected, real(graph))
    assert np.array_equal(expected, real(optimize(graph)))


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_float_scales_are_exact_but_for_the_bias_of_the_output(bits, per_channel, tmp_path):
    from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat, Uint8ActPerTensorFloat

    weight = Int8WeightPerChannelFloat if per_channel else Int8WeightPerTensorFloat
    model = layers(
        weight=weight, bits=bits, bias=True, groups=1, batch_norm=True, activation=Uint8ActPerTensorFloat
    )
    path, expected = export(model, tmp_path)

    lowered = lower_file(path, Options(exact=False))
    found = real(optimize(lowered.graph))

    rounded = [remark.node.op_type for remark in lowered.remarks if remark.outcome.value != "exact"]
    assert set(rounded) <= {"Output"}
    # Not ==: Brevitas itself rounds scales and products in floating point. A different code would differ by far more.
    assert np.abs(expected - found).max() <= 1e-5 * np.abs(expected).max()
