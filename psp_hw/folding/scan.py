"""How a window engine walks over a frame: one raster for input and output, the distance between them constant.

The engine walks positions of a raster with ``pitch`` columns. Position ``q`` is row ``q // pitch``, column ``q % pitch`` of
the input frame; columns beyond its width and rows outside it hold no pixel. At step ``q`` the pixel at ``q`` enters the
delay chain (where there is one), and the window under output pixel (y, x) is complete exactly when

    q = (y * sh + r - top) * pitch + (x * sw + s - left)      for (r, s) the last tap in raster order,

because every other tap's pixel then lies a constant number of positions back. Taps that fall outside the frame read zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from psp_hw.ir.types import Padding, Tap, TensorType

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The walk of one frame.

    Args:
        source: type of the input frame.
        out_height, out_width: output pixels per column and row.
        taps: surviving taps in raster order.
        stride: (vertical, horizontal) [pixels].
        padding: zeros around the frame [pixels].
    """

    source: TensorType
    out_height: int
    out_width: int
    taps: tuple[Tap, ...]
    stride: tuple[int, int]
    padding: Padding

    @property
    def pitch(self) -> int:
        """Columns of the raster: the frame's width, more where outputs or taps span more columns than the frame has."""
        columns = [tap.s for tap in self.taps]
        return max(
            self.source.width,
            (self.out_width - 1) * self.stride[1] + 1,
            max(columns) - min(columns) + 1,
        )

    @property
    def lead(self) -> int:
        """Position of the pixel under the last tap for output pixel (0, 0); negative where it lies before the frame."""
        last = self.taps[-1]
        return (last.r - self.padding.top) * self.pitch + (last.s - self.padding.left)

    @property
    def first(self) -> int:
        """First position of the walk."""
        return min(0, self.lead)

    @property
    def last(self) -> int:
        """Last position of the walk: the last pixel of the frame is in and the last output pixel is out."""
        last_pixel = (self.source.height - 1) * self.pitch + self.source.width - 1
        last_output = self.lead + ((self.out_height - 1) * self.stride[0]) * self.pitch
        return max(last_pixel, last_output + (self.out_width - 1) * self.stride[1])

    @property
    def steps(self) -> int:
        """Positions walked per frame."""
        return self.last - self.first + 1

    @property
    def outputs(self) -> int:
        """Output pixels per frame."""
        return self.out_height * self.out_width

    @property
    def delays(self) -> tuple[int, ...]:
        """Distances between consecutive taps, oldest first [pixels]: the lengths of the delay chain."""
        pitch = self.pitch
        places = [tap.r * pitch + tap.s for tap in self.taps]
        return tuple(later - earlier for earlier, later in pairwise(places))

    def reads(self) -> BoolArray:
        """Whether each step takes a pixel [steps]; not to be written to."""
        return _reads(self)

    def writes(self) -> BoolArray:
        """Whether each step gives an output pixel [steps]; not to be written to."""
        return _writes(self)


# A search asks for the same walks again and again.
@lru_cache(maxsize=1024)
def _reads(scan: Scan) -> BoolArray:
    at = np.arange(scan.first, scan.last + 1)
    inside = (at // scan.pitch < scan.source.height) & (at % scan.pitch < scan.source.width)
    return _kept((at >= 0) & inside)


@lru_cache(maxsize=1024)
def _writes(scan: Scan) -> BoolArray:
    at = np.arange(scan.first, scan.last + 1) - scan.lead
    row, column = at // scan.pitch, at % scan.pitch
    on_grid = (row % scan.stride[0] == 0) & (column % scan.stride[1] == 0)
    inside = (row // scan.stride[0] < scan.out_height) & (column // scan.stride[1] < scan.out_width)
    return _kept((at >= 0) & on_grid & inside)


def _kept(steps: BoolArray) -> BoolArray:
    steps.setflags(write=False)
    return steps
