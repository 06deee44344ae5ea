"""From a QONNX file with batch norms, odd scales, thresholds and bipolar numbers to C++ compiled by g++: qonnx's own outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hls_batch import random_plan, run_batch, write_design
from qonnx_models import QUANT_DOMAIN, ModelMaker, outputs, reference

from psp_hw.backends.base import Target
from psp_hw.ir.graph import Graph
from psp_hw.lowering import lower
from psp_hw.passes import optimize
from psp_hw.sim.values import Simulator, encode

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SHAPE = (3, 6, 6)
FRAMES = 6


def network(seed: int, path: Path) -> Path:
    """Batch norm to 8 bits, residual sum, batch norm to 3 bits, bipolar branch, concatenation, dense layer."""
    make = ModelMaker(SHAPE, seed=seed)
    rng = make.rng

    def norm(x: str, channels: int) -> str:
        parameters = [rng.normal(size=channels), rng.normal(size=channels), rng.normal(size=channels)]
        inputs = [make.constant(v) for v in (*parameters, rng.uniform(0.3, 2, size=channels))]
        return make.node("BatchNormalization", [x, *inputs])

    def conv(x: str, inputs: int, outputs: int) -> str:
        scales = rng.uniform(0.06, 0.2, size=(outputs, 1, 1, 1))
        weight = make.quant(
            make.constant(rng.normal(size=(outputs, inputs, 3, 3)) * 0.4), bits=4, scale=scales
        )
        return make.node("Conv", [x, weight], kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    x = make.quant("image", bits=8, scale=0.043)
    a = make.quant(make.node("Relu", [norm(conv(x, 3, 4), 4)]), bits=8, frac=5, signed=0)
    b = make.quant(norm(conv(a, 4, 4), 4), bits=6, frac=3)
    c = make.quant(make.node("Relu", [norm(make.node("Add", [a, b]), 4)]), bits=3, scale=0.31, signed=0)
    d = make.node("BipolarQuant", [norm(conv(c, 4, 2), 2), make.constant(0.31)], domain=QUANT_DOMAIN)
    e = make.node("MaxPool", [make.node("Concat", [c, d], axis=1)], kernel_shape=[3, 3], strides=[3, 3])
    weight = make.quant(make.constant(rng.normal(size=(5, 24)) * 0.4), bits=4, frac=3)
    y = make.node("Gemm", [make.node("Flatten", [e]), weight], transB=1)
    # The scale is far from ties, which float32 breaks as it likes.
    return make.save(make.quant(y, bits=8, scale=0.173), path)


def with_means(seed: int, path: Path) -> Path:
    """Means over 9 pixels, padded and not, and over 6: divisions inside a convolution, a pooling and on their own."""
    make = ModelMaker(SHAPE, seed=seed)
    x = make.quant("image", bits=8, frac=5)
    a = make.node("AveragePool", [x], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    a = make.quant(a, bits=8, frac=6)
    b = make.quant(make.node("AveragePool", [a], kernel_shape=[3, 2], strides=[1, 2]), bits=6, frac=4)
    y = make.node(
        "Mul", [make.node("Conv", [b, make.weight((4, 3, 3, 3))], kernel_shape=[3, 3]), make.constant(0.75)]
    )
    y = make.quant(y, bits=8, frac=2)
    return make.save(make.quant(make.node("Div", [y, make.constant(3.0)]), bits=8, frac=4), path)


@pytest.mark.parametrize("network", [network, with_means])
def test_compiled_designs_of_qonnx_files_equal_qonnx(network, tmp_path):
    rng = np.random.default_rng(0)
    folders = []
    for seed in range(3):
        path = network(seed, tmp_path / f"model{seed}.onnx")
        graph = optimize(lower(path))
        graph = Graph(f"made{seed}", graph.ops, graph.constants)  # one program runs them all
        images = rng.normal(size=(FRAMES, *SHAPE)).astype(np.float32)
        codes = encode(images, graph.input.type, graph.input.unit)
        result = Simulator(graph).run(codes)
        expected = reference(path, images)
        assert np.array_equal(expected, outputs(graph, images).astype(np.float32).reshape(expected.shape))
        folders.append(tmp_path / f"design{seed}")
        plan = random_plan(graph, np.random.default_rng(seed))
        write_design(folders[-1], graph, plan, codes, result, Target.VITIS if seed % 2 else Target.VIVADO)

    said = run_batch(folders, tmp_path / "build", "-O0", "-DPSP_EXACT_WIDTHS")

    assert len(folders) == said.count(f"frames compared: {FRAMES}, mismatches: 0\n")
