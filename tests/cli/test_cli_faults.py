"""What clumsy and hostile use gets: one sentence on stderr, one document under ``--json``, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from psp_hw.cli import console, main


def psp_hw(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "psp_hw", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["data", "nope"], 2, "unknown data set 'nope'"),
        (["estimate", "nope"], 2, "nope: does not exist"),
        (["train", "--net", "nope"], 2, "unknown network 'nope'"),
        (["parts", "--colour"], 2, "the command line was not understood"),
    ],
)
def test_under_json_an_error_is_one_document_too(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    left = main.run([*arguments, "--json"])

    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (left, found["exit_code"]) == (code, code)
    assert says in found["error"]
    assert said.err


def test_without_json_an_error_leaves_stdout_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["estimate", "nope"]) == 2

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--net", ""], "--net: is empty"),
        (["--data", ""], "--data: is empty"),
        (["--structure", ""], "unknown structure ''"),
        (["--structure", "shape,,layer"], "unknown structure ''"),
    ],
)
def test_an_empty_word_is_not_the_default(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["train", *arguments]) == 2

    assert says in capsys.readouterr().err


@pytest.mark.parametrize("target", ["vivad", "Vivado"])
def test_an_unknown_target_names_the_nearest(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["emit", "nope", "--target", target]) == 2

    assert "did you mean 'vivado'" in capsys.readouterr().err


def test_outputs_never_take_the_place_of_inputs(
    tmp_path: Path, digits_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((2, 1, 8, 8), dtype=np.float32))
    before = path.read_bytes()

    again = tmp_path / "." / "x.npy"
    assert main.run(["simulate", str(digits_run), "--inputs", str(path), "--outputs", str(again)]) == 2

    assert "--outputs: is the file of the inputs" in capsys.readouterr().err
    assert before == path.read_bytes()


def test_a_terminal_obeys_nothing_that_a_name_holds(capsys: pytest.CaptureFixture[str]) -> None:
    console.show("a\x1b[31mb [red] \u202e")

    assert capsys.readouterr().out == "a [31mb [red]  \n"


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize("arguments", [["nets"], pytest.param(["estimate", "nope"], marks=pytest.mark.slow)])
def test_a_closed_stream_changes_no_exit_code(stream: int, arguments: list[str]) -> None:
    program = f'exec "$0" -m psp_hw "$@" {stream}>&-'
    done = subprocess.run(["sh", "-c", program, sys.executable, *arguments], capture_output=True, text=True)

    assert done.returncode == psp_hw(*arguments).returncode
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_a_name_that_no_locale_can_show_is_shown_escaped(environment: dict[str, str]) -> None:
    done = psp_hw("estimate", b"\xff\xfc", **environment)

    assert done.returncode == 2
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_a_library_loads_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(main, "app", interrupted)

    assert main.run(["parts"]) == 130
    assert capsys.readouterr().err == "psp-hw: interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_stop_is_an_interruption_of_any_command(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cleared: list[bool] = []

    def stopped(**_: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        except KeyboardInterrupt:
            cleared.append(True)
            sys.exit(130)  # what typer makes of it

    monkeypatch.setattr(main, "app", stopped)

    assert main.run(["emit"]) == 130
    assert cleared == [True]
    assert capsys.readouterr().err == "psp-hw: interrupted\n"


def test_without_a_compiler_the_demo_trains_nothing_and_keeps_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "demo"
    (before / "design").mkdir(parents=True)
    (before / ".psp-hw-demo").touch()
    (before / "design/design.json").touch()
    monkeypatch.setenv("CXX", "no-such-compiler")

    assert main.run(["demo", "--out", str(before)]) == 2

    assert "no-such-compiler is not on PATH" in capsys.readouterr().err
    assert (before / "design/design.json").is_file()


def test_home_after_an_equals_sign_is_no_folder_called_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert main.run(["train", "--spec=~/nothing.yaml"]) == 2

    assert (
        capsys.readouterr().err
        == f"psp-hw: {tmp_path}/nothing.yaml: cannot be read: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file holds nothing (start with keys such as"),
        (b"# only a comment\n", "the file holds nothing"),
        (b"\xff\xfe", "cannot be read: it is no text"),
    ],
)
def test_a_spec_that_says_nothing_trains_nothing(
    content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_bytes(content)

    assert main.run(["train", "--spec", str(spec), "--out", str(tmp_path / "run")]) == 2

    assert f"{spec}: {says}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
