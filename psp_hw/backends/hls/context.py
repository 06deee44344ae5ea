"""What the templates see: numbers, names and wiring, as text where C++ needs text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from psp_hw.folding.scan import Scan


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanContext:
    """The constants of a walk (psp/walk.h)."""

    height: int
    width: int
    pitch: int
    out_height: int
    out_width: int
    stride_y: int
    stride_x: int
    first: int
    lead: int
    steps: int

    @classmethod
    def of(cls, scan: Scan) -> Self:
        """The constants of a walk."""
        return cls(
            height=scan.source.height,
            width=scan.source.width,
            pitch=scan.pitch,
            out_height=scan.out_height,
            out_width=scan.out_width,
            stride_y=scan.stride[0],
            stride_x=scan.stride[1],
            first=scan.first,
            lead=scan.lead,
            steps=scan.steps,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TapContext:
    """A tap: its name ``(r, s)`` and its place relative to the output pixel's."""

    name: str
    dy: int
    dx: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentContext:
    """A segment of the delay chain."""

    type: str
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContext:
    """A constant table [rows][columns]."""

    name: str
    type: str
    rows: int
    columns: int
    comment: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How the top function calls an engine: its function, its type, the streams in order; and its cycles per frame."""

    function: str
    type: str
    guard: str
    cycles: int
    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What every engine has."""

    call: Call

    @property
    def function(self) -> str:
        return self.call.function

    @property
    def type(self) -> str:
        return self.call.type

    @property
    def guard(self) -> str:
        return self.call.guard

    @property
    def cycles(self) -> int:
        return self.call.cycles

    @property
    def streams(self) -> tuple[str, ...]:
        return self.call.streams


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLayer(Layer):
    """What an engine has that reads one stream and writes one of as many channels."""

    source: str
    result: str
    in_type: str
    in_token: str
    out_token: str
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedMapLayer(MapLayer):
    """A map with constants per channel: ``pe`` channels per iteration, ``at_once`` says so in words."""

    pe: int
    at_once: str
    pixels: int
    tables: tuple[TableContext, ...]
    pragmas: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvLayer(Layer):
    """A convolution."""

    source: str
    result: str
    in_type: str
    acc_type: str
    finish: str
    finish_comment: str
    in_token: str
    out_token: str
    in_channels: int
    out_channels: int
    n_taps_dense: int
    taps: tuple[TapContext, ...]
    pe: int
    simd: int
    taps_at_once: int
    multiplier: str
    multiplier_comment: str
    max_align: int
    fold_comment: str
    scan: ScanContext
    delays: tuple[SegmentContext, ...]
    tables: tuple[TableContext, ...]
    pragmas: tuple[str, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableConvLayer(ConvLayer):
    """A convolution from a connection table (psp/conv_table.h).

    Args:
        kept: input channels that are held.
        lanes, ways: operands at once, and candidates of each.
        words, most_words: cycles per output pixel; of the block that takes most.
        connections: what the table leaves out, in words.
    """

    kept: int
    lanes: int
    ways: int
    words: int
    most_words: int
    connections: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPoolLayer(MapLayer):
    """A pooling over windows."""

    what: str
    kernel: str
    pool: str
    taps: tuple[TapContext, ...]
    scan: ScanContext
    delays: tuple[SegmentContext, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPoolLayer(MapLayer):
    """A mean over the whole frame."""

    pool: str
    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLayer(Layer):
    """A sum of two streams."""

    left: str
    right: str
    result: str
    left_type: str
    right_type: str
    sum_type: str
    finish: str
    finish_comment: str
    left_token: str
    right_token: str
    out_token: str
    channels: int
    pixels: int
    left_shift: int
    right_shift: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartContext:
    """One input of a concatenation."""

    element: str
    token: str
    channels: int
    shift: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcatLayer(Layer):
    """A concatenation."""

    sources: tuple[str, ...]
    result: str
    out_type: str
    out_token: str
    channels: int
    pixels: int
    parts: tuple[PartContext, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointwiseLayer(MapLayer):
    """A ReLU or a requantization on its own."""

    what: str
    finish: str
    finish_comment: str
    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineLayer(FoldedMapLayer):
    """A multiplication and an addition per channel.

    Args:
        multiplier, multiplier_comment: how products are made where these are not all channels.
    """

    acc_type: str
    finish: str
    finish_comment: str
    multiplier: str
    multiplier_comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdLayer(FoldedMapLayer):
    """Comparisons with constants, counted."""

    out_type: str
    levels: int
    level_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkLayer(Layer):
    """Copies of a stream."""

    token: str
    copies: int
    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortLayer(Layer):
    """Where frames enter or leave."""

    result: str
    token: str
    bits: int
    pixels: int
    enters: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelContext:
    """A stream between two engines."""

    name: str
    token: str
    comment: str
    pragmas: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSummary:
    """A row of the README's table."""

    function: str
    what: str
    taps: str
    fold: str
    cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignContext:
    """The whole design."""

    version: str
    source_hash: str
    name: str
    top: str
    namespace: str
    type: str
    guard: str
    target: str
    tool: str
    script: str
    command: str
    part: str
    clock_ns: str
    source: str
    result: str
    in_type: str
    out_type: str
    in_bits: int
    out_bits: int
    in_height: int
    in_width: int
    in_channels: int
    out_height: int
    out_width: int
    out_channels: int
    frames: int
    interval: int
    partition_limit: int
    layers: tuple[Layer, ...]
    channels: tuple[ChannelContext, ...]
    summary: tuple[LayerSummary, ...]
    reports: tuple[str, ...]
