"""Batches of a split in memory: shuffled and varied from (seed, epoch) alone, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from psp_hw.data.augment import Variations, draw_variations, vary
from psp_hw.data.split import Split
from psp_hw.spec.train import DataSpec
from psp_hw.training.machine import shard


class Batches:
    """An iterable of (images [n, C, H, W], labels [n]) for one epoch at a time.

    Lightning tells the epoch through ``sampler.set_epoch``; the object is its own sampler. Where several processes train,
    each takes its share of every batch.

    Args:
        split: the images.
        spec: how they are varied.
        batch_size: at most so many images in a batch, over all processes; batches differ by at most one image.
        seed: of the order and of the variations.
    """

    def __init__(self, split: Split, spec: DataSpec, *, batch_size: int, seed: int) -> None:
        self.split = split
        self.spec = spec
        self.seed = seed
        self.count = -(-len(split) // batch_size)
        self.epoch = 0
        self.sampler = self
        self.held: DeviceImages | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def hold_on(self, device: torch.device) -> None:
        """Keep the images on an accelerator and vary them there; the batches hold the same values."""
        self.held = None if device.type == "cpu" else DeviceImages(self.split, device, pad=self.spec.pad)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
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
