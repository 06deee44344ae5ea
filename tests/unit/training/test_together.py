"""Processes of one training meet, wait for the first one, and end together: real ones, with the environment that srun gives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

WORKER = """
import os
import signal
import sys
import time

from psp_hw.errors import PspHwError, RunError, TrainingError
from psp_hw.training import meeting
from psp_hw.training.machine import Accelerator, Machine
from psp_hw.training.together import together

meeting.LEAVE_S = 1.0
case, rank = sys.argv[1], int(os.environ["SLURM_PROCID"])


def hang():
    time.sleep(300)  # as in a collective


def refuse():
    raise RunError("holds a run already", where="run", hint="continue it with --resume")


def work():
    match case, rank:
        case "the second fails", 1:
            raise TrainingError("the loss is no number", where="training")
        case "a bug", 1:
            raise ZeroDivisionError("of ours")
        case "the first is killed", 0:
            os.kill(os.getpid(), signal.SIGKILL)
        case "well", _:
            return
    hang()


try:
    with together(Machine(accelerator=Accelerator.CPU, devices=2)) as others:
        print("met", flush=True)
        others.lead(refuse if case == "refused" else lambda: time.sleep(1.0))
        work()
        if case == "well":
            others.lead(lambda: time.sleep(1.0))
            print("done", flush=True)
except PspHwError as error:
    sys.stderr.write(f"psp-hw: {error}\\n")
    sys.exit(error.exit_code)
"""


def _port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _start(folder: Path, case: str, rank: int, port: int) -> subprocess.Popen[str]:
    (folder / "worker.py").write_text(WORKER)
    job = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_JOB_NAME": "train",
           "SLURM_NODELIST": "127.0.0.1", "SLURM_NODEID": "0", "SLURM_LOCALID": str(rank), "SLURM_PROCID": str(rank),
           "MASTER_PORT": str(port)}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "worker.py", case], cwd=folder, env={**os.environ, **job}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


GONE = "the first process of the training is gone"


@pytest.mark.parametrize(
    ("case", "codes", "told"),
    [
        ("well", (0, 0), ("", "")),
        ("refused", (2, 2), ("run: holds a run already (continue it", "run: process 0: holds a run already (continue it")),
        ("the second fails", (2, 2), ("training: process 1: the loss is no number", "training: the loss is no number")),
        ("a bug", (2, 1), ("training: process 1 failed, ZeroDivisionError: of ours", "ZeroDivisionError: of ours")),
        ("the first is killed", (-signal.SIGKILL, 2), ("", GONE)),
    ],
)  # fmt: skip
def test_what_befalls_one_process_ends_the_other_with_a_sentence(
    case: str, codes: tuple[int, int], told: tuple[str, str], tmp_path: Path
) -> None:
    port = _port()
    two = [_start(tmp_path, case, rank, port) for rank in (0, 1)]
    try:
        said = [one.communicate(timeout=240) for one in two]
    finally:
        for one in two:
            one.kill()

    assert codes == tuple(one.returncode for one in two), said
    for wanted, (stdout, stderr) in zip(told, said, strict=True):
        assert wanted in stderr
        assert ("met\ndone\n" if case == "well" else "met\n") == stdout


def test_a_signal_ends_a_process_that_waits_for_the_first_one(tmp_path: Path) -> None:
    waiting = _start(tmp_path, "well", 1, _port())
    time.sleep(1.0)
    end = time.monotonic() + 120
    while b"libtorch" not in Path(f"/proc/{waiting.pid}/maps").read_bytes() and time.monotonic() < end:
        time.sleep(0.2)
    waiting.send_signal(signal.SIGTERM)

    waiting.communicate(timeout=60)  # which closes the pipes, too
    assert -signal.SIGTERM == waiting.returncode
