"""The digits of scikit-learn: 1797 scans of 8x8 pixels, 0 .. 16 (UCI "Optical Recognition of Handwritten Digits").

They ship inside the scikit-learn wheel, so nothing is downloaded.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

CLASSES = tuple("0123456789")
DIVISOR = 8.0
TEST_SHARE = 5  # every fifth image of a class, in a fixed random order, is for testing
_ORDER_SEED = 1797


@cache
def raw_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All images uint8 [1797, 1, 8, 8] and labels [1797]."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.asarray(bunch.images, dtype=np.uint8)[:, None]  # [N, 1, 8, 8]
    return images, np.asarray(bunch.target, dtype=np.int64)


def split_indices() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fixed stratified split: 1442 images for training, 355 for testing (one fifth of each class).

    Returns:
        Indices into `raw_digits` for training and for testing, each ascending.
    """
    _, labels = raw_digits()
    order = np.random.default_rng(_ORDER_SEED)
    chosen = []
    for label in range(len(CLASSES)):
        members = np.flatnonzero(labels == label)
        chosen.append(order.permutation(members)[: len(members) // TEST_SHARE])
    test = np.sort(np.concatenate(chosen))
    train = np.setdiff1d(np.arange(len(labels)), test)
    return train.astype(np.int64), test.astype(np.int64)
