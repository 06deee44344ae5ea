"""Batches: every image once per epoch, the same for the same seed and epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.spec.train import DataSpec
from psp_hw.training.batches import Batches, DeviceImages, calibration_batches


@pytest.fixture(scope="module")
def split() -> Split:
    return load("digits", None, "test")


def _epoch(batches: Batches, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    batches.sampler.set_epoch(epoch)
    images, labels = zip(*batches, strict=True)
    assert len(batches) == len(images)
    return np.concatenate([i.numpy() for i in images]), np.concatenate([n.numpy() for n in labels])


def _sorted(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1)
    return flat[np.lexsort(flat.T)]


@pytest.mark.parametrize("batch_size", [1, 64, 354, 355, 1000])
def test_every_image_comes_once(split: Split, batch_size: int) -> None:
    batches = Batches(split, DataSpec(), batch_size=batch_size, seed=1)
    sizes = [len(labels) for _, labels in batches]
    images, _ = _epoch(batches, 3)

    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert np.array_equal(_sorted(split.images), _sorted(images))


def test_order_depends_on_seed_and_epoch_alone(split: Split) -> None:
    one = Batches(split, DataSpec(pad=1, flip=True), batch_size=50, seed=1)
    two = Batches(split, DataSpec(pad=1, flip=True), batch_size=50, seed=1)
    _epoch(two, 4)

    assert np.array_equal(_epoch(one, 5)[0], _epoch(two, 5)[0])
    assert not np.array_equal(_epoch(one, 5)[1], _epoch(one, 6)[1])
    other = Batches(split, DataSpec(), batch_size=50, seed=2)
    assert not np.array_equal(_epoch(one, 5)[1], _epoch(other, 5)[1])


@pytest.mark.parametrize(("pad", "flip"), [(0, False), (0, True), (2, False), (2, True)])
def test_images_held_on_a_device_give_the_same_batches(split: Split, pad: int, flip: bool) -> None:
    spec = DataSpec(pad=pad, flip=flip)
    memory = Batches(split, spec, batch_size=50, seed=1)
    held = Batches(split, spec, batch_size=50, seed=1)
    held.held = DeviceImages(split, torch.device("cpu"), pad=pad)

    for expected, got in zip(_epoch(memory, 2), _epoch(held, 2), strict=True):
        assert np.array_equal(expected, got)


@pytest.mark.parametrize("held", [False, True])
def test_an_epoch_that_was_cut_goes_on_behind_its_batches(split: Split, held: bool) -> None:
    spec = DataSpec(pad=1, flip=True)
    cut, whole, other = (Batches(split, spec, batch_size=50, seed=1) for _ in range(3))
    cut.set_epoch(2)
    some = [batch for _, batch in zip(range(3), cut, strict=False)]
    other.load_state_dict(cut.state_dict())
    other.set_epoch(2)
    if held:
        other.held = DeviceImages(split, torch.device("cpu"), pad=1)

    whole.set_epoch(2)
    for expected, got in zip(whole, [*some, *other], strict=True):
        assert torch.equal(expected[0], got[0])
        assert torch.equal(expected[1], got[1])
    assert {"epoch": 2, "given": len(whole)} == other.state_dict()
    for one, two in zip(_epoch(whole, 3), _epoch(other, 3), strict=True):
        assert np.array_equal(one, two)


def test_on_a_device_batches_lie_as_the_network_wants_them(split: Split) -> None:
    spec = DataSpec(pad=2, flip=True)
    wide = replace(split, images=np.repeat(split.images, 3, axis=1) * np.arange(1, 4)[None, :, None, None])
    wide = replace(wide, images=wide.images.astype(np.float32))
    memory, beside, held = (Batches(wide, spec, batch_size=50, seed=1) for _ in range(3))
    beside.hold_on(torch.device("cpu"), torch.channels_last)
    held.held = DeviceImages(wide, torch.device("cpu"), pad=2, layout=torch.channels_last)

    for expected, *found in zip(memory, beside, held, strict=True):
        for images, _ in found:
            assert images.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(expected[0], images)


def test_processes_share_every_batch(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DataSpec(pad=1, flip=True)
    whole = list(Batches(split, spec, batch_size=50, seed=1))
    shares = []
    for rank in range(3):
        monkeypatch.setattr("psp_hw.training.batches.shard", lambda rank=rank: (rank, 3))
        shares.append(list(Batches(split, spec, batch_size=50, seed=1)))

    for number, (images, labels) in enumerate(whole):
        for rank, share in enumerate(shares):
            assert torch.equal(images[rank::3], share[number][0])
            assert torch.equal(labels[rank::3], share[number][1])


@pytest.mark.parametrize(("images", "expected"), [(100, [64, 36]), (64, [64]), (10_000, [64] * 5 + [35])])
def test_calibration_takes_unvaried_images(split: Split, images: int, expected: list[int]) -> None:
    batches = calibration_batches(split, images=images, batch_size=64, seed=0)
    known = {image.tobytes() for image in split.images}

    assert expected == [len(batch) for batch in batches]
    assert all(image.numpy().tobytes() in known for batch in batches for image in batch)
