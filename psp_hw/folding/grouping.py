"""Output channels that need the same inputs, computed together.

A block of output channels takes a cycle for every group of inputs that any of them needs, so channels are put together whose needs
overlap. In which order they are computed is no matter of the hardware: the pixel leaves whole, and which register feeds which
of its channels is wiring.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def grouped(alive: npt.NDArray[np.bool_], pe: int) -> npt.NDArray[np.int64]:
    """Output channels in the order in which blocks of ``pe`` take them.

    Greedy: a block begins with the channel that needs most, and takes the one that adds fewest inputs to it. The natural order
    stays where that gains nothing.

    Args:
        alive: whether channel k needs column n [Co, N].
        pe: divides Co.

    Returns:
        A permutation of the channels [Co], ascending inside a block.
    """
    channels = len(alive)
    natural = np.arange(channels)
    if pe in (1, channels) or (alive == alive[0]).all():
        return natural
    packed = np.packbits(alive, axis=1)
    remaining = sorted(natural.tolist(), key=lambda k: (-int(_ONES[packed[k]].sum()), k))
    blocks = []
    while remaining:
        blocks.append(_block(packed, remaining, pe))
    order = np.array([channel for block in sorted(blocks) for channel in block])
    return order if _needed(alive[order], pe) < _needed(alive, pe) else natural


def _block(packed: npt.NDArray[np.uint8], remaining: list[int], pe: int) -> list[int]:
    """Take a block of channels out of those that remain."""
    block = [remaining.pop(0)]
    union = packed[block[0]].copy()
    while len(block) < pe:
        added = _ONES[packed[remaining] & ~union].sum(axis=1, dtype=np.int64)
        channel = remaining.pop(int(added.argmin()))  # of equals the one that needs most
        block.append(channel)
        union |= packed[channel]
    return sorted(block)


def _needed(alive: npt.NDArray[np.bool_], pe: int) -> int:
    return int(alive.reshape(-1, pe, alive.shape[1]).any(axis=1).sum())
