"""Layouts, bipolar numbers, padding nodes, truncation and what does nothing, against qonnx's executor: no tolerance."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from qonnx_models import QUANT_DOMAIN, ModelMaker, assert_equals_reference

from psp_hw.ir.ops import Affine, Conv2d, MaxPool, Threshold
from psp_hw.lowering import lower

pytestmark = pytest.mark.filterwarnings("ignore")  # qonnx and onnxruntime warn about themselves

SHAPE = (3, 5, 6)


def begin(seed: int = 0) -> tuple[ModelMaker, str]:
    make = ModelMaker(SHAPE, seed=seed)
    return make, make.quant("image", bits=8, frac=4)


def bipolar(make: ModelMaker, x: str, scale: float | np.ndarray = 1.0) -> str:
    return make.node("BipolarQuant", [x, make.constant(scale)], domain=QUANT_DOMAIN)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37])
@pytest.mark.parametrize("old", [False, True])
def test_bipolar_weights(scale, old, tmp_path):
    make, x = begin()
    floats = make.constant(make.rng.normal(size=(4, 3, 3, 3)))
    weight = make.quant(floats, bits=1, scale=scale) if old else bipolar(make, floats, scale)
    y = make.node("Conv", [x, weight], kernel_shape=[3, 3])
    path = make.save(make.quant(y, bits=4, frac=-1), tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert set(np.unique(graph.constants[graph.convolutions[0].weight])) == {-1, 1}


@pytest.mark.parametrize("factor", [1.0, -0.5, 0.3, 0.0])
@pytest.mark.parametrize("relu", [False, True])
def test_bipolar_activations(factor, relu, tmp_path):
    make, x = begin()
    y = make.node(
        "Conv", [x, bipolar(make, make.constant(make.rng.normal(size=(4, 3, 3, 3))))], kernel_shape=[3, 3]
    )
    y = make.node("Mul", [y, make.constant(np.full((1, 4, 1, 1), factor))])
    y = make.node("Add", [y, make.constant(np.array([0.0, 0.3, -0.2, 9.0]).reshape(1, 4, 1, 1))])
    y = bipolar(make, make.node("Relu", [y]) if relu else y, 0.25)
    y = make.node("Conv", [y, make.weight((2, 4, 1, 1))], kernel_shape=[1, 1], pads=[1, 1, 1, 1])
    path = make.save(y, tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert sum(isinstance(op, Threshold) for op in graph.ops) == 1


@pytest.mark.parametrize("seed", range(3))
def test_multi_threshold_of_finn(seed, tmp_path):
    make, x = begin(seed)
    y = make.node("Conv", [x, make.weight((4, 3, 3, 3))], kernel_shape=[3, 3])
    levels = np.sort(make.rng.normal(size=(4 if seed else 1, 7)) * 3, axis=1)
    y = make.node(
        "MultiThreshold",
        [y, make.constant(levels)],
        domain=QUANT_DOMAIN,
        out_scale=0.25 if seed < 2 else 0.3,
        out_bias=-1.0 if seed < 2 else 0.0,
        out_dtype="FLOAT32",
    )
    y = make.node("Conv", [y, make.weight((2, 4, 1, 1))], kernel_shape=[1, 1])
    path = make.save(make.quant(y, bits=6, scale=0.25 if seed < 2 else 0.23), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


@pytest.mark.parametrize("opset", [9, 13])
def test_a_pad_node_becomes_padding(opset, tmp_path):
    make, x = begin()
    pads = [0, 0, 1, 2, 0, 0, 0, 1]
    if opset == 13:
        padded = make.node("Pad", [x, make.shape_constant(pads)])
    else:
        padded = make.node("Pad", [x], pads=pads)
    y = make.node("Conv", [padded, make.weight((2, 3, 3, 3))], kernel_shape=[3, 3], pads=[1, 0, 0, 1])
    y = make.quant(make.node("Relu", [y]), bits=4, frac=1, signed=0)
    y = make.node("Pad", [y, make.shape_constant([0, 0, 1, 1, 0, 0, 1, 1])])
    y = make.quant(y, bits=3, frac=0, signed=0)
    y = make.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2])
    path = make.save(y, tmp_path / "model.onnx")
    if opset == 9:
        pytest.importorskip("onnxruntime")
        graph = lower(path)  # this form left ONNX with opset 11: compared with the other form
        assert graph.convolutions[0].padding.top == 2
        return

    graph = assert_equals_reference(path, SHAPE)

    assert [type(op) for op in graph.ops[1:-1]] == [Conv2d, MaxPool] or len(graph.ops) == 5


def test_padding_that_nothing_can_take_in_is_refused(tmp_path):
    from psp_hw.errors import ModelError

    make, x = begin()
    y = make.node("Pad", [x, make.shape_constant([0, 0, 1, 1, 0, 0, 1, 1])])
    with pytest.raises(ModelError, match=r"\(GlobalAveragePool\): the zeros of a Pad node reach it"):
        lower(make.save(make.node("GlobalAveragePool", [y]), tmp_path / "model.onnx"))


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (2, 3)])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_average_pooling_over_padding(kernel, own, bits, tmp_path):
    make, x = begin()
    attributes = {"kernel_shape": list(kernel), "strides": [2, 1]}
    if own:
        y = make.node("AveragePool", [x], pads=[1, 1, 1, 1], count_include_pad=1, **attributes)
    else:
        padded = make.node("Pad", [x, make.shape_constant([0, 0, 1, 1, 0, 0, 1, 1])])
        y = make.node("AveragePool", [padded], **attributes)
    path = make.save(make.quant(y, bits=bits, frac=2), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


def test_a_mean_that_leaves_out_the_padding_is_refused(tmp_path):
    from psp_hw.errors import ModelError

    make, x = begin()
    y = make.node("AveragePool", [x], kernel_shape=[2, 2], pads=[1, 1, 1, 1])
    with pytest.raises(ModelError, match="a mean that leaves out the padding is not supported"):
        lower(make.save(y, tmp_path / "model.onnx"))


def test_a_mean_over_nine_pixels_at_an_odd_scale(tmp_path):
    make, x = begin()
    y = make.node("AveragePool", [x], kernel_shape=[3, 3])
    path = make.save(make.quant(y, bits=8, scale=0.0371), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL"])
@pytest.mark.parametrize("version", [1, 2])
def test_truncation(mode, version, tmp_path):
    make, x = begin()
    y = make.node("AveragePool", [x], kernel_shape=[2, 2], strides=[1, 1])
    parameters = [make.constant(v) for v in (2.0**-6, 0.0, 10.0)]
    parameters += [make.constant(v) for v in ((7.0,) if version == 1 else (2.0**-3, 7.0))]
    y = make.node("Trunc", [y, *parameters], domain=QUANT_DOMAIN, rounding_mode=mode)
    path = make.save(y, tmp_path / "model.onnx")
    if version == 2:
        model = onnx.load(path)
        next(o for o in model.opset_import if o.domain == QUANT_DOMAIN).version = 2
        onnx.save(model, path)

    assert_equals_reference(path, SHAPE)


def channels_last_model(make: ModelMaker, output: str, rank: int = 4) -> onnx.ModelProto:
    model = make.model(output)
    channels, height, width = SHAPE
    shape = [1, height, width, channels]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, shape))
    return model


@pytest.mark.parametrize("flatten", ["NCHW", "NHWC"])
def test_an_image_with_channels_last_and_transposes_around_each_layer(flatten, tmp_path):
    make, x = begin()  # as qonnx writes what it converts from Keras
    y = make.node("Transpose", [x], perm=[0, 3, 1, 2])
    y = make.node("Conv", [y, make.weight((4, 3, 3, 3))], kernel_shape=[3, 3])
    y = make.node("Transpose", [y], perm=[0, 2, 3, 1])
    y = make.node("Add", [y, make.constant(np.array([0.5, -1.0, 0.25, 2.0]))])
    y = make.quant(make.node("Relu", [y]), bits=4, frac=1, signed=0)
    if flatten == "NCHW":
        y = make.node("Transpose", [y], perm=[0, 3, 1, 2])
    y = make.node("Reshape", [y, make.shape_constant([1, -1])])
    y = make.node("MatMul", [y, make.weight((48, 5))])
    y = make.node("Add", [y, make.constant(make.rng.normal(size=5).astype(np.float16))])
    onnx.save(channels_last_model(make, y), tmp_path / "model.onnx")

    assert_equals_reference(tmp_path / "model.onnx", SHAPE, channels_last=True)


@pytest.mark.parametrize("make_input", [False, True])
def test_what_qonnx_converts_to_channels_last(make_input, tmp_path):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
    from qonnx.transformation.infer_shapes import InferShapes

    make, x = begin()
    weight = make.weight((4, 3, 3, 3), per_channel=True)
    attributes = {
        "kernel_shape": [3, 3],
        "pads": [1, 1, 1, 1],
        "strides": [1, 1],
        "dilations": [1, 1],
        "group": 1,
    }
    y = make.node("Conv", [x, weight], **attributes)
    inputs = [
        make.constant(v) for v in ([0.75, 1.0, -0.5, 2.0], [0.5, 0.25, -1.0, 0.0], [0.0] * 4, [0.75] * 4)
    ]
    y = make.node("BatchNormalization", [y, *inputs], epsilon=0.25)
    y = make.quant(make.node("Relu", [y]), bits=6, frac=2, signed=0)
    y = make.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])
    path = make.save(y, tmp_path / "model.onnx")
    model = ModelWrapper(str(path)).transform(InferShapes())
    model = model.transform(ConvertToChannelsLastAndClean(make_input_channels_last=make_input))
    assert any(node.domain.endswith("channels_last") for node in model.graph.node)
    model.save(str(path))

    assert_equals_reference(path, SHAPE, channels_last=make_input)


def test_what_does_nothing_in_evaluation(tmp_path):
    make, x = begin()
    y = make.node("Conv", [x, make.weight((2, 3, 1, 1))], kernel_shape=[1, 1])
    y = make.node("Cast", [make.node("Dropout", [make.node("Identity", [y])])], to=TensorProto.FLOAT)
    y = make.quant(y, bits=5, frac=1)
    y = make.node("GlobalMaxPool", [y])
    y = make.node("Squeeze", [y, make.shape_constant([2, 3])])
    y = make.node("Unsqueeze", [y, make.shape_constant([2, 3])])
    y = make.node("Reshape", [y, make.shape_constant([1, 2, 1, 1])])
    y = make.node("Flatten", [y])
    path = make.save(y, tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert not any(isinstance(op, Affine) for op in graph.ops)


def test_a_dense_network_on_features(tmp_path):
    make = ModelMaker((12, 1, 1))
    x = make.quant("image", bits=8, frac=4)
    y = make.node("Gemm", [x, make.weight((7, 12)), make.constant(make.rng.normal(size=7))], transB=1)
    y = make.quant(make.node("Relu", [y]), bits=4, frac=1, signed=0)
    y = make.node("MatMul", [y, make.weight((7, 3), per_channel=True, axis=1)])
    model = make.model(y)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 12]))
    onnx.save(model, tmp_path / "model.onnx")

    from qonnx_models import outputs, reference

    floats = np.random.default_rng(1).normal(size=(6, 12)).astype(np.float32) * 3
    expected = reference(tmp_path / "model.onnx", floats).astype(np.float64)
    actual = outputs(lower(tmp_path / "model.onnx"), floats[:, :, None, None])
    assert np.array_equal(expected, actual.reshape(6, -1))
