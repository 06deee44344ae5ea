"""Every supported node against qonnx's own executor: equal real values, no tolerance."""

from __future__ import annotations

import pytest
from qonnx_models import ModelMaker, assert_equals_reference

from psp_hw.ir.ops import AvgPool, Conv2d
from psp_hw.lowering import lower
from psp_hw.passes import optimize

pytestmark = pytest.mark.filterwarnings("ignore")  # qonnx and onnxruntime warn about themselves


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 1]},
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 2, 1, 0], "strides": [2, 2]},
        {"dilations": [2, 1], "pads": [2, 1, 2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "VALID"},
        {"group": 2, "pads": [1, 1, 1, 1]},
        {"group": 4, "pads": [1, 1, 1, 1]},
    ],
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_convolution(attributes, per_channel, tmp_path):
    make = ModelMaker((4, 6, 7), seed=1)
    x = make.quant("image", bits=8, frac=4)
    groups = attributes.get("group", 1)
    weight = make.weight((4, 4 // groups, 3, 3), per_channel=per_channel)
    y = make.node("Conv", [x, weight], kernel_shape=[3, 3], **attributes)
    path = make.save(make.quant(y, bits=6, frac=1), tmp_path / "model.onnx")

    assert_equals_reference(path, (4, 6, 7))


@pytest.mark.parametrize("frac", [7, 5, 4])
def test_convolution_with_a_bias_at_or_above_the_scale_of_its_accumulators(frac, tmp_path):
    make = ModelMaker((2, 4, 4))
    x = make.quant("image", bits=8, frac=4)
    bias = make.quant(make.constant(make.rng.normal(size=3)), bits=16, frac=frac)
    y = make.node("Conv", [x, make.weight((3, 2, 1, 1)), bias], kernel_shape=[1, 1])

    assert_equals_reference(make.save(y, tmp_path / "model.onnx"), (2, 4, 4))


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("narrow", [0, 1])
def test_relu_and_requantization(signed, narrow, tmp_path):
    make = ModelMaker((2, 3, 3))
    x = make.quant("image", bits=8, frac=4, narrow=narrow)
    y = make.node("Conv", [x, make.weight((3, 2, 1, 1))], kernel_shape=[1, 1])
    y = make.quant(make.node("Relu", [y]), bits=3, frac=1, signed=signed, narrow=narrow)

    assert_equals_reference(make.save(y, tmp_path / "model.onnx"), (2, 3, 3))


def test_residual_sum_of_two_formats_read_twice(tmp_path):
    make = ModelMaker((2, 5, 5))
    x = make.quant("image", bits=8, frac=4)
    y = make.node("Conv", [x, make.weight((2, 2, 3, 3))], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    y = make.quant(y, bits=5, frac=1)
    total = make.node("Add", [y, x])
    left = make.quant(make.node("Relu", [total]), bits=4, frac=0, signed=0)
    right = make.quant(total, bits=6, frac=3)

    assert_equals_reference(make.save(make.node("Add", [left, right]), tmp_path / "model.onnx"), (2, 5, 5))


def test_concatenation_of_two_formats(tmp_path):
    make = ModelMaker((2, 4, 4))
    x = make.quant("image", bits=8, frac=4)
    y = make.quant(make.node("Conv", [x, make.weight((3, 2, 1, 1))], kernel_shape=[1, 1]), bits=4, frac=1)
    z = make.node("Concat", [x, y], axis=1)
    z = make.node("Conv", [z, make.weight((2, 5, 3, 3))], kernel_shape=[3, 3])

    assert_equals_reference(make.save(z, tmp_path / "model.onnx"), (2, 4, 4))


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (1, 3), (4, 2), (5, 6)])
def test_average_pooling_is_exact_or_rounded_once(kernel, tmp_path):
    make = ModelMaker((3, 5, 6))
    x = make.quant("image", bits=8, frac=4)
    y = make.node("AveragePool", [x], kernel_shape=list(kernel), strides=[2, 1])
    path = make.save(make.quant(y, bits=6, frac=2), tmp_path / "model.onnx")

    assert_equals_reference(path, (3, 5, 6), images=30)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "ReduceMean"])
