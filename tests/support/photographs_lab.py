"""Small sets in the layout of ImageNet: JPEG files in folders of classes, and the same in WebDataset shards."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("n01440764", "n01443537", "n02102040")


def photograph(seed: int, label: int, *, width: int = 0, height: int = 0, format: str = "JPEG") -> bytes:
    """A file of smooth noise whose mean brightness says its class."""
    rng = np.random.default_rng([seed, label])
    width, height = width or int(rng.integers(40, 90)), height or int(rng.integers(40, 90))
    coarse = rng.integers(0, 90, size=(6, 6, 3)) + 80 * label
    image = Image.fromarray(coarse.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, format=format)
    return buffer.getvalue()


def write_folders(root: Path, *, train: int, test: int, classes: tuple[str, ...] = CLASSES) -> None:
    """``train/`` and ``val/`` with so many photographs in every class."""
    for split, count, seed in (("train", train, 1000), ("val", test, 2000)):
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{name}_{number}.JPEG").write_bytes(photograph(seed + number, label))


def write_shards(folders: Path, root: Path, *, per_shard: int) -> None:
    """The photographs of `write_folders` as shards, class after class."""
    for split, word in (("train", "train"), ("val", "validation")):
        files = sorted((folders / split).rglob("*.JPEG"))
        names = sorted(path.name for path in (folders / split).iterdir())
        (root / split).mkdir(parents=True)
        for start in range(0, len(files), per_shard):
            path = root / split / f"imagenet1k-{word}-{start // per_shard:04d}.tar"
            with tarfile.open(path, "w") as tar:
                for file in files[start : start + per_shard]:
                    label = names.index(file.parent.name)
                    add(tar, f"{file.stem}.jpg", file.read_bytes())
                    add(tar, f"{file.stem}.json", b'{"width": 1}')
                    add(tar, f"{file.stem}.cls", str(label).encode())


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """A member of an archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def small_net(in_channels: int, classes: int) -> object:
    """A network for photographs that trains in a moment (``photographs_lab:small_net``)."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, stride=4, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=4, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )
