"""What the lowering refuses, and how it says it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from qonnx_models import ModelMaker

from psp_hw.errors import ModelError
from psp_hw.lowering import lower


def small() -> tuple[ModelMaker, str]:
    make = ModelMaker((2, 4, 4))
    return make, make.quant("image", bits=8, frac=4)


def conv(make: ModelMaker, x: str, **attributes) -> str:
    return make.node("Conv", [x, make.weight((2, 2, 3, 3))], kernel_shape=[3, 3], name="layer", **attributes)


def refused(make: ModelMaker, output: str, path) -> str:
    with pytest.raises(ModelError) as caught:
        lower(make.save(output, path / "model.onnx"))
    return str(caught.value)


def test_an_unsupported_op_is_named_with_what_is_supported(tmp_path):
    make, x = small()
    message = refused(make, make.node("Sigmoid", [x], name="gate"), tmp_path)

    assert "node 'gate' (Sigmoid): the op Sigmoid is not supported" in message
    assert "Concat, Conv, Div" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "the scale 0.0 is outside 2**-100 .. 2**100"),
        ({"scale": -0.5}, "the scale -0.5 is outside"),
        ({"scale": float("nan")}, "the scale nan is outside"),
        ({"scale": 2.0**101}, "outside 2**-100 .. 2**100"),
        ({"scale": np.zeros((0,))}, "the scale is empty"),
        ({"zero": 0.5}, "the zero point [0.5] is not one integer"),
        ({"zero": np.array([1.0, 2.0])}, "the zero point [1.0, 2.0] is not one integer"),
        ({"bits": 1, "zero": 0.0, "signed": 0, "scale": -1.0}, "the scale -1.0 is outside"),
        ({"bits": 2.5}, "not one integer"),
        ({"bits": 0}, "outside 2 .. 32"),
        ({"bits": 64}, "outside 2 .. 32"),
        ({"mode": "HALF_UP"}, "rounding mode HALF_UP is not supported here"),
        ({"mode": "STOCHASTIC"}, "rounding mode STOCHASTIC is not supported here"),
        ({"scale": np.full((1, 3, 1, 1), 0.5)}, None),
        ({"scale": np.array([[[[0.5, 0.25]]]])}, "its scale does not vary along the channels"),
        ({"scale": np.full((2, 2, 1, 1), 0.5)}, "varies along several axes"),
    ],
)
def test_quantizers_that_make_no_sense_are_refused(options, message, tmp_path):
    make, x = small()
    message = message or "its scale does not vary along the channels"
    assert message in refused(make, make.quant(conv(make, x), **options), tmp_path)


def test_a_scale_that_cannot_be_computed_exactly_is_refused(tmp_path):
    make, x = small()
    y = make.quant(conv(make, x), bits=8, scale=0.3, name="act")
    z = make.node("Conv", [y, make.weight((2, 2, 3, 3))], kernel_shape=[3, 3], pads=[1] * 4, name="next")
    z = make.quant(z, bits=8, scale=0.17, name="behind")
    message = refused(make, make.node("Add", [y, z], name="sum"), tmp_path)
    assert "node 'sum' (Add)" in message
    assert "is no fixed-point number here" in message


def test_what_is_not_quantized_is_refused_by_name(tmp_path):
    make = ModelMaker((2, 4, 4))
    assert "the input image reaches it without a Quant node" in refused(make, conv(make, "image"), tmp_path)

    make, x = small()
    floats = make.constant(np.ones((2, 2, 1, 1)), "my_weight")
    y = make.node("Conv", [x, floats], kernel_shape=[1, 1], name="layer")
    assert "node 'layer' (Conv): its weight 'my_weight' has no Quant node" in refused(make, y, tmp_path)

    make, x = small()
    y = make.node("AveragePool", [x], kernel_shape=[3, 3], name="pool")
    y = make.node("Conv", [y, make.weight((1, 2, 1, 1))], kernel_shape=[1, 1])
    assert "a mean over 9 pixels reaches it without a Quant node" in refused(make, y, tmp_path)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"auto_pad": "MAGIC"}, "auto_pad MAGIC is not supported"),
        ({"strides": [1]}, "is not 2 integers"),
        ({"strides": [0, 1]}, "stride"),
        ({"strides": [-1, 1]}, "stride"),
        ({"pads": [-1, 0, 0, 0]}, "is negative"),
        ({"dilations": [0, 1]}, "below 1"),
        ({"dilations": [9, 9]}, "larger than the padded 4x4"),
        ({"group": 3}, "in 3 groups does not suit 2 input channels"),
        ({"group": 0}, "in 0 groups"),
    ],
)
def test_convolutions_that_make_no_sense_are_refused(attributes, message, tmp_path):
    make, x = small()
    text = refused(make, conv(make, x, **attributes), tmp_path)
    assert message in text
    assert "layer" in text


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    make, x = small()
    y = make.node("Gemm", [make.node("Flatten", [x]), make.weight((5, 31))], transB=1, name="classifier")
    assert "does not suit 32 features" in refused(make, y, tmp_path)

    make, x = small()
    assert "differ" in refused(make, make.node("Add", [x, conv(make, x)], name="sum"), tmp_path)


def test_a_node_that_reads_what_no_node_gives_is_refused(tmp_path):
    make, _ = small()
    assert "reads 'ghost', which no earlier node gives" in refused(
        make, make.node("Relu", ["ghost"]), tmp_path
    )


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07", b"\x00" * 1000])
def test_what_is_no_onnx_file_is_refused(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx: no ONNX"):
        lower(path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(share, tmp_path):
    make, x = small()
    path = make.save(conv(make, x), tmp_path / "model.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError):
        lower(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        lower(tmp_path / "nowhere.onnx")


def declared(tensor: onnx.TensorProto, path):
    make, x = small()
    make.initializers.append(tensor)
    y = make.node("Conv", [x, make.quant(tensor.name)], kernel_shape=[1, 1], name="layer")
    return refused(make, y, path)


def test_gigabytes_declared_in_a_few_bytes_are_refused(tmp_path):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=b"\0\0\0\0")
    assert "declares 1099511627776 elements" in declared(tensor, tmp_path)


def test_a_tensor_whose_data_is_shorter_than_its_shape_is_refused(tmp_path):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2, 1, 1], raw_data=b"\0\0\0\0")
    assert "its data does not match its shape" in declared(tensor, tmp_path)


def test_external_data_is_refused(tmp_path):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2, 1, 1])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    assert "its data lies in another file" in declared(tensor, tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    make, x = small()
    weight = make.quant(make.constant(np.full((2, 2, 1, 1), np.inf)))
    assert "not a finite number" in refused(
        make, make.node("Conv", [x, weight], kernel_shape=[1, 1]), tmp_path
    )


def test_weights_far_outside_their_quant_range_are_refused(tmp_path):
    make, x = small()
    weight = make.quant(make.constant(np.full((2, 2, 1, 1), 700.0)), bits=4, frac=2, name="weight.quant")
    message = refused(make, make.node("Conv", [x, weight], kernel_shape=[1, 1]), tmp_path)

    assert (
        "node 'weight.quant' (Quant): the constant 700 lies far outside its Quant range, -8 .. 7 steps"
        in message
    )


@pytest.mark.parametrize(
    ("bits", "outside", "legal"), [(4, 2, True), (4, 3, False), (3, 3, False), (2, 3, True)]
)
def test_a_scale_that_leaves_most_of_a_weight_outside_is_refused(tmp_path, bits, outside, legal):
    make, x = small()
    values = np.array([3.0] * outside + [0.25] * (4 - outside))  # the range ends at 0.5 to 1.75
    weight = make.quant(make.constant(values.reshape(2, 2, 1, 1)), bits=bits, frac=2, name="weight.quant")
    output = make.node("Conv", [x, weight], kernel_shape=[1, 1])

    if legal:
        lower(make.save(output, tmp_path / "model.onnx"))
    else:
        assert f"node 'weight.quant' (Quant): {outside} of 4 weights lie outside its Quant range" in refused(
            make, output, tmp_path
        )


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        ("Mul", ["x", "x"], "the product of two feature maps is not supported"),
        ("Sub", ["x", "x"], "the difference of two feature maps is not supported"),
        ("Div", ["x", "zero"], "it divides by 0"),
        ("Mul", ["x", "nan"], "a constant is not a finite number"),
        ("Mul", ["x", "rows"], "does not hold one number per channel of 2"),
        ("Mul", ["x"], "1 inputs instead of 2"),
        ("Transpose", ["x"], "perm=None of a feature map of axes NCHW is not supported"),
        ("Reshape", ["x", "x"], "its shape is not constant"),
        ("Squeeze", ["x"], "only height and width of one pixel can be squeezed"),
        ("Unsqueeze", ["x"], "only features can be unsqueezed"),
        ("BatchNormalization", ["x", "one"], "2 inputs instead of 5"),
        ("BatchNormalization", ["x", "one", "one", "one", "minus"], "a variance of -1 is not positive"),
        ("Clip", ["x", "one", "minus"], "its bounds 1 .. -1 are empty"),
        ("Pad", ["x", "one"], "its pads are not two constants for each of 4 axes"),
        ("Shape", ["x"], "run qonnx-cleanup on the model first"),
        (
            "Softmax",
            ["x"],
            "the op Softmax is not supported (end the model with its logits: the largest is the same)",
        ),
        ("BipolarQuant", ["x"], "its scale must be a constant"),
        ("Trunc", ["x", "one"], "its parameters must be single constants"),
        ("MultiThreshold", ["x", "one"], "not a constant of shape [channels, levels]"),
    ],
)
def test_nodes_that_make_no_sense_are_refused_by_name(op, inputs, message, tmp_path):
    make, x = small()
    numbers = {"one": 1.0, "minus": -1.0, "zero": 0.0, "nan": float("nan"), "rows": np.ones((1, 1, 4, 1))}
    names = {"x": x, **{name: make.constant(value) for name, value in numbers.items()}}

    text = refused(make, make.node(op, [names[name] for name in inputs], name="odd"), tmp_path)

    assert f"node 'odd' ({op}): " in text
    assert message in text


def test_a_dynamic_frame_is_refused(tmp_path):
    make, x = small()
    model = make.model(conv(make, x))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 2, "h", "w"]))
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match="height or width are not fixed"):
        lower(tmp_path / "model.onnx")
