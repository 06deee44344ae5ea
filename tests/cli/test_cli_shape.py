"""The commands from outside: what they list, how they refuse, what they import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from psp_hw.cli import main

COMMANDS = ("demo", "train", "emit", "estimate", "simulate", "check", "report", "parts", "nets", "data")


def psp_hw(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "psp_hw", *arguments], cwd=cwd, capture_output=True, text=True
    )


def test_help_lists_every_command() -> None:
    done = psp_hw("--help")

    assert done.returncode == 0
    listed = {
        line.split()[0] for line in done.stdout.split("Commands:")[1].splitlines() if line.startswith("  ")
    }
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([command, "--help"]) == 0

    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["emit", "--help"], ["nets"]])
def test_help_imports_neither_torch_nor_numpy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from psp_hw.cli.main import run\n"
        f"code = run({arguments!r})\n"
        "heavy = {'torch', 'numpy', 'rich' if '--help' in sys.argv else 'torch', 'onnx', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else code)\n"
    )

    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_the_package_version() -> None:
    from psp_hw import __version__

    assert psp_hw("--version").stdout == f"psp-hw {__version__}\n"


BAD_USE = pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "train"),
        (["train", "--colour"], "--colour"),
        (["train", "--structure", "shap"], "did you mean 'shape'"),
        (["train", "--shape", "--net", "resnet9"], "resnet8"),
        (["train", "--shape", "--data", "digitz"], "did you mean 'digits'"),
        (["train", "--shape", "--bits", "9,8"], "2 .. 8"),
        (["train", "--shape", "--bits", "8"], "8,8"),
        (["train", "--shape", "--epsilon", "-1"], "epsilon=-1.0 is not above 0"),
        (["train", "--shape", "--density", "1.5"], "density=1.5 is not above 0 and at most 1"),
        (["train", "--epsilon", "0.1"], "add --shape or --structure"),
        (["train", "--shape", "--epsilon", "0.1", "--density", "0.5"], "exclude each other"),
        (["train", "--spec", "missing.yaml"], "missing.yaml"),
        (["train", "--resume"], "no interrupted run"),
        (["emit"], "psp-hw train --shape"),
        (["emit", "nowhere"], "does not exist"),
        (["simulate", "nowhere"], "does not exist"),
        (["data", "svhn"], "use one of: cifar10, digits, imagenet"),
    ],
)


@BAD_USE
def test_bad_use_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main.run(arguments) == 2

    said = capsys.readouterr()
    assert says in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@BAD_USE
def test_bad_use_in_a_process_of_its_own_is_the_same(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = psp_hw(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_name_cannot_smuggle_control_characters_or_markup_into_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main.run(["simulate", "\x1b[31m[bold]x"])

    assert code == 2
    assert "\x1b" not in (said := capsys.readouterr().err)
    assert "[bold]x" in said


@pytest.mark.parametrize("command", ["nets", "data", "parts"])
def test_json_is_one_document_alone(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([command, "--json"]) == 0

    said = capsys.readouterr()
    assert json.loads(said.out)[command]
    assert said.err == ""


def test_a_full_disk_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device", "runs/x")

    monkeypatch.setattr(main, "app", lambda **_: full())

    assert main.run([]) == 2
    assert capsys.readouterr().err == "psp-hw: runs/x: the disk is full; nothing half-written was left\n"


def test_our_own_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main, "app", broken)

    with pytest.raises(ZeroDivisionError):
        main.run([])


def test_ctrl_c_names_the_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(spec: object, out: Path, **__: object) -> None:
        out.mkdir(exist_ok=True)
        (out / "manifest.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("psp_hw.training.api.train", interrupted)

    code = main.run(["train", "--shape", "--out", str(tmp_path / "my run")])

    assert code == 130
    said = capsys.readouterr().err
    assert f"psp-hw train --resume --out '{tmp_path / 'my run'}'" in said
    assert said.endswith("psp-hw: interrupted\n")