@pytest.mark.parametrize("side", [4, 3])
def test_global_average_pooling_then_dense(op, side, tmp_path):
    make = ModelMaker((3, side, side))
    x = make.quant("image", bits=8, frac=4)
    attributes = {"axes": [2, 3], "keepdims": 0} if op == "ReduceMean" else {}
    y = make.node(op, [x], **attributes)
    if op != "ReduceMean":
        y = make.node("Flatten", [y])
    y = make.quant(y, bits=8, frac=6)
    y = make.node("Gemm", [y, make.weight((5, 3))], transB=1)

    assert_equals_reference(make.save(y, tmp_path / "model.onnx"), (3, side, side))


def test_max_pooling_with_padding(tmp_path):
    make = ModelMaker((3, 5, 6))
    x = make.quant("image", bits=8, frac=4)
    y = make.node("MaxPool", [x], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])

    assert_equals_reference(make.save(y, tmp_path / "model.onnx"), (3, 5, 6))


@pytest.mark.parametrize("form", ["Gemm transB", "Gemm", "MatMul", "MatMul of a transposed", "MatMul + bias"])
@pytest.mark.parametrize("flatten", ["Flatten", "Reshape"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_dense_layer_on_a_frame(form, flatten, per_channel, tmp_path):
    make = ModelMaker((3, 2, 4))
    x = make.quant("image", bits=8, frac=4)
    flat = (
        make.node("Flatten", [x])
        if flatten == "Flatten"
        else make.node("Reshape", [x, make.shape_constant([1, -1])])
    )
    by_output = make.weight((5, 24), per_channel=per_channel)
    by_input = make.weight((24, 5), per_channel=per_channel, axis=1)
    bias = make.quant(make.constant(make.rng.normal(size=5)), bits=16, frac=5)
    match form:
        case "Gemm transB":
            y = make.node("Gemm", [flat, by_output, bias], transB=1)
        case "Gemm":
            y = make.node("Gemm", [flat, by_input])
        case "MatMul":
            y = make.node("MatMul", [flat, by_input])
        case "MatMul of a transposed":
            y = make.node("MatMul", [flat, make.node("Transpose", [by_output], perm=[1, 0])])
        case _:
            y = make.node("Add", [bias, make.node("MatMul", [flat, by_input])])

    assert_equals_reference(make.save(y, tmp_path / "model.onnx"), (3, 2, 4))


def test_the_layer_keeps_its_name_and_a_mean_over_2_to_the_k_pixels_needs_no_divisor(tmp_path):
    make = ModelMaker((1, 4, 4))
    x = make.quant("image", bits=8, frac=4)
    y = make.node(
        "Conv", [x, make.weight((2, 1, 1, 1))], kernel_shape=[1, 1], name="/stage1/stage1.0/conv1/Conv"
    )
    y = make.quant(
        make.node("Relu", [y]), signed=0, name="/stage1/stage1.0/relu/act_quant/export_handler/Quant"
    )
    y = make.node("GlobalAveragePool", [y], name="/pool/GlobalAveragePool")

    graph = optimize(lower(make.save(y, tmp_path / "model.onnx")))

    conv, pool = graph.ops[1:3]
    assert isinstance(conv, Conv2d)
    assert conv.name == "stage1_0_conv1"
    assert isinstance(pool, AvgPool)
    assert (pool.name, pool.requantize) == ("pool", None)


@pytest.mark.parametrize("hostile", ["int", "a/../../b", "for;{}", "1x", "", "naïve λ", "a" * 500])
def test_names_from_the_file_become_identifiers(hostile, tmp_path):
    make = ModelMaker((1, 2, 2))
    x = make.quant("image", bits=8, frac=4, name=hostile)
    weight = make.weight((1, 1, 1, 1))
    y = make.node("Conv", [x, weight], kernel_shape=[1, 1], name=hostile or None)
    y = make.node("Conv", [make.quant(y), weight], kernel_shape=[1, 1], name=hostile or None)

    graph = lower(make.save(y, tmp_path / "model.onnx"))

    assert all(op.name.isidentifier() and op.name.isascii() and len(op.name) <= 80 for op in graph.ops)
    assert len({op.name for op in graph.ops}) == len(graph.ops)
