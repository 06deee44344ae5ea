"""Forms that files seldom have, against qonnx's executor or refused: shapes broadcast, layouts named, zeros that stay zeros."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from qonnx_models import QUANT_DOMAIN, ModelMaker, assert_equals_reference

from psp_hw.errors import ModelError
from psp_hw.ir.ops import AvgPool, Conv2d
from psp_hw.lowering import lower

pytestmark = pytest.mark.filterwarnings("ignore")  # qonnx and onnxruntime warn about themselves

SHAPE = (3, 5, 6)


def begin(shape: tuple[int, int, int] = SHAPE) -> tuple[ModelMaker, str]:
    make = ModelMaker(shape)
    return make, make.quant("image", bits=8, frac=4)


def weight_scaled_by(make: ModelMaker, weight: tuple[int, ...], scales: tuple[int, ...], bits: int) -> str:
    exponents = (np.arange(np.prod(scales)) % 4 + 1).reshape(scales)
    floats = make.constant(make.rng.normal(size=weight))
    if bits == 1:
        return make.node("BipolarQuant", [floats, make.constant(2.0**-exponents)], domain=QUANT_DOMAIN)
    return make.quant(floats, bits=bits, frac=exponents, narrow=1)


@pytest.mark.parametrize("bits", [1, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_scale_of_fewer_axes_varies_along_the_last_ones_of_the_weight(bits, transposed, tmp_path):
    make, x = begin((4, 1, 1))
    weight = weight_scaled_by(make, (4, 4), (4,), bits)
    y = make.node("Gemm", [make.node("Flatten", [x]), weight], transB=int(transposed))
    path = make.save(y, tmp_path / "model.onnx")

    if transposed:  # of [outputs, inputs] the last are the inputs
        with pytest.raises(ModelError, match="its scale does not vary along the output channels"):
            lower(path)
        return
    assert_equals_reference(path, (4, 1, 1))


@pytest.mark.parametrize("scales", [(3, 1, 1), (1, 3, 1, 1)])
def test_a_scale_along_the_input_channels_is_not_taken_for_one_along_the_output_channels(scales, tmp_path):
    make, x = begin()
    y = make.node("Conv", [x, weight_scaled_by(make, (3, 3, 3, 3), scales, 4)], kernel_shape=[3, 3])
    with pytest.raises(ModelError, match="its scale does not vary along the output channels"):
        lower(make.save(y, tmp_path / "model.onnx"))


def test_a_scale_of_more_axes_than_its_weight_is_refused(tmp_path):
    make, x = begin((4, 1, 1))
    weight = weight_scaled_by(make, (4, 4), (4, 1, 1), 4)
    message = r"4 scales along axis 0 of 3 do not suit a constant of shape \(4, 4\)"
    with pytest.raises(ModelError, match=message):
        lower(make.save(make.node("Gemm", [make.node("Flatten", [x]), weight]), tmp_path / "model.onnx"))


@pytest.mark.parametrize("layout", ["", "NCHW", "NHWC"])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_thresholds_read_the_axis_that_they_name(layout, rows, channels_last, tmp_path):
    make, x = begin((3, 4, 3))
    levels = np.sort(np.round(make.rng.normal(size=(rows, 5)) * 32) / 16, axis=1)
    x = make.node("Transpose", [x], perm=[0, 2, 3, 1]) if channels_last else x
    attributes = {"data_layout": layout} if layout else {}
    y = make.node(
        "MultiThreshold",
        [x, make.constant(levels)],
        domain=QUANT_DOMAIN,
        out_dtype="UINT4",
        **attributes,
    )
    y = make.node("Transpose", [y], perm=[0, 3, 1, 2]) if channels_last else y
    path = make.save(y, tmp_path / "model.onnx")

    if rows > 1 and (layout == "NHWC") != channels_last:
        with pytest.raises(ModelError, match="its data layout is not that of its input"):
            lower(path)
        return
    assert_equals_reference(path, (3, 4, 3))


@pytest.mark.parametrize(("zero", "legal"), [(7, True), (8, False), (-8, True), (-9, False)])
def test_zeros_of_a_pad_node_stay_zeros_or_are_refused(zero, legal, tmp_path):
    make, x = begin()
    y = make.quant(make.node("Pad", [x, make.shape_constant([0, 0, 1, 1, 0, 0, 1, 1])]), bits=4, zero=zero)
    y = make.node("Conv", [y, make.weight((2, 3, 3, 3))], kernel_shape=[3, 3])
    path = make.save(y, tmp_path / "model.onnx")

    if legal:
        assert_equals_reference(path, SHAPE)
        return
    with pytest.raises(ModelError, match=f"its zero point {zero} is no code of its own"):
        lower(path)


def test_a_maximum_with_zeros_of_a_pad_node_over_negative_values_is_refused(tmp_path):
    make, x = begin()
    y = make.node("Pad", [x, make.shape_constant([0, 0, 1, 1, 0, 0, 1, 1])])
    with pytest.raises(
        ModelError, match="with the zeros of a Pad node is supported for positive values only"
    ):
        lower(make.save(make.node("MaxPool", [y], kernel_shape=[2, 2]), tmp_path / "model.onnx"))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pooling_with_gaps_is_refused(op, tmp_path):
    make, x = begin()
    model = make.model(make.node(op, [x], kernel_shape=[2, 2], dilations=[2, 2]))
    model.opset_import[0].version = 19  # the first in which a mean may have gaps
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match="dilated pooling is not supported"):
        lower(tmp_path / "model.onnx")


@pytest.mark.parametrize("wanted", [[1, 4, 1, 1], [1, 1, 1, 4], [0, -1, 1, 1], [-1, 4, 1, 1]])
def test_features_as_a_frame_of_one_pixel(wanted, tmp_path):
    make, x = begin((4, 1, 1))
    y = make.node("Reshape", [make.node("Flatten", [x]), make.shape_constant(wanted)])
    y = make.node("Transpose", [y], perm=[0, 3, 1, 2]) if wanted[3] == 4 else y
    y = make.node("Conv", [y, make.weight((2, 4, 3, 3))], kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    assert_equals_reference(make.save(y, tmp_path / "model.onnx"), (4, 1, 1))


@pytest.mark.parametrize("wanted", [[1, 1, 4, 1], [4, 1, 1, 1], [2, 2, 1, 1], [2, -1], [4, 1]])
def test_a_reshape_that_makes_pixels_or_images_of_channels_is_refused(wanted, tmp_path):
    make, x = begin((4, 1, 1))
    y = make.node("Reshape", [x, make.shape_constant(wanted)])
    with pytest.raises(ModelError, match=r"reshape to"):
        lower(make.save(make.quant(y), tmp_path / "model.onnx"))


def test_layers_may_have_the_names_of_forks(tmp_path: Path):
    make, x = begin()
    for name in ("conv_fork", "conv", "conv"):
        y = make.node("Conv", [x, make.weight((3, 3, 1, 1))], kernel_shape=[1, 1], name=name)
        x = make.node("Add", [make.quant(y, bits=6), x])
        x = make.quant(x, bits=6)

    assert_equals_reference(make.save(x, tmp_path / "model.onnx"), SHAPE)


@pytest.mark.parametrize("factor", [1.0, 2.0, 0.125])
def test_a_mean_over_a_power_of_two_that_is_divided_again(factor, tmp_path):
    make, x = begin((2, 4, 4))
    y = make.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    y = make.node("Div", [make.node("Mul", [y, make.constant(factor)]), make.constant(3.0)])
    graph = assert_equals_reference(
        make.save(make.quant(y, bits=6, frac=3), tmp_path / "model.onnx"), (2, 4, 4)
    )

    assert [type(op) for op in graph.ops[1:-1]] == [AvgPool]


@pytest.mark.parametrize("scales", [3, 12])
def test_a_scale_per_channel_or_feature_of_a_flattened_frame_is_refused(scales, tmp_path):
    make, x = begin((3, 2, 2))
    y = make.quant(make.node("Flatten", [x]), bits=4, frac=np.arange(scales) % 3)
    with pytest.raises(ModelError, match="its scale does not vary along the channels"):
        lower(make.save(y, tmp_path / "model.onnx"))


@pytest.mark.parametrize(
    ("pads", "axes"),
    [
        ([1, 2, 0, 1], [2, 3]),
        ([2, 1, 1, 0], [-1, -2]),
        ([0, 0, 1, 2, 0, 0, 3, 0], [0, 1, 3, 2]),
        ([1, 2], [3]),
    ],
)
def test_a_pad_node_may_name_its_axes(pads, axes, tmp_path):
    make, x = begin()
    y = make.node("Pad", [x, make.shape_constant(pads), "", make.shape_constant(axes)])
    model = make.model(make.node("Conv", [y, make.weight((2, 3, 3, 3))], kernel_shape=[3, 3]))
    model.opset_import[0].version = 18  # the first that has axes
    onnx.save(model, str(tmp_path / "model.onnx"))

    assert_equals_reference(tmp_path / "model.onnx", SHAPE)


@pytest.mark.parametrize("axes", [[2], [2, 3, 1], []])
def test_a_pad_node_whose_axes_do_not_suit_its_pads_is_refused(axes, tmp_path):
    make, x = begin()
    y = make.node("Pad", [x, make.shape_constant([1, 1, 1, 1]), "", make.shape_constant(axes)])
    y = make.node("Conv", [y, make.weight((2, 3, 3, 3))], kernel_shape=[3, 3])
    with pytest.raises(ModelError, match="its pads are not two constants for each of 4 axes"):
        lower(make.save(y, tmp_path / "model.onnx"))


@pytest.mark.parametrize("factor", [1.0, -0.5])
@pytest.mark.parametrize("finer", [2.0**-9, 2.0**-8 + 2.0**-10, 1 / 3])
def test_a_bias_on_the_grid_and_an_offset_between_its_steps_meet_in_the_convolution(factor, finer, tmp_path):
    """The accumulators get a bit for the offset; the bias that is there already moves up with them."""
    make, x = begin()
    weight = make.quant(make.constant(make.rng.normal(size=(4, 3, 1, 1)) * 0.5), bits=4, frac=3)
    bias = make.constant(np.array([1.0, -0.5, 0.25, 3.0]))  # multiples of 2**-7, the grid of the accumulators
    y = make.node("Conv", [x, weight, bias], kernel_shape=[1, 1])
    y = make.node("Mul", [make.node("Add", [y, make.constant(finer)]), make.constant(factor)])
    graph = assert_equals_reference(make.save(make.quant(y, bits=5, frac=1), tmp_path / "model.onnx"), SHAPE)

    assert [Conv2d] == [type(op) for op in graph.ops[1:-1]]
