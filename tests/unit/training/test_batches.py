"""Batches: every image once per epoch, the same for the same seed and epoch."""

from __future__ import annotations

import numpy as np
import pytest

from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.spec.train import DataSpec
from psp_hw.training.batches import Batches, calibration_batches


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


@pytest.mark.parametrize(("images", "expected"), [(100, [64, 36]), (64, [64]), (10_000, [64] * 5 + [35])])
def test_calibration_takes_unvaried_images(split: Split, images: int, expected: list[int]) -> None:
    batches = calibration_batches(split, images=images, batch_size=64, seed=0)
    known = {image.tobytes() for image in split.images}

    assert expected == [len(batch) for batch in batches]
    assert all(image.numpy().tobytes() in known for batch in batches for image in batch)
