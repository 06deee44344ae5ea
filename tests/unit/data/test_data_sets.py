"""Data sets: splits, preprocessing, augmentation, and files that are not what they should be."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from psp_hw.data import cifar10
from psp_hw.data.augment import draw_variations, vary
from psp_hw.data.digits import raw_digits, split_indices
from psp_hw.data.registry import DATA_SETS, load
from psp_hw.data.split import MAX_STORED_BYTES, Preprocessing
from psp_hw.errors import DataError, SpecError


def test_digits_split_is_fixed_stratified_and_disjoint() -> None:
    train, test = split_indices()
    _, labels = raw_digits()

    assert (1442, 355) == (len(train), len(test))
    assert set(range(1797)) == set(train.tolist()) | set(test.tolist())
    assert (np.bincount(labels) // 5).tolist() == np.bincount(labels[test]).tolist()
    expected = "1026c2e805d28cabdb7bca22a237b75c"
    assert expected == hashlib.md5(test.tobytes(), usedforsecurity=False).hexdigest()


def test_digits_agree_with_what_the_registry_says() -> None:
    info = DATA_SETS["digits"]
    for name, size in (("train", info.train), ("test", info.test)):
        split = load("digits", None, name)
        assert (size, *info.image) == split.images.shape
        assert split.images.dtype == np.float32
        assert split.labels.dtype == np.int64
        assert info.classes == split.classes


def test_the_mean_of_the_training_split_is_subtracted_from_every_pixel() -> None:
    train = load("digits", None, "train")
    raw, _ = raw_digits()
    chosen = raw[split_indices()[0]].astype(np.float64)

    expected = ((chosen - chosen.mean(axis=0)) / 8).astype(np.float32)

    assert np.abs(expected - train.images).max() < 1e-6
    assert np.abs(train.images.mean(axis=0)).max() < 1e-6


def test_stored_preprocessing_gives_the_same_bits(tmp_path: Path) -> None:
    test = load("digits", None, "test")
    test.preprocessing.save(tmp_path / "input.npz")

    again = load("digits", None, "test", preprocessing=Preprocessing.read(tmp_path / "input.npz"))

    assert np.array_equal(test.images, again.images)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"no archive at all"])
def test_a_damaged_preprocessing_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "input.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"input\.npz: not a stored preprocessing"):
        Preprocessing.read(path)


def test_a_preprocessing_of_another_data_set_is_refused() -> None:
    other = Preprocessing(mean=np.zeros((3, 32, 32), np.float32), divisor=64.0)
    with pytest.raises(DataError, match=r"the stored mean is \(3, 32, 32\)"):
        load("digits", None, "test", preprocessing=other)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SpecError, match=r"unknown data set 'digit'.*did you mean 'digits'"):
        load("digit", None, "train")
    with pytest.raises(SpecError, match="unknown split 'valid'"):
        load("digits", None, "valid")


def test_cifar10_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CIFAR-10 is not there.*psp-hw data cifar10"):
        load("cifar10", tmp_path, "train")


def test_a_truncated_batch_names_file_sizes_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(b"\0" * 1000)
    with pytest.raises(DataError) as caught:
        cifar10.read_batch(path, md5="0" * 32)
    assert str(path) in str(caught.value)
    assert "truncated: 1000 bytes, expected 30730000" in str(caught.value)
    assert "delete it and fetch it with: psp-hw data cifar10" in str(caught.value)


def test_a_changed_batch_is_refused_and_a_right_one_is_read(tmp_path: Path) -> None:
    records = np.random.default_rng(0).integers(0, 256, (10_000, 3073), dtype=np.uint8)
    path = tmp_path / "test_batch.bin"
    path.write_bytes(records.tobytes())

    with pytest.raises(DataError, match="not the published file: md5"):
        cifar10.read_batch(path, md5="0" * 32)
    md5 = hashlib.md5(records.tobytes(), usedforsecurity=False).hexdigest()
    images, labels = cifar10.read_batch(path, md5=md5)

    assert records[:, 0].tolist() == labels.tolist()
    assert records[7, 1 + 1024 + 32 * 5 + 9] == images[7, 1, 5, 9]  # green, row 5, column 9


def test_pad_crop_flip_yields_shifted_or_mirrored_originals() -> None:
    images = np.arange(1, 1 + 200 * 2 * 5 * 4, dtype=np.float32).reshape(200, 2, 5, 4)
    how = draw_variations(200, np.random.default_rng(3), pad=1, flip=True)
    varied = vary(images, how, pad=1)

    seen = set()
    for original, result in zip(images, varied, strict=True):
        padded = np.pad(original, ((0, 0), (1, 1), (1, 1)))
        matches = [
            (dr, ds, flip)
            for dr in range(3)
            for ds in range(3)
            for flip in (False, True)
            if np.array_equal(result, padded[:, dr : dr + 5, ds : ds + 4][..., :: -1 if flip else 1])
        ]
        assert 1 == len(matches)
        seen.add(matches[0])
    assert 18 == len(seen)


def test_nothing_to_vary_means_nothing_changes() -> None:
    images = np.random.default_rng(0).normal(size=(3, 1, 4, 4)).astype(np.float32)
    how = draw_variations(3, np.random.default_rng(0), pad=0, flip=False)
    assert np.array_equal(images, vary(images, how, pad=0))


def _archive(**arrays: object) -> bytes:
    content = io.BytesIO()
    np.savez(content, **{name: np.asarray(value) for name, value in arrays.items()})
    return content.getvalue()


def _array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def _claims_to_be_huge() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", bytes(MAX_STORED_BYTES + 1))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a stored preprocessing"),
        (_array(), "not a stored preprocessing"),
        (_archive(mean=np.zeros((1, 8, 8))), "not a stored preprocessing"),
        (_archive(mean=np.zeros((1, 8, 8)), divisor=np.zeros(3)), "not a stored preprocessing"),
        (_archive(mean=np.array([{}], dtype=object), divisor=16.0), "Object arrays cannot be loaded"),
        (_archive(mean=np.zeros((1, 8, 8)), divisor=16.0)[:200], "not a stored preprocessing"),
        (_claims_to_be_huge(), "is said to have"),
        (_archive(mean=np.full((1, 8, 8), np.nan), divisor=16.0), "no image of finite numbers"),
        (_archive(mean=np.zeros(8), divisor=16.0), "no image of finite numbers"),
        (_archive(mean=np.zeros((1, 8, 8)), divisor=0.0), "the stored divisor is 0.0, not a number above 0"),
        (_archive(mean=np.zeros((1, 8, 8)), divisor=-2.0), "the stored divisor is -2.0"),
        (_archive(mean=np.zeros((1, 8, 8)), divisor=np.inf), "the stored divisor is inf"),
    ],
)
def test_a_preprocessing_that_is_not_one_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "input.npz"
    path.write_bytes(content)

    with pytest.raises(DataError, match=says):
        Preprocessing.read(path)
