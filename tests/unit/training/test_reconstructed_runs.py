"""Trainings that begin with structures chosen by reconstruction: whole runs, resumed ones, several processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from psp_hw.data.registry import load
from psp_hw.errors import RunError, SpecError
from psp_hw.flow.train import Request, TrainSummary, train, training_spec
from psp_hw.pruning.parametrization import pruned_layers, weight_mask
from psp_hw.spec.enums import Criterion
from psp_hw.training.first_phase import check_request
from psp_hw.training.floats import fresh_net, train_structures
from psp_hw.training.machine import Machine
from psp_hw.training.manner import Manner
from psp_hw.training.modules import Phase
from psp_hw.training.run import load_run

ASKED = Request(structures=("shape",), method="reconstruction", density=5 / 9, steps=20, tensorboard=False)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> TrainSummary:
    """A complete dense run. Read it; copy it to change it."""
    out = tmp_path_factory.mktemp("reconstruction") / "dense"
    return train(Request(steps=200, out=out, tensorboard=False), progress=False)


@pytest.mark.slow
def test_a_run_begins_near_the_dense_network_and_says_what_was_lost(
    dense: TrainSummary, tmp_path: Path
) -> None:
    told: list[str] = []
    asked = replace(ASKED, weights=dense.run, steps=1)
    chosen = train(replace(asked, out=tmp_path / "chosen"), progress=False, note=told.append)

    spec = load_run(chosen.run).spec
    assert Criterion.RECONSTRUCTION is spec.pruning.criterion
    assert training_spec(Request(spec=chosen.run / "spec.yaml")) == spec
    assert dense.accuracy - 0.06 < chosen.accuracy  # after one step: there was hardly any training
    (line,) = [line for line in told if "reconstruction" in line]
    assert "% of its energy" in line
    for layer in chosen.layers:
        if layer.prunable:
            assert len(layer.taps) == 5


@pytest.mark.slow
def test_no_step_need_be_trained(dense: TrainSummary, tmp_path: Path) -> None:
    asked = replace(ASKED, weights=dense.run, steps=None, epochs=0, finetune_epochs=0)
    found = train(replace(asked, out=tmp_path / "run"), progress=False)
    again = train(replace(asked, out=tmp_path / "run", resume=True), progress=False)

    assert dense.accuracy - 0.06 < found.accuracy_quantized
    assert found.accuracy_quantized == again.accuracy_quantized == found.accuracy_calibrated
    assert (("train", 0.0), ("finetune", 0.0)) == found.seconds
    assert 1 == len((found.run / "metrics.csv").read_text().splitlines())
    pruned = torch.load(found.run / "checkpoints" / "pruned.pt", weights_only=True)
    for name, mask in pruned["masks"].items():
        assert bool((pruned["net"][f"{name}.weight"][~mask] == 0).all())
        assert 5 == int(mask[0, 0].sum())


class _StopError(Exception):
    """An interruption that leaves no chance to clean up."""


@pytest.mark.slow
def test_a_run_that_was_cut_goes_on_with_the_choice_it_began_with(
    dense: TrainSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the weights that it started from, which may be gone by then."""
    spec = training_spec(replace(ASKED, weights=dense.run))
    split = load("digits", None, "train")
    often = Manner(checkpoint_seconds=0.0)

    def stopped(self: Phase, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if self.global_step == 7:
            raise _StopError
        return original(self, batch, batch_idx)

    original = Phase.training_step
    whole, cut = (fresh_net(spec, split) for _ in range(2))
    train_structures(whole, spec, split, tmp_path / "whole", Machine(), often)
    with monkeypatch.context() as patch:
        patch.setattr(Phase, "training_step", stopped)
        with pytest.raises(_StopError):
            train_structures(cut, spec, split, tmp_path / "cut", Machine(), often)
    resumed = fresh_net(spec, split, begun=True)
    train_structures(
        resumed, spec, split, tmp_path / "cut", Machine(), replace(often, resume=True), begun=True
    )

    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert {5} == {int(weight_mask(layer)[0, 0].sum()) for layer in pruned_layers(resumed).values()}


@pytest.mark.slow
def test_two_processes_have_the_same_weights(dense: TrainSummary, tmp_path: Path) -> None:
    words = ["train", "--shape", "--method", "reconstruction", "--weights", str(dense.run), "--steps", "4"]
    one, two = tmp_path / "one", tmp_path / "two"
    for out, devices in ((one, "1"), (two, "2")):
        command = [sys.executable, "-m", "psp_hw", *words, "--density", "0.5", "--out", str(out)]
        done = subprocess.run(
            [*command, "--accelerator", "cpu", "--devices", devices, "--no-tensorboard"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert 1 == done.stderr.count("structures are chosen by reconstruction")
    masks = [torch.load(run / "checkpoints" / "pruned.pt", weights_only=True)["masks"] for run in (one, two)]
    assert masks[0].keys() == masks[1].keys()
    assert all(torch.equal(mask, masks[1][name]) for name, mask in masks[0].items())


def test_what_is_not_trained_cannot_be_reconstructed(tmp_path: Path) -> None:
    split = load("digits", None, "test")
    with pytest.raises(SpecError, match="reconstruction chooses in a trained network, and none is named"):
        check_request(training_spec(ASKED), split, Machine(), begun=False)
    with pytest.raises(RunError, match="is missing"):
        check_request(training_spec(replace(ASKED, weights=tmp_path / "none")), split, Machine(), begun=False)
