"""A disk that is full, and signals that ask to stop: said in a sentence, and the run goes on afterwards."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psp_hw.training.run import load_run

TRAIN = [sys.executable, "-m", "psp_hw", "train", "--no-tensorboard"]
ASKED = ["--shape", "--density", "0.6", "--epochs", "2", "--finetune-epochs", "2"]
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]

pytestmark = pytest.mark.slow


def _run(
    arguments: list[str], folder: Path, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRAIN, *arguments], cwd=folder, capture_output=True, text=True, preexec_fn=before, check=False
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = _run([*ASKED, "--out", "run"], folder)
    assert 0 == done.returncode, done.stderr
    return folder / "run"


def _assert_same(expected: Path, out: Path) -> None:
    load_run(out)
    for name in ("model.onnx", "quantized.pt", "metrics.csv"):
        assert (expected / name).read_bytes() == (out / name).read_bytes(), name


@pytest.mark.parametrize(("largest", "named"), [(60_000, "train-last.ckpt"), (200_000, "finetune-last.ckpt")])
def test_a_file_that_may_not_grow_stops_the_run_and_it_resumes(
    undisturbed: Path, tmp_path: Path, largest: int, named: str
) -> None:
    """Under a limit on the size of files, as quotas are felt: EFBIG in the middle of a checkpoint."""
    stopped = _run(
        [*ASKED, "--out", "run"],
        tmp_path,
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY)),
    )

    assert 2 == stopped.returncode
    assert f"{named}: cannot be written: File too large (free some space" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert [] == [path.name for path in tmp_path.rglob("*.tmp")]

    assert 0 == _run(["--resume", "--out", "run"], tmp_path).returncode
    _assert_same(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("size", ["300k", "560k"])
def test_a_full_disk_stops_the_run_and_it_resumes_when_there_is_space(
    undisturbed: Path, tmp_path: Path, size: str
) -> None:
    """A real small file system (tmpfs in a namespace of its own), then a larger one."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system lets nobody mount a file system of their own (unshare)")
    train = shlex.join(TRAIN)
    program = f"""
        mkdir small && mount -t tmpfs -o size={size} none small || exit 9
        {train} {shlex.join(ASKED)} --out small/run > said 2>&1; echo $? > code
        find small -name '*.tmp*' > left
        mount -o remount,size=20m small
        {train} --resume --out small/run > again 2>&1 || exit 8
        cp -r small/run kept
    """
    done = subprocess.run([*NAMESPACE, "sh", "-c", program], cwd=tmp_path, check=False)

    said = (tmp_path / "said").read_text()
    assert 0 == done.returncode, said
    assert "2\n" == (tmp_path / "code").read_text(), said
    assert "cannot be written: No space left on device (free some space, then continue with --resume)" in said
    assert "Traceback" not in said
    assert "" == (tmp_path / "left").read_text()
    _assert_same(undisturbed, tmp_path / "kept")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_run_and_names_the_way_back(
    undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    running = subprocess.Popen(
        [*TRAIN, *ASKED, "--out", "my run"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    checkpoint = tmp_path / "my run/checkpoints/train-last.ckpt"
    end = time.monotonic() + 120
    while not checkpoint.exists():
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(running.pid, number)
    _, said = running.communicate(timeout=60)

    assert 130 == running.returncode, said
    assert "the run waits; go on with: psp-hw train --resume --out 'my run'" in said
    assert "Traceback" not in said
    assert not json.loads((tmp_path / "my run/manifest.json").read_text())["complete"]

    assert 0 == _run(["--resume", "--out", "my run"], tmp_path).returncode
    _assert_same(undisturbed, tmp_path / "my run")


def test_the_same_command_line_with_resume_begins_and_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    """As a job that the scheduler starts again and again."""
    command = [*ASKED, "--out", "run", "--resume"]

    first, second = _run(command, tmp_path), _run(command, tmp_path)

    assert (0, 0) == (first.returncode, second.returncode)
    assert first.stdout == second.stdout
    _assert_same(undisturbed, tmp_path / "run")
