"""The context of each engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.backends.base import Target
from psp_hw.backends.hls import context as c
from psp_hw.backends.hls.literals import (
    finish_comment,
    finish_type,
    int_type,
    segment_type,
    signed_type,
)
from psp_hw.backends.hls.multipliers import multiplier_comment, multiplier_type
from psp_hw.backends.hls.storage import rom_pragmas
from psp_hw.backends.hls.tables import constant_table, from_table
from psp_hw.folding.engine import (
    AddEngine,
    ConcatEngine,
    ConvEngine,
    Engine,
    ForkEngine,
    GlobalPoolEngine,
    PointwiseEngine,
    PortEngine,
    WindowPoolEngine,
    requantizer_of,
)
from psp_hw.folding.maps import AffineEngine, MapEngine, ThresholdEngine
from psp_hw.folding.plan import MemoryKind
from psp_hw.folding.scan import Scan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import MaxPool
from psp_hw.ir.types import TensorType


def layer(engine: Engine, call: c.Call, graph: Graph, target: Target) -> c.Layer:
    """The context of an engine."""
    match engine:
        case ConvEngine():
            return _conv(engine, call, graph, target)
        case WindowPoolEngine():
            return _window_pool(engine, call)
        case GlobalPoolEngine():
            return _global_pool(engine, call)
        case AddEngine():
            return _add(engine, call)
        case ConcatEngine():
            return _concat(engine, call)
        case PointwiseEngine():
            return _pointwise(engine, call)
        case AffineEngine():
            return _affine(engine, call, graph, target)
        case ThresholdEngine():
            return _threshold(engine, call, graph, target)
        case ForkEngine():
            kind = engine.type
            return c.ForkLayer(call=call, token=token(kind), copies=engine.copies, pixels=kind.pixels)
        case PortEngine():
            kind = engine.type
            return c.PortLayer(
                call=call,
                result=str(kind),
                token=token(kind),
                bits=kind.pixel_bits,
                pixels=kind.pixels,
                enters=engine.enters,
            )
        case _:
            assert_never(engine)


def template_of(layer: c.Layer) -> str:
    """The template of a layer's file."""
    match layer:
        case c.TableConvLayer():
            return "src/conv_table.h.jinja"
        case c.ConvLayer():
            return "src/conv.h.jinja"
        case c.WindowPoolLayer():
            return "src/window_pool.h.jinja"
        case c.GlobalPoolLayer():
            return "src/global_pool.h.jinja"
        case c.AddLayer():
            return "src/add.h.jinja"
        case c.ConcatLayer():
            return "src/concat.h.jinja"
        case c.PointwiseLayer():
            return "src/pointwise.h.jinja"
        case c.AffineLayer():
            return "src/affine.h.jinja"
        case c.ThresholdLayer():
            return "src/threshold.h.jinja"
        case c.ForkLayer():
            return "src/fork.h.jinja"
        case c.PortLayer():
            return "src/receive.h.jinja" if layer.enters else "src/send.h.jinja"
    raise AssertionError(layer)


def token(kind: TensorType) -> str:
    """The type of one token of a stream."""
    return f"ap_uint<{kind.pixel_bits}>"


def _conv(engine: ConvEngine, call: c.Call, graph: Graph, target: Target) -> c.ConvLayer:
    plain = _plain_conv(engine, call, graph, target)
    return plain if engine.table is None else from_table(plain, engine, graph, target)


def _plain_conv(engine: ConvEngine, call: c.Call, graph: Graph, target: Target) -> c.ConvLayer:
    op, fold = engine.op, engine.fold
    tables = {table.name: table for table in _tables(engine, call, graph)}
    weights, *others = needed = [f"k{call.type}{what}" for what in ("Weights", "Bias", "Align")]
    memories = {weights: engine.weights, **dict.fromkeys(others, MemoryKind.REGISTERS)}
    align = op.align or (0,)
    return c.ConvLayer(
        call=call,
        source=str(engine.source),
        result=str(engine.result),
        in_type=int_type(engine.source.fmt),
        acc_type=signed_type(engine.acc_fmt),
        finish=finish_type(op.requantize, engine.result.fmt, left=min(align)),
        finish_comment=finish_comment(op.requantize),
        in_token=token(engine.source),
        out_token=token(engine.result),
        in_channels=engine.in_channels,
        out_channels=engine.out_channels,
        n_taps_dense=op.kernel[0] * op.kernel[1],
        taps=_taps(engine.scan),
        pe=fold.pe,
        simd=fold.simd,
        taps_at_once=fold.taps,
        multiplier=multiplier_type(engine),
        multiplier_comment=multiplier_comment(engine),
        max_align=max(align) - min(align),
        fold_comment=_fold_comment(engine),
        scan=c.ScanContext.of(engine.scan),
        delays=_delays(engine.scan, engine.delays),
        tables=tuple(tables.values()),
        pragmas=tuple(line for name in tables for line in rom_pragmas(name, memories[name], target)),
        arguments=(
            f"k{call.type}Taps",
            *(name if name in tables else "psp::Zeros()" for name in needed),
        ),
    )


