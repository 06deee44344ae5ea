"""``psp-hw sweep`` with real trainings on digits: two workers at once, kill -9, going on, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from psp_hw.cli import main

SPEC = """
net: {name: digits-cnn}
data: {name: digits, pad: 1}
pruning: {structures: [{kind: shape, epsilon: 0.3, strength: 0.1, at_least: 0.33, at_most: 0.67}], init: ones, ramp: 0.5, settle: 0.25}
training: {max_steps: 46}
finetune: {max_steps: 10, rate: 0.005, shape: cosine}
"""
# Without a shortcut: a layer of which nothing is left cuts it.
PLAIN = """
from torch import nn


class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10),
        )
"""
PLAIN_SPEC = """
net: {name: "plain_net:Plain"}
data: {name: digits, pad: 1}
pruning: {structures: [{kind: shape, epsilon: 0.3, strength: 0.0001}], init: ones, ramp: 0.5, settle: 0.25}
training: {max_steps: 46}
finetune: {max_steps: 10, rate: 0.005, shape: cosine}
"""
AXES = ("--density", "0.4,0.7", "--bits", "8,8", "--bits", "4,4")
COMMAND = (sys.executable, "-c", "from psp_hw.cli.main import main; main()", "sweep")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(SPEC)
    return path


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    left = main.run(["sweep", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert left == 0, captured.err
    return json.loads(captured.out)  # type: ignore[no-any-return]


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int) -> str:
    left = main.run(["sweep", *map(str, arguments)])
    captured = capsys.readouterr()
    assert left == code, captured.err
    return captured.err


def worker(spec: Path, out: Path, *, rank: int) -> subprocess.Popen[str]:
    """One of several that SLURM would start at once."""
    command = [*COMMAND, str(spec), *AXES, "--out", str(out), "--json"]
    ranks = {"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_JOB_ID": "7", "SLURM_LOCALID": str(rank)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ | ranks)


def found(document: dict[str, object]) -> list[dict[str, object]]:
    """What came of each trial, whatever its number and folder, in order of its values."""
    trials = [{k: v for k, v in trial.items() if k not in ("trial", "run")} for trial in document["trials"]]  # type: ignore[attr-defined]
    return sorted(trials, key=str)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_two_that_join_end_the_sweep(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = document(capsys, spec, *AXES, "--out", tmp_path / "whole")
    out = tmp_path / "halting"
    first = worker(spec, out, rank=1)
    deadline = time.monotonic() + 120
    while not (out / "trials/0001/logs").exists() and time.monotonic() < deadline:
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    assert not (out / "trials/0003").exists()

    two = [worker(spec, out, rank=rank) for rank in range(2)]
    answers = [json.loads(one.communicate(timeout=300)[0]) for one in two]

    assert [one.returncode for one in two] == [0, 0]
    assert found(answers[0]) == found(answers[1]) == found(whole)
    assert len(found(whole)) == 4
    for trial in answers[0]["trials"]:
        (other,) = (one for one in whole["trials"] if one["values"] == trial["values"])  # type: ignore[attr-defined]
        model = (Path(one["run"]) / "model.onnx" for one in (trial, other))
        assert len({path.read_bytes() for path in model}) == 1
    # what the killed one had begun was gone on with, in its folder
    assert json.loads((out / "trials/0001/manifest.json").read_text())["complete"]
    assert len(list((out / "trials").glob("0*"))) == 4


@pytest.mark.slow
def test_a_scheduler_that_stops_a_worker_gives_its_trial_back(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    stopped = worker(spec, out, rank=0)
    while not (out / "trials/0000/logs").exists():
        assert stopped.poll() is None
        time.sleep(0.02)
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate(timeout=60)

    assert stopped.returncode == 130
    assert "the sweep waits; the same command goes on" in said
    lines = [json.loads(line) for line in (out / "study.journal").read_text().splitlines()]
    waiting = [line for line in lines if line["op_code"] == 4 and "fixed_params" in str(line)]
    assert len(waiting) == 1
    assert waiting[0]["user_attrs"] == {"run": "0000", "deaths": 0}


@pytest.mark.slow
def test_every_trial_is_a_run_and_the_files_say_what_json_says(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sweep"
    answer = document(
        capsys, spec, "--density", "0.4", "--density", "1.0", "--against", "macs,cycles", "--out", out
    )

    written = json.loads((out / "front.json").read_text())
    assert {key: value for key, value in answer.items() if key != "files"} == written
    assert (out / "front.png").read_bytes().startswith(b"\x89PNG")
    sparse, dense = answer["trials"]  # type: ignore[misc]
    assert sparse["macs"] < dense["macs"]
    assert "params" not in sparse
    for trial in (sparse, dense):
        metrics = json.loads((Path(trial["run"]) / "manifest.json").read_text())["metrics"]
        assert (trial["accuracy"], trial["macs"]) == (metrics["accuracy_quantized"], metrics["macs"])
        main.run(["estimate", trial["run"], "--json"])
        assert trial["cycles"] == json.loads(capsys.readouterr().out)["cycles"]["interval"]
    assert main.run(["emit", sparse["run"], "--out", str(tmp_path / "design")]) == 0
    capsys.readouterr()
    page = (out / "front.md").read_text()
    assert "2 of 2 trials are done, 0 failed" in page
    assert f"{sparse['macs']:,}" in page

    before = (out / "trials/0000/manifest.json").stat().st_mtime_ns
    again = document(capsys, spec, "--density", "0.4,1.0", "--against", "macs,cycles", "--out", out)
    assert again == answer
    assert (out / "trials/0000/manifest.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_bits_alone_share_one_training_in_floats(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = document(capsys, spec, "--bits", "8,8", "--bits", "4,4", "--out", tmp_path / "shared")
    alone = document(capsys, spec, "--bits", "4,4", "--out", tmp_path / "alone")

    assert not list((tmp_path / "shared/trials/0001/checkpoints").glob("train-*"))
    assert found(shared)[0] == found(alone)[0]
    first, second = tmp_path / "shared/trials/0001/model.onnx", tmp_path / "alone/trials/0000/model.onnx"
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_a_trial_that_cannot_be_trained_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain_net.py").write_text(PLAIN)
    monkeypatch.syspath_prepend(tmp_path)
    spec = tmp_path / "plain.yaml"
    spec.write_text(PLAIN_SPEC)

    answer = document(capsys, spec, "--epsilon", "0.1,10", "--out", tmp_path / "sweep")

    (trial,), (failed,) = answer["trials"], answer["failed"]  # type: ignore[misc]
    assert trial["values"] == {"epsilon": 0.1}
    assert failed["values"] == {"epsilon": 10.0}
    assert "gone" in failed["error"]
    err = said(capsys, spec, "--epsilon", "9,10", "--out", tmp_path / "none", code=2)
    assert "none of the 2 trials could be trained; trial 0000:" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "sweep: nothing is varied (give --epsilon, --lambda"),
        (["--epsilon", "0.1:x"], "--epsilon: 'x' is not a number"),
        (["--epsilon", "0.5:0.1"], "--epsilon: 0.5 .. 0.1 is no range (give the smaller number first)"),
        (["--epsilon", "0:1"], "sweep: epsilon: epsilon=0.0 is not above 0 and at most 10"),
        (["--bits", "8,9"], "--bits: '8,9' is not a pair of widths"),
        (["--structure", "shaep"], "--structure: unknown structure 'shaep' (did you mean 'shape'?"),
        (["--epsilon", "0.1", "--density", "0.5"], "sweep: epsilon and density exclude each other"),
        (["--bits", "8,8", "--against", "speed"], "--against: unknown cost 'speed'"),
        (["--bits", "8,8", "--trials", "0"], "--trials: 0 trials (use 1 .. 100000)"),
        (["--bits", "8,8", "--seed", "-1"], "--seed: -1 is outside"),
        (["--bits", "8,8", "--part", "xc9z"], "xc9z"),
        (["--bits", "8,8", "--space", "none.yaml"], "none.yaml: cannot be read"),
        (["--bits", "8,8", "--accelerator", "gpu"], "--accelerator: unknown accelerator 'gpu'"),
        (["--bits", "8,8", "--storage", "nothing://x"], "nothing://x: cannot be opened"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    err = said(capsys, spec, *arguments, "--out", tmp_path / "sweep", code=2)

    assert sentence in err
    assert "Traceback" not in err
    assert not (tmp_path / "sweep").exists()


def test_a_gpu_that_is_not_there_is_said_before_a_trial_is_taken(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    err = said(capsys, spec, "--bits", "8,8", "--accelerator", "cuda", "--out", tmp_path / "sweep", code=2)

    assert "1 CUDA devices were asked for, this process sees 0" in err
    assert not (tmp_path / "sweep").exists()


def test_every_trial_of_a_worker_runs_on_what_was_asked_for(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from psp_hw.errors import TrainingError
    from psp_hw.training import api
    from psp_hw.training.machine import Accelerator, Machine

    asked = []

    def train(*_: object, machine: Machine, **__: object) -> None:
        asked.append(machine)
        raise TrainingError("enough was seen")

    monkeypatch.setattr(api, "train", train)
    arguments = ["--density", "0.4,0.7", "--accelerator", "cpu", "--out", tmp_path / "sweep"]
    assert "enough was seen" in said(capsys, spec, *arguments, code=2)

    assert [Machine(accelerator=Accelerator.CPU)] * 2 == asked


def test_a_missing_data_set_is_said_before_a_trial_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("{net: {name: resnet8}, data: {name: cifar10}, pruning: {structures: [shape]}}")

    err = said(capsys, spec, "--bits", "8,8", "--data-dir", tmp_path, "--out", tmp_path / "sweep", code=2)

    assert "CIFAR-10 is not there" in err
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_file_beside_the_spec_is_read_and_options_win_over_it(spec: Path, tmp_path: Path) -> None:
    from psp_hw.flow.sweeps.plan import SweepRequest, planned
    from psp_hw.spec.space import Axis, AxisName

    (tmp_path / "sweep.yaml").write_text("epsilon: [0.1, 0.2]\nbits: ['8,8', '4,4']\n")
    own = Axis(name=AxisName.EPSILON, over=(0.3,))

    assert planned(SweepRequest(spec=spec)).trials == 4
    assert [axis.over for axis in planned(SweepRequest(spec=spec, axes=(own,))).space.axes] == [
        (0.3,),
        ("8,8", "4,4"),
    ]


def test_a_sweep_that_was_asked_for_otherwise_is_not_joined(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from psp_hw.flow import sweep as flow

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "_train", interrupted)
    err = said(capsys, spec, "--bits", "8,8", "--out", tmp_path / "sweep", code=130)
    assert "the sweep waits; the same command goes on" in err

    err = said(capsys, spec, "--bits", "4,4", "--seed", "2", "--out", tmp_path / "sweep", code=2)

    assert "the sweep 'sweep' was started with another request; different: space, seed" in err
