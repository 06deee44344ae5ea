"""A run that takes the pruned floats of another: the same files as if it had trained them, and what is refused."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from psp_hw.errors import PspHwError, RunError, SpecError
from psp_hw.flow.train import Request, train, training_spec
from psp_hw.training.run import PRUNED, load_run, open_run, read_manifest

pytestmark = pytest.mark.slow

ASKED = Request(structures=("shape",), density=0.6, steps=30)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run at 8,8. Read it; copy it to change it."""
    out = tmp_path_factory.mktemp("source") / "run"
    train(replace(ASKED, out=out), progress=False)
    return out


@pytest.mark.slow
def test_other_bits_give_the_same_files_as_training_the_floats_again(source: Path, tmp_path: Path) -> None:
    whole = train(replace(ASKED, bits="4,4", out=tmp_path / "whole"), progress=False)
    reused = train(Request(floats=source, bits="4,4", out=tmp_path / "reused"), progress=False)

    for name in ("model.onnx", "quantized.pt", "metrics.csv", "input.npz", "spec.yaml"):
        assert (whole.run / name).read_bytes() == (reused.run / name).read_bytes(), name
    assert whole == replace(reused, run=whole.run)
    assert not (reused.run / "checkpoints/train-last.ckpt").exists()


def test_steps_and_epochs_then_mean_fine_tuning_alone(source: Path) -> None:
    spec = training_spec(Request(floats=source, bits="6,4", steps=7, finetune_epochs=3))
    before = load_run(source).spec

    assert (7, 3) == (spec.finetune.max_steps, spec.finetune.epochs)
    assert (6, 4) == (spec.quant.weight_bits, spec.quant.act_bits)
    assert before == replace(spec, quant=before.quant, finetune=before.finetune)


def test_a_run_that_took_floats_says_how_they_were_trained(source: Path, tmp_path: Path) -> None:
    taken = train(Request(floats=source, bits="4,4", steps=2, out=tmp_path / "run"), progress=False)
    with (taken.run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [("train", "0"), ("train", "1"), ("finetune", "0")] == [(r["phase"], r["epoch"]) for r in rows]
    assert (source / PRUNED).read_bytes() == (taken.run / PRUNED).read_bytes()
    assert load_run(taken.run).metrics["accuracy"] == load_run(source).metrics["accuracy"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Request(seed=2), r"different: seed \(only bits and fine-tuning may differ: --bits"),
        (Request(epochs=3, density=0.5), r"different: pruning\.structures, training\.epochs"),
        (Request(net="resnet8"), r"different: net\.name"),
    ],
)
def test_floats_of_another_request_are_refused_by_key(
    source: Path, tmp_path: Path, asked: Request, says: str
) -> None:
    with pytest.raises(SpecError, match=rf"--from: the floats of .* trained with another request; {says}"):
        train(replace(asked, floats=source, out=tmp_path / "run"), progress=False)
    assert [] == list(tmp_path.iterdir())


def test_a_run_without_or_with_damaged_floats_is_refused(source: Path, tmp_path: Path) -> None:
    begun, damaged, published = tmp_path / "begun", tmp_path / "damaged", tmp_path / "published"
    out = tmp_path / "out"
    open_run(begun, training_spec(ASKED), resume=False)
    shutil.copytree(source, damaged)
    shutil.copytree(source, published, ignore=shutil.ignore_patterns("checkpoints"))
    content = bytearray((damaged / PRUNED).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / PRUNED).write_bytes(content)

    cases: list[tuple[Path, str]] = [
        (begun, r"pruned\.pt: .* no pruned network yet .*--resume --out .*begun"),
        (published, r"pruned\.pt: .* no pruned network any more \(train again\)"),
        (damaged, r"pruned\.pt: the file differs from what the run wrote"),
        (tmp_path / "nowhere", r"nowhere: is not a run of psp-hw"),
    ]
    for folder, says in cases:
        with pytest.raises(RunError, match=says):
            train(Request(floats=folder, bits="4,4", out=out), progress=False)
    assert not out.exists()


def test_an_unfinished_run_may_lend_its_floats(source: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    open_run(begun, load_run(source).spec, resume=False)
    (begun / "checkpoints").mkdir()
    shutil.copyfile(source / PRUNED, begun / PRUNED)

    taken = train(Request(floats=begun, bits="4,4", steps=2, out=tmp_path / "run"), progress=False)

    assert read_manifest(taken.run)["complete"]
    assert not read_manifest(begun)["complete"]


def test_runs_of_other_bits_are_named_after_their_source(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psp_hw.training import api

    asked: list[Path] = []

    def stopped(spec: object, out: Path, **_: object) -> None:
        asked.append(out)
        raise SpecError("enough")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "train", stopped)
    with pytest.raises(PspHwError, match="enough"):
        train(Request(floats=source, bits="4,6"), progress=False)

    assert [Path("runs/run-w4a6")] == asked
