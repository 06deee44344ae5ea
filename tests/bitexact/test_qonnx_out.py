"""The model.onnx of a run in other people's hands: qonnx's executor, its clean-up, its layouts, stock hls4ml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from psp_hw.data.registry import load
from psp_hw.data.split import Preprocessing

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

IMAGES = 12


@pytest.fixture(scope="module")
def images(digits_run: Path) -> np.ndarray:
    steps = Preprocessing.read(digits_run / "input.npz")
    return load("digits", None, "test", preprocessing=steps).images[:IMAGES].astype(np.float32)


@pytest.fixture(scope="module")
def expected(digits_run: Path, images: np.ndarray) -> np.ndarray:
    from psp_hw.training.api import reference_outputs

    return reference_outputs(digits_run, images)


def model_of(run: Path):
    from qonnx.core.modelwrapper import ModelWrapper

    return ModelWrapper(str(run / "model.onnx"))


def execute(model, images: np.ndarray) -> np.ndarray:
    from qonnx.core.onnx_exec import execute_onnx

    source, result = model.graph.input[0].name, model.graph.output[0].name
    return np.concatenate([execute_onnx(model, {source: image[None]})[result] for image in images])


def test_qonnx_executes_the_file_as_it_is(digits_run, images, expected):
    assert np.array_equal(expected, execute(model_of(digits_run), images).astype(np.float64))


def test_qonnx_executes_it_after_its_clean_up(digits_run, images, expected):
    from qonnx.util.cleanup import cleanup_model

    assert np.array_equal(expected, execute(cleanup_model(model_of(digits_run)), images).astype(np.float64))


def channels_last(run: Path):
    """As hls4ml asks for: qonnx's clean-up, channels last, MatMul instead of Gemm."""
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
    from qonnx.transformation.gemm_to_matmul import GemmToMatMul
    from qonnx.util.cleanup import cleanup_model

    model = cleanup_model(model_of(run)).transform(ConvertToChannelsLastAndClean())
    return cleanup_model(model.transform(GemmToMatMul()))


def test_what_qonnx_makes_of_it_comes_in_again_exactly(digits_run, images, expected, tmp_path):
    from qonnx_models import outputs

    from psp_hw.lowering import lower
    from psp_hw.passes import optimize

    model = channels_last(digits_run)
    assert np.array_equal(expected, execute(model, images).astype(np.float64))
    model.save(str(tmp_path / "model.onnx"))

    graph = optimize(lower(tmp_path / "model.onnx"))

    assert np.array_equal(expected, outputs(graph, images).reshape(IMAGES, -1))


@pytest.mark.parametrize("io_type", ["io_stream", "io_parallel"])
def test_stock_hls4ml_converts_it(io_type, digits_run, tmp_path):
    import hls4ml

    model = channels_last(digits_run)
    config = hls4ml.utils.config.config_from_onnx_model(
        model, granularity="name", backend="Vitis", default_precision="fixed<32,16>"
    )
    converted = hls4ml.converters.convert_from_onnx_model(
        model, output_dir=str(tmp_path / "project"), backend="Vitis", io_type=io_type, hls_config=config
    )
    converted.write()

    kinds = [layer.class_name for layer in converted.get_layers()]
    assert kinds.count("Conv2D") == 5
    assert kinds[-1] == "Dense"
    assert (tmp_path / "project" / "firmware" / "myproject.cpp").is_file()
