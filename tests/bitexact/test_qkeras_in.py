"""Networks of QKeras, as qonnx's converter wrote them: the integers are those that Keras computes (tests/support/make_qkeras.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.cli import main
from psp_hw.errors import ModelError
from psp_hw.lowering.builder import Options
from psp_hw.lowering.lower import lower_file
from psp_hw.lowering.quantize_input import with_input_quant
from psp_hw.passes.pipeline import optimize
from psp_hw.sim.values import Simulator, decode, encode

FILES = Path(__file__).resolve().parents[1] / "support" / "qkeras"
NETS = ("conv_net", "dense_net", "signs_net", "residual_net")
IMAGE = FixedPoint(width=8, signed=True, frac=5)


def nchw(images: np.ndarray) -> np.ndarray:
    """Images of Keras [N, H, W, C] or [N, F] as ours [N, C, H, W]."""
    return images.transpose(0, 3, 1, 2) if images.ndim == 4 else images[:, :, None, None]


@pytest.mark.parametrize("net", NETS)
def test_a_network_of_qkeras_computes_what_keras_does(net: str, tmp_path: Path) -> None:
    path = tmp_path / f"{net}.onnx"
    path.write_bytes(with_input_quant(FILES / f"{net}.onnx", IMAGE))
    with np.load(FILES / f"{net}.npz") as stored:
        images, wanted = stored["images"], stored["outputs"]

    lowered = lower_file(path, Options(exact=True)).graph
    graph = optimize(lowered)

    for one in (lowered, graph):
        codes = encode(nchw(images), one.input.type, one.input.unit)
        found = decode(Simulator(one).run(codes), one.types[one.output.name].fmt, one.output.unit)
        assert found.size == wanted.size
        assert (found.reshape(wanted.shape) == wanted).all()
    assert len(np.unique(wanted)) > 10  # not a network whose outputs say nothing


@pytest.mark.parametrize("net", NETS)
def test_without_a_format_of_the_image_the_command_says_what_to_do(
    net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["check", str(FILES / f"{net}.onnx")]) == 2
    sentence = capsys.readouterr().err
    assert "the input image reaches it without a Quant node" in sentence
    assert "psp-hw check MODEL.onnx --quantize-input s8.5 writes a file that quantizes it" in sentence

    copy = tmp_path / f"{net}.onnx"
    copy.write_bytes((FILES / f"{net}.onnx").read_bytes())
    assert main.run(["check", str(copy), "--quantize-input", "s8.5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == str(tmp_path / f"{net}-s8.5.onnx")
    assert document["exact"] is True
    assert main.run(["estimate", document["model"], "--json"]) == 0


def test_the_written_file_is_a_valid_one_and_the_old_one_stays(tmp_path: Path) -> None:
    before = (FILES / "conv_net.onnx").read_bytes()
    path = tmp_path / "x.onnx"
    path.write_bytes(with_input_quant(FILES / "conv_net.onnx", IMAGE))

    assert (FILES / "conv_net.onnx").read_bytes() == before
    model = onnx.load(path)
    first = model.graph.node[0]
    assert (first.op_type, first.input[0]) == ("Quant", model.graph.input[0].name)
    names = [name for node in model.graph.node for name in node.output]
    assert len(set(names)) == len(names)
    assert sum(model.graph.input[0].name in node.input for node in model.graph.node) == 1


def test_an_input_that_is_quantized_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(with_input_quant(FILES / "conv_net.onnx", IMAGE))

    with pytest.raises(
        ModelError, match=r"the input is quantized already, by node 'QuantizeInput' \(Quant\)"
    ):
        with_input_quant(path, IMAGE)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--quantize-input", "8.5"], "--quantize-input: '8.5' is no format (write s8.5"),
        (["--quantize-input", "s40.5"], "--quantize-input: 's40.5' is no format"),
        (["--quantize-input", "s1.0"], "is no format"),
        (["--out", "y.onnx"], "--out: nothing is written without --quantize-input"),
        (["--quantize-input", "s8.5", "--out", "{file}"], "is the file itself, or a folder"),
    ],
)
def test_bad_use_is_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes((FILES / "conv_net.onnx").read_bytes())

    assert main.run(["check", str(file), *(word.format(file=file) for word in words)]) == 2

    assert sentence in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.onnx"]
