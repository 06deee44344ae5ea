"""What a loaded split is, and the preprocessing that a run must remember."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from psp_hw.errors import DataError

if TYPE_CHECKING:
    from psp_hw.data.photographs import Photographs

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

MAX_STORED_BYTES = 1 << 26  # a mean of 64 MiB is an image of 16 million values


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Per-pixel mean subtraction (PSP Sec. 4), then division by a power of two.

    The divisor brings the values near [-2, 2], so that the signed power-of-two format of the input wastes
    less than one bit.

    Args:
        mean: of the training split [C, H, W], in units of the raw pixels.
        divisor: a power of two, in units of the raw pixels.
    """

    mean: Images
    divisor: float

    def apply(self, raw: NDArray[np.uint8]) -> Images:
        """Raw pixels [N, C, H, W] to the values that the network sees, float32 [N, C, H, W]."""
        return np.asarray((raw.astype(np.float32) - self.mean) / np.float32(self.divisor), dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write as ``.npz`` (arrays only)."""
        with path.open("wb") as file:
            np.savez(file, mean=self.mean, divisor=np.float64(self.divisor))

    @staticmethod
    def read(path: Path) -> Preprocessing:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            DataError: the file is missing or not a preprocessing.
        """
        try:
            with path.open("rb") as file, zipfile.ZipFile(file) as archive:
                mean = np.asarray(_member(archive, "mean"), dtype=np.float32)
                divisor = float(_member(archive, "divisor").item())
        except Exception as error:  # damaged bytes make the reader raise anything
            raise DataError(f"not a stored preprocessing: {error}", where=str(path)) from error
        if mean.ndim != 3 or not np.isfinite(mean).all():
            raise DataError("the stored mean is no image of finite numbers", where=str(path))
        if not (math.isfinite(divisor) and divisor > 0):
            raise DataError(f"the stored divisor is {divisor}, not a number above 0", where=str(path))
        return Preprocessing(mean=mean, divisor=divisor)


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    """An array of an ``.npz``; one that claims to be larger than the largest image is not unpacked."""
    entry = archive.getinfo(f"{name}.npy")
    if entry.file_size > MAX_STORED_BYTES:
        raise ValueError(f"{name} is said to have {entry.file_size} bytes")
    with archive.open(entry) as member:
        return np.lib.format.read_array(member, allow_pickle=False)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A loaded part of a data set.

    Args:
        name: ``train`` or ``test``.
        images: preprocessed [N, C, H, W]; of a large set, `Photographs`, which decodes what is asked for.
        labels: class of each image [N], 0 .. classes - 1.
        classes: names of the classes.
        preprocessing: what was done to the raw pixels.
    """

    name: str
    images: Images | Photographs
    labels: Labels
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        c, h, w = self.images.shape[1:]
        return int(c), int(h), int(w)
