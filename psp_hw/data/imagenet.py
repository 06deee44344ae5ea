"""ImageNet (ILSVRC2012) from folders of classes or from WebDataset shards, streamed.

Below ``--data-dir``, or in a folder ``imagenet`` there::

    train/n01440764/n01440764_10026.JPEG     val/n01440764/...      folders, a class each
    train/*.tar                              val/*.tar              shards
    imagenet1k-train-0000.tar                imagenet1k-validation-00.tar

Any other set of that layout is read too: the classes are the folders in the order of their names, or the numbers in the shards.

Pixels: 128 is subtracted and the rest divided by 64, in place of the usual means (124, 116, 104) and deviations (58, 57, 57). An 8-bit
pixel then is a signed 8-bit code, without loss: hardware inverts its highest bit. With the usual means, 8 bits would either clip the
brightest values (of blue, those above 231) or lose the last bit of every pixel. What differs for the network is a constant per channel and a common factor of 0.9,
both of which the batch normalization behind the first convolution takes back, but for the outermost three pixels.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psp_hw.data.photographs import Encoded
from psp_hw.data.shards import IMAGE_SUFFIXES, MAX_IMAGE_BYTES, read_shards
from psp_hw.data.split import Labels, Preprocessing
from psp_hw.errors import DataError

SIDE = 224
MEAN = 128.0
DIVISOR = 64.0
FOLDER = "imagenet"
TRAIN, TEST = 1_281_167, 50_000
_WORDS = {"train": ("train",), "test": ("val", "validation")}
_NAMED = {split: re.compile(rf"(?:^|[-_.])(?:{'|'.join(words)})[-_.\d]") for split, words in _WORDS.items()}
_HINT = "put train/ and val/ there, with a folder per class or .tar shards; it is not fetched"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassFolders:
    """Photographs in folders, a class each.

    Args:
        root: holds the folders.
        classes: their names.
        files: name of each photograph, as the file system has it [N].
        labels: class of each [N].
    """

    root: Path
    classes: tuple[str, ...]
    files: NDArray[np.bytes_]
    labels: Labels

    def path(self, index: int) -> Path:
        """Where a photograph lies."""
        folder: Path = self.root / self.classes[self.labels[index]]
        return folder / os.fsdecode(self.files[index])

    def name(self, index: int) -> str:
        """A photograph, for messages."""
        return str(self.path(index))

    def read(self, index: int) -> bytes:
        """The file of a photograph.

        Raises:
            DataError: it is gone or far too large.
        """
        try:
            with self.path(index).open("rb") as file:
                content = file.read(MAX_IMAGE_BYTES + 1)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=self.name(index)) from error
        if len(content) > MAX_IMAGE_BYTES:
            raise DataError(f"has more than {MAX_IMAGE_BYTES:,} bytes", where=self.name(index))
        return content

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """All photographs in random order."""
        return rng.permutation(len(self.labels)).astype(np.int64)


def preprocessing() -> Preprocessing:
    """What is done to the pixels; see above."""
    return Preprocessing(mean=np.full((3, SIDE, SIDE), MEAN, dtype=np.float32), divisor=DIVISOR)


def find(data_dir: Path, split: str) -> tuple[Encoded, tuple[str, ...]]:
    """The photographs of a split, and the names of the classes.

    Args:
        data_dir: holds the set, or a folder ``imagenet`` that does.
        split: ``train`` or ``test``.

    Raises:
        DataError: nothing is there, or what is there is damaged.
    """
    root = data_dir / FOLDER if (data_dir / FOLDER).is_dir() else data_dir
    shards = _shards(root, split)
    if shards:
        encoded = read_shards(shards, shards[0].parent / f".psp-hw-{split}.npz")
        return encoded, _numbered(root, split, encoded.labels)
    place = _folder(root, split)
    if place is None:
        raise DataError(f"ImageNet is not there ({' or '.join(_WORDS[split])})", where=str(root), hint=_HINT)
    training = place if split == "train" else _folder(root, "train")
    classes = _class_names(training or place)
    unknown = sorted(set(_class_names(place)) - set(classes))
    if unknown:
        what = f"class '{unknown[0]}' is not among the {len(classes)} classes of {training}"
        raise DataError(what, where=str(place))
    return _class_folders(place, classes), classes


def _folder(root: Path, split: str) -> Path | None:
    return next((root / word for word in _WORDS[split] if (root / word).is_dir()), None)


def _shards(root: Path, split: str) -> tuple[Path, ...]:
    """The shards of a split by name: those in its own folder, else those that its word is in the name of."""
    place = _folder(root, split)
    if place is not None:
        return tuple(sorted(place.glob("*.tar")))
    return tuple(path for path in sorted(root.glob("*.tar")) if _NAMED[split].search(path.name))


def _numbered(root: Path, split: str, labels: Labels) -> tuple[str, ...]:
    """Names of the classes of shards: their numbers, as many as the training has."""
    largest = int(labels.max())
    training = _shards(root, "train") if split != "train" else ()
    if training:
        trained = read_shards(training, training[0].parent / ".psp-hw-train.npz").labels
        if largest > int(trained.max()):
            what = f"class {largest} is in no shard of the training, whose last class is {int(trained.max())}"
            raise DataError(what, where=str(root))
        largest = int(trained.max())
    return tuple(str(number) for number in range(largest + 1))


def _class_names(place: Path) -> tuple[str, ...]:
    try:
        names = sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and entry.name[0] != ".")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(place)) from error
    if not names:
        raise DataError("holds neither folders of classes nor shards", where=str(place), hint=_HINT)
    return tuple(names)


def _class_folders(place: Path, classes: tuple[str, ...]) -> ClassFolders:
    files: list[bytes] = []
    labels: list[int] = []
    suffixes = tuple(f".{suffix}" for suffix in IMAGE_SUFFIXES)
    for label, name in enumerate(classes):
        folder = place / name
        found = []
        if folder.is_dir():
            with os.scandir(folder) as entries:
                found = sorted(
                    e.name for e in entries if e.name.lower().endswith(suffixes) and e.name[0] != "."
                )
        files += [os.fsencode(file) for file in found]
        labels += [label] * len(found)
    if not files:
        raise DataError("there is no photograph in any class", where=str(place), hint=_HINT)
    return ClassFolders(
        root=place, classes=classes, files=np.array(files), labels=np.array(labels, dtype=np.int64)
    )
