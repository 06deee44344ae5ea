"""psp-hw check, and what the other commands say of a model that is not computed exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from qonnx_models import ModelMaker

from psp_hw.cli.main import run

pytestmark = pytest.mark.filterwarnings("ignore")  # qonnx and onnxruntime warn about themselves


def small(path: Path, *, scale: float = 0.5, extra: str | None = None) -> Path:
    make = ModelMaker((2, 6, 6))
    x = make.quant("image", bits=8, scale=0.07 if scale == 0.3 else 0.0625, name="in")
    y = make.node("Conv", [x, make.weight((2, 2, 3, 3))], kernel_shape=[3, 3], pads=[1] * 4, name="conv")
    y = make.quant(make.node("Relu", [y], name="relu"), bits=8, scale=scale, signed=0, name="act")
    if extra is not None:
        y = make.node(extra, [y], name="odd")
    y = make.node("Add", [x, y], name="sum")
    return make.save(make.quant(y, bits=8, frac=2, name="out"), path / "model.onnx")


def document(capfd, *arguments: str) -> dict:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_every_node_of_an_exact_model_is_exact(tmp_path, capfd):
    found = document(capfd, "check", str(small(tmp_path)))

    assert found["supported"]
    assert found["exact"]
    assert [node["name"] for node in found["nodes"] if node["op"] != "Quant"] == ["conv", "relu", "sum"]
    assert {node["outcome"] for node in found["nodes"]} == {"exact"}
    assert found["deviation"]["images"] == 4
    assert found["deviation"]["differing"] == 0


def test_rounded_nodes_are_named_with_the_measured_deviation(tmp_path, capfd):
    found = document(capfd, "check", str(small(tmp_path, scale=0.3)), "--images", "8")

    assert found["supported"]
    assert not found["exact"]
    rounded = {node["name"] for node in found["nodes"] if node["outcome"] == "rounded"}
    assert "sum" in rounded
    assert found["deviation"]["images"] == 8
    assert (
        found["deviation"]["largest"] <= 0.5
    )  # one code of act, 0.3, which float32 breaks ties of, is up to two of the output


def test_exact_refuses_what_is_rounded(tmp_path, capfd):
    assert run(["check", str(small(tmp_path, scale=0.3)), "--exact"]) == 2

    said = capfd.readouterr()
    assert "unsupported" in said.out
    assert said.err.startswith("psp-hw: node 'sum' (Add): ")
    assert said.err.count("\n") == 1


def test_an_unsupported_node_is_explained_and_what_needs_it_skipped(tmp_path, capfd):
    path = small(tmp_path, extra="Sigmoid")

    assert run(["check", str(path), "--json"]) == 2

    said = capfd.readouterr()
    found = json.loads(said.out)
    outcomes = {node["name"]: node["outcome"] for node in found["nodes"]}
    assert outcomes["conv"] == "exact"
    assert outcomes["odd"] == "unsupported"
    assert outcomes["sum"] == "skipped"
    assert not found["supported"]
    assert found["deviation"] is None
    assert said.err.startswith("psp-hw: node 'odd' (Sigmoid): the op Sigmoid is not supported")


def test_calibration_images_are_the_callers(tmp_path, capfd):
    images = np.random.default_rng(0).normal(size=(5, 2, 6, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)

    found = document(
        capfd, "check", str(small(tmp_path, scale=0.3)), "--inputs", str(tmp_path / "x.npy"), "--images", "9"
    )

    assert found["deviation"]["images"] == 5
    assert found["deviation"]["calibrated"]


def test_an_open_batch_is_one_image_at_a_time(tmp_path, capfd):
    path = small(tmp_path)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, path)

    found = document(capfd, "check", str(path))

    assert found["deviation"]["differing"] == 0


def test_a_model_that_qonnx_cannot_execute_is_explained_all_the_same(tmp_path, capfd):
    path = small(tmp_path)
    model = onnx.load(path)
    del model.opset_import[:]
    onnx.save(model, path)

    found = document(capfd, "check", str(path))

    assert found["exact"]
    assert found["deviation"] is None
    assert "qonnx cannot execute the model" in found["unmeasured"]


@pytest.mark.parametrize("arguments", [["--images", "-1"], ["--inputs", "nowhere.npy"]])
def test_bad_options_are_refused(arguments, tmp_path, capfd):
    assert run(["check", str(small(tmp_path)), *arguments]) == 2
    assert capfd.readouterr().err.startswith("psp-hw: ")


def test_what_is_no_model_is_refused(tmp_path, capfd):
    (tmp_path / "model.onnx").write_bytes(b"hello")

    assert run(["check", str(tmp_path / "model.onnx")]) == 2
    assert "no ONNX" in capfd.readouterr().err


def test_simulate_says_what_is_rounded_and_exact_refuses_it(tmp_path, capfd):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 2, 6, 6)).astype(np.float32))
    path, images = str(small(tmp_path, scale=0.3)), str(tmp_path / "x.npy")

    assert run(["simulate", path, "--inputs", images, "--outputs", str(tmp_path / "y.npy")]) == 0
    said = capfd.readouterr().err
    assert "node 'sum' (Add): brought to one scale by integer multipliers of 18 bits" in said
    assert "outputs differ from qonnx's executor" in said or "equal to qonnx's executor" in said

    assert run(["simulate", path, "--inputs", images, "--exact"]) == 2


def test_estimate_of_an_exact_model_says_nothing_of_rounding(tmp_path, capfd):
    assert run(["estimate", str(small(tmp_path))]) == 0
    assert capfd.readouterr().err == ""
