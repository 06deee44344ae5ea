"""Images that are decoded when they are asked for, never all at once: what `Split.images` is for a large data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from psp_hw.data.crops import Pixels, central, cropped, decoded, random_crop
from psp_hw.data.split import Images, Labels, Preprocessing
from psp_hw.errors import DataError

AHEAD = 4  # batches that are decoded while one is trained on
_MAX_AT_ONCE = 8192  # images of 224 x 224 in floats: 4.6 GiB


class Encoded(Protocol):
    """Photographs as files, wherever they lie."""

    @property
    def labels(self) -> Labels:
        """Class of each [N]."""

    def name(self, index: int) -> str:
        """A photograph, for messages."""

    def read(self, index: int) -> bytes:
        """The file of a photograph."""

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """All of them in random order, one that suits where they lie."""


class Photographs:
    """An array of images [N, 3, side, side] that decodes what is asked for: ``len``, ``shape``, slices and lists of indices.

    Args:
        encoded: the files.
        preprocessing: what is done to the pixels.
        side: height and width of the images [pixels].
    """

    def __init__(self, encoded: Encoded, preprocessing: Preprocessing, *, side: int) -> None:
        self.encoded = encoded
        self.preprocessing = preprocessing
        self.side = side

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, channels, height and width."""
        return len(self), 3, self.side, self.side

    def __len__(self) -> int:
        return len(self.encoded.labels)

    def __getitem__(self, index: slice | Sequence[int] | NDArray[np.int64]) -> Images:
        """The middles of photographs, preprocessed, float32 [n, 3, side, side].

        Raises:
            DataError: a file is damaged; or so many at once that the memory would not hold them.
        """
        chosen = range(len(self))[index] if isinstance(index, slice) else [int(i) for i in index]
        if len(chosen) > _MAX_AT_ONCE:
            what = f"{len(chosen):,} photographs at once are too many for the memory"
            raise DataError(
                what, where="images", hint=f"take at most {_MAX_AT_ONCE:,}, for example with --limit"
            )
        if not chosen:
            return np.empty((0, *self.shape[1:]), dtype=np.float32)
        with ThreadPoolExecutor(cores()) as pool:
            pixels = list(pool.map(self.middle, chosen))
        return self.preprocessing.apply(np.stack(pixels))

    def middle(self, index: int) -> Pixels:
        """The middle of a photograph, uint8 [3, side, side]."""
        return central(decoded(self.encoded.read(index), self.encoded.name(index)), self.side)

    def varied(self, index: int, *, seed: int, epoch: int, flip: bool) -> Pixels:
        """A random part of a photograph, uint8 [3, side, side]; which one depends on (seed, epoch, index) alone."""
        photograph = decoded(self.encoded.read(index), self.encoded.name(index))
        rng = np.random.default_rng([seed, epoch, index])
        return cropped(photograph, random_crop(*photograph.size, rng, flip=flip), self.side)

    def batches(
        self, indices: Iterable[NDArray[np.int64]], *, seed: int, epoch: int, flip: bool, threads: int
    ) -> Iterator[Pixels]:
        """Varied images of each list of indices, uint8 [n, 3, side, side]; decoded ahead by several threads."""
        vary = partial(self.varied, seed=seed, epoch=epoch, flip=flip)
        with ThreadPoolExecutor(threads) as pool:
            try:
                for futures in _ahead(indices, lambda index: pool.submit(vary, index), AHEAD):
                    yield np.stack([future.result() for future in futures])
            finally:  # whoever stops early does not wait for what was decoded ahead
                pool.shutdown(wait=True, cancel_futures=True)


def _ahead(
    lists: Iterable[NDArray[np.int64]], submit: Callable[[int], Future[Pixels]], ahead: int
) -> Iterator[list[Future[Pixels]]]:
    """Submit each list some lists before it is asked for."""
    source = iter(lists)
    begun = [[submit(int(i)) for i in one] for one in islice(source, ahead)]
    while begun:
        begun += [[submit(int(i)) for i in one] for one in islice(source, 1)]
        yield begun.pop(0)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
