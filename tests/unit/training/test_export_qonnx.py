"""The exported file: names, bytes, and values equal to the network's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from torch import fx, nn

from psp_hw.nn.registry import build_net
from psp_hw.quant.calibrate import calibrate_activations, calibrate_weights
from psp_hw.quant.convert import quantize, trace_values
from psp_hw.quant.fold import fold_batch_norm
from psp_hw.quant.steps import trace_steps
from psp_hw.spec.enums import WeightScale
from psp_hw.spec.train import NetSpec, QuantSpec
from psp_hw.training.export import export_model

pytestmark = pytest.mark.slow  # whole networks are exported

IMAGE = (1, 8, 8)


def _slow(bits: int) -> object:
    return pytest.param(bits, marks=pytest.mark.slow)


def _residual() -> nn.Module:
    return build_net(NetSpec(), image=IMAGE, classes=10)


def _pooled() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 5, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 4),
        nn.ReLU(),
        nn.Linear(4, 10),
    )


def _model(net: nn.Module, spec: QuantSpec) -> fx.GraphModule:
    model = quantize(fold_batch_norm(trace_steps(net.eval())), spec)
    calibrate_weights(model, spec)
    calibrate_activations(model, [torch.randn(16, *IMAGE)])
    return model.eval()


@pytest.mark.parametrize("scale", list(WeightScale))
@pytest.mark.parametrize("bits", [_slow(2), 4, _slow(8)])
@pytest.mark.parametrize("make", [_residual, _pooled])
def test_the_file_computes_every_value_of_the_network(
    tmp_path: Path, make: type[nn.Module], bits: int, scale: WeightScale
) -> None:
    torch.manual_seed(bits)
    model = _model(make(), QuantSpec(weight_bits=bits, act_bits=bits, weight_scale=scale))
    path = tmp_path / "model.onnx"
    export_model(model, IMAGE, path, name="net")
    image = torch.randn(1, *IMAGE)

    wrapped = ModelWrapper(str(path)).transform(InferShapes())
    found = execute_onnx(wrapped, {"input": image.numpy()}, return_full_exec_context=True)

    expected = trace_values(model.double(), image.double())
    for name, value in expected.items():
        assert np.array_equal(value.numpy(), found[name].astype(np.float64)), name


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        torch.manual_seed(3)
        export_model(_model(_residual(), QuantSpec()), IMAGE, tmp_path / f"{name}.onnx", name="net")

    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert ["a.onnx", "b.onnx"] == sorted(p.name for p in tmp_path.iterdir())


def test_nodes_are_named_after_modules_and_nothing_else_is_inside(tmp_path: Path) -> None:
    torch.manual_seed(0)
    export_model(_model(_residual(), QuantSpec()), IMAGE, tmp_path / "model.onnx", name="net")
    model = onnx.load(tmp_path / "model.onnx")

    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    for node in model.graph.node:
        assert [node.name] == list(node.output)
        assert "" == node.doc_string
    assert ["input"] == [value.name for value in model.graph.input]
    assert ["fc"] == [value.name for value in model.graph.output]
    assert "Conv" == {n.name: n.op_type for n in model.graph.node}["stage1.block1.conv2"]
    assert {"Quant", "Conv", "Relu", "Add", "GlobalAveragePool", "Flatten", "Gemm"} == {
        n.op_type for n in model.graph.node
    }
    assert ("psp-hw", "", 0) == (model.producer_name, model.producer_version, len(model.metadata_props))
    assert all(not i.HasField("data_location") or i.data_location == 0 for i in model.graph.initializer)
    content = (tmp_path / "model.onnx").read_bytes()
    assert not any(
        str(folder).encode() in content for folder in (Path.cwd(), tmp_path, Path(onnx.__file__).parent)
    )


def test_scales_in_the_file_are_powers_of_two(tmp_path: Path) -> None:
    torch.manual_seed(0)
    export_model(_model(_residual(), QuantSpec()), IMAGE, tmp_path / "model.onnx", name="net")
    model = onnx.load(tmp_path / "model.onnx")
    scales = [onnx.numpy_helper.to_array(i) for i in model.graph.initializer if i.name.endswith(".scale")]

    assert len(scales) == sum(n.op_type == "Quant" for n in model.graph.node)
    for scale in scales:
        assert np.all(np.frexp(scale)[0] == 0.5)
