"""What the config templates of our layers see: numbers, and text where C++ needs text.

A record travels inside the hls4ml layer as a plain dictionary, so that hls4ml can save the layer and load it again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.backends.hls.context import ScanContext
from psp_hw.backends.hls.literals import finish_type, int_type, segment_type, signed_type
from psp_hw.backends.hls4ml.types import exact_type
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import MemoryKind
from psp_hw.folding.scan import Scan


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvRecord:
    """A convolution (nnet_psp_conv2d.h)."""

    in_type: str
    acc_type: str
    finish: str
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
    weights_in_memory: bool
    max_align: int
    align: tuple[tuple[int, ...], ...]
    scan: ScanContext
    delays: tuple[str, ...]


def conv_record(engine: ConvEngine) -> ConvRecord:
    """The record of a convolution."""
    op, fold = engine.op, engine.fold
    align = op.align or (0,) * engine.out_channels
    left = np.array(align, dtype=np.int64).reshape(engine.out_blocks, fold.pe) - min(align)
    return ConvRecord(
        in_type=int_type(engine.source.fmt),
        acc_type=signed_type(engine.acc_fmt),
        finish=finish_type(op.requantize, engine.result.fmt, left=min(align)),
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
        weights_in_memory=engine.weights is not MemoryKind.REGISTERS,
        max_align=max(align) - min(align),
        align=tuple(tuple(row) for row in left.tolist()) if left.any() else (),
        scan=scan_record(engine.scan),
        delays=delay_types(engine.scan, engine.delays),
    )


def weight_type_format(engine: ConvEngine) -> FixedPoint:
    """Signed format of the weights, per-channel scales left out: they follow the accumulator."""
    fmt = engine.weight_fmt
    width = fmt.width + (0 if fmt.signed else 1)
    return FixedPoint(width=width, signed=True, frac=engine.op.weight_frac)


def bias_type_format(engine: ConvEngine) -> FixedPoint:
    """Signed format of the accumulator, in which the bias is kept."""
    fmt = engine.acc_fmt
    width = fmt.width + (0 if fmt.signed else 1)
    return FixedPoint(width=width, signed=True, frac=engine.source.fmt.frac + engine.op.weight_frac)


def scan_record(scan: Scan) -> ScanContext:
    """The constants of a walk."""
    return ScanContext(
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


def delay_types(scan: Scan, kinds: tuple[MemoryKind, ...]) -> tuple[str, ...]:
    """The segments of the delay chain, oldest first (psp/delay.h)."""
    return tuple(segment_type(distance, kind) for distance, kind in zip(scan.delays, kinds, strict=True))
