"""Training end to end on a few steps: the run folder, resuming, stopping, and what must be refused."""

from __future__ import annotations

import csv
import errno
import json
import os
import pickle
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from psp_hw.errors import ModelError, RunError, SpecError, TrainingError
from psp_hw.quant.convert import weighted_layers
from psp_hw.quant.quantizers import integer_weight
from psp_hw.spec.enums import RateShape, StructureKind
from psp_hw.spec.load import load_spec
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.spec.train import TrainSpec
from psp_hw.training import api, run
from psp_hw.training.api import load_quantized, load_split, reference_outputs, reference_trace, train
from psp_hw.training.loop import check_checkpoint
from psp_hw.training.manner import Manner
from psp_hw.training.modules import Phase, rate_factor
from psp_hw.training.run import load_run

pytestmark = pytest.mark.slow  # trains


def _spec(steps: int = 30, **keys: object) -> TrainSpec:
    spec = with_steps(with_structures(preset(), (StructureKind.SHAPE,)), steps)
    return replace(spec, **keys)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of a few steps. Read it; copy it to change it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    train(_spec(), out)
    return out


def test_a_run_holds_what_the_contract_says(finished: Path) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    metrics = manifest["metrics"]

    assert ("psp-hw run", True, 1) == (manifest["kind"], manifest["complete"], manifest["seed"])
    accuracies = {"accuracy", "accuracy_calibrated", "accuracy_quantized"}
    assert accuracies | {"density", "params", "macs", "layers"} == set(metrics)
    files = {"spec.yaml", "model.onnx", "quantized.pt", "input.npz", "metrics.csv"}
    assert files | {"checkpoints/pruned.pt"} == set(manifest["checksums"])
    assert {"train", "finetune"} == set(manifest["seconds"])
    assert {"torch", "brevitas", "lightning", "onnx"} <= set(manifest["versions"])
    assert _spec() == load_spec(finished / "spec.yaml")
    assert _spec() == load_run(finished).spec
    assert [] == [p for p in finished.rglob("*") if p.name.endswith(".tmp")]


