"""Quant, BipolarQuant, Trunc and MultiThreshold."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.arith.requantize import Requantizer
from psp_hw.errors import ModelError
from psp_hw.ir.ops import Input, Requantize
from psp_hw.ir.types import TensorType
from psp_hw.lowering.arithmetic import exactly
from psp_hw.lowering.builder import Builder
from psp_hw.lowering.exact import RoundedMap, log2
from psp_hw.lowering.features import ZERO, Layout, PendingInput, PendingMean, Reals, Value, spread
from psp_hw.lowering.naming import claim_name
from psp_hw.lowering.onnx_file import FloatArray, Node
from psp_hw.lowering.pooling import rounded_mean
from psp_hw.lowering.quant import (
    HALF_EVEN,
    Quantizer,
    quantize_bipolar,
    quantize_constant,
    read_bits,
    read_quantizer,
    read_rounding,
    read_scales,
)
from psp_hw.lowering.rescale import quantized
from psp_hw.lowering.thresholds import emit_thresholds

BIT = FixedPoint(width=2, signed=True, frac=0)


def lower_quant(node: Node, builder: Builder) -> None:
    """Quant: of a constant, integers; of the image, the input; of a feature map, its codes."""
    parameters = [builder.floats(name) for name in node.inputs[1:]]
    if _is_bipolar(node, parameters):
        _lower_bipolar(node, builder, parameters[0])
        return
    source = node.inputs[0]
    known = builder.known(source)
    quantizer = read_quantizer(node, parameters, positive=_positive(known, builder))
    floats = builder.floats(source)
    if floats is not None:
        tensor, saturated = quantize_constant(floats, quantizer, node)
        builder.define(node.outputs[0], tensor)
        many = f", {saturated} of {tensor.values.size} saturate" if saturated else ""
        builder.remark(node, f"constant of {quantizer.bits} bits{many}")
    elif isinstance(known, PendingInput):
        builder.define(node.outputs[0], _input(node, builder, known, quantizer))
    elif isinstance(known, PendingMean):
        builder.define(node.outputs[0], rounded_mean(node, builder, known, quantizer))
    else:
        value = builder.value(source, node, padded=True)
        builder.define(node.outputs[0], quantized(builder, node, value, quantizer))


def _is_bipolar(node: Node, parameters: list[FloatArray | None]) -> bool:
    """A signed Quant of one bit is qonnx's older way to write BipolarQuant."""
    if len(parameters) != 3 or parameters[2] is None or parameters[2].size != 1:
        return False
    return float(parameters[2].reshape(-1)[0]) == 1.0 and node.integer("signed", 1) == 1


def _positive(known: object, builder: Builder) -> bool:
    """Whether no value of a feature map is negative."""
    if not isinstance(known, Value):
        return False
    if known.lo is not None and known.lo >= 0:
        return True
    positive = builder.types[known.name].fmt.min >= 0 and known.offsets == ZERO
    return positive and all(factor >= 0 for factor in known.factors)


def _input(node: Node, builder: Builder, image: PendingInput, quantizer: Quantizer) -> Value:
    if builder.uses(node.inputs[0]) > 1:
        raise ModelError(
            "the input image has several readers", where=node.place, hint="quantize the input once"
        )
    if quantizer.axis is not None:
        raise ModelError("an input with a scale per channel is not supported", where=node.place)
    if quantizer.zero != 0 or quantizer.rounding != HALF_EVEN:
        raise ModelError(
            "an input with a zero point other than 0, or not rounded half to even, is not supported",
            where=node.place,
        )
    step = quantizer.scales[0] / image.factor
    exponent = log2(step)
    fmt = quantizer.fmt(0 if exponent is None else -exponent)
    kind = TensorType(height=image.height, width=image.width, channels=image.channels, fmt=fmt)
    unit = 1.0 if exponent is not None else float(step)
    value = builder.emit(Input(name=builder.names.fresh("input"), type=kind, unit=unit))
    lo = max(quantizer.lo, 0) if image.positive else quantizer.lo
    if (lo, quantizer.hi) != (fmt.min, fmt.max):
        name = builder.names.fresh("input_clip")
        to = Requantizer(shift=0, lo=lo, hi=quantizer.hi, fmt=fmt)
        value = builder.emit(Requantize(name=name, input=value.name, requantize=to))
    builder.remark(node, f"the input, {fmt}" + ("" if exponent is not None else f" in units of {unit:g}"))
    factor = quantizer.scales[0] * Fraction(2) ** fmt.frac
    return replace(value, layout=image.layout, factors=(factor,))


