"""Names from files and options reach Tcl, C++, make, Python, YAML, Markdown and HTML as names, never as code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest
from qonnx_models import ModelMaker
from small_designs import small_design

from psp_hw.backends.base import source_hash
from psp_hw.backends.plan_file import load_plan
from psp_hw.cli.main import run
from psp_hw.ir.store import load
from psp_hw.ir.verify import GraphError, verify

# What ends a string, a comment, a list, a table or a tag in any of these languages; and a backslash before a line's end.
HOSTILE = 'x"; exec touch pwned #\n$(touch pwned) `touch pwned` }{ ]] */ <script>alert(1)</script> | \\'
MARKS = re.compile(rb"exec touch|\(touch pwned|`touch|<script>|alert\(1\)")
FILE = "x$(touch pwned) `touch pwned` <script>alert(1)<|script> }{ ;exec touch pwned"

pytestmark = pytest.mark.slow  # a design for every name


def texts(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".npz", ".fml")
    }


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A QONNX file of which every name is hostile, in a file that is called so."""
    make = ModelMaker((2, 6, 6))
    value = make.quant("image", bits=4, frac=2, signed=1)
    value = make.node("Conv", [value, make.weight((4, 2, 3, 3))], pads=[1, 1, 1, 1])
    value = make.quant(make.node("Relu", [value]), bits=4, frac=2, signed=0)
    model = make.model(value)
    model.graph.name = HOSTILE
    for index, node in enumerate(model.graph.node):
        node.name = f"{HOSTILE}{index}"
    named = {name: f"{HOSTILE}{name}" for node in model.graph.node for name in (*node.input, *node.output)}
    for node in model.graph.node:
        node.input[:] = [named[name] for name in node.input]
        node.output[:] = [named[name] for name in node.output]
    for entry in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        entry.name = named[entry.name]
    path = tmp_path_factory.mktemp("models") / f"{FILE}.onnx"
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("target", ["vivado", "vitis", "hls4ml"])
def test_names_of_a_model_are_names_in_every_file_of_a_design(
    hostile: Path, tmp_path: Path, target: str
) -> None:
    out = tmp_path / FILE

    assert 0 == run(["emit", str(hostile), "--target", target, "--out", str(out), "--max"])

    for name, content in texts(out).items():
        if name == "report.json":  # JSON quotes what it holds
            assert FILE in json.loads(content)["title"]
        elif name == "report.md":
            assert not re.search(rb"<script>|[^\\]`touch", content), name
        elif name == "report.html":
            assert b"<script>" not in content
        else:
            assert not MARKS.search(content), name


def test_names_of_a_model_are_text_in_a_front(hostile: Path, tmp_path: Path) -> None:
    assert 0 == run(["explore", str(hostile), "--out", str(tmp_path)])

    page = (tmp_path / "front.md").read_text()
    assert "<script>" not in page
    assert "\\<script\\>" in page


PART = 'xc7z}; exec touch pwned; list {\n#include "pwned"'


@pytest.mark.parametrize("command", ["emit", "estimate", "report", "explore"])
def test_a_part_that_is_code_is_refused(
    hostile: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--part", PART, "--budget", "dsp=220,lut=53200,bram18=280"]
    options += ["--out", str(tmp_path / "d")] if command != "estimate" else []

    assert 2 == run([command, str(hostile), *options])

    said = capsys.readouterr().err
    assert "is no name of a part (it has letters, digits and dashes alone, at most 40)" in said
    assert not (tmp_path / "d").exists()


def test_a_part_that_is_code_in_a_manifest_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = small_design(tmp_path / "d")
    manifest = json.loads((design / "design.json").read_text())
    available = {"DSP": 220, "LUT": 53200, "FF": 106400, "BRAM18": 280, "URAM": 0}
    memory = {"available": available, "budget": available, "calibration": None, "optimality": None}
    (design / "design.json").write_text(json.dumps(manifest | {"part": PART, "made_for": memory}))

    assert 2 == run(["emit", str(design), "--out", str(tmp_path / "e")])
    assert "is no name of a part" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["net}; exec touch pwned", "net\\", "<script>", "ném", "", "2net"])
def test_a_graph_that_is_called_by_code_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    design = small_design(tmp_path / "d")
    with pytest.raises(GraphError, match="is no identifier"):
        verify(type(load(design))(name, load(design).ops, load(design).constants))
    text = (design / "graph.txt").read_text()
    assert text.startswith("graph sample\n")
    (design / "graph.txt").write_text(text.replace("graph sample\n", f"graph {name}\n"))

    assert 2 == run(["emit", str(design), "--out", str(tmp_path / "e")])
    said = capsys.readouterr().err
    assert "is no identifier" in said or "does not begin with" in said


def test_the_hash_of_a_design_is_that_of_what_it_holds(tmp_path: Path) -> None:
    design = small_design(tmp_path / "d")
    written = json.loads((design / "design.json").read_text())["source_hash"]

    assert written == source_hash(load(design), load_plan(design / "plan.json"))


@pytest.mark.parametrize("clock", ["5}; exec touch pwned", "nan", "inf", "٥", "5\n6", "1e9"])
def test_a_clock_is_a_number(tmp_path: Path, clock: str, capsys: pytest.CaptureFixture[str]) -> None:
    design = small_design(tmp_path / "d")
    out = tmp_path / "e"

    left = run(["emit", str(design), "--clock", clock, "--out", str(out)])

    assert left == 2 or "create_clock -period 5 " in (out / "vivado_hls.tcl").read_text()


def test_a_frequency_is_no_period(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run(["estimate", "model.onnx", "--clock", "300MHz"])
    said = capsys.readouterr().err
    assert (
        said
        == "psp-hw: --clock: '300MHz' is not a number of nanoseconds (give the period: 3.33 for 300 MHz)\n"
    )
