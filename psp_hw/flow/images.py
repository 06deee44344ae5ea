"""The images that a source is run on: a test split as the network was trained on it, or the caller's own file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from psp_hw.errors import DataError, SpecError
from psp_hw.flow.source import Source, SourceKind, read_json, text_at
from psp_hw.ir.types import TensorType

FloatImages = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Images and, where known, their classes.

    Args:
        values: [N, C, H, W], finite, preprocessed as the network expects.
        labels: [N], or None for the caller's own images.
        origin: the data set's name or the file.
    """

    values: FloatImages
    labels: npt.NDArray[np.int64] | None
    origin: str

    def first(self, limit: int | None) -> Images:
        """The first ``limit`` images; None: all."""
        if limit is None:
            return self
        labels = None if self.labels is None else self.labels[:limit]
        return Images(values=self.values[:limit], labels=labels, origin=self.origin)


def data_of(source: Source) -> str | None:
    """The data set that a source was trained on, where that is known."""
    if source.kind is SourceKind.RUN:
        return text_at(source.manifest, "spec", "data", "name")
    if source.kind is SourceKind.DESIGN and (source.path / "report.json").is_file():
        return text_at(read_json(source.path / "report.json"), "training", "data")
    return None


def split_for_test(
    source: Source, name: str | None, data_dir: Path | None, frame: TensorType, limit: int | None = None
) -> Images:
    """The test split of a data set, preprocessed as the source was trained.

    Args:
        source: its run remembers the preprocessing; others take the data set's own.
        name: of the data set; None: the one of the source.
        data_dir: where fetched data sets lie.
        frame: type of the graph's input.
        limit: no more than the first so many images.

    Raises:
        SpecError: no data set is known for the source, or its images do not suit the graph.
        DataError: its files are missing or damaged.
    """
    from psp_hw.data.registry import load
    from psp_hw.data.split import Preprocessing

    trained_on = data_of(source)
    name = name or trained_on
    if name is None:
        raise SpecError(
            f"which data set belongs to a {source.kind.value} is not known",
            where=str(source.path),
            hint="name it with --data, or give your own images with --inputs X.npy",
        )
    stored = source.path / "input.npz"
    remembered = source.kind is SourceKind.RUN and name == trained_on and stored.is_file()
    split = load(name, data_dir, "test", preprocessing=Preprocessing.read(stored) if remembered else None)
    _check_shape(split.images.shape, frame, f"--data {name}")
    chosen = slice(limit)
    values = split.images if isinstance(split.images, np.ndarray) and limit is None else split.images[chosen]
    return Images(values=values, labels=split.labels[chosen], origin=name)


def from_file(path: Path, frame: TensorType) -> Images:
    """The caller's own images; nothing in the file is executed.

    Raises:
        DataError: unreadable, not numbers, not finite, or of another shape than the graph's input.
    """
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
    except Exception as error:  # damaged bytes make the reader raise anything
        reason = (
            error.strerror
            if isinstance(error, OSError) and error.strerror
            else "is not a .npy file of numbers"
        )
        raise DataError(reason, where=f"--inputs {path}") from error
    if not isinstance(found, np.ndarray):
        raise DataError("is an archive of arrays, not one .npy array", where=f"--inputs {path}")
    if found.dtype.kind not in "fiu":
        raise DataError(
            f"holds {found.dtype}, not real numbers", where=f"--inputs {path}", hint="save float32"
        )
    _check_shape(found.shape, frame, f"--inputs {path}")
    with np.errstate(over="ignore"):  # what a float64 cannot hold becomes infinite, and is refused below
        values = np.asarray(found, dtype=np.float64)
    if not np.isfinite(values).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise DataError(f"the value at {list(place)} is {values[place]}", where=f"--inputs {path}")
    return Images(values=values, labels=None, origin=str(path))


def _check_shape(shape: tuple[int, ...], frame: TensorType, where: str) -> None:
    wanted = (frame.channels, frame.height, frame.width)
    if len(shape) != 4 or shape[1:] != wanted or shape[0] < 1:
        channels_last = len(shape) == 4 and shape[1:] == (frame.height, frame.width, frame.channels)
        raise DataError(
            f"the images are {list(shape)}, the network takes [N, {', '.join(map(str, wanted))}]",
            where=where,
            hint="channels come before rows and columns: images.transpose(0, 3, 1, 2)"
            if channels_last
            else None,
        )