def lower_bipolar_quant(node: Node, builder: Builder) -> None:
    """BipolarQuant: 1 or -1 times a scale."""
    _lower_bipolar(node, builder, builder.floats(node.inputs[1]) if len(node.inputs) > 1 else None)


def _lower_bipolar(node: Node, builder: Builder, scale: FloatArray | None) -> None:
    if scale is None:
        raise ModelError("its scale must be a constant", where=node.place)
    floats = builder.floats(node.inputs[0])
    if floats is not None:
        builder.define(node.outputs[0], quantize_bipolar(floats, scale, node))
        builder.remark(node, "constant of 1 and -1")
        return
    axis, scales = read_scales(node, scale)
    value = builder.value(node.inputs[0], node)
    if axis is not None:
        raise ModelError("a feature map with a bipolar scale per channel is not supported", where=node.place)
    source = builder.types[value.name]
    value, name = claim_name(builder, node, value)
    rows, starts, steps = [], [], []
    # x >= 0 is round(sign(x) ...) without rounding: the sign alone decides, so the map is x - 1/2 with ties up.
    for factor, offset in _columns(value, source):
        sign = RoundedMap(scale=factor, offset=offset + Fraction(1, 2), lo=0, hi=1, nudge=1)
        always = value.lo is not None and value.lo >= 0
        never = value.hi is not None and value.hi < 0
        rows.append([] if always or never else sign.steps(source.fmt.range))
        falls = sign.falls and not never
        starts.append(1 if always or falls else -1)
        steps.append(0 if always or never else -2 if falls else 2)
    emit_thresholds(builder, name, value.name, rows, starts, steps, BIT)
    builder.remark(node, "one threshold per channel: exact")
    builder.define(node.outputs[0], Value(name=name, layout=value.layout, factors=scales, alone=True))


def _columns(value: Value, source: TensorType) -> list[tuple[Fraction, Fraction]]:
    """Real factor and offset of the codes of every channel."""
    unit = Fraction(2) ** -source.fmt.frac
    factors, offsets = (spread(part, source.channels) for part in (value.factors, value.offsets))
    return [(factor * unit, offset) for factor, offset in zip(factors, offsets, strict=True)]


def lower_trunc(node: Node, builder: Builder) -> None:
    """Trunc: drop low bits; of version 1 (five inputs) and 2 (six)."""
    parameters = [builder.floats(name) for name in node.inputs[1:]]
    if len(parameters) not in (4, 5) or any(p is None or p.size != 1 for p in parameters):
        raise ModelError("its parameters must be single constants", where=node.place)
    numbers = [float(np.asarray(p).reshape(-1)[0]) for p in parameters]
    value = builder.value(node.inputs[0], node)
    if numbers[1] != 0:
        raise ModelError("a zero point other than 0 is not supported", where=node.place)
    rounding = read_rounding(node, node.text("rounding_mode", "FLOOR"), positive=_positive(value, builder))
    _, scales = read_scales(node, np.asarray(parameters[0]))
    parts = (part / scales[0] for column in _columns(value, builder.types[value.name]) for part in column)
    if any(part.denominator != 1 for part in parts):
        raise ModelError("what it truncates is finer than its scale", where=node.place)
    if len(numbers) == 4:
        dropped = numbers[2] - numbers[3]
        if not dropped.is_integer() or not 0 <= dropped <= 32:
            raise ModelError(f"it drops {dropped:g} bits", where=node.place)
        step, result = scales[0] * 2 ** int(dropped), scales[0]
        lo, hi, bits, signed = _reach(builder, value, step)
    else:
        _, outputs = read_scales(node, np.asarray(parameters[3]))
        step = result = outputs[0]
        if log2(step / scales[0]) is None:
            raise ModelError("its scales are not a power of two apart", where=node.place)
        bits = read_bits(node, np.asarray(parameters[4]), least=1)
        signed, narrow = node.integer("signed", 1) == 1, node.integer("narrow", 0) == 1
        lo = (-(1 << (bits - 1)) + narrow) if signed else 0
        hi = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1 - narrow
        bits = max(bits, 2 if signed else 1)
    quantizer = Quantizer(
        scales=(step,), axis=None, rank=0, zero=0, lo=lo, hi=hi, bits=bits, signed=signed, rounding=rounding
    )
    codes = quantized(builder, node, value, quantizer)
    factors = tuple(factor * result / step for factor in codes.factors)
    builder.define(node.outputs[0], replace(codes, factors=factors))


