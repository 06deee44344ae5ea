"""Batches of a split in memory: shuffled and varied from (seed, epoch) alone, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from psp_hw.data.augment import Variations, draw_variations, vary
from psp_hw.data.photographs import Photographs, cores
from psp_hw.data.split import Preprocessing, Split
from psp_hw.errors import SpecError
from psp_hw.spec.train import DataSpec
from psp_hw.training.machine import shard


class Batches:
    """An iterable of (images [n, C, H, W], labels [n]) for one epoch at a time.

    Lightning tells the epoch through ``sampler.set_epoch``; the object is its own sampler. Where several processes train,
    each takes its share of every batch. Photographs are decoded as they are needed, by as many threads as there are cores.

    Args:
        split: the images.
        spec: how they are varied.
        batch_size: at most so many images in a batch, over all processes; batches differ by at most one image.
        seed: of the order and of the variations.
    """

    def __init__(self, split: Split, spec: DataSpec, *, batch_size: int, seed: int) -> None:
        if isinstance(split.images, Photographs) and spec.pad:
            what = f"pad={spec.pad}: photographs are varied by random crops of any size, not by shifts"
            raise SpecError(what, where="data.pad", hint="use pad: 0")
        self.split = split
        self.spec = spec
        self.seed = seed
        self.count = -(-len(split) // batch_size)
        self.epoch = 0
        self.sampler = self
        self.held: DeviceImages | None = None
        self.device = torch.device("cpu")

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def hold_on(self, device: torch.device) -> None:
        """Keep the images on an accelerator and vary them there; the batches hold the same values.

        Of photographs, bytes are sent there and preprocessed.
        """
        self.device = device
        if isinstance(self.split.images, Photographs):
            return
        self.held = None if device.type == "cpu" else DeviceImages(self.split, device, pad=self.spec.pad)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.split.images, Photographs):
            return self._streamed(self.split.images)
        return self._stored()

    def _streamed(self, photographs: Photographs) -> Iterator[tuple[Tensor, Tensor]]:
        order = photographs.encoded.order(np.random.default_rng([self.seed, self.epoch]))
        rank, processes = shard()
        shares = [index[rank::processes] for index in np.array_split(order, self.count)]
        pixels = photographs.batches(
            shares,
            seed=self.seed,
            epoch=self.epoch,
            flip=self.spec.flip,
            threads=max(1, cores() // processes),
        )
        ready = Preprocess(photographs.preprocessing, self.device)
        for index, images in zip(shares, pixels, strict=True):
            yield ready(images), torch.from_numpy(self.split.labels[index])

    def _stored(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.split))
        rank, processes = shard()
        for index in np.array_split(order, self.count):
            how = draw_variations(len(index), rng, pad=self.spec.pad, flip=self.spec.flip)
            mine = slice(rank, None, processes)
            share = Variations(rows=how.rows[mine], columns=how.columns[mine], mirrored=how.mirrored[mine])
            yield self._batch(index[mine], share)

    def _batch(self, index: NDArray[np.int64], how: Variations) -> tuple[Tensor, Tensor]:
        if self.held is not None:
            return self.held.batch(index, how)
        images = vary(self.split.images[index], how, pad=self.spec.pad)
        return torch.from_numpy(images), torch.from_numpy(self.split.labels[index])


class Preprocess:
    """Pixels uint8 [n, C, H, W] to what the network sees, float32, on the device that trains; the same values on every device.

    Args:
        preprocessing: what is done.
        device: where.
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        self.preprocessing = preprocessing
        self.device = device
        self.mean = torch.from_numpy(preprocessing.mean).to(device)

    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        if self.device.type == "cpu":
            return torch.from_numpy(self.preprocessing.apply(pixels))
        return self.there(pixels)

    def there(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Send the bytes, then compute: a quarter of what floats would be."""
        raw = torch.from_numpy(pixels).to(self.device, non_blocking=True).to(torch.float32)
        return raw.sub_(self.mean).div_(self.preprocessing.divisor)


class DeviceImages:
    """A whole split in the memory of a device, padded, so that a crop is one gather.

    Args:
        split: the images; CIFAR-10 takes 0.9 GiB.
        device: where they are kept.
        pad: largest shift [pixels].
    """

    def __init__(self, split: Split, device: torch.device, *, pad: int) -> None:
        images = torch.from_numpy(split.images).to(device)
        self.padded = functional.pad(images, (pad, pad, pad, pad))  # [N, C, H + 2 pad, W + 2 pad]
        self.labels = torch.from_numpy(split.labels).to(device)
        channels, height, width = split.image_shape
        self.c = torch.arange(channels, device=device)[None, :, None, None]
        self.h = torch.arange(height, device=device)
        self.w = torch.arange(width, device=device)

    def batch(self, index: NDArray[np.int64], how: Variations) -> tuple[Tensor, Tensor]:
        """Images [n, C, H, W] and labels [n] of a batch, varied."""
        columns = np.stack([index, how.rows, how.columns, how.mirrored.astype(np.int64)])
        image, row, column, mirrored = torch.from_numpy(columns).to(self.padded.device, non_blocking=True)
        across = torch.where(mirrored[:, None] > 0, self.w.flip(0), self.w)  # [n, W]
        rows = (row[:, None] + self.h)[:, None, :, None]
        across = (column[:, None] + across)[:, None, None, :]
        return self.padded[image[:, None, None, None], self.c, rows, across], self.labels[image]


def calibration_batches(split: Split, *, images: int, batch_size: int, seed: int) -> list[Tensor]:
    """Some unvaried training images, for choosing scales.

    Args:
        split: the training split.
        images: how many, at most.
        batch_size: images per batch.
        seed: of the choice.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(split))[:images])
    return [
        torch.from_numpy(split.images[part])
        for part in np.split(chosen, range(batch_size, len(chosen), batch_size))
    ]
