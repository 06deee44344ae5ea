"""Checkpoints within an epoch: training goes on at the very step, with the same weights, log and random numbers."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.errors import TrainingError
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.spec.train import TrainSpec
from psp_hw.training import checkpoints
from psp_hw.training.checkpoints import Keeper, check_checkpoint
from psp_hw.training.floats import fresh_net, train_structures
from psp_hw.training.lightning_names import Trainer
from psp_hw.training.machine import Machine
from psp_hw.training.manner import Manner, PhaseRecord
from psp_hw.training.modules import Phase

pytestmark = pytest.mark.slow  # trains

PER_EPOCH = 23  # batches of the digits
SPEC = with_steps(with_structures(preset(), (StructureKind.SHAPE,)), 60)
CUT = 30


class _StopError(Exception):
    """An interruption that leaves no chance to clean up."""


@pytest.fixture(scope="module")
def split() -> Split:
    return load("digits", None, "train")


def _train(
    spec: TrainSpec, split: Split, run: Path, manner: Manner, patch: pytest.MonkeyPatch, *, stop_at: int = -1
) -> tuple[nn.Module, PhaseRecord | None, list[int]]:
    """The network, its record, and the number of each step that was done."""
    done: list[int] = []
    original = Phase.training_step

    def step(self: Phase, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        if self.global_step == stop_at:
            raise _StopError
        done.append(self.global_step)
        assert batch_idx == self.global_step % PER_EPOCH
        return original(self, batch, batch_idx)

    net = fresh_net(spec, split)
    with patch.context() as patched:
        patched.setattr(Phase, "training_step", step)
        try:
            record = train_structures(net, spec, split, run, Machine(), manner)
        except _StopError:
            record = None
    return net, record, done


def _rows(record: PhaseRecord | None) -> tuple[dict[str, str], ...]:
    assert record is not None
    return record.rows


@pytest.mark.parametrize(
    "stop_at", [CUT, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2 * PER_EPOCH, 59))]
)
def test_the_step_behind_the_checkpoint_is_the_next(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    often = Manner(checkpoint_seconds=0.0)
    whole, expected, _ = _train(SPEC, split, tmp_path / "whole", Manner(), monkeypatch)
    _train(SPEC, split, tmp_path / "cut", often, monkeypatch, stop_at=stop_at)
    again = replace(often, resume=True)
    net, record, done = _train(SPEC, split, tmp_path / "cut", again, monkeypatch)

    assert list(range(stop_at, 60)) == done
    assert _rows(expected) == _rows(record)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name


def _signalled(
    split: Split, run: Path, patch: pytest.MonkeyPatch, at: int, *numbers: signal.Signals
) -> list[int]:
    """The numbers of the steps that were begun of a training that gets signals in the middle of one."""
    begun: list[int] = []
    original = Phase.training_step

    def step(self: Phase, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        begun.append(self.global_step)
        if self.global_step == at:
            for number in numbers:
                os.kill(os.getpid(), number)
        return original(self, batch, batch_idx)

    handled = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with patch.context() as patched:
        patched.setattr(Phase, "training_step", step)
        with pytest.raises(KeyboardInterrupt):
            train_structures(fresh_net(SPEC, split), SPEC, split, run, Machine(), Manner())
    assert handled == {number: signal.getsignal(number) for number in handled}
    return begun


@pytest.mark.parametrize(
    ("number", "at"),
    [(signal.SIGTERM, CUT), (signal.SIGINT, CUT), (signal.SIGTERM, PER_EPOCH - 1), (signal.SIGINT, 59)],
)
def test_a_signal_loses_no_step(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, at: int
) -> None:
    whole, expected, _ = _train(SPEC, split, tmp_path / "whole", Manner(), monkeypatch)
    begun = _signalled(split, tmp_path / "cut", monkeypatch, at, number)
    net, record, done = _train(SPEC, split, tmp_path / "cut", Manner(resume=True), monkeypatch)

    assert list(range(60)) == begun + done
    assert at == begun[-1]
    assert _rows(expected) == _rows(record)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name


def test_a_second_signal_does_not_wait_for_the_step(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _signalled(split, tmp_path, monkeypatch, CUT, signal.SIGTERM, signal.SIGTERM)

    assert PER_EPOCH == check_checkpoint(tmp_path / "checkpoints/train-last.ckpt")["global_step"]


@pytest.mark.slow
def test_the_last_epoch_is_in_the_log_also_where_the_process_went_behind_its_last_step(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 steps end within the third epoch."""
    often = Manner(checkpoint_seconds=0.0)
    _, expected, _ = _train(SPEC, split, tmp_path / "whole", often, monkeypatch)

    def gone(self: Keeper, trainer: Trainer, module: Phase) -> None:
        if trainer.global_step == 60:
            raise _StopError
        original(self, trainer, module)

    original = Keeper.on_train_epoch_end
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "on_train_epoch_end", gone)
        _, record, _ = _train(SPEC, split, tmp_path / "cut", often, monkeypatch)
        assert record is None
    _, record, _ = _train(SPEC, split, tmp_path / "cut", replace(often, resume=True), monkeypatch)

    assert 3 == len(_rows(expected))
    assert _rows(expected) == _rows(record)


def test_a_network_with_dropout_draws_the_same_numbers(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net_with_dropout.py").write_text(
        "from torch import nn\n"
        "def make(in_channels, classes):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(),\n"
        "                         nn.Dropout(0.3), nn.Linear(64, classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = replace(SPEC, net=replace(SPEC.net, name="net_with_dropout:make"))
    often = Manner(checkpoint_seconds=0.0)
    whole, _, _ = _train(spec, split, tmp_path / "whole", Manner(), monkeypatch)
    _train(spec, split, tmp_path / "cut", often, monkeypatch, stop_at=CUT)
    torch.manual_seed(1234)
    net, _, _ = _train(spec, split, tmp_path / "cut", replace(often, resume=True), monkeypatch)

    for name, value in whole.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name


def test_a_short_epoch_is_saved_at_its_end_alone(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _train(SPEC, split, tmp_path, Manner(), monkeypatch, stop_at=CUT)

    saved = [
        check_checkpoint(path)["global_step"] for path in (tmp_path / "checkpoints").glob("train-*.ckpt")
    ]
    assert [PER_EPOCH] == saved


def test_a_checkpoint_within_an_epoch_is_one_of_numbers(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = checkpoints.require_numbers

    def broken(module: Phase, epoch: int) -> None:
        if module.global_step == CUT:
            with torch.no_grad():
                next(module.net.parameters()).view(-1)[0] = torch.inf
        original(module, epoch)

    monkeypatch.setattr(checkpoints, "require_numbers", broken)
    with pytest.raises(TrainingError, match=r"'net\..*' is no longer a number in epoch 2"):
        _train(SPEC, split, tmp_path, Manner(checkpoint_seconds=0.0), monkeypatch)

    last = check_checkpoint(tmp_path / "checkpoints/train-last.ckpt")
    assert CUT - 1 == last["global_step"]
    assert all(value.isfinite().all() for value in last["state_dict"].values())
