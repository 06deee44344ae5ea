"""``--target hls4ml`` and ``--against hls4ml``, from the command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from against import check_agrees, check_whole_split, difference

from psp_hw.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("projects") / "digits"
    assert main.run(["emit", str(digits_run), "--target", "hls4ml", "--out", str(out)]) == 0
    return out


def test_hls4ml_computes_the_whole_test_split_as_the_integer_network(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_whole_split("hls4ml", project, capsys)


def test_the_manifest_and_the_json_agree(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d"
    options = ["--backend", "vivado", "--io-type", "io_parallel", "--clock", "4", "--json"]
    assert main.run(["emit", str(digits_run), "--target", "hls4ml", "--out", str(out), *options]) == 0

    made, manifest = json.loads(capsys.readouterr().out), json.loads((out / "design.json").read_text())
    assert (made["target"], made["clock_ns"]) == ("hls4ml", 4.0) == (manifest["target"], manifest["clock_ns"])
    assert (manifest["backend"], manifest["io_type"]) == ("Vivado", "io_parallel")
    assert set(manifest["files"]) | {"design.json"} <= set(made["files"])


def test_a_weight_changed_in_the_project_is_found(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    weights = copy / "firmware" / "weights" / "w4.txt"
    weights.write_text(re.sub(r"-", "", weights.read_text()))
    script = copy / "build_lib.sh"
    script.write_text(script.read_text().replace("-O3", "-O0 -w"))  # compiles in a third of the time

    assert re.search(r"image \d+: ", difference("hls4ml", copy, capsys))


def test_an_hls4ml_project_is_compared_with_plain_cpp_under_its_own_plan(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_agrees("csim", project, capsys, limit=20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--target", "vivado", "--backend", "vitis"],
            "--backend: belongs to --target hls4ml, not to vivado",
        ),
        (["--target", "hls4ml", "--least-fifos"], "pipelines of our own engines"),
        (["--target", "hls4ml", "--backend", "quartus"], "hls4ml has no back end 'quartus'"),
        (["--target", "hls4ml", "--io-type", "serial"], "hls4ml joins layers in no way 'serial'"),
    ],
)
def test_options_that_do_not_suit_are_refused_and_nothing_is_written(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main.run(["emit", str(digits_run), "--out", str(tmp_path / "d"), *options]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
