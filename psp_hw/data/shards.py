"""Photographs in tar shards, as WebDataset lays them out: ``KEY.jpg`` and ``KEY.cls`` (the number of the class) beside each other.

The archives are never unpacked, no name of a member is used as a path, and nothing in them is executed. Their headers are read once;
where each photograph lies is kept in a file beside the shards, so that later starts are quick.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from psp_hw.data.split import Labels
from psp_hw.errors import DataError

IMAGE_SUFFIXES = ("jpg", "jpeg", "png")
LABEL_SUFFIX = "cls"
MAX_IMAGE_BYTES = 1 << 26
MAX_CLASSES = 1 << 20
WINDOW = 16  # shards whose photographs are mixed with each other; the order of the shards is random
_MAX_HEADER_BYTES = 1 << 20
_MAX_LABEL_BYTES = 32
_BLOCK = 512
_HINT = "fetch or pack the shard again"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shards:
    """Where the photographs of some shards lie.

    Args:
        paths: the shards.
        shard: of each photograph [N].
        offset, size: of its file inside the shard [bytes, N].
        labels: class of each photograph [N].
    """

    paths: tuple[Path, ...]
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    labels: Labels

    def name(self, index: int) -> str:
        """A photograph, for messages."""
        return f"{self.paths[self.shard[index]]}, byte {self.offset[index]:,}"

    def read(self, index: int) -> bytes:
        """The file of a photograph.

        Raises:
            DataError: the shard is gone or shorter than it was.
        """
        size = int(self.size[index])
        try:
            with self.paths[self.shard[index]].open("rb") as file:
                content = os.pread(file.fileno(), size, int(self.offset[index]))
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=self.name(index)) from error
        if len(content) != size:
            raise DataError(f"the shard ends after {len(content)} of {size} bytes", where=self.name(index))
        return content

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """All photographs in random order; neighbours come from a few shards, so that a disk reads near to where it has read."""
        shards = rng.permutation(len(self.paths))
        bounds = np.searchsorted(self.shard, np.arange(len(self.paths) + 1))
        parts = []
        for start in range(0, len(shards), WINDOW):
            window = [np.arange(bounds[s], bounds[s + 1]) for s in shards[start : start + WINDOW]]
            parts.append(rng.permutation(np.concatenate(window)))
        return np.concatenate(parts).astype(np.int64)


def read_shards(paths: tuple[Path, ...], index: Path) -> Shards:
    """Find the photographs of shards.

    Args:
        paths: the shards.
        index: file that remembers where they lie; made where that is possible, and made again when a shard has changed.

    Raises:
        DataError: a shard cannot be read, is damaged, or holds no photographs with classes.
    """
    try:
        stamps = np.array(
            [(s.st_size, s.st_mtime_ns) for s in (path.stat() for path in paths)], dtype=np.int64
        )
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(error.filename)) from error
    names = np.array([os.fsencode(path.name) for path in paths])
    known = _remembered(index, names, stamps)
    if known is None:
        found = [_scan(path) for path in paths]
        known = {
            "shard": np.repeat(np.arange(len(paths), dtype=np.int32), [len(rows) for rows in found]),
            **{
                key: np.concatenate([rows[:, column] for rows in found])
                for column, key in enumerate(("offset", "size", "labels"))
            },
        }
        _remember(index, {"names": names, "stamps": stamps, **known})
    return Shards(
        paths=paths,
        shard=known["shard"].astype(np.int32),
        offset=known["offset"],
        size=known["size"],
        labels=known["labels"],
    )


def _remembered(
    index: Path, names: NDArray[np.bytes_], stamps: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]] | None:
    """What an index says of these very shards; None where it says nothing."""
    keys = [field.name for field in fields(Shards) if field.name != "paths"]
    try:
        with np.load(index, allow_pickle=False) as stored:
            if not (np.array_equal(stored["names"], names) and np.array_equal(stored["stamps"], stamps)):
                return None
            found = {key: stored[key] for key in keys}
    except Exception:  # noqa: BLE001, whatever is wrong with it, the shards are read again
        return None
    count = len(found["labels"])
    kinds = {"shard": np.int32, "offset": np.int64, "size": np.int64, "labels": np.int64}
    whole = all(found[key].shape == (count,) and found[key].dtype == kinds[key] for key in keys)
    if not whole or not count or not 0 <= found["shard"].min() <= found["shard"].max() < len(names):
        return None
    inside = found["offset"].min() >= 0 and 0 < found["size"].min() <= found["size"].max() <= MAX_IMAGE_BYTES
    return found if inside and 0 <= found["labels"].min() <= found["labels"].max() < MAX_CLASSES else None


def _remember(index: Path, arrays: dict[str, Any]) -> None:
    """Write an index aside and rename it; where the folder cannot be written, the next start reads the shards again."""
    with contextlib.suppress(OSError):
        handle, aside = tempfile.mkstemp(dir=index.parent, prefix=f".{index.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            Path(aside).replace(index)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def _scan(path: Path) -> NDArray[np.int64]:
    """Offset, size and class of every photograph of a shard [N, 3], in the order of the archive.

    Raises:
        DataError: names the shard, and the sample where one is to blame.
    """
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with path.open("rb") as file:
            for member in _members(file, path):
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                kind = "image" if suffix.lower() in IMAGE_SUFFIXES else suffix.lower()
                sample = samples.setdefault(f"{folder}/{stem}", {})
                if kind in sample and kind in ("image", LABEL_SUFFIX):
                    raise DataError(f"sample '{stem}' has two files .{suffix}", where=str(path), hint=_HINT)
                sample[kind] = (member.offset_data, member.size)
            rows = [_row(file, path, key, sample) for key, sample in samples.items() if _is_sample(sample)]
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if not rows:
        what = "holds no photographs with classes (KEY.jpg and KEY.cls)"
        raise DataError(what, where=str(path), hint="shards are packed as WebDataset lays them out")
    return np.array(rows, dtype=np.int64)


def _is_sample(files: dict[str, tuple[int, int]]) -> bool:
    return "image" in files or LABEL_SUFFIX in files


def _row(file: BinaryIO, path: Path, key: str, sample: dict[str, tuple[int, int]]) -> tuple[int, int, int]:
    """Offset, size and class of a photograph."""
    name = key.lstrip("/")
    for kind, what in (("image", "photograph"), (LABEL_SUFFIX, "class")):
        if kind not in sample:
            raise DataError(f"sample '{name}' has no {what}", where=str(path), hint=_HINT)
    offset, size = sample["image"]
    if not 0 < size <= MAX_IMAGE_BYTES:
        raise DataError(f"the photograph of sample '{name}' has {size:,} bytes", where=str(path), hint=_HINT)
    start, length = sample[LABEL_SUFFIX]
    word = os.pread(file.fileno(), min(length, _MAX_LABEL_BYTES), start).strip()
    if length > _MAX_LABEL_BYTES or not word.isdigit() or int(word) >= MAX_CLASSES:
        raise DataError(
            f"the class of sample '{name}' is {word!r}, not a number below {MAX_CLASSES:,}", where=str(path)
        )
    return offset, size, int(word)


class _Headers:
    """A file of which only headers are read: a header that claims to be huge is refused, not read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _members(file: BinaryIO, path: Path) -> Iterator[tarfile.TarInfo]:
    """The plain files of an archive; an archive that ends early or is damaged on the way is an error, not a short one."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        with tarfile.open(fileobj=_Headers(file), mode="r:") as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                tar.members = []  # or they would be kept
                if member.issparse() or not member.isreg():
                    continue
                if member.offset_data + member.size > length:
                    raise tarfile.ReadError(f"'{member.name}' ends behind the end of the file")
                yield member
            end = tar.offset
    except (tarfile.TarError, ValueError, UnicodeError, EOFError, OverflowError) as error:
        raise DataError(f"not a readable tar archive: {error}", where=str(path), hint=_HINT) from error
    if os.pread(file.fileno(), _BLOCK, end) != bytes(_BLOCK):  # an archive ends with a block of zeros
        what = f"the archive is cut off or damaged at byte {end:,}"
        raise DataError(what, where=str(path), hint=_HINT)
