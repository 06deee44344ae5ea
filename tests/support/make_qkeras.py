"""How the files in tests/support/qkeras were made: networks of QKeras through qonnx's converter, with what Keras computes.

Needs an environment of its own (Python 3.11): tensorflow-cpu 2.15.1, qkeras 0.9.0, tensorflow-model-optimization 0.7.5, tf2onnx 1.16.1,
onnx 1.16.2, qonnx 0.4.0 (the last with a converter), numpy 1.26, pyparsing below 3.2, pyparser.

    python tests/support/make_qkeras.py tests/support/qkeras

The converter writes no Quant node for a ``QActivation`` of ``quantized_bits`` (it takes it for a linear activation), neither at the input
nor elsewhere; it refuses ``alpha`` other than 1 and ``QDepthwiseConv2D``. So activations here are ``quantized_relu``, and the images lie on
the grid of s8.5.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx.optimizer  # qonnx's converter expects it to be there
from qkeras import QActivation, QConv2D, QDense, binary, quantized_bits, quantized_relu, ternary
from qonnx.converters import from_keras
from tensorflow.keras import layers
from tensorflow.keras.models import Model

IMAGES = 16


def bits(width: int, integer: int = 0) -> quantized_bits:
    return quantized_bits(width, integer, alpha=1)


def conv_net() -> Model:
    """Convolutions, batch normalization, pooling; weights of 6 and 4 bits."""
    x = image = layers.Input((8, 8, 3))
    x = QConv2D(8, 3, padding="same", kernel_quantizer=bits(6), bias_quantizer=bits(8, 2))(x)
    x = QActivation(quantized_relu(6, 2))(x)
    x = layers.MaxPooling2D(2)(x)
    x = QConv2D(8, 3, kernel_quantizer=bits(4), use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = QActivation(quantized_relu(4, 1))(x)
    x = layers.Flatten()(x)
    x = QDense(5, kernel_quantizer=bits(6), bias_quantizer=bits(6))(x)
    return Model(image, x)


def dense_net() -> Model:
    """Dense layers, the second of signs."""
    x = image = layers.Input((16,))
    x = QDense(12, kernel_quantizer=bits(6), bias_quantizer=bits(6))(x)
    x = QActivation(quantized_relu(6, 2))(x)
    x = QDense(5, kernel_quantizer=binary(alpha=1), use_bias=False)(x)
    return Model(image, x)


def signs_net() -> Model:
    """A stride over signs, a pointwise convolution of -1, 0, 1, a mean."""
    x = image = layers.Input((8, 8, 3))
    x = QConv2D(6, 3, strides=2, padding="same", kernel_quantizer=binary(alpha=1), bias_quantizer=bits(6))(x)
    x = QActivation(quantized_relu(6, 3))(x)
    x = QConv2D(4, 1, kernel_quantizer=ternary(alpha=1, threshold=0.5), bias_quantizer=bits(6))(x)
    x = QActivation(quantized_relu(6, 3))(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    x = QDense(5, kernel_quantizer=bits(6), bias_quantizer=bits(6))(x)
    return Model(image, x)


def residual_net() -> Model:
    """A branch around a convolution, a global mean."""
    x = image = layers.Input((8, 8, 3))
    x = QConv2D(6, 3, padding="same", kernel_quantizer=bits(6), bias_quantizer=bits(8, 2))(x)
    a = QActivation(quantized_relu(6, 2))(x)
    x = QConv2D(6, 3, padding="same", kernel_quantizer=bits(6), bias_quantizer=bits(8, 2))(a)
    x = QActivation(quantized_relu(6, 2))(x)
    x = layers.Add()([x, a])
    x = QActivation(quantized_relu(6, 3))(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = QDense(5, kernel_quantizer=bits(6), bias_quantizer=bits(6))(x)
    return Model(image, x)


def main(folder: Path) -> None:
    assert tf2onnx.optimizer
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    for make in (conv_net, dense_net, signs_net, residual_net):
        tf.keras.utils.set_random_seed(1)
        model = make()
        for weight in model.weights:
            if "moving_variance" in weight.name or "gamma" in weight.name:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            elif any(word in weight.name for word in ("bias", "beta", "moving_mean")):
                weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
        written, _ = from_keras(model, make.__name__, opset=13)
        onnx.save(written, folder / f"{make.__name__}.onnx")
        images = (rng.integers(-128, 128, (IMAGES, *model.input_shape[1:])) / 32).astype(np.float32)
        outputs = model.predict(images, verbose=0)
        np.savez_compressed(folder / f"{make.__name__}.npz", images=images, outputs=outputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
