"""--dry-run: what would be trained, counted by hand and measured; nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psp_hw.cli import main
from psp_hw.cli.summary import duration
from psp_hw.errors import SpecError
from psp_hw.flow.preview import document, facts, preview
from psp_hw.flow.train import Request
from psp_hw.spec.load import spec_from_dict

pytestmark = pytest.mark.slow

ASKED = Request(structures=("shape",), density=0.6, epochs=3, finetune_epochs=2, seed=7)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_dry_run_counts_measures_and_writes_nothing(tmp_path: Path) -> None:
    spec, found = preview(ASKED)
    told = document(ASKED, spec, found)
    words = dict(facts(ASKED, spec, found, duration))

    assert [] == list(tmp_path.iterdir())
    assert ((1, 8, 8), (1442, 355)) == (found.image, found.images)
    inner = 9 * (16 * 16 + 16 * 16 + 16 * 24 + 24 * 24)  # 3x3
    others = 9 * 16 + 16 * 24 + 24 * 10  # first, shortcut, last
    norms_and_biases = 2 * (3 * 16 + 3 * 24) + 10
    assert inner + others + norms_and_biases == found.params
    assert (4, 36) == (len(found.pruned), found.alphas)
    assert found.floats is not None
    assert found.finetune is not None
    assert (3 * 23, 2 * 23) == (found.floats.steps, found.finetune.steps)
    assert min(found.floats.measured, found.finetune.measured) >= 5
    assert 1e-4 < found.floats.seconds_per_step < 5
    assert 50 << 20 < found.memory < 16 << 30
    parts = found.floats.seconds + found.finetune.seconds + found.other_seconds
    assert parts == pytest.approx(found.seconds)
    assert spec == spec_from_dict(told["spec"])  # type: ignore[arg-type]
    assert str(Path("runs/digits-cnn-shape")) == told["run"]
    assert "exactly 60% of each layer, by |alpha|, lambda 0.1" in words["pruning"]
    assert "3 epochs, 69 steps of 64 images" in words["floats"]
    assert "7" == words["seed"]
    assert "real steps on this machine" in words["time"]
    assert words["would write"].endswith("; nothing was written")


def test_a_dry_run_of_floats_alone_counts_no_fine_tuning(tmp_path: Path) -> None:
    spec, found = preview(ASKED, floats_only=True)
    words = dict(facts(ASKED, spec, found, duration))

    assert found.floats is not None
    assert found.finetune is None
    assert document(ASKED, spec, found)["finetune"] is None
    assert found.seconds == pytest.approx(found.floats.seconds + found.other_seconds)
    assert "later, with psp-hw train --resume" == words["fine-tuning"]
    assert "fine-tuning" not in words["time"]


def test_a_dry_run_has_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["train", "--dry-run", "--steps", "5", "--out", "there", "--json"]
    assert 0 == main.run(arguments)
    told = json.loads(capsys.readouterr().out)

    assert (True, "there", 5, 0) == (told["dry_run"], told["run"], told["floats"]["steps"], told["alphas"])
    assert told["pruned_layers"] == []
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--resume"], "--dry-run and --resume exclude each other"),
        (["--net", "resnet9"], "unknown network 'resnet9'"),
        (["--from", "nowhere"], "nowhere: is not a run of psp-hw"),
        (["--from", "nowhere", "--floats-only"], "--from takes floats that are trained already"),
        (["--data", "cifar10", "--data-dir", "nowhere"], "cifar10"),
    ],
)
def test_a_dry_run_refuses_what_a_training_would(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main.run(["train", "--dry-run", *arguments])
    assert says in capsys.readouterr().err


@pytest.mark.slow
def test_floats_of_another_run_cost_no_time(digits_run: Path) -> None:
    request = Request(floats=digits_run, bits="4,4")
    spec, found = preview(request)

    assert found.floats is None
    assert dict(facts(request, spec, found, duration))["floats"].startswith(f"taken from {digits_run}")
    with pytest.raises(SpecError, match="different: seed"):
        preview(Request(floats=digits_run, seed=5))
