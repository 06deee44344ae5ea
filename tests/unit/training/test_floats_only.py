"""The first phase on a machine without Brevitas, the second elsewhere: the files of one training."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from psp_hw.errors import RunError, SpecError
from psp_hw.flow.floats import train_floats
from psp_hw.flow.train import Request, train
from psp_hw.nn.registry import build_net
from psp_hw.spec.train import NetSpec
from psp_hw.training.run import PRUNED, load_run, read_manifest

ASKED = {"structures": ("shape",), "steps": 40, "tensorboard": False}

# What a machine for training may lack: the packages are there, and Python does not find them.
BARE = """
import sys
from importlib.machinery import PathFinder

MISSING = {"brevitas", "qonnx", "lightning", "onnx", "onnxscript", "onnxoptimizer", "onnxruntime", "hls4ml", "optuna"}


class Blind(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in MISSING else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Blind
from psp_hw.cli.main import main

code = 0
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
assert not MISSING & set(sys.modules), MISSING & set(sys.modules)
sys.exit(code)
"""


@pytest.mark.slow
def test_a_run_waits_between_its_phases_and_ends_as_one_that_did_not(tmp_path: Path) -> None:
    request = Request(**ASKED, out=tmp_path / "two")  # type: ignore[arg-type]
    floats = train_floats(request, progress=False)
    assert floats is not None
    assert not read_manifest(tmp_path / "two")["complete"]

    expected = train(Request(**ASKED, out=tmp_path / "one"), progress=False)  # type: ignore[arg-type]
    result = train(Request(resume=True, out=tmp_path / "two"), progress=False)
    again = train_floats(Request(resume=True, out=tmp_path / "two"), progress=False)

    for name in ("model.onnx", "quantized.pt", "metrics.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert expected.accuracy == result.accuracy == floats.accuracy
    assert again is not None
    assert (floats.accuracy, floats.layers) == (again.accuracy, again.layers)
    load_run(tmp_path / "two")


def test_the_floats_are_counted_as_the_masks_say(tmp_path: Path) -> None:
    request = Request(structures=("shape",), steps=4, density=0.5, out=tmp_path / "run")
    floats = train_floats(request, progress=False)
    assert floats is not None

    pruned = [layer for layer in floats.layers if layer.prunable]
    assert pruned
    for layer in pruned:  # four of nine positions
        assert 4 * layer.channels[0] * layer.channels[1] == layer.kept
        assert 4 == len(layer.taps)
    assert floats.density == 4 / 9
    assert floats.params == sum(layer.kept + layer.channels[1] for layer in floats.layers)
    assert floats.macs == sum(layer.macs for layer in floats.layers)


def test_floats_of_another_run_need_no_first_phase(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--floats-only: --from takes floats that are trained already"):
        train_floats(Request(floats=tmp_path, out=tmp_path / "run"), progress=False)


@pytest.mark.slow
def test_what_a_run_started_from_may_be_gone_when_it_goes_on(tmp_path: Path) -> None:
    """A run is moved to another machine, where the file of --weights is not."""
    weights = tmp_path / "start.pt"
    torch.save(build_net(NetSpec(), image=(1, 8, 8), classes=10).state_dict(), weights)
    asked = {"structures": ("shape",), "steps": 2, "weights": weights, "tensorboard": False}
    train_floats(Request(**asked, out=tmp_path / "run"), progress=False)  # type: ignore[arg-type]
    weights.unlink()

    again = train_floats(Request(resume=True, out=tmp_path / "run"), progress=False)
    assert again is not None
    (tmp_path / "run" / PRUNED).unlink()  # stopped before the end of its phase
    from_checkpoint = train_floats(Request(resume=True, out=tmp_path / "run"), progress=False)
    assert from_checkpoint is not None
    assert again.accuracy == from_checkpoint.accuracy
    train(Request(resume=True, out=tmp_path / "run"), progress=False)
    load_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"start\.pt: the file is missing"):
        train_floats(Request(**asked, resume=True, out=tmp_path / "new"), progress=False)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_complete_run_whose_floats_were_removed_is_not_trained_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(Request(structures=("shape",), steps=2, tensorboard=False, out=run), progress=False)
    shutil.rmtree(run / "checkpoints")

    with pytest.raises(RunError, match="the run is complete and its floats were removed"):
        train_floats(Request(resume=True, out=run), progress=False)
    assert not (run / "checkpoints").exists()


def test_floats_are_measured_where_they_were_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--accelerator cpu touches no GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    request = Request(
        structures=("shape",), steps=2, accelerator="cpu", tensorboard=False, out=tmp_path / "r"
    )
    assert train_floats(request, progress=False) is not None


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    request = Request(structures=("shape",), steps=2, out=tmp_path / "run")
    train_floats(request, progress=False)
    with pytest.raises(RunError, match=r"holds a run already \(unfinished\) \(continue it with --resume"):
        train_floats(request, progress=False)


@pytest.mark.slow
def test_a_machine_without_brevitas_and_under_the_other_name_of_lightning(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(BARE)

    def bare(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "bare.py", "train", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    asked = ["--shape", "--steps", "40", "--no-tensorboard", "--out", "run"]
    refused = bare(*asked)
    assert (2, "") == (refused.returncode, refused.stdout), refused.stderr
    assert "Brevitas is not installed: nothing can be quantized (--floats-only prunes here" in refused.stderr

    tried = bare("--shape", "--dry-run")
    assert (2, "") == (tried.returncode, tried.stdout)
    assert "psp-hw: train: Brevitas is not installed" in tried.stderr
    planned = bare("--shape", "--dry-run", "--floats-only", "--json")
    assert 0 == planned.returncode, planned.stderr
    assert json.loads(planned.stdout)["finetune"] is None
    told = bare(*asked, "--floats-only", "--json")
    assert 0 == told.returncode, told.stderr
    expected = train(Request(**ASKED, out=tmp_path / "one"), progress=False)  # type: ignore[arg-type]
    train(Request(resume=True, out=tmp_path / "run"), progress=False)

    assert expected.accuracy == json.loads(told.stdout)["accuracy"]
    for name in ("model.onnx", "quantized.pt", "metrics.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
