"""Batches of a split in memory: shuffled and varied from (seed, epoch) alone, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from psp_hw.data.augment import pad_crop_flip
from psp_hw.data.split import Split
from psp_hw.spec.train import DataSpec


class Batches:
    """An iterable of (images [n, C, H, W], labels [n]) for one epoch at a time.

    Lightning tells the epoch through ``sampler.set_epoch``; the object is its own sampler.

    Args:
        split: the images.
        spec: how they are varied.
        batch_size: at most so many images in a batch; batches differ by at most one image.
        seed: of the order and of the variations.
    """

    def __init__(self, split: Split, spec: DataSpec, *, batch_size: int, seed: int) -> None:
        self.split = split
        self.spec = spec
        self.seed = seed
        self.count = -(-len(split) // batch_size)
        self.epoch = 0
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.split))
        for index in np.array_split(order, self.count):
            images = self.split.images[index]
            images = pad_crop_flip(images, rng, pad=self.spec.pad, flip=self.spec.flip)
            yield torch.from_numpy(images), torch.from_numpy(self.split.labels[index])


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
