"""What lies over the codes (batch norm, constants, biases, odd scales, zero points) against qonnx's executor: no tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from qonnx_models import ModelMaker, assert_equals_reference

from psp_hw.ir.ops import Affine, Conv2d, MaxPool, Threshold
from psp_hw.lowering import Options, Outcome, lower_file

pytestmark = pytest.mark.filterwarnings("ignore")  # qonnx and onnxruntime warn about themselves

SHAPE = (3, 5, 6)


def begin(seed: int = 0) -> tuple[ModelMaker, str]:
    make = ModelMaker(SHAPE, seed=seed)
    return make, make.quant("image", bits=8, frac=4)


def conv(make: ModelMaker, x: str, *, outputs: int = 4, inputs: int = 3, **attributes) -> str:
    weight = make.weight((outputs, inputs, 3, 3), per_channel=True)
    return make.node("Conv", [x, weight], kernel_shape=[3, 3], pads=[1, 1, 1, 1], **attributes)


def batch_norm(make: ModelMaker, x: str, factor: np.ndarray, offset: np.ndarray) -> str:
    """A batch norm that is ``x * factor + offset`` without rounding: variance + epsilon is a square of a power of two."""
    ones = np.ones(len(factor))
    inputs = [make.constant(v) for v in (factor, offset, 0 * ones, ones * 0.75)]
    return make.node("BatchNormalization", [x, *inputs], epsilon=0.25)


def kinds(graph, kind: type) -> int:
    return sum(isinstance(op, kind) for op in graph.ops)


@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm_of_powers_of_two_goes_into_the_convolution(relu, tmp_path):
    make, x = begin()
    y = batch_norm(make, conv(make, x), np.array([0.5, -2.0, 1.0, 0.25]), np.array([0.3, -1.7, 0.0, 2.5]))
    y = make.node("Relu", [y]) if relu else y
    path = make.save(make.quant(y, bits=6, frac=2, signed=not relu), tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert [type(op) for op in graph.ops[1:-1]] == [Conv2d]


@pytest.mark.parametrize("bits", [3, 8])
def test_batch_norm_of_few_bits_is_an_affine_map(bits, tmp_path):
    make, x = begin()
    factors = np.array([0.75, -1.25, 1.5, 0.3125])
    y = batch_norm(make, conv(make, x), factors, np.array([0.5, -1.75, 0.0, 2.5]))
    path = make.save(make.quant(make.node("Relu", [y]), bits=bits, frac=1, signed=0), tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert kinds(graph, Affine) == 1


def test_batch_norm_before_a_convolution_on_concatenated_features(tmp_path):
    make, x = begin()
    y = make.quant(conv(make, x), bits=5, frac=1)
    z = make.node("Concat", [x, y], axis=1)
    rng = np.random.default_rng(3)
    z = batch_norm(make, z, rng.integers(-15, 16, size=7) / 8, rng.integers(-9, 9, size=7) / 4)
    z = make.quant(make.node("Relu", [z]), bits=4, frac=1, signed=0)
    path = make.save(conv(make, z, inputs=7), tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert kinds(graph, Affine) == 1


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("seed", range(4))
def test_a_trained_batch_norm_is_exact_by_thresholds_or_a_proven_multiplier(bits, seed, tmp_path):
    make, x = begin(seed)
    y = conv(make, x)
    gamma, beta, mean = (make.rng.normal(size=4) for _ in range(3))
    inputs = [make.constant(v) for v in (gamma, beta, mean, make.rng.uniform(0.2, 3, size=4))]
    y = make.node("Relu", [make.node("BatchNormalization", [y, *inputs])])
    path = make.save(make.quant(y, bits=bits, frac=bits - 2, signed=0), tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert kinds(graph, Threshold if bits <= 4 else Affine) == 1
    assert lower_file(path).exact


@pytest.mark.parametrize("bits", [1, 3, 4, 6, 8])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_scales_that_are_no_powers_of_two(bits, per_channel, relu, tmp_path):
    make = ModelMaker(SHAPE, seed=bits)
    x = make.quant("image", bits=8, scale=0.0371)
    scales = make.rng.uniform(0.05, 0.2, size=(4, 1, 1, 1)) if per_channel else 0.11
    weight = make.quant(
        make.constant(make.rng.normal(size=(4, 3, 3, 3)) * 0.5), bits=4, scale=scales, narrow=1
    )
    y = make.node("Conv", [x, weight, make.constant(make.rng.normal(size=4))], kernel_shape=[3, 3])
    y = make.node("Relu", [y]) if relu else y
    signed = int(not relu and bits > 1)
    y = make.quant(y, bits=bits, scale=7.3 / 2**bits, signed=signed)
    y = make.node("MaxPool", [y], kernel_shape=[2, 2])
    path = make.save(y, tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE, images=8)


@pytest.mark.parametrize("op", ["Mul", "Div", "Add", "Sub", "Sub from"])
@pytest.mark.parametrize("shape", [(), (1,), (4, 1, 1), (1, 4, 1, 1)])
@pytest.mark.parametrize("bits", [4, 8])
def test_arithmetic_with_constants(op, shape, bits, tmp_path):
    make, x = begin()
    y = conv(make, x)
    values = make.rng.integers(1, 8, size=shape) / (8 if op != "Div" else 1)
    if op == "Div":
        values = 2.0 ** np.round(np.log2(values))
    constant = make.constant(values)
    inputs = [constant, y] if op == "Sub from" else [y, constant]
    y = make.node(op.split()[0], inputs)
    path = make.save(make.quant(y, bits=bits, frac=1), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


def test_powers_of_two_cost_nothing(tmp_path):
    make, x = begin()
    y = make.node("Mul", [conv(make, x), make.constant(0.25)])
    path = make.save(make.quant(y, bits=4, frac=2), tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert [type(op) for op in graph.ops[1:-1]] == [Conv2d]


@pytest.mark.parametrize("frac", [-2, 1, 4, 9])
@pytest.mark.parametrize("kind", ["conv", "gemm"])
def test_biases_without_a_quantizer(frac, kind, tmp_path):
    make, x = begin()
    bias = make.constant(make.rng.normal(size=4))
    if kind == "conv":
        weight = make.weight((4, 3, 3, 3))
        y = make.node("Conv", [x, weight, bias], kernel_shape=[3, 3])
    else:
        y = make.node("Gemm", [make.node("Flatten", [x]), make.weight((4, 90)), bias], transB=1)
    path = make.save(make.quant(y, bits=8, frac=frac), tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert kinds(graph, Affine) == (0 if frac < 7 else 1)


def test_a_bias_finer_than_the_accumulators_at_the_output(tmp_path):
    make, x = begin()
    bias = make.constant(np.array([0.00390625, 1.5, -0.0009765625, 0.0]))
    y = make.node("Conv", [x, make.weight((4, 3, 1, 1)), bias], kernel_shape=[1, 1])

    assert_equals_reference(make.save(y, tmp_path / "model.onnx"), SHAPE)


@pytest.mark.parametrize("zero", [3.0, -5.0])
@pytest.mark.parametrize("bits", [4, 8])
def test_zero_points(zero, bits, tmp_path):
    make, x = begin()
    y = make.quant(conv(make, x), bits=bits, frac=1, zero=zero, signed=int(zero < 0))
    z = conv(make, y, inputs=4)  # its padding is a zero of the model, not the code 0
    path = make.save(make.quant(z, bits=6, frac=0), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


@pytest.mark.parametrize("mode", ["FLOOR", "CEIL", "floor"])
@pytest.mark.parametrize("bits", [3, 8])
def test_rounding_down_and_up(mode, bits, tmp_path):
    make, x = begin()
    path = make.save(make.quant(conv(make, x), bits=bits, frac=1, mode=mode), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


@pytest.mark.parametrize("mode", ["DOWN", "UP", "HALF_UP", "HALF_DOWN"])
def test_roundings_that_depend_on_the_sign_behind_a_relu(mode, tmp_path):
    make, x = begin()
    y = make.node("Relu", [make.node("Mul", [conv(make, x), make.constant(0.75)])])
    path = make.save(make.quant(y, bits=8, frac=1, mode=mode, signed=0), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


def test_an_activation_with_a_scale_per_channel(tmp_path):
    make, x = begin()
    y = make.quant(conv(make, x), bits=6, frac=np.array([0, 2, 1, 3]).reshape(1, 4, 1, 1))
    path = make.save(make.quant(conv(make, y, inputs=4), bits=8, frac=1), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


def test_clip_gives_the_bounds_of_the_quantizer(tmp_path):
    make, x = begin()
    y = make.node("Clip", [conv(make, x), make.constant(-0.7), make.constant(1.3)])
    path = make.save(make.quant(y, bits=8, frac=3), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


def test_max_pooling_before_the_quantizer_of_a_batch_norm(tmp_path):
    make, x = begin()
    y = batch_norm(make, conv(make, x), np.array([0.75, 1.25, 1.5, 0.3125]), np.array([0.5, -1.75, 0.0, 2.5]))
    y = make.node("MaxPool", [make.node("Relu", [y])], kernel_shape=[2, 2], strides=[2, 2])
    path = make.save(make.quant(y, bits=8, frac=2, signed=0), tmp_path / "model.onnx")

    graph = assert_equals_reference(path, SHAPE)

    assert kinds(graph, MaxPool) == 1


def test_a_value_that_is_read_twice_keeps_its_codes(tmp_path):
    make, x = begin()
    y = make.node("Add", [conv(make, x), make.constant(0.3)])
    left = make.quant(make.node("Mul", [y, make.constant(0.5)]), bits=6, frac=1)
    right = make.quant(y, bits=6, frac=2)
    path = make.save(make.node("Add", [left, right]), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


def test_a_sum_of_maps_of_one_factor(tmp_path):
    make = ModelMaker(SHAPE)
    x = make.quant("image", bits=6, scale=0.3)
    weight = make.quant(make.constant(make.rng.normal(size=(3, 3, 3, 3)) * 0.3), bits=4, scale=0.11)
    y = make.node("Conv", [x, weight], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    # At such a scale ties do not occur: float32 breaks them as it likes.
    y = make.quant(y, bits=6, scale=0.3)
    path = make.save(make.quant(make.node("Add", [x, y]), bits=4, scale=0.9), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


def test_a_sum_of_maps_of_unlike_factors_is_rounded_and_says_so(tmp_path):
    make = ModelMaker(SHAPE)
    x = make.quant("image", bits=6, scale=0.3)
    y = make.quant(conv(make, x, outputs=3), bits=6, scale=0.7)
    total = make.node("Add", [x, y], name="sum")
    path = make.save(make.quant(total, bits=8, scale=0.11), tmp_path / "model.onnx")

    lowered = lower_file(path, Options(exact=False))

    assert not lowered.exact
    said = [r for r in lowered.remarks if r.outcome is Outcome.ROUNDED]
    assert said[0].node.name == "sum"
    assert "multipliers of 18 bits, off by at most" in said[0].text


def test_filters_of_zeros_may_have_the_smallest_scale_that_there_is(tmp_path):
    make, x = begin()  # as Brevitas exports them
    floats = make.rng.normal(size=(4, 3, 3, 3))
    floats[[0, 2]] = 0
    scales = np.array([7.874016109271631e-13, 0.125, 2.0**-90, 0.0625]).reshape(4, 1, 1, 1)
    weight = make.quant(make.constant(floats), bits=8, scale=scales, narrow=1)
    y = make.node("Conv", [x, weight, make.constant([0.3, 0.5, -2.0, 1.0])], kernel_shape=[3, 3])
    path = make.save(make.quant(y, bits=8, frac=3), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)


@pytest.mark.parametrize("signed", [0, 1])
def test_a_relu_before_the_quantizer_of_the_image(signed, tmp_path):
    make = ModelMaker(SHAPE)
    x = make.quant(make.node("Relu", ["image"]), bits=6, frac=3, signed=signed)
    path = make.save(conv(make, x), tmp_path / "model.onnx")

    assert_equals_reference(path, SHAPE)
