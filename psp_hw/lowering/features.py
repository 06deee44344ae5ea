"""What a tensor of an ONNX model is: a feature map of the graph seen through a real map, or a constant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction

from psp_hw.ir.types import NO_PADDING, Padding, TensorType
from psp_hw.lowering.onnx_file import Node

Reals = tuple[Fraction, ...]
ONE: Reals = (Fraction(1),)
ZERO: Reals = (Fraction(0),)


class Layout(Enum):
    """The axes of a feature map as ONNX sees it. The graph's own are always H, W, C."""

    NCHW = "NCHW"
    NHWC = "NHWC"
    FLAT_CHW = "N, C * H * W"
    FLAT_HWC = "N, H * W * C"

    @property
    def flat(self) -> bool:
        """Whether there is one axis of features."""
        return self in (Layout.FLAT_CHW, Layout.FLAT_HWC)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return 2 if self.flat else 4

    @property
    def channel_axis(self) -> int:
        """Axis of the channels (of all features where it is flat)."""
        return 3 if self is Layout.NHWC else 1

    @property
    def flattened(self) -> Layout:
        """The layout after a flattening."""
        return Layout.FLAT_HWC if self in (Layout.NHWC, Layout.FLAT_HWC) else Layout.FLAT_CHW


def compact(values: Reals) -> Reals:
    """One number where all are equal."""
    return values[:1] if all(value == values[0] for value in values) else values


def spread(values: Reals, channels: int) -> Reals:
    """One number per channel."""
    return values * channels if len(values) == 1 else values


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A feature map: ``clip(m * 2**-frac * factor + offset, lo, hi)`` of the codes m of a value of the graph, then zeros around.

    Args:
        name: of the op that makes the codes.
        layout: of the ONNX tensor.
        factors, offsets: one, or one per channel.
        lo, hi: bounds, as a ReLU makes them; None where there is none.
        padding: zeros around the frame that the next op is to read.
        alone: nothing else reads the codes, so the op that makes them may still be changed.
    """

    name: str
    layout: Layout = Layout.NCHW
    factors: Reals = ONE
    offsets: Reals = ZERO
    lo: Fraction | None = None
    hi: Fraction | None = None
    padding: Padding = NO_PADDING
    alone: bool = False

    @property
    def plain(self) -> bool:
        """The codes are the value: one unit, no offset, no bounds, no zeros around."""
        return (
            self.unbounded and self.offsets == ZERO and len(self.factors) == 1 and self.padding == NO_PADDING
        )

    @property
    def unbounded(self) -> bool:
        """No bounds are pending."""
        return self.lo is None and self.hi is None

    def bounded(self, lo: Fraction | None, hi: Fraction | None) -> Value:
        """With further bounds."""
        low, high = self.lo, self.hi
        if lo is not None:
            low = lo if low is None else max(lo, low)
            high = None if high is None else max(lo, high)
        if hi is not None:
            high = hi if high is None else min(hi, high)
            low = None if low is None else min(hi, low)
        return replace(self, lo=low, hi=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingInput:
    """The float image before its quantizer.

    Args:
        factor: a power of two that it was multiplied with.
        positive: a ReLU lies before the quantizer.
    """

    channels: int
    height: int
    width: int
    layout: Layout
    factor: Fraction = Fraction(1)
    positive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMean:
    """A mean over a number of pixels that is no power of two, before the quantizer that rounds it."""

    node: Node
    source: Value
    kernel: tuple[int, int]
    stride: tuple[int, int]
    layout: Layout


def frame(layout: Layout, extents: tuple[int, int, int]) -> tuple[int, int, int]:
    """(C, H, W) of the three extents after the batch."""
    first, second, third = extents
    return (third, first, second) if layout is Layout.NHWC else (first, second, third)


def features(kind: TensorType) -> int:
    """Elements of a frame."""
    return kind.pixels * kind.channels
