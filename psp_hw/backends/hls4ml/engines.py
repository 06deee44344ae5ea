"""What the config templates of our layers see: numbers, and text where C++ needs text.

A record travels inside the hls4ml layer as a plain dictionary, so that hls4ml can save the layer and load it again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.backends.hls.context import ScanContext
from psp_hw.backends.hls.literals import finish_type, int_type, segment_type, signed_type
from psp_hw.backends.hls.multipliers import multiplier_type
from psp_hw.backends.hls.tables import CONNECTION_ARGUMENTS, connection_tables
from psp_hw.backends.hls4ml.types import exact_type
from psp_hw.folding.connections import ConnectionTable
from psp_hw.folding.engine import ConvEngine, GlobalPoolEngine, WindowPoolEngine, signed_width
from psp_hw.folding.maps import ThresholdEngine
from psp_hw.folding.plan import MemoryKind
from psp_hw.folding.scan import Scan
from psp_hw.ir.ops import MaxPool
from psp_hw.ir.types import TensorType

_WEIGHT_MEMORY = {
    MemoryKind.REGISTERS: "kWired",
    MemoryKind.LUTRAM: "kLutRam",
    MemoryKind.BRAM: "kBlockRam",
    MemoryKind.URAM: "kUltraRam",
}


# A constant table: name, type and rows.
TableRecord = tuple[str, str, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRecord:
    """A connection table (psp/conv_table.h).

    Args:
        tables: those that counters do not stand for: kept, candidates, select, ends, order.
        arguments: what the function takes, ``{}`` where the index of the layer stands in a name.
        left: connections that are left, and those of the kept taps.
    """

    kept: int
    lanes: int
    ways: int
    words: int
    most_words: int
    left: tuple[int, int]
    tables: tuple[TableRecord, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvRecord:
    """A convolution (nnet_psp_conv2d.h); ``connections`` where it runs from a connection table."""

    in_type: str
    acc_type: str
    finish: str
    multiplier: str
    weight_type: str
    bias_type: str
    in_channels: int
    out_channels: int
    taps_dense: int
    taps: tuple[tuple[int, int], ...]
    pe: int
    simd: int
    taps_at_once: int
    words: int
    cycles: int
    weights: int
    weight_memory: str
    max_align: int
    align: tuple[tuple[int, ...], ...]
    scan: ScanContext
    delays: tuple[str, ...]
    connections: ConnectionRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPoolRecord:
    """Pooling over windows (nnet_psp_layers.h)."""

    in_type: str
    pool: str
    channels: int
    taps: tuple[tuple[int, int], ...]
    scan: ScanContext
    delays: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPoolRecord:
    """The mean over the frame (nnet_psp_layers.h)."""

    in_type: str
    pool: str
    channels: int
    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PointwiseRecord:
    """Any rounding and saturation of every element (nnet_psp_layers.h)."""

    in_type: str
    finish: str
    channels: int
    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdRecord:
    """Thresholds (nnet_psp_layers.h).

    Args:
        tables: name, type and rows of each.
    """

    in_type: str
    out_type: str
    channels: int
    pixels: int
    levels: int
    level_bits: int
    tables: tuple[TableRecord, ...]


Record = ConvRecord | WindowPoolRecord | GlobalPoolRecord | PointwiseRecord | ThresholdRecord


def conv_record(engine: ConvEngine, weight: IntArray) -> ConvRecord:
    """The record of a convolution with weights [T, Ci, Co]."""
    op, fold = engine.op, engine.fold
    align = op.align or (0,) * engine.out_channels
    left = engine.by_block(np.array(align, dtype=np.int64)) - min(align)
    delays = delay_types(engine.scan, engine.delays)
    if engine.table is not None:
        strands = zip(delays, engine.table.held, strict=False)
        delays = tuple(f"Strand<psp::{delay}, {held}>" for delay, held in strands)
    return ConvRecord(
        in_type=int_type(engine.source.fmt),
        acc_type=signed_type(engine.acc_fmt),
        finish=finish_type(op.requantize, engine.result.fmt, left=min(align)),
        multiplier=multiplier_type(engine),
        weight_type=exact_type(weight_type_format(engine)),
        bias_type=exact_type(bias_type_format(engine)),
        in_channels=engine.in_channels,
        out_channels=engine.out_channels,
        taps_dense=op.kernel[0] * op.kernel[1],
        taps=tuple((t.r - op.padding.top, t.s - op.padding.left) for t in op.taps),
        pe=fold.pe,
        simd=fold.simd,
        taps_at_once=fold.taps,
        words=engine.cycles_per_output,
        cycles=engine.schedule().iterations,
        weights=engine.cycles_per_output * fold.multipliers,
        weight_memory=_WEIGHT_MEMORY[engine.weights],
        max_align=max(align) - min(align),
        align=tuple(tuple(row) for row in left.tolist()) if left.any() else (),
        scan=ScanContext.of(engine.scan),
        delays=delays,
        connections=None if engine.table is None else _connections(engine.table, weight),
    )


def _connections(table: ConnectionTable, weight: IntArray) -> ConnectionRecord:
    found = {entry.name: entry for entry in connection_tables(table)}
    return ConnectionRecord(
        kept=len(table.kept),
        lanes=table.lanes,
        ways=table.ways,
        words=table.words,
        most_words=max(table.lengths),
        left=(int(np.count_nonzero(weight)), weight.size),
        tables=tuple(_table(name.lower(), entry.values) for name, entry in found.items()),
        arguments=tuple(
            name.lower() + "{}" if name in found else instead for name, instead in CONNECTION_ARGUMENTS
        ),
    )


def weight_type_format(engine: ConvEngine) -> FixedPoint:
    """Signed format of the weights, per-channel scales left out: they follow the accumulator."""
    width = signed_width(engine.weight_fmt)
    return FixedPoint(width=width, signed=True, frac=engine.op.weight_frac)


def bias_type_format(engine: ConvEngine) -> FixedPoint:
    """Signed format of the accumulator, in which the bias is kept."""
    width = signed_width(engine.acc_fmt)
    return FixedPoint(width=width, signed=True, frac=engine.source.fmt.frac + engine.op.weight_frac)


def delay_types(scan: Scan, kinds: tuple[MemoryKind, ...]) -> tuple[str, ...]:
    """The segments of the delay chain, oldest first (psp/delay.h)."""
    return tuple(segment_type(distance, kind) for distance, kind in zip(scan.delays, kinds, strict=True))


def window_pool_record(engine: WindowPoolEngine) -> WindowPoolRecord:
    """The record of a pooling over windows."""
    source, padding = engine.source, engine.scan.padding
    if isinstance(engine.op, MaxPool):
        pool = f"Maximum<{int_type(source.fmt)} >"
    else:
        total = FixedPoint.holding(
            source.fmt.range.including(0).scaled(len(engine.scan.taps)), frac=source.fmt.frac
        )
        pool = mean(total, engine.op.requantize, engine.result.fmt)
    return WindowPoolRecord(
        in_type=int_type(source.fmt),
        pool=pool,
        channels=source.channels,
        taps=tuple((t.r - padding.top, t.s - padding.left) for t in engine.scan.taps),
        scan=ScanContext.of(engine.scan),
        delays=delay_types(engine.scan, engine.delays),
    )


def global_pool_record(engine: GlobalPoolEngine) -> GlobalPoolRecord:
    """The record of a mean over the frame."""
    return GlobalPoolRecord(
        in_type=int_type(engine.source.fmt),
        pool=mean(engine.acc_fmt, engine.op.requantize, engine.result.fmt),
        channels=engine.source.channels,
        pixels=engine.source.pixels,
    )


def mean(total: FixedPoint, to: Requantizer | None, out: FixedPoint) -> str:
    """The type of a mean (psp/pool.h)."""
    return f"Mean<{signed_type(total)}, psp::{finish_type(to, out)} >"


def pointwise_record(source: TensorType, to: Requantizer) -> PointwiseRecord:
    """The record of a requantization."""
    return PointwiseRecord(
        in_type=int_type(source.fmt),
        finish=finish_type(to, to.fmt),
        channels=source.channels,
        pixels=source.pixels,
    )


def threshold_record(
    engine: ThresholdEngine, levels: IntArray, start: IntArray, step: IntArray
) -> ThresholdRecord:
    """The record of thresholds.

    Args:
        levels: [C, L].
        start, step: [C].
    """
    reach = Interval(min(-1, int(levels.min())), max(0, int(levels.max())))
    tables = (("levels", levels), ("start", start.reshape(1, -1)), ("step", step.reshape(1, -1)))
    return ThresholdRecord(
        in_type=int_type(engine.source.fmt),
        out_type=int_type(engine.result.fmt),
        channels=engine.source.channels,
        pixels=engine.source.pixels,
        levels=engine.levels,
        level_bits=reach.bits,
        tables=tuple(_table(name, table) for name, table in tables),
    )


def _table(name: str, table: IntArray) -> TableRecord:
    signed = Interval(min(-1, int(table.min())), max(0, int(table.max())))
    return name, f"Constant<{signed.bits}, true>", tuple(tuple(row) for row in table.tolist())