def _fold_comment(engine: ConvEngine) -> str:
    fold, cycles = engine.fold, engine.cycles_per_output
    if engine.table is not None:
        what = f"{fold.pe} outputs x {fold.lanes} inputs at once, each one of {engine.ways}"
        return f"{what}: {cycles} cycle{'s' if cycles > 1 else ''} per output pixel."
    what = f"{fold.pe} outputs x {fold.taps} taps x {fold.simd} inputs at once"
    return f"{what}: {cycles} cycle{'s' if cycles > 1 else ''} per output pixel."


def _tables(engine: ConvEngine, call: c.Call, graph: Graph) -> Iterable[c.TableContext]:
    op = engine.op
    words = engine.weight_words(graph.constants[op.weight])
    yield constant_table(
        f"k{call.type}Weights",
        words,
        engine.weight_fmt,
        "One row per cycle: output channel slowest, then tap, input channel fastest."
        if engine.table is None
        else "One row per cycle: output channel slowest, then lane; 0 where a lane rests.",
    )
    if op.bias is not None and graph.constants[op.bias].any():
        bias = engine.by_block(graph.constants[op.bias])
        yield constant_table(
            f"k{call.type}Bias", bias, None, "Added once per output channel, in the format of Acc."
        )
    align = np.array(op.align or (0,) * engine.out_channels, dtype=np.int64)
    if (align != align[0]).any():
        left = engine.by_block(align - align.min())
        yield constant_table(
            f"k{call.type}Align", left, None, "Left shift that brings each output channel to one scale."
        )


def _taps(scan: Scan) -> tuple[c.TapContext, ...]:
    return tuple(
        c.TapContext(name=str(tap), dy=tap.r - scan.padding.top, dx=tap.s - scan.padding.left)
        for tap in scan.taps
    )


def _delays(scan: Scan, kinds: tuple[MemoryKind, ...]) -> tuple[c.SegmentContext, ...]:
    return tuple(
        c.SegmentContext(
            type=segment_type(distance, kind),
            comment=f"{newer} to {older}: {distance} pixel{'s' if distance > 1 else ''}",
        )
        for distance, kind, older, newer in zip(scan.delays, kinds, scan.taps, scan.taps[1:], strict=False)
    )


def _window_pool(engine: WindowPoolEngine, call: c.Call) -> c.WindowPoolLayer:
    op, source = engine.op, engine.source
    is_max = isinstance(op, MaxPool)
    if is_max:
        pool = f"Maximum<{int_type(source.fmt)} >"
    else:
        whole = source.fmt.range.including(0).scaled(len(engine.scan.taps))
        total = FixedPoint.holding(whole, frac=source.fmt.frac)
        pool = f"Mean<{signed_type(total)}, psp::{finish_type(requantizer_of(engine), engine.result.fmt)} >"
    return c.WindowPoolLayer(
        call=call,
        source=str(source),
        result=str(engine.result),
        what="maximum" if is_max else "mean",
        kernel=f"{op.kernel[0]}x{op.kernel[1]}",
        in_type=int_type(source.fmt),
        pool=pool,
        in_token=token(source),
        out_token=token(engine.result),
        channels=source.channels,
        taps=_taps(engine.scan),
        scan=c.ScanContext.of(engine.scan),
        delays=_delays(engine.scan, engine.delays),
    )


def _global_pool(engine: GlobalPoolEngine, call: c.Call) -> c.GlobalPoolLayer:
    finish = finish_type(engine.op.requantize, engine.result.fmt)
    return c.GlobalPoolLayer(
        call=call,
        source=str(engine.source),
        result=str(engine.result),
        in_type=int_type(engine.source.fmt),
        pool=f"Mean<{signed_type(engine.acc_fmt)}, psp::{finish} >",
        in_token=token(engine.source),
        out_token=token(engine.result),
        channels=engine.source.channels,
        pixels=engine.source.pixels,
    )


def _add(engine: AddEngine, call: c.Call) -> c.AddLayer:
    left, right = engine.sources
    return c.AddLayer(
        call=call,
        left=str(left),
        right=str(right),
        result=str(engine.result),
        left_type=int_type(left.fmt),
        right_type=int_type(right.fmt),
        sum_type=signed_type(engine.sum_fmt),
        finish=finish_type(engine.op.requantize, engine.result.fmt),
        finish_comment=finish_comment(engine.op.requantize),
        left_token=token(left),
        right_token=token(right),
        out_token=token(engine.result),
        channels=engine.result.channels,
        pixels=engine.result.pixels,
        left_shift=engine.shifts[0],
        right_shift=engine.shifts[1],
    )


