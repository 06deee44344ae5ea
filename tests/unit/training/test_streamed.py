"""Training on photographs that are decoded as they are needed: the same batches, the same network, whoever decodes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import photographs_lab as lab
import pytest
import torch

from psp_hw.data.photographs import Photographs
from psp_hw.data.registry import load
from psp_hw.data.split import Preprocessing, Split
from psp_hw.errors import SpecError
from psp_hw.flow.simulate import Request as SimulateRequest
from psp_hw.flow.simulate import simulate
from psp_hw.spec.enums import RateShape, StructureKind
from psp_hw.spec.load import load_spec
from psp_hw.spec.presets import preset
from psp_hw.spec.train import DataSpec
from psp_hw.training import api, batches
from psp_hw.training.batches import Batches, Preprocess, calibration_batches
from psp_hw.training.manner import Manner
from psp_hw.training.modules import rate_factor
from psp_hw.training.run import MODEL

SPEC = """
net: {name: "photographs_lab:small_net"}
data: {name: imagenet, flip: true}
pruning: {structures: [{kind: shape, density: 0.5}], init: ones}
training: {epochs: 3, batch_size: 6, rate: 0.05, shape: thirds}
finetune: {epochs: 2, batch_size: 6, rate: 0.001, shape: cosine}
"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    lab.write_folders(root, train=7, test=3)
    return root


@pytest.fixture(scope="module")
def split(photographs: Path) -> Split:
    return load("imagenet", photographs, "train")


def epoch(one: Batches, number: int) -> tuple[np.ndarray, np.ndarray]:
    one.sampler.set_epoch(number)
    images, labels = zip(*one, strict=True)
    assert len(one) == len(images)
    return np.concatenate([i.numpy() for i in images]), np.concatenate([n.numpy() for n in labels])


def test_every_photograph_comes_once_an_epoch_varied_anew(split: Split) -> None:
    one = Batches(split, DataSpec(name="imagenet", flip=True), batch_size=6, seed=1)

    first, labels = epoch(one, 0)
    second, _ = epoch(one, 1)

    assert sorted(labels.tolist()) == sorted(split.labels.tolist())
    assert first.shape == (21, 3, 224, 224)
    assert first.dtype == np.float32
    assert len({image.tobytes() for image in [*first, *second]}) == 42


