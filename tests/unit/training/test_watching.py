"""What a person sees of a training: the moving line, the lines in a log file, TensorBoard."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from psp_hw.data.registry import load
from psp_hw.errors import ToolError
from psp_hw.pruning.select import prune
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.training import manner
from psp_hw.training.floats import fresh_net, train_structures
from psp_hw.training.log import merged_log
from psp_hw.training.machine import Machine
from psp_hw.training.manner import Manner, PhaseRecord, want_tensorboard
from psp_hw.training.modules import Phase, PruningPhase
from psp_hw.training.progress import PhaseProgress, facts_of

SPEC = with_steps(with_structures(preset(), (StructureKind.SHAPE,)), 60)


@pytest.fixture
def phase() -> PruningPhase:
    net = fresh_net(SPEC, load("digits", None, "test"))
    prune(net, SPEC.pruning, first="conv0")
    made = PruningPhase(net, SPEC, 60)
    made.means.recent = torch.tensor([2.345678, 0.12345])
    return made


def test_in_a_log_file_a_phase_says_its_last_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = load("digits", None, "train")
    train_structures(fresh_net(SPEC, split), SPEC, split, tmp_path, Machine(), Manner(progress=True))

    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"train 3/3  loss \d\.\d{3} accuracy \d+\.\d% density 0\.\d{3} epsilon 0\.300  done", lines[-1]
    ), lines


def test_the_line_of_a_terminal_fits_in_80_columns(phase: PruningPhase) -> None:
    """With the widest numbers that a training of the paper shows."""
    phase.means.recent = torch.tensor([12.345, 1.0])
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    progress = PhaseProgress("train", 60, console)
    trainer = SimpleNamespace(global_step=30, current_epoch=299, num_training_batches=23)
    progress.on_train_start(trainer, phase)  # type: ignore[arg-type]
    progress.every = 0.0
    progress.on_train_batch_end(trainer, phase, None, None, 0)  # type: ignore[arg-type]
    progress.on_train_end(trainer, phase)  # type: ignore[arg-type]

    last = [line for line in out.getvalue().splitlines() if "train 300/3" in line][-1]
    for fact in ("loss 12.345", "accuracy 100.0%", "density 0.667", "epsilon 0.000"):
        assert fact in last
    assert "…" not in last
    assert re.search(r"(\d+:\d\d|-:--)", last), last


@pytest.mark.parametrize("width", [60, 40, 30])
def test_on_a_narrow_terminal_epoch_and_time_left_stay(phase: PruningPhase, width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    progress = PhaseProgress("train", 60, console)
    trainer = SimpleNamespace(global_step=30, current_epoch=11, num_training_batches=23)
    progress.on_train_start(trainer, phase)  # type: ignore[arg-type]
    progress.every = 0.0
    progress.on_train_batch_end(trainer, phase, None, None, 0)  # type: ignore[arg-type]
    progress.on_train_end(trainer, phase)  # type: ignore[arg-type]

    last = [line for line in re.split(r"[\r\n]", out.getvalue()) if "12/3" in line][-1]
    assert re.search(r"train 12/3 loss 2\.\d+", last), last
    assert re.search(r"(\d+:\d\d|-:--) *(\x1b|$)", last), last
    if width == 60:
        assert "loss 2.346 acc 12.3% dens 0.667 eps 0.000" in last


def test_epsilon_is_the_threshold_that_applies_now(
    phase: PruningPhase, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruning = SPEC.pruning
    expected = {0.0: 0.0, pruning.warmup + pruning.ramp / 2: 0.15, 0.9: 0.3}
    for progress, epsilon in expected.items():
        monkeypatch.setattr(Phase, "progress", property(lambda _, p=progress: p))
        assert f"epsilon {epsilon:.3f}" in facts_of(phase)


def test_with_a_budget_there_is_no_epsilon_to_show() -> None:
    net = fresh_net(SPEC, load("digits", None, "test"))
    exact = tuple(replace(s, density=0.5) for s in SPEC.pruning.structures)
    pruning = replace(SPEC.pruning, structures=exact)
    prune(net, pruning, first="conv0")

    assert ["density"] == list(PruningPhase(net, replace(SPEC, pruning=pruning), 60).pruning_facts())


def test_the_log_comes_from_the_checkpoint_else_from_what_was_written(tmp_path: Path) -> None:
    """A line that a killed process cut is not a line."""
    for name, text in {
        "train-1": "accuracy,epoch,loss,step\n0.5,0,2.0,22\n0.6,1,1.5,45\n0.7,2",
        "train-2": "accuracy,epoch,loss,step\n0.61,1,1.4,45\n",
        "finetune-1": "epoch,loss,step\n0,9.0,1\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)
    record = PhaseRecord(seconds=1.0, rows=({"epoch": "0", "step": "22", "loss": "1.0"},))

    assert merged_log({"train": None, "finetune": record}, tmp_path).splitlines() == [
        "phase,epoch,step,loss,accuracy,density,epsilon",
        "train,0,22,2.0,0.5,,",
        "train,1,45,1.4,0.61,,",
        "finetune,0,22,1.0,,,",
    ]


def test_tensorboard_is_written_where_it_is_installed_and_missed_only_where_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manner, "has_tensorboard", lambda: False)
    assert (False, False) == (want_tensorboard(None), want_tensorboard(False))
    with pytest.raises(ToolError, match=r"--tensorboard: TensorBoard is not installed \(pip install"):
        want_tensorboard(True)
    monkeypatch.setattr(manner, "has_tensorboard", lambda: True)
    assert (True, False, True) == (want_tensorboard(None), want_tensorboard(False), want_tensorboard(True))


class _StopError(Exception):
    """An interruption that leaves no chance to clean up."""


def test_event_files_go_on_after_a_resume_without_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard is an optional extra: pip install 'psp-hw[tensorboard]'",
    )
    split = load("digits", None, "train")
    original = Phase.training_step

    def stopped(self: Phase, batch: object, batch_idx: int) -> object:
        if self.global_step == 50:
            raise _StopError
        return original(self, batch, batch_idx)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Phase, "training_step", stopped)
        with pytest.raises(_StopError):
            train_structures(
                fresh_net(SPEC, split), SPEC, split, tmp_path, Machine(), Manner(tensorboard=True)
            )
    record = train_structures(
        fresh_net(SPEC, split), SPEC, split, tmp_path, Machine(), Manner(tensorboard=True, resume=True)
    )

    found = events.EventAccumulator(str(tmp_path / "tensorboard/train"))
    found.Reload()
    assert {"loss", "accuracy", "density", "epsilon"} <= set(found.Tags()["scalars"])
    assert [22, 45, 59] == [event.step for event in found.Scalars("loss")]
    expected = [pytest.approx(float(row["loss"])) for row in record.rows]
    assert expected == [event.value for event in found.Scalars("loss")]
