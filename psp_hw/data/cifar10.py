"""CIFAR-10 (Krizhevsky, 2009) in its official binary layout, ``cifar-10-batches-bin``.

A record is 1 label byte and 3072 pixel bytes: 1024 red, 1024 green, 1024 blue, rows of 32.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psp_hw.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIVISOR = 64.0
FOLDER = "cifar-10-batches-bin"
RECORD_BYTES = 1 + 3 * 32 * 32
RECORDS_PER_FILE = 10_000
FILE_MD5 = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
TRAIN_FILES = tuple(name for name in FILE_MD5 if name.startswith("data_batch"))
TEST_FILES = ("test_batch.bin",)
_FETCH_HINT = "fetch it with: psp-hw data cifar10 --data-dir DIR"


def read_batch(path: Path, *, md5: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """One file of 10,000 records.

    Args:
        path: the file.
        md5: of the published file.

    Returns:
        Images uint8 [10000, 3, 32, 32] and labels [10000].

    Raises:
        DataError: missing, of another length, or not the published file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), hint=_FETCH_HINT) from error
    expected = RECORDS_PER_FILE * RECORD_BYTES
    if len(content) != expected:
        state = "truncated" if len(content) < expected else "too long"
        what = f"the file is {state}: {len(content)} bytes, expected {expected}"
        raise DataError(what, where=str(path), hint=f"delete it and {_FETCH_HINT}")
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        what = f"not the published file: md5 {found}, expected {md5}"
        raise DataError(what, where=str(path), hint=f"delete it and {_FETCH_HINT}")
    records = np.frombuffer(content, dtype=np.uint8).reshape(RECORDS_PER_FILE, RECORD_BYTES)
    images = records[:, 1:].reshape(RECORDS_PER_FILE, 3, 32, 32)
    return images, records[:, 0].astype(np.int64)


def read_files(data_dir: Path, names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Several files below ``data_dir/cifar-10-batches-bin``, one after the other."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        raise DataError(
            "CIFAR-10 is not there",
            where=str(folder),
            hint=f"fetch it with: psp-hw data cifar10 --data-dir {data_dir}",
        )
    parts = [read_batch(folder / name, md5=FILE_MD5[name]) for name in names]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
