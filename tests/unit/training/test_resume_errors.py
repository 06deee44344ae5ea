"""Why a training does not go on: a checkpoint of another network is said to be one, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from psp_hw.data.registry import load
from psp_hw.errors import RunError, TrainingError
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.training.floats import fresh_net, train_structures
from psp_hw.training.machine import Machine
from psp_hw.training.manner import Manner
from psp_hw.training.modules import Phase

pytestmark = pytest.mark.slow  # trains

SPEC = with_steps(with_structures(preset(), (StructureKind.SHAPE,)), 2)
RESUMED = Manner(resume=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    split = load("digits", None, "train")
    train_structures(fresh_net(SPEC, split), SPEC, split, tmp_path, Machine())
    return tmp_path


def test_a_gpu_that_is_full_is_said_to_be_and_a_network_that_fails_is_no_fault_of_the_checkpoint(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the checkpoint is blamed, the way back is a new folder, and days of training are lost."""
    errors: list[RuntimeError] = [
        torch.distributed.DistBackendError("NCCL error"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ]

    def failing(self: Phase) -> None:
        raise errors[-1]

    split = load("digits", None, "train")
    monkeypatch.setattr(Phase, "on_fit_start", failing)
    with pytest.raises(TrainingError, match=r"the memory of the GPU is full: CUDA out of memory .*--resume"):
        train_structures(fresh_net(SPEC, split), SPEC, split, run, Machine(), RESUMED)
    errors.pop()
    with pytest.raises(torch.distributed.DistBackendError, match=r"^NCCL error$"):
        train_structures(fresh_net(SPEC, split), SPEC, split, run, Machine(), RESUMED)


def test_a_checkpoint_of_another_network_is_said_to_be_one(run: Path) -> None:
    split = load("digits", None, "train")
    other = replace(SPEC, net=replace(SPEC.net, name="resnet8"))
    with pytest.raises(RunError, match=r"train-last\.ckpt: the checkpoint does not fit this network: Error"):
        train_structures(fresh_net(other, split), other, split, run, Machine(), RESUMED)
