"""Pad, crop and flip whole batches (He et al., arXiv 1512.03385, Sec. 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from psp_hw.data.split import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Variations:
    """How each image of a batch is varied.

    Args:
        rows, columns: first row and column of the crop in the padded image [N].
        mirrored: whether it is mirrored left to right [N].
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    mirrored: NDArray[np.bool_]


def draw_variations(count: int, rng: np.random.Generator, *, pad: int, flip: bool) -> Variations:
    """Shift every image by up to `pad` pixels in each direction, mirror half of them.

    Args:
        count: images.
        rng: source of the shifts.
        pad: largest shift [pixels].
        flip: whether to mirror left to right.
    """
    rows, columns = (
        rng.integers(0, 2 * pad + 1, size=(2, count)) if pad else np.zeros((2, count), dtype=np.int64)
    )
    mirrored = rng.random(count) < 0.5 if flip else np.zeros(count, dtype=np.bool_)
    return Variations(rows=rows, columns=columns, mirrored=mirrored)


def vary(images: Images, how: Variations, *, pad: int) -> Images:
    """Vary a batch.

    Args:
        images: [N, C, H, W], preprocessed; what moves in is zero, the mean.
        how: the variation of each image.
        pad: largest shift [pixels].

    Returns:
        [N, C, H, W]; a new array.
    """
    n, _, height, width = images.shape
    if pad:
        padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(padded, (height, width), axis=(2, 3))  # [N, C, 2p+1, 2p+1, H, W]
        images = windows[np.arange(n), :, how.rows, how.columns]  # [N, C, H, W]
    else:
        images = images.copy()
    images[how.mirrored] = images[how.mirrored][..., ::-1]
    return images
