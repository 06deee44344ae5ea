"""kill -9 at any moment, then --resume: the files of a run that nobody disturbed. Real processes, real SIGKILL."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psp_hw.training.run import load_run

LAB = Path(__file__).parents[2] / "support" / "crash_lab.py"
FILES = ("model.onnx", "quantized.pt", "metrics.csv", "input.npz", "spec.yaml")
ASKED = {"structures": ["shape"], "density": 0.6, "epochs": 3, "finetune_epochs": 2, "tensorboard": False}
SEED = 20

pytestmark = pytest.mark.slow


class Lab:
    """A process that forks trainings and kills them."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(LAB)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def train(self, out: Path, *, die_at: int = 0, **more: Any) -> dict[str, Any]:
        """Train in a process of its own, which dies at a moment (0: never)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        wanted = {"asked": {**ASKED, **more, "out": str(out)}, "die_at": die_at}
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab()
    yield made
    made.close()


@pytest.fixture(scope="module")
def undisturbed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run that nobody killed, and how many moments it had."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    answer = lab.train(out)
    assert 0 == answer["status"]
    return out, answer["moments"]


def _assert_same(expected: Path, out: Path) -> None:
    load_run(out)  # complete, every checksum right
    for name in FILES:
        assert (expected / name).read_bytes() == (out / name).read_bytes(), name
    left = [path.name for path in out.rglob("*") if ".tmp" in path.name]
    assert [] == left


@pytest.mark.parametrize("tenth", range(10))
def test_killed_at_a_random_moment_and_resumed(
    lab: Lab, undisturbed: tuple[Path, int], tmp_path: Path, tenth: int
) -> None:
    """One moment in each tenth of the run: steps, half-written checkpoints, renames, the export, the manifest."""
    expected, moments = undisturbed
    die_at = round((tenth + random.Random(SEED + tenth).random()) * moments / 10)

    died = lab.train(tmp_path / "run", die_at=max(1, die_at))
    resumed = lab.train(tmp_path / "run", resume=True)

    assert signal.SIGKILL == os.WTERMSIG(died["status"])
    assert 0 == resumed["status"]
    _assert_same(expected, tmp_path / "run")


OFTEN = {"checkpoint_minutes": 0.0, "resume": True}  # a checkpoint after every step


@pytest.fixture(scope="module")
def moments_with_steps(
    lab: Lab, undisturbed: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory
) -> int:
    """How many moments a run has that saves after every step; its files are those of one that does not."""
    expected, _ = undisturbed
    out = tmp_path_factory.mktemp("often") / "run"
    answer = lab.train(out, **OFTEN)
    _assert_same(expected, out)
    return int(answer["moments"])


@pytest.mark.parametrize("quarter", range(4))
def test_killed_within_an_epoch_it_goes_on_within_that_epoch(
    lab: Lab, undisturbed: tuple[Path, int], moments_with_steps: int, tmp_path: Path, quarter: int
) -> None:
    """Killed twice, in steps and in the middle of writes."""
    expected, _ = undisturbed
    rng = random.Random(SEED + quarter)
    first = lab.train(
        tmp_path / "run", die_at=round((quarter + rng.random()) * moments_with_steps / 4), **OFTEN
    )
    second = lab.train(tmp_path / "run", die_at=rng.randrange(1, 20), **OFTEN)

    assert [signal.SIGKILL] * 2 == [os.WTERMSIG(answer["status"]) for answer in (first, second)]
    assert 0 == lab.train(tmp_path / "run", **OFTEN)["status"]
    _assert_same(expected, tmp_path / "run")


@pytest.mark.parametrize("phase", ["first moments", "last moments"])
def test_killed_while_the_folder_is_begun_or_finished(
    lab: Lab, undisturbed: tuple[Path, int], tmp_path: Path, phase: str
) -> None:
    """The first moments one after the other, on one run; and the last, before the manifest gets its name."""
    expected, moments = undisturbed
    if phase == "first moments":
        for die_at in range(1, 9):
            died = lab.train(tmp_path / "run", die_at=die_at, resume=True)
            assert signal.SIGKILL == os.WTERMSIG(died["status"])
    else:
        assert signal.SIGKILL == os.WTERMSIG(lab.train(tmp_path / "run", die_at=moments - 1)["status"])
        assert not json.loads((tmp_path / "run/manifest.json").read_text())["complete"]
    assert 0 == lab.train(tmp_path / "run", resume=True)["status"]
    _assert_same(expected, tmp_path / "run")


def test_killed_again_and_again_it_still_ends_the_same(
    lab: Lab, undisturbed: tuple[Path, int], tmp_path: Path
) -> None:
    expected, moments = undisturbed
    rng = random.Random(SEED)
    deaths = 0
    for _ in range(30):
        answer = lab.train(tmp_path / "run", die_at=rng.randrange(moments // 4, moments // 2), resume=True)
        if answer["status"] == 0:
            break
        deaths += 1
    assert deaths >= 2
    _assert_same(expected, tmp_path / "run")


def test_the_command_killed_at_a_random_time_and_resumed(
    undisturbed: tuple[Path, int], tmp_path: Path
) -> None:
    """As a person meets it: `psp-hw train`, kill -9 some time after the first checkpoint, `psp-hw train --resume`."""
    expected, _ = undisturbed
    command = [sys.executable, "-m", "psp_hw", "train", "--no-tensorboard"]
    asked = ["--shape", "--density", "0.6", "--epochs", "3", "--finetune-epochs", "2", "--out", "run"]
    running = subprocess.Popen([*command, *asked], cwd=tmp_path, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "run/checkpoints/train-last.ckpt"
    end = time.monotonic() + 120
    while not checkpoint.exists():
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(random.Random(SEED).random())
    running.kill()
    running.wait()

    done = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 2 == done.returncode  # the run is not in runs/: it must be named
    done = subprocess.run(
        [*command, "--resume", "--out", "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr.replace(_progress_of(done.stderr), ""))
    _assert_same(expected, tmp_path / "run")


def _progress_of(text: str) -> str:
    """What the progress bars wrote."""
    return text if all(line.split(" ")[0] in ("train", "finetune") for line in text.splitlines()) else ""
