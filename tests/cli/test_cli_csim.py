"""The compiled C++ against the integer network, from the command line; and the demo, once, as a user runs it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from against import check_agrees, check_whole_split, difference

from psp_hw.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def design(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("designs") / "digits"
    assert main.run(["emit", str(digits_run), "--fps", "20000", "--out", str(out)]) == 0
    return out


def test_design_equals_the_integer_network_on_the_whole_test_split(
    design: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_whole_split("csim", design, capsys)


def test_run_is_compared_with_the_design_it_would_become(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(digits_run, tmp_path / "run")

    check_agrees("csim", run, capsys, limit=20)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_the_words_of_synthesis_are_compared_and_remembered_beside_those_of_the_machine(
    design: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(design, tmp_path / "copy")
    asked = ["simulate", str(copy), "--against", "csim"]
    assert main.run([*asked, "--limit", "10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["widths"] == "machine"

    assert main.run([*asked, "--widths", "synthesis", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["images"], made["widths"], made["mismatches"]) == (355, "synthesis", 0)
    assert main.run([*asked, "--widths", "synthesis", "--limit", "12"]) == 0
    assert "against csim in the widths of synthesis: 0 mismatches" in capsys.readouterr().out

    assert main.run(["report", str(copy)]) == 0
    checks = json.loads((copy / "report.json").read_text())["checks"]
    assert [("csim", "machine", 10), ("csim", "synthesis", 12)] == [
        (check["against"], check["widths"], check["images"]) for check in checks
    ]
    assert "| csim in the widths of synthesis | 12 | 0 |" in (copy / "report.md").read_text()


def test_a_weight_changed_in_the_cpp_is_found_and_its_layer_named(
    design: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(design, tmp_path / "copy"))
    header = copy / "src" / "layers" / "stage1_block1_conv2.h"
    changed = change_weights(header.read_text())
    assert changed != header.read_text()
    header.write_text(changed)

    said = difference("csim", copy, capsys)

    assert re.search(r"image \d+: stage1_block1_conv2, channel \d+, row \d+, column \d+: ", said)


def change_weights(text: str) -> str:
    """Every number of the first row of the weight table with its sign changed."""
    table = re.search(r"Weights\[[^=]*= \{\n(?:\s*//[^\n]*\n)*", text)
    assert table is not None, text
    end = text.index("\n", table.end())
    row = re.sub(r"-?\d+", lambda number: str(-int(number[0]) - 1), text[table.end() : end])
    return text[: table.end()] + row + text[end:]


def test_cpp_that_does_not_compile_is_one_sentence(
    design: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(design, tmp_path / "copy"))
    (copy / "src" / "layers" / "fc.h").write_text("this is no C++\n")

    assert main.run(["simulate", str(copy), "--against", "csim"]) == 2
    assert "g++ failed" in capsys.readouterr().err


def test_missing_compiler_is_one_sentence(
    design: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")

    assert main.run(["simulate", str(design), "--against", "csim"]) == 2
    assert "no-such-compiler is not on PATH" in capsys.readouterr().err


def test_pytest_on_a_design_passes_and_its_files_stay_as_they_were_after_a_report(
    design: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["report", str(design)]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(design)],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_demo_does_the_whole_job(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "psp_hw", "demo"]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["accuracy_quantized"] >= 0.95
    assert made["density"] <= 0.67
    assert (made["images"], made["mismatches"], made["fits"]) == (355, 0, True)
    report = json.loads((tmp_path / "psp-hw-demo" / "design" / "report.json").read_text())
    assert {check["against"]: (check["images"], check["mismatches"]) for check in report["checks"]} == {
        "brevitas": (355, 0),
        "csim": (355, 0),
    }
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    refused = subprocess.run([*command, "--out", "thesis"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "is no demo of psp-hw" in refused.stderr
