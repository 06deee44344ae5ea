"""Processes side by side, within a budget of time."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.paper_rows.gpus import gpus_of
from benchmarks.paper_rows.outcomes import INTERRUPTED, State, outcome_of
from benchmarks.paper_rows.rows import ROOT, ROWS, Row, spec_of
from psp_hw.spec.load import spec_to_yaml

POLL = 0.5  # [s]
PATIENCE = 90.0  # [s] for a process that was told to stop


@dataclass(slots=True)
class Training:
    """A process that trains a row, on the GPU of that name where there are several."""

    row: Row
    process: subprocess.Popen[bytes]
    gpu: str | None


def command_of(row: Row, given: argparse.Namespace) -> list[str]:
    """What trains a row, from its beginning or from where it was stopped."""
    words = ["train", "--spec", f"{row.name}.yaml", "--out", row.name, "--floats-only", "--resume", "--json"]
    words += ["--accelerator", given.accelerator, "--checkpoint-minutes", "1", "--no-tensorboard"]
    data = [] if given.data_dir is None else ["--data-dir", str(given.data_dir.resolve())]
    return [sys.executable, "-m", "psp_hw", *words, *data]


def check_requests(given: argparse.Namespace) -> None:
    """Refuse to go on with, or to write one table of, rows that were begun with another request."""
    for row in ROWS:
        file = given.runs / f"{row.name}.yaml"
        if file.exists() and file.read_text() != spec_to_yaml(spec_of(row, given)):
            said = f"{row.name} was begun with another request; give the same, or other --runs"
            raise SystemExit(f"{file}: {said}")


def begin(row: Row, given: argparse.Namespace, gpu: str | None = None) -> Training:
    """Start the process of a row; what it says lies beside its run."""
    (given.runs / f"{row.name}.yaml").write_text(spec_to_yaml(spec_of(row, given)))
    threads = str(max(1, (os.cpu_count() or 1) // given.side))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "TORCHINDUCTOR_CACHE_DIR": str((given.runs / "compiled").resolve()),
        **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}),
    }
    with (
        (given.runs / f"{row.name}.json").open("wb") as out,
        (given.runs / f"{row.name}.log").open("wb") as err,
    ):
        words = command_of(row, given)
        process = subprocess.Popen(words, cwd=given.runs, stdout=out, stderr=err, env=environment)
    return Training(row, process, gpu)


def idlest(gpus: Sequence[str | None], running: Sequence[Training]) -> str | None:
    """The GPU with the fewest rows; the first of equals."""
    return min(gpus, key=[training.gpu for training in running].count)


def train(rows: Sequence[Row], given: argparse.Namespace) -> dict[str, int]:
    """Train the rows that are not done, some at a time, until the time is over.

    Returns:
        The exit codes of the rows that ended by themselves, and badly.
    """
    end = time.monotonic() + 60.0 * given.minutes
    gpus, failed = gpus_of(given), {}
    waiting = [row for row in rows if outcome_of(row, given.runs).state is not State.DONE]
    running: list[Training] = []
    try:
        while (waiting or running) and time.monotonic() < end:
            while waiting and len(running) < given.side:
                running.append(begin(waiting.pop(0), given, idlest(gpus, running)))
            pause()
            codes = {training.row.name: training.process.poll() for training in running}
            failed |= {name: code for name, code in codes.items() if code not in (None, 0, INTERRUPTED)}
            running = [training for training in running if codes[training.row.name] is None]
    finally:
        stop(running)
    return failed


def pause() -> None:
    """Until the processes are looked at again."""
    time.sleep(POLL)


def stop(running: Sequence[Training]) -> None:
    """Let every process save what it has and end; kill one that does not listen."""
    for training in running:
        training.process.send_signal(signal.SIGTERM)
    patience = time.monotonic() + PATIENCE
    for training in running:
        try:
            training.process.wait(max(0.0, patience - time.monotonic()))
        except subprocess.TimeoutExpired:
            training.process.kill()
            training.process.wait()