def test_metrics_csv_has_a_line_per_epoch_of_both_phases(finished: Path) -> None:
    with (finished / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [("train", "0"), ("train", "1"), ("finetune", "0"), ("finetune", "1")] == [
        (row["phase"], row["epoch"]) for row in rows
    ]
    assert all(float(row["loss"]) > 0 for row in rows)


def test_taps_density_and_counts_follow_from_the_integers(finished: Path) -> None:
    result = api.result_of(load_run(finished))
    layers = weighted_layers(load_quantized(finished))
    kept = total = 0
    for layer in result.layers:
        weight = integer_weight(layers[layer.name])
        four = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
        taps = [(r, s) for r in range(four.shape[2]) for s in range(four.shape[3]) if four[:, :, r, s].any()]
        assert taps == list(layer.taps)
        if layer.prunable:
            kept += len(taps) * four.shape[0] * four.shape[1]
            total += four.numel()
    assert kept / total == result.density
    assert result.density < 1.0
    assert ["stage1.block1.conv1", "stage1.block1.conv2", "stage2.block1.conv1", "stage2.block1.conv2"] == [
        layer.name for layer in result.layers if layer.prunable
    ]
    by_hand = sum(x.kept * {16: 64, 24: 16, 10: 1}[x.channels[1]] for x in result.layers)
    assert by_hand == result.macs
    assert sum(x.kept + x.channels[1] for x in result.layers) == result.params


def test_pruned_weights_stay_exactly_zero_through_fine_tuning(finished: Path) -> None:
    masks = torch.load(finished / "checkpoints/pruned.pt", weights_only=True)["masks"]
    layers = weighted_layers(load_quantized(finished))
    assert 4 == len(masks)
    for name, mask in masks.items():
        assert not bool(mask.all())
        assert bool((layers[name].weight[~mask] == 0).all())


def test_the_reference_is_exact_and_reproducible(finished: Path) -> None:
    test = load_split(finished, "test")
    outputs = reference_outputs(finished, test.images)
    trace = reference_trace(finished, test.images[:20])

    assert (np.float64, (355, 10)) == (outputs.dtype, outputs.shape)
    assert np.array_equal(outputs[:20], trace["fc"])
    accuracy = float((outputs.argmax(axis=1) == test.labels).mean())
    assert load_run(finished).metrics["accuracy_quantized"] == accuracy
    scaled = outputs * 2.0**30
    assert np.array_equal(scaled, np.round(scaled))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_file(finished: Path, tmp_path: Path) -> None:
    train(_spec(), tmp_path / "again")
    for name in ("model.onnx", "metrics.csv", "input.npz"):
        assert (finished / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


class _StopError(Exception):
    """An interruption that leaves no chance to clean up."""


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [25, 30 + 25])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    """Stopped in the second epoch of either phase; epochs have 23 steps."""
    calls = 0
    original = Phase.training_step

    def counted(self: Phase, batch: object, batch_idx: int) -> object:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise _StopError
        return original(self, batch, batch_idx)  # type: ignore[arg-type]

    monkeypatch.setattr(Phase, "training_step", counted)
    with pytest.raises(_StopError):
        train(_spec(), tmp_path / "run")
    assert not json.loads((tmp_path / "run/manifest.json").read_text())["complete"]
    with pytest.raises(RunError, match=r"unfinished.*--resume"):
        load_run(tmp_path / "run")

    result = train(_spec(), tmp_path / "run", manner=Manner(resume=True))

    assert (finished / "model.onnx").read_bytes() == (tmp_path / "run/model.onnx").read_bytes()
    assert (finished / "metrics.csv").read_text() == (tmp_path / "run/metrics.csv").read_text()
    assert replace(api.result_of(load_run(finished)), run=result.run) == result
    assert calls < 2 * 60 - 5


@pytest.mark.slow
def test_ctrl_c_is_a_keyboard_interrupt_and_the_run_resumes(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Phase.training_step

    def interrupted(self: Phase, batch: object, batch_idx: int) -> object:
        if self.global_step == 25:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, batch, batch_idx)  # type: ignore[arg-type]

    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores Ctrl-C
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Phase, "training_step", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train(_spec(), tmp_path / "run")
        assert signal.default_int_handler is signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    train(_spec(), tmp_path / "run", manner=Manner(resume=True))
    assert (finished / "model.onnx").read_bytes() == (tmp_path / "run/model.onnx").read_bytes()


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def penalty(self: Phase) -> torch.Tensor | None:
        return torch.tensor(float("nan")) if self.global_step == 24 else None

    monkeypatch.setattr("psp_hw.training.modules.PruningPhase.penalty", penalty)
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 2, step 25.*last good checkpoint"):
        train(_spec(), tmp_path / "run")
    state = check_checkpoint(tmp_path / "run/checkpoints/train-last.ckpt")
    assert 23 == state["global_step"]
    assert all(bool(torch.isfinite(v).all()) for v in state["state_dict"].values())


def _emptying(*include: str, steps: int = 30) -> TrainSpec:
    """A threshold that nothing reaches."""
    spec = _spec(steps)
    structure = replace(spec.pruning.structures[0], epsilon=10.0, at_least=None)
    pruning = replace(spec.pruning, structures=(structure,), warmup=0.0, ramp=0.0, include=include)
    return replace(spec, pruning=pruning)


def test_a_network_that_is_cut_is_refused_by_the_names_of_its_layers_before_the_first_step(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        TrainingError, match=r"all structures of conv0 are gone: .*, and no gradient brings it"
    ):
        train(_emptying("conv0"), tmp_path / "run")
    assert [] == list((tmp_path / "run/checkpoints").iterdir())


def test_what_was_cut_at_half_of_the_training_is_refused_at_once_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a run that lost its last way to the decay, not at its start."""
    monkeypatch.setattr("psp_hw.training.modules.require_return", lambda *_: None)
    spec, run = _emptying("conv0", steps=60), tmp_path / "run"
    with pytest.raises(TrainingError, match="all structures of conv0 are gone: no way is left"):
        train(spec, run, manner=Manner(checkpoint_seconds=0.0))
    assert 45 == check_checkpoint(run / "checkpoints/train-last.ckpt")["global_step"]
    monkeypatch.setattr(Phase, "training_step", lambda *_: pytest.fail("a step was done"))
    with pytest.raises(TrainingError, match="all structures of conv0 are gone: no way is left"):
        train(spec, run, manner=Manner(resume=True))


def test_where_shortcuts_lead_around_every_empty_layer_a_run_ends(tmp_path: Path) -> None:
    result = train(_emptying(), tmp_path / "run")

    assert 0.0 == result.density
    assert {(): 0} == {layer.taps: layer.macs for layer in result.layers if layer.prunable}
    images = load_split(tmp_path / "run", "test").images[:8]
    assert bool(np.isfinite(reference_outputs(tmp_path / "run", images)).all())


@pytest.mark.parametrize("name", ["model.onnx", "quantized.pt", "input.npz", "spec.yaml", "metrics.csv"])
def test_a_changed_or_missing_file_is_noticed(finished: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1])
    with pytest.raises(RunError, match=rf"{name}: the file differs from what the run wrote"):
        load_run(copy)
    (copy / name).unlink()
    with pytest.raises(RunError, match=rf"{name}: the file is missing"):
        load_run(copy)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("touch EVIL",))


@pytest.mark.parametrize("kind", ["truncated", "garbage", "empty", "evil"])
def test_a_bad_checkpoint_is_refused_and_never_executed(
    finished: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.ckpt"
    good = (finished / "checkpoints/train-last.ckpt").read_bytes()
    content = {"truncated": good[: len(good) // 2], "garbage": b"garbage", "empty": b"", "evil": b""}[kind]
    path.write_bytes(content)
    if kind == "evil":
        with path.open("wb") as file:
            pickle.dump({"x": _Evil()}, file)
    with pytest.raises(RunError, match=r"x\.ckpt: truncated or corrupt"):
        check_checkpoint(path)
    assert not (tmp_path / "EVIL").exists()


@pytest.mark.parametrize("name", ["checkpoints/pruned.pt", "checkpoints/train-last.ckpt"])
def test_a_damaged_file_of_a_resumed_run_is_named_and_the_one_before_it_used(
    tmp_path: Path, finished: Path, name: str
) -> None:
    copy, said = tmp_path / "run", []
    shutil.copytree(finished, copy)
    run.write_text(copy / "manifest.json", json.dumps({**run.read_manifest(copy), "complete": False}))
    if name != "checkpoints/pruned.pt":
        (copy / "checkpoints/pruned.pt").unlink()
    (copy / name).write_bytes((copy / name).read_bytes()[:1000])

    train(_spec(), copy, manner=Manner(resume=True, note=said.append))

    (sentence,) = said
    assert sentence.startswith(f"{copy / name}: truncated or corrupt")
    for file in ("model.onnx", "quantized.pt", "metrics.csv"):
        assert (finished / file).read_bytes() == (copy / file).read_bytes(), file


def test_a_damaged_file_with_nothing_before_it_is_refused(tmp_path: Path, finished: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    run.write_text(copy / "manifest.json", json.dumps({**run.read_manifest(copy), "complete": False}))
    (copy / "checkpoints/pruned.pt").write_bytes(b"")
    (copy / "checkpoints/train-last.ckpt").unlink()

    with pytest.raises(RunError, match=r"pruned\.pt: truncated or corrupt"):
        train(_spec(), copy, manner=Manner(resume=True))


def test_folders_that_are_taken_are_left_alone(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for resume in (False, True):
        with pytest.raises(RunError, match="exists and is not a run of psp-hw; nothing was changed"):
            train(_spec(), tmp_path / "mine", manner=Manner(resume=resume))
    with pytest.raises(RunError, match="is a file, not a folder"):
        train(_spec(), tmp_path / "file")
    with pytest.raises(RunError, match=r"holds a run already \(complete\)"):
        train(_spec(), finished)
    with pytest.raises(RunError, match=r"different: seed"):
        train(_spec(seed=9), finished, manner=Manner(resume=True))
    assert ["file.txt"] == [p.name for p in (tmp_path / "mine").iterdir()]


def test_resuming_a_complete_run_gives_its_result(finished: Path) -> None:
    assert api.result_of(load_run(finished)) == train(_spec(), finished, manner=Manner(resume=True))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"net": replace(preset().net, name="resnet9")}, SpecError),
        ({"data": replace(preset().data, name="mnist")}, SpecError),
        ({"net": replace(preset().net, name="torch.nn:GELU")}, ModelError),
        ({"pruning": replace(_spec().pruning, include=("convX",))}, SpecError),
    ],
)
def test_a_bad_request_writes_nothing(
    tmp_path: Path, changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        train(_spec(**changes), tmp_path / "run")
    assert [] == list(tmp_path.iterdir())


def test_a_full_disk_is_said_and_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(api, "export_model", full)
    with pytest.raises(RunError, match=r"model\.onnx: cannot be written: No space left on device.*--resume"):
        train(_spec(4), tmp_path / "run")
    assert not (tmp_path / "run/model.onnx").exists()
    assert not json.loads((tmp_path / "run/manifest.json").read_text())["complete"]


@pytest.mark.parametrize("shape", list(RateShape))
def test_learning_rates_stay_between_zero_and_the_largest(shape: RateShape) -> None:
    factors = [rate_factor(shape, step / 100) for step in range(101)]
    assert max(factors) == pytest.approx(1.0)
    assert all(0.0 <= factor <= 1.0 for factor in factors)
    assert shape is RateShape.CONSTANT or factors[-1] <= 0.011


@pytest.mark.slow
def test_the_short_recipe_reaches_its_goal(tmp_path: Path) -> None:
    result = train(with_structures(preset(), (StructureKind.SHAPE,)), tmp_path / "run")
    assert result.accuracy_quantized >= 0.95
    assert result.density <= 0.67


def test_a_run_of_a_version_that_knew_fewer_keys_is_resumed(tmp_path: Path) -> None:
    run.open_run(tmp_path / "run", _spec(), resume=False)
    manifest = run.read_manifest(tmp_path / "run")
    del manifest["spec"]["pruning"]["exclude"]  # the default is that nothing is
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))

    assert run.open_run(tmp_path / "run", _spec(), resume=True) is False


def test_a_run_that_could_not_be_begun_leaves_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(values: object) -> str:
        raise RunError("cannot be written: No space left on device")

    monkeypatch.setattr(run, "_json", full)
    with pytest.raises(RunError, match="No space left"):
        run.open_run(tmp_path / "run", _spec(), resume=False)

    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("relative", [True, False])
def test_an_error_names_the_run_only_for_files_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("run") if relative else tmp_path / "run"
    name = ""

    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    monkeypatch.setattr(api, "float_phase", failing)
    name = str(tmp_path / "run/logs/train-1/metrics.csv")
    with pytest.raises(RunError, match=r"run: cannot be written: No space left on device \(free some space"):
        train(_spec(), out)
    name = str(tmp_path / "images/1.png")
    with pytest.raises(OSError, match=r"images/1\.png"):
        train(_spec(), out, manner=Manner(resume=True))
