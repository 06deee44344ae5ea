"""A training that starts from weights: those of a run or of a saved state_dict, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.errors import RunError
from psp_hw.nn.registry import build_net
from psp_hw.spec.presets import preset
from psp_hw.spec.train import NetSpec
from psp_hw.training.phases import check_net, fresh_net


@pytest.fixture(scope="module")
def split() -> Split:
    return load("digits", None, "test")


@pytest.fixture
def trained() -> dict[str, torch.Tensor]:
    torch.manual_seed(77)
    return build_net(NetSpec(), image=(1, 8, 8), classes=10).state_dict()


def _start(split: Split, path: Path) -> dict[str, torch.Tensor]:
    spec = preset()
    return fresh_net(replace(spec, net=replace(spec.net, weights=str(path))), split).state_dict()


def test_a_run_and_a_state_dict_are_where_training_starts(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    torch.save({"net": trained, "masks": {}}, run / "checkpoints" / "pruned.pt")
    torch.save(trained, tmp_path / "plain.pt")
    torch.save({"state_dict": trained, "epoch": torch.tensor(3)}, tmp_path / "nested.pt")

    for path in (run, tmp_path / "plain.pt", tmp_path / "nested.pt"):
        start = _start(split, path)
        assert trained.keys() == start.keys()
        assert all(torch.equal(trained[name], start[name]) for name in trained)


def test_what_cannot_be_a_start_is_named(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pt").write_text("no tensors")
    name = next(iter(trained))
    torch.save(trained | {name: torch.zeros(1, 2)}, tmp_path / "other.pt")
    torch.save({"weights": [1, 2]}, tmp_path / "list.pt")

    for path, told in {
        "missing.pt": "is missing",
        "empty": "has no floats",
        "text.pt": "nothing in it was executed",
        "other.pt": name,
        "list.pt": "does not fit",
    }.items():
        with pytest.raises(RunError) as caught:
            _start(split, tmp_path / path)
        assert told in str(caught.value)


def test_it_is_refused_before_anything_is_trained(split: Split) -> None:
    spec = preset()
    with pytest.raises(RunError):
        check_net(replace(spec, net=replace(spec.net, weights="nowhere.pt")), split)
