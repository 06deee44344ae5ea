"""The data sets by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psp_hw.data import cifar10, digits, imagenet
from psp_hw.data.photographs import Photographs
from psp_hw.data.split import Preprocessing, Split
from psp_hw.errors import DataError, SpecError
from psp_hw.spec.names import suggestion

DEFAULT_DATA_DIR = Path("data")
IMAGENET = "imagenet"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """A registered data set.

    Args:
        name: as on the command line.
        summary: one line.
        image: channels, height and width.
        classes: names of the classes; empty: as many as the files have.
        train: images in the training split.
        test: images in the test split.
        ships: whether it comes with an installed package, so that nothing is fetched.
    """

    name: str
    summary: str
    image: tuple[int, int, int]
    classes: tuple[str, ...]
    train: int
    test: int
    ships: bool


_ALL = (
    DataInfo(
        name="digits",
        summary="scans of handwritten digits, 8x8 grey, inside scikit-learn",
        image=(1, 8, 8),
        classes=digits.CLASSES,
        train=1442,
        test=355,
        ships=True,
    ),
    DataInfo(
        name="cifar10",
        summary="colour photographs, 32x32, 10 classes",
        image=(3, 32, 32),
        classes=cifar10.CLASSES,
        train=50_000,
        test=10_000,
        ships=False,
    ),
    DataInfo(
        name=IMAGENET,
        summary="photographs, 224x224, 1000 classes, streamed from folders or WebDataset shards",
        image=(3, imagenet.SIDE, imagenet.SIDE),
        classes=(),
        train=imagenet.TRAIN,
        test=imagenet.TEST,
        ships=False,
    ),
)
DATA_SETS: dict[str, DataInfo] = {info.name: info for info in _ALL}


def data_info(name: str) -> DataInfo:
    """What is known about a data set.

    Raises:
        SpecError: the name is unknown.
    """
    if name not in DATA_SETS:
        raise SpecError(f"unknown data set '{name}'", where="data", hint=suggestion(name, DATA_SETS))
    return DATA_SETS[name]


def load(
    name: str, data_dir: Path | None, split: str, *, preprocessing: Preprocessing | None = None
) -> Split:
    """Load and preprocess one split.

    Args:
        name: of the data set.
        data_dir: folder that holds fetched data sets; None: ``data`` in the current folder.
        split: ``train`` or ``test``.
        preprocessing: the one of a run; None: the mean of the training split is taken now.

    Raises:
        SpecError: unknown data set.
        DataError: the files are missing, truncated or not the published ones.
    """
    info = data_info(name)
    if split not in ("train", "test"):
        raise SpecError(f"unknown split '{split}'", where="split", hint="use train or test")
    folder = data_dir or DEFAULT_DATA_DIR
    if name == IMAGENET:
        return _streamed(folder.resolve(), split, preprocessing)
    raw, labels = _raw(name, folder.resolve(), split)
    steps = preprocessing or _preprocessing(name, folder.resolve())
    _require_mean(steps, info.image, name)
    return Split(
        name=split, images=steps.apply(raw), labels=labels, classes=info.classes, preprocessing=steps
    )


def _streamed(folder: Path, split: str, preprocessing: Preprocessing | None) -> Split:
    """A split whose images are decoded when they are asked for."""
    encoded, classes = _found(folder, split)
    steps = preprocessing or imagenet.preprocessing()
    images = Photographs(encoded, steps, side=imagenet.SIDE)
    _require_mean(steps, images.shape[1:], IMAGENET)
    return Split(name=split, images=images, labels=encoded.labels, classes=classes, preprocessing=steps)


_found = lru_cache(maxsize=2)(imagenet.find)


def _require_mean(steps: Preprocessing, image: tuple[int, ...], name: str) -> None:
    if steps.mean.shape != image:
        what = f"the stored mean is {steps.mean.shape}, images of {name} are {image}"
        raise DataError(what, where="input.npz", hint="simulate on the data set of the run")


@lru_cache(maxsize=2)
def _raw(name: str, folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Raw pixels and labels of a split."""
    match name:
        case "digits":
            images, labels = digits.raw_digits()
            indices = digits.split_indices()[0 if split == "train" else 1]
            return images[indices], labels[indices]
        case "cifar10":
            names = cifar10.TRAIN_FILES if split == "train" else cifar10.TEST_FILES
            return cifar10.read_files(folder, names)
        case _:
            raise AssertionError(name)


def _preprocessing(name: str, folder: Path) -> Preprocessing:
    """Mean of the training split, summed exactly in integers."""
    raw, _ = _raw(name, folder, "train")
    mean = (raw.sum(axis=0, dtype=np.int64) / len(raw)).astype(np.float32)
    divisor = digits.DIVISOR if name == "digits" else cifar10.DIVISOR
    return Preprocessing(mean=mean, divisor=divisor)