def _concat(engine: ConcatEngine, call: c.Call) -> c.ConcatLayer:
    parts = tuple(
        c.PartContext(element=int_type(s.fmt), token=token(s), channels=s.channels, shift=shift)
        for s, shift in zip(engine.sources, engine.shifts, strict=True)
    )
    return c.ConcatLayer(
        call=call,
        sources=tuple(str(source) for source in engine.sources),
        result=str(engine.result),
        out_type=int_type(engine.result.fmt),
        out_token=token(engine.result),
        channels=engine.result.channels,
        pixels=engine.result.pixels,
        parts=parts,
    )


def _pointwise(engine: PointwiseEngine, call: c.Call) -> c.PointwiseLayer:
    to = requantizer_of(engine)
    result = engine.result
    finish = finish_type(to, result.fmt)
    if to is None:
        finish = f"ShiftLeft<{int_type(result.fmt)}, 0, 0, {result.fmt.max}>"
    return c.PointwiseLayer(
        call=call,
        what="ReLU" if to is None else "requantization",
        source=str(engine.source),
        result=str(result),
        in_type=int_type(engine.source.fmt),
        finish=finish,
        finish_comment="below zero becomes zero" if to is None else finish_comment(to),
        in_token=token(engine.source),
        out_token=token(result),
        channels=result.channels,
        pixels=result.pixels,
    )


def _affine(engine: AffineEngine, call: c.Call, graph: Graph, target: Target) -> c.AffineLayer:
    op, result = engine.op, engine.result
    rows = (engine.blocks, engine.fold.pe)
    scale, offset = (graph.constants[name].reshape(rows) for name in (op.scale, op.offset))
    tables = (
        constant_table(f"k{call.type}Scale", scale, None, "What each channel is multiplied with."),
        constant_table(f"k{call.type}Offset", offset, None, "What is then added, in the format of Acc."),
    )
    return c.AffineLayer(
        call=call,
        source=str(engine.source),
        result=str(result),
        in_type=int_type(engine.source.fmt),
        acc_type=signed_type(engine.acc_fmt),
        finish=finish_type(op.requantize, result.fmt),
        finish_comment=finish_comment(op.requantize),
        in_token=token(engine.source),
        out_token=token(result),
        channels=result.channels,
        pe=engine.fold.pe,
        at_once=_at_once(engine),
        multiplier=multiplier_type(engine),
        multiplier_comment=multiplier_comment(engine),
        pixels=result.pixels,
        tables=tables,
        pragmas=_kept(engine, tables, target),
    )


def _threshold(engine: ThresholdEngine, call: c.Call, graph: Graph, target: Target) -> c.ThresholdLayer:
    op, result = engine.op, engine.result
    levels, start, step = (graph.constants[name] for name in (op.thresholds, op.start, op.step))
    rows = (engine.blocks, engine.fold.pe)
    shaped = levels if engine.blocks == 1 else levels.reshape(engine.blocks, -1)
    tables = (
        constant_table(f"k{call.type}Levels", shaped, None, "The thresholds of each channel, ascending."),
        constant_table(
            f"k{call.type}Start", start.reshape(rows), None, "The result of each channel below all of them."
        ),
        constant_table(f"k{call.type}Step", step.reshape(rows), None, "What each threshold adds."),
    )
    reach = Interval(min(-1, int(levels.min())), max(0, int(levels.max())))
    return c.ThresholdLayer(
        call=call,
        source=str(engine.source),
        result=str(result),
        in_type=int_type(engine.source.fmt),
        out_type=int_type(result.fmt),
        in_token=token(engine.source),
        out_token=token(result),
        channels=result.channels,
        pe=engine.fold.pe,
        at_once=_at_once(engine),
        levels=engine.levels,
        level_bits=reach.bits,
        pixels=result.pixels,
        tables=tables,
        pragmas=_kept(engine, tables, target),
    )


def _at_once(engine: MapEngine) -> str:
    """How many channels are worked on at once, in words; nothing where all are."""
    return f", {engine.fold.pe} of {engine.result.channels} at once" if engine.blocks > 1 else ""


def _kept(engine: MapEngine, tables: Iterable[c.TableContext], target: Target) -> tuple[str, ...]:
    """Where constants are kept: in logic where all channels are worked on at once."""
    kind = engine.weights if engine.blocks > 1 else MemoryKind.REGISTERS
    return tuple(line for table in tables for line in rom_pragmas(table.name, kind, target))