def _reach(builder: Builder, value: Value, step: Fraction) -> tuple[int, int, int, bool]:
    """The codes that can occur where nothing saturates: lo, hi, their width, whether they are signed."""
    source = builder.types[value.name]
    ends = [
        factor * m + offset
        for factor, offset in _columns(value, source)
        for m in (source.fmt.min, source.fmt.max)
    ]
    lo, hi = (int(end / step) + more for end, more in ((min(ends), -1), (max(ends), 1)))
    lo = 0 if min(ends) >= 0 else lo
    fmt = FixedPoint.holding(Interval(min(lo, hi), max(lo, hi)), frac=0)
    return fmt.min, fmt.max, fmt.width, fmt.signed


def lower_multi_threshold(node: Node, builder: Builder) -> None:
    """MultiThreshold (FINN): how many thresholds of its channel a value reaches, times a scale, plus a bias."""
    found = builder.floats(node.inputs[1]) if len(node.inputs) > 1 else None
    value = builder.value(node.inputs[0], node)
    if not value.unbounded:
        raise ModelError("thresholds behind a Clip or ReLU are not supported", where=node.place)
    source = builder.types[value.name]
    if found is None or found.ndim != 2 or found.shape[0] not in (1, source.channels) or not found.size:
        raise ModelError("its thresholds are not a constant of shape [channels, levels]", where=node.place)
    channels_last = node.text("data_layout", "")[1:].endswith("C") and not value.layout.flat
    if found.shape[0] > 1 and channels_last != (value.layout is Layout.NHWC):
        raise ModelError("its data layout is not that of its input", where=node.place)
    thresholds = np.broadcast_to(exactly(found, node), (source.channels, found.shape[1]))
    value, name = claim_name(builder, node, value)
    rows, starts, steps = [], [], []
    for row, (factor, offset) in zip(thresholds, _columns(value, source), strict=True):
        reached = [
            RoundedMap(scale=factor, offset=offset - level + Fraction(1, 2), lo=0, hi=1, nudge=1)
            for level in row
        ]
        rows.append(sorted(m.steps(source.fmt.range)[0] for m in reached))
        starts.append(len(row) if factor < 0 else 0)
        steps.append(-1 if factor < 0 else 1)
    scale, bias = (
        Fraction(node.number(key, default)) for key, default in (("out_scale", 1.0), ("out_bias", 0.0))
    )
    if scale <= 0:
        raise ModelError(f"an output scale of {float(scale):g} is not positive", where=node.place)
    start = bias / scale
    whole = int(start) if start.denominator == 1 else 0
    ends = Interval(min(0, whole), max(0, whole) + found.shape[1])
    fmt = FixedPoint.holding(ends, frac=0)
    emit_thresholds(builder, name, value.name, rows, [s + whole for s in starts], steps, fmt)
    builder.remark(node, f"{found.shape[1]} thresholds per channel: exact")
    offsets: Reals = ZERO if start.denominator == 1 else (bias,)
    result = Value(name=name, layout=value.layout, factors=(scale,), offsets=offsets, alone=True)
    builder.define(node.outputs[0], result)