def test_an_epoch_is_the_same_in_a_new_process_and_at_any_number_of_threads(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = DataSpec(name="imagenet", flip=True)
    one, two = (Batches(split, spec, batch_size=5, seed=3) for _ in range(2))
    epoch(one, 0)
    wanted = epoch(one, 4)
    monkeypatch.setattr(batches, "cores", lambda: 1)

    found = epoch(two, 4)

    assert np.array_equal(wanted[0], found[0])
    assert np.array_equal(wanted[1], found[1])
    assert not np.array_equal(wanted[1], epoch(Batches(split, spec, batch_size=5, seed=4), 4)[1])


def test_an_epoch_that_was_cut_goes_on_behind_its_batches(split: Split) -> None:
    spec = DataSpec(name="imagenet", flip=True)
    whole, cut = (Batches(split, spec, batch_size=6, seed=1) for _ in range(2))
    cut.load_state_dict({"epoch": 2, "given": 3})
    whole.set_epoch(2)
    cut.set_epoch(2)

    for expected, got in zip(list(whole)[3:], cut, strict=True):
        assert torch.equal(expected[0], got[0])
        assert torch.equal(expected[1], got[1])
    assert np.array_equal(epoch(whole, 3)[1], epoch(cut, 3)[1])


def test_processes_share_every_batch(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DataSpec(name="imagenet", flip=True)
    whole = list(Batches(split, spec, batch_size=6, seed=1))
    shares = []
    for rank in range(2):
        monkeypatch.setattr(batches, "shard", lambda rank=rank: (rank, 2))
        shares.append(list(Batches(split, spec, batch_size=6, seed=1)))

    for (images, labels), *parts in zip(whole, *shares, strict=True):
        for rank, (part, classes) in enumerate(parts):
            assert torch.equal(images[rank::2], part)
            assert torch.equal(labels[rank::2], classes)


def test_stopping_early_leaves_no_thread(split: Split) -> None:
    import threading

    before = threading.active_count()
    some = iter(Batches(split, DataSpec(name="imagenet"), batch_size=3, seed=1))
    next(some)
    some.close()  # type: ignore[attr-defined]

    assert threading.active_count() == before


def test_pixels_are_preprocessed_alike_on_a_device_and_in_numpy() -> None:
    rng = np.random.default_rng(0)
    steps = Preprocessing(mean=rng.uniform(0, 255, (3, 8, 8)).astype(np.float32), divisor=64.0)
    pixels = rng.integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    there = Preprocess(steps, torch.device("cpu")).there(pixels)

    assert np.array_equal(steps.apply(pixels), there.numpy())


def test_scales_are_chosen_on_middles(split: Split) -> None:
    found = calibration_batches(split, images=9, batch_size=4, seed=1)

    assert [len(part) for part in found] == [4, 4, 1]
    middles = {image.tobytes() for image in split.images[:]}
    assert all(image.numpy().tobytes() in middles for part in found for image in part)


def test_shifts_of_photographs_are_refused(split: Split) -> None:
    with pytest.raises(SpecError, match=r"data\.pad: pad=4: photographs are varied by random crops"):
        Batches(split, DataSpec(name="imagenet", pad=4), batch_size=6, seed=1)


def test_the_rate_falls_at_thirds() -> None:
    found = [rate_factor(RateShape.THIRDS, number / 90) for number in (0, 29.9, 30, 59.9, 60, 89)]

    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_large_net_is_made_for_photographs() -> None:
    for net in ("resnet18", "resnet-b-50", "densenet-bc-121", "densenet-c-63"):
        assert preset(net).data == DataSpec(name="imagenet", flip=True)
    assert preset("resnet18", "cifar10").data.name == "cifar10"
    assert preset("densenet40").data.name == "cifar10"


@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_network(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC)
    spec = load_spec(file)
    whole = api.train(spec, tmp_path / "whole", data_dir=photographs)
    varied = Photographs.varied
    seen: list[int] = []

    def interrupting(self: Photographs, index: int, *, seed: int, epoch: int, flip: bool) -> np.ndarray:
        seen.append(epoch)
        if seen.count(1) == 9:  # in the middle of the second epoch
            raise KeyboardInterrupt
        return varied(self, index, seed=seed, epoch=epoch, flip=flip)

    with monkeypatch.context() as patched:
        patched.setattr(Photographs, "varied", interrupting)
        with pytest.raises(KeyboardInterrupt):
            api.train(spec, tmp_path / "halting", data_dir=photographs)
    again = api.train(spec, tmp_path / "halting", data_dir=photographs, manner=Manner(resume=True))

    assert (tmp_path / "halting" / MODEL).read_bytes() == (tmp_path / "whole" / MODEL).read_bytes()
    assert again.accuracy_quantized == whole.accuracy_quantized
    assert StructureKind.SHAPE in {structure.kind for structure in spec.pruning.structures}
    assert whole.density < 1.0

    simulated = simulate(SimulateRequest(source=whole.run, data_dir=photographs, limit=9, against="brevitas"))
    assert (simulated.images, simulated.mismatches) == (9, 0)
    assert simulated.accuracy == whole.accuracy_quantized  # nine photographs are the whole split


@pytest.mark.slow
def test_two_processes_stream_one_training(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    command = [sys.executable, "-m", "psp_hw", "train", "--spec", "spec.yaml", "--data-dir", str(photographs)]
    command += ["--accelerator", "cpu", "--devices", "2", "--out", "run", "--json"]
    support = os.pathsep.join(filter(None, [str(Path(lab.__file__).parent), os.environ.get("PYTHONPATH")]))

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": support},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["complete"]
    with (tmp_path / "run" / "metrics.csv").open(newline="") as log:
        steps = [int(row["step"]) for row in csv.DictReader(log) if row["phase"] == "train"]
    assert max(steps) == 3 * 4 - 1  # 21 photographs in batches of six, over both processes
