"""Batches of a split in memory: shuffled and varied from (seed, epoch) alone, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from psp_hw.data.augment import Variations, channels_beside, draw_variations, vary
from psp_hw.data.photographs import Photographs, cores
from psp_hw.data.split import Preprocessing, Split
from psp_hw.errors import SpecError
from psp_hw.spec.train import DataSpec
from psp_hw.training.machine import shard

Plan = list[tuple[NDArray[np.int64], Variations]]


def check_shares(images: int, *, batch_size: int, processes: int, where: str) -> None:
    """Refuse batches of which some process would get nothing: the mean over no image is no number.

    Args:
        images: in the training split.
        batch_size: at most so many images in a batch, over all processes.
        processes: that train together.
        where: the batch size stands in the request.

    Raises:
        SpecError: says how small the smallest batch is.
    """
    smallest = images // -(-images // batch_size)  # batches differ by at most one image
    if smallest < processes:
        what = f"{processes} processes cannot share batches of {smallest} images"
        raise SpecError(what, where=where, hint="use larger batches, or fewer --devices or --nodes")


class Batches:
    """An iterable of (images [n, C, H, W], labels [n]) for one epoch at a time.

    Lightning tells the epoch through ``sampler.set_epoch``; the object is its own sampler. Where several processes train,
    each takes its share of every batch. An epoch that was cut goes on
    behind the batches that were given. Photographs are decoded as they are needed, by as many threads as there are cores.

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
        self.given = 0  # batches of this epoch
        self.begun = (0, 0)  # an epoch and how many of its batches were given before
        self.held: DeviceImages | None = None
        self.device = torch.device("cpu")
        self.layout = torch.contiguous_format

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Which batches of which epoch were given: Lightning stores it in a checkpoint."""
        return {"epoch": self.epoch, "given": self.given}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Go on behind the batches that were given; the other epochs are whole."""
        self.begun = (int(state_dict["epoch"]), int(state_dict["given"]))

    def hold_on(self, device: torch.device, layout: torch.memory_format = torch.contiguous_format) -> None:
        """Keep the images on an accelerator and vary them there; the batches hold the same values.

        Of photographs, bytes are sent there and preprocessed.

        Args:
            device: where.
            layout: of the batches in its memory.
        """
        self.device = device
        self.layout = layout
        if isinstance(self.split.images, Photographs):
            return
        on_host = device.type == "cpu"
        self.held = None if on_host else DeviceImages(self.split, device, pad=self.spec.pad, layout=layout)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, given = self.begun
        first = given if epoch == self.epoch else 0
        self.given = first
        photographs = self.split.images
        streamed = isinstance(photographs, Photographs)
        with closing(self._streamed(photographs, first) if streamed else self._stored(first)) as batches:
            for batch in batches:
                self.given += 1
                yield batch

    def _streamed(self, photographs: Photographs, first: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        order = photographs.encoded.order(np.random.default_rng([self.seed, self.epoch]))
        rank, processes = shard()
        shares = [index[rank::processes] for index in np.array_split(order, self.count)[first:]]
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

    def _stored(self, first: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        plan = self._plan()[first:]
        if self.held is not None:
            yield from self.held.batches(plan)
            return
        for index, how in plan:
            images = vary(self.split.images, how, pad=self.spec.pad, index=index)
            if self.layout is torch.channels_last:
                images = channels_beside(images)
            yield torch.from_numpy(images), torch.from_numpy(self.split.labels[index])

    def _plan(self) -> Plan:
        """The images of each batch of an epoch that this process takes, and how they are varied."""
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.split))
        rank, processes = shard()
        mine = slice(rank, None, processes)
        plan: Plan = []
        for index in np.array_split(order, self.count):
            how = draw_variations(len(index), rng, pad=self.spec.pad, flip=self.spec.flip)
            share = Variations(rows=how.rows[mine], columns=how.columns[mine], mirrored=how.mirrored[mine])
            plan.append((index[mine], share))
        return plan


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

    What an epoch does with them is sent there once: a step sends nothing.

    Args:
        split: the images; CIFAR-10 takes 0.9 GiB.
        device: where they are kept.
        pad: largest shift [pixels].
        layout: of the batches in memory.
    """

    def __init__(
        self,
        split: Split,
        device: torch.device,
        *,
        pad: int,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        images = torch.from_numpy(split.images).to(device)
        self.padded = functional.pad(images, (pad, pad, pad, pad))  # [N, C, H + 2 pad, W + 2 pad]
        self.is_last = layout is torch.channels_last
        if self.is_last:
            self.padded = self.padded.permute(0, 2, 3, 1).contiguous()  # [N, H + 2 pad, W + 2 pad, C]
        self.labels = torch.from_numpy(split.labels).to(device)
        channels, height, width = split.image_shape
        self.c = torch.arange(channels, device=device)[None, :, None, None]
        self.h = torch.arange(height, device=device)
        self.w = torch.arange(width, device=device)
        self.mirrored_w = self.w.flip(0)

    def batches(self, plan: Plan) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [n, C, H, W] and labels [n] of each batch, varied."""
        if not plan:
            return
        columns = [
            np.stack([index, how.rows, how.columns, how.mirrored.astype(np.int64)]) for index, how in plan
        ]
        sizes = [len(index) for index, _ in plan]
        there = torch.from_numpy(np.concatenate(columns, axis=1)).to(self.padded.device)  # [4, images]
        for image, row, column, mirrored in (part.unbind() for part in there.split(sizes, dim=1)):
            yield self._gather(image, row, column, mirrored), self.labels[image]

    def _gather(self, image: Tensor, row: Tensor, column: Tensor, mirrored: Tensor) -> Tensor:
        across = torch.where(mirrored[:, None] > 0, self.mirrored_w, self.w) + column[:, None]  # [n, W]
        down = row[:, None] + self.h  # [n, H]
        if self.is_last:
            found = self.padded[image[:, None, None], down[:, :, None], across[:, None, :]]  # [n, H, W, C]
            return found.permute(0, 3, 1, 2)
        return self.padded[image[:, None, None, None], self.c, down[:, None, :, None], across[:, None, None]]


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
