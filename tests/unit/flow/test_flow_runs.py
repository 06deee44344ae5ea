"""Folders that two trainings never share, and signals that ask to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from psp_hw.errors import RunError, SpecError
from psp_hw.flow.runs import as_word, new_run
from psp_hw.flow.signals import stopping_at_signals
from psp_hw.flow.train import Request, train

CLAIM = "from psp_hw.flow.runs import new_run\nwith new_run('net') as path:\n    (path / 'mine').touch()\nprint(path)\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_many_at_once_all_have_another_folder() -> None:
    def claim(_: int) -> str:
        with new_run("net") as path:
            (path / "mine").touch(exist_ok=False)
        return str(path)

    with ThreadPoolExecutor(16) as pool:
        found = sorted(pool.map(claim, range(64)))

    assert sorted(["runs/net", *(f"runs/net-{n}" for n in range(2, 65))]) == found


def test_two_processes_at_once_have_two_folders() -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", CLAIM], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    found = {process.communicate()[0].strip() for process in running}

    assert {"runs/net", "runs/net-2", "runs/net-3", "runs/net-4"} == found


def test_a_folder_in_which_nothing_was_written_goes_again() -> None:
    with pytest.raises(ValueError, match="bad"), new_run("net"):
        raise ValueError("bad")
    assert [] == list(Path().iterdir())


def test_a_folder_in_which_something_was_written_stays() -> None:
    def work(folder: Path) -> None:
        (folder / "work").touch()
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"), new_run("net") as path:
        work(path)
    assert Path("runs/net/work").exists()


def test_a_bad_request_without_a_folder_leaves_nothing() -> None:
    with pytest.raises(SpecError, match="convX"):
        train(Request(spec=_spec()), progress=False)
    assert ["bad.yaml"] == [path.name for path in Path().iterdir()]


def _spec() -> Path:
    path = Path("bad.yaml")
    path.write_text("pruning:\n  structures: [shape]\n  include: [convX]\n")
    return path


def test_runs_that_is_a_file_is_said() -> None:
    Path("runs").touch()
    with (
        pytest.raises(RunError, match=r"runs: cannot be made: File exists \(name a folder: --out\)"),
        new_run("x"),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def told_twice() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # while the first is being cleared up

    with pytest.raises(KeyboardInterrupt), stopping_at_signals():
        told_twice()
    assert before is signal.getsignal(number)


def test_nohup_stays_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_at_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.SIG_IGN == signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("path", "word"), [("a/b", "a/b"), ("a b", "'a b'"), ("-run", "./-run"), ("-a b", "'./-a b'")]
)
def test_a_path_in_a_command_is_one_word_and_no_option(path: str, word: str) -> None:
    assert word == as_word(Path(path))
