"""Whatever bytes a model file holds, the lowering gives a graph or one clear sentence."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from qonnx_models import QUANT_DOMAIN, ModelMaker

from psp_hw.errors import ModelError
from psp_hw.ir.verify import verify
from psp_hw.lowering import Options, lower_file


def residual(seed: int) -> tuple[ModelMaker, str]:
    make = ModelMaker((2, 4, 4), seed=seed)
    x = make.quant("image", bits=8, frac=4)
    y = make.node("Conv", [x, make.weight((2, 2, 3, 3))], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    y = make.node("Add", [make.quant(make.node("Relu", [y]), signed=0), x])
    y = make.node("Flatten", [make.node("AveragePool", [y], kernel_shape=[4, 4])])
    return make, make.node("Gemm", [make.quant(y), make.weight((3, 2))], transB=1)


def many_forms(seed: int) -> tuple[ModelMaker, str]:
    make = ModelMaker((2, 4, 4), seed=seed)
    x = make.quant("image", bits=8, scale=0.03)
    y = make.node("Pad", [x, make.shape_constant([0, 0, 1, 1, 0, 0, 1, 1])])
    y = make.node("Conv", [y, make.weight((2, 2, 3, 3)), make.constant([0.3, -1.0])], kernel_shape=[3, 3])
    parameters = [make.constant(make.rng.uniform(0.5, 2, size=2)) for _ in range(4)]
    y = make.node(
        "Clip", [make.node("BatchNormalization", [y, *parameters]), make.constant(-1.0), make.constant(2.0)]
    )
    y = make.quant(make.node("Mul", [y, make.constant(0.7)]), bits=3, scale=0.2, zero=1.0)
    z = make.node("BipolarQuant", [x, make.constant(0.5)], domain=QUANT_DOMAIN)
    y = make.node("Concat", [y, z], axis=1)
    y = make.node(
        "MultiThreshold", [y, make.constant([[-0.5, 0.1, 0.4]])], domain=QUANT_DOMAIN, out_dtype="UINT2"
    )
    y = make.node("Transpose", [y], perm=[0, 2, 3, 1])
    y = make.node("Reshape", [y, make.shape_constant([1, -1])])
    return make, make.node("Sub", [make.node("MatMul", [y, make.weight((64, 3))]), make.constant(0.25)])


def accepted(path) -> None:
    """A graph, or an error of one line."""
    try:
        verify(lower_file(path, Options(exact=False)).graph)
    except ModelError as error:
        assert "\n" not in str(error).strip()  # noqa: PT017  (a graph is fine too)


@pytest.mark.parametrize("model", [residual, many_forms])
@pytest.mark.parametrize("seed", range(10))
def test_flipped_bytes_give_a_graph_or_a_model_error(model, seed, tmp_path):
    make, output = model(seed)
    path = make.save(output, tmp_path / "model.onnx")
    accepted(path)
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(seed)
    for _ in range(25):
        damaged = whole.copy()
        places = rng.integers(0, len(damaged), size=rng.integers(1, 4))
        damaged[places] = rng.integers(0, 256, size=len(places))
        path.write_bytes(damaged.tobytes())
        accepted(path)


@pytest.mark.parametrize("model", [residual, many_forms])
@pytest.mark.parametrize("seed", range(10))
def test_changed_nodes_and_constants_give_a_graph_or_a_model_error(model, seed, tmp_path):
    make, output = model(seed)
    rng = np.random.default_rng(seed)
    whole = make.model(output)
    ops = sorted({node.op_type for node in whole.graph.node})
    extremes = [0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, float("inf"), float("nan"), 2.0**40, 2.0**-40]
    for _ in range(25):
        changed = onnx.ModelProto()
        changed.CopyFrom(whole)
        node = changed.graph.node[rng.integers(len(changed.graph.node))]
        match rng.integers(4):
            case 0:
                node.op_type = str(rng.choice(ops))
            case 1:
                del node.input[rng.integers(len(node.input)) :]
            case 2:
                node.input[0] = str(rng.choice([i for n in changed.graph.node for i in n.input]))
            case _:
                tensor = changed.graph.initializer[rng.integers(len(changed.graph.initializer))]
                values = onnx.numpy_helper.to_array(tensor).copy()
                with np.errstate(all="ignore"):
                    values.reshape(-1)[rng.integers(max(1, values.size))] = (
                        rng.choice(extremes) if values.dtype == np.float32 else rng.integers(-(2**62), 2**62)
                    )
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        path = tmp_path / "model.onnx"
        path.write_bytes(changed.SerializeToString())
        accepted(path)
