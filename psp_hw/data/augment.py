"""Pad, crop and flip whole batches (He et al., arXiv 1512.03385, Sec. 4.2)."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from psp_hw.data.split import Images


def pad_crop_flip(images: Images, rng: np.random.Generator, *, pad: int, flip: bool) -> Images:
    """Shift every image by up to `pad` pixels in each direction, mirror half of them.

    Args:
        images: [N, C, H, W], preprocessed; what moves in is zero, the mean.
        rng: source of the shifts.
        pad: largest shift [pixels].
        flip: whether to mirror left to right.

    Returns:
        [N, C, H, W]; a new array.
    """
    n, _, height, width = images.shape
    if pad:
        border = ((0, 0), (0, 0), (pad, pad), (pad, pad))
        padded = np.pad(images, border)
        windows = sliding_window_view(padded, (height, width), axis=(2, 3))  # [N, C, 2p+1, 2p+1, H, W]
        rows, columns = rng.integers(0, 2 * pad + 1, size=(2, n))
        images = windows[np.arange(n), :, rows, columns]  # [N, C, H, W]
    if flip:
        mirrored = rng.random(n) < 0.5
        images = np.where(mirrored[:, None, None, None], images[..., ::-1], images)
    return np.ascontiguousarray(images)
