"""Types of the values in a graph."""

from __future__ import annotations

from dataclasses import dataclass

from psp_hw.arith.fixed_point import FixedPoint


@dataclass(frozen=True, slots=True, order=True)
class Tap:
    """A kernel position (r, s) that survives for the whole layer."""

    r: int
    s: int

    def __str__(self) -> str:
        return f"({self.r},{self.s})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """Zeros around a feature map [pixels]."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        if min(self.top, self.left, self.bottom, self.right) < 0:
            raise ValueError(f"padding {self} is negative")


NO_PADDING = Padding()


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """A feature map of one frame: NHWC without N, every element in one format."""

    height: int
    width: int
    channels: int
    fmt: FixedPoint

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.channels) < 1:
            raise ValueError(f"the shape {self.shape} has an extent below 1")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return (self.height, self.width, self.channels)

    @property
    def pixels(self) -> int:
        """H * W."""
        return self.height * self.width

    @property
    def pixel_bits(self) -> int:
        """All channels of one pixel [bits]: the width of one token of a stream."""
        return self.channels * self.fmt.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}:{self.fmt}"
