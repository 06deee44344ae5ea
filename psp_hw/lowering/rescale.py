"""How a feature map seen through a real map becomes codes: the cheapest way that gives every code exactly.

In this order: a shift; a convolution whose weights, bias and alignment take the map in; a short integer multiplier and an offset;
thresholds where the codes are few; a longer multiplier, proven equal on every accumulator that can occur, or reported.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.arith.requantize import MAX_SHIFT, IntArray, Requantizer
from psp_hw.errors import ModelError
from psp_hw.ir.infer import accumulators_by_channel
from psp_hw.ir.ops import Affine, Conv2d, Requantize
from psp_hw.ir.types import NO_PADDING, TensorType
from psp_hw.lowering.builder import MAX_ACCUMULATOR_BITS, Builder, Outcome
from psp_hw.lowering.exact import RoundedMap, log2, places, sticky
from psp_hw.lowering.features import Reals, Value, compact, features, spread
from psp_hw.lowering.multipliers import all_steps, integer_maps
from psp_hw.lowering.naming import claim_name
from psp_hw.lowering.onnx_file import Node
from psp_hw.lowering.quant import Quantizer
from psp_hw.lowering.thresholds import emit_thresholds

# A convolution takes in an offset finer than its accumulators as further bits of all its weights: cheaper than an adder per
# channel up to this many.
MOST_WEIGHT_BITS_FOR_OFFSET = 2
SHORT_MULTIPLIER_BITS = 8
LARGEST_DIVISOR = 255
MOST_BITS_DIVIDED = 24
LARGEST_ALIGN = 24
# An exact multiplier of more bits than one DSP48E2 multiplies by at once is made only where exactness is asked for.
MOST_BITS_UNASKED = 24
MOST_STEPS_PROVEN = 1 << 20


def quantized(builder: Builder, node: Node, value: Value, quantizer: Quantizer) -> Value:
    """The codes of a quantizer.

    Raises:
        ModelError: only a rounded computation is possible, and ``builder.options.exact`` refuses it; or zeros around the
            feature map would become another number.
    """
    if value.padding != NO_PADDING and not quantizer.lo <= quantizer.zero <= quantizer.hi:
        raise ModelError(
            f"it turns the zeros of a Pad node into another number: its zero point {quantizer.zero} is no code of its own",
            where=node.place,
            hint=f"use a zero point in {quantizer.lo} .. {quantizer.hi}, or pad behind the quantizer",
        )
    value, name = claim_name(builder, node, value)
    job = _job(builder, node, value, name, quantizer)
    for way in (_by_shift, _by_division, _by_convolution, _by_short_multiplier, _by_thresholds):
        result = way(job)
        if result is not None:
            return _dressed(result, job, value)
    return _dressed(_by_multiplier(job), job, value)


@dataclass(frozen=True)
class _Job:
    """A quantization to be done: ``maps`` say the code of every channel's integer."""

    builder: Builder
    node: Node
    value: Value
    name: str
    quantizer: Quantizer
    steps: Reals
    maps: tuple[RoundedMap, ...]

    @property
    def source(self) -> TensorType:
        return self.builder.types[self.value.name]

    @cached_property
    def uniform_bounds(self) -> bool:
        """Whether all channels saturate at the same codes."""
        return len({(m.lo, m.hi) for m in self.maps}) == 1

    @cached_property
    def largest_scale(self) -> Fraction:
        """The largest magnitude of the scales."""
        return max(abs(m.scale) for m in self.maps)

    @cached_property
    def fmt(self) -> FixedPoint:
        """Format of the codes: with a point where all steps are one power of two."""
        exponent = log2(self.steps[0]) if len(self.steps) == 1 else None
        return self.quantizer.fmt(0 if exponent is None else -exponent)

    @cached_property
    def entering(self) -> tuple[Interval, ...]:
        """The integers that occur, by channel."""
        op = self.builder.op(self.value.name)
        if isinstance(op, Conv2d) and op.requantize is None:
            ranges = accumulators_by_channel(op, self.builder.types[op.input], self.builder.constants)
            align = op.align or (0,) * len(ranges)
            return tuple(r << left for r, left in zip(ranges, align, strict=True))
        return (self.source.fmt.range,) * self.source.channels


def _job(builder: Builder, node: Node, value: Value, name: str, quantizer: Quantizer) -> _Job:
    source = builder.types[value.name]
    steps = quantizer.scales
    if quantizer.axis is not None:
        from_right = quantizer.axis - quantizer.rank
        along_channels = from_right == value.layout.channel_axis - value.layout.rank
        extent = features(source) if value.layout.flat else source.channels
        if not along_channels or len(steps) != extent or extent != source.channels:
            raise ModelError("its scale does not vary along the channels", where=node.place)
    maps = []
    columns = (spread(part, source.channels) for part in (value.factors, value.offsets, steps))
    for factor, offset, step in zip(*columns, strict=True):
        shift = quantizer.zero + quantizer.rounding.offset
        bounds = [quantizer.lo, quantizer.hi]
        for index, bound in enumerate((value.lo, value.hi)):
            if bound is not None:
                as_code = RoundedMap(
                    scale=bound / step,
                    offset=shift,
                    lo=quantizer.lo,
                    hi=quantizer.hi,
                    nudge=quantizer.rounding.nudge,
                )
                bounds[index] = as_code(1)
        scale = factor / step * Fraction(2) ** -source.fmt.frac
        rounding = quantizer.rounding.nudge
        maps.append(
            RoundedMap(scale=scale, offset=offset / step + shift, lo=bounds[0], hi=bounds[1], nudge=rounding)
        )
    return _Job(builder, node, value, name, quantizer, compact(steps), tuple(maps))


def _dressed(name_and_frac: tuple[str, int], job: _Job, value: Value) -> Value:
    """The codes as the feature map that the quantizer gives."""
    name, frac = name_and_frac
    factors = compact(tuple(step * Fraction(2) ** frac for step in job.steps))
    offsets = compact(tuple(-job.quantizer.zero * step for step in job.steps))
    return Value(
        name=name, layout=value.layout, factors=factors, offsets=offsets, padding=value.padding, alone=True
    )


def _by_shift(job: _Job) -> tuple[str, int] | None:
    """Every channel is divided by one power of two."""
    first = job.maps[0]
    exponent = log2(first.scale)
    if (
        any(other != first for other in job.maps)
        or exponent is None
        or first.offset != 0
        or first.nudge != 0
        or abs(exponent) > MAX_SHIFT
    ):
        return None
    fmt = job.quantizer.fmt(job.source.fmt.frac + exponent)
    to = Requantizer(shift=-exponent, lo=first.lo, hi=first.hi, fmt=fmt)
    job.builder.emit(Requantize(name=job.name, input=job.value.name, requantize=to))
    how = f"shift right by {-exponent}" if exponent < 0 else "no shift"
    job.builder.remark(
        job.node, f"{how if exponent <= 0 else f'shift left by {exponent}'}, saturate to {fmt}"
    )
    return job.name, fmt.frac


def _by_division(job: _Job) -> tuple[str, int] | None:
    """Every channel is divided by one small odd number and a power of two: ties as a mean has them, which no product hits."""
    first = job.maps[0]
    divisor = first.scale.denominator >> (
        (first.scale.denominator & -first.scale.denominator).bit_length() - 1
    )
    exponent = log2(first.scale * divisor)
    if (
        any(other != first for other in job.maps)
        or exponent is None
        or not 1 < divisor <= LARGEST_DIVISOR
        or first.offset != 0
        or first.nudge != 0
        or job.source.fmt.width > MOST_BITS_DIVIDED
        or abs(exponent) > MOST_BITS_DIVIDED
    ):
        return None
    to = Requantizer(shift=-exponent, divisor=divisor, lo=first.lo, hi=first.hi, fmt=job.fmt)
    job.builder.emit(Requantize(name=job.name, input=job.value.name, requantize=to))
    job.builder.remark(job.node, f"divide by {divisor}, shift right by {-exponent}, saturate to {job.fmt}")
    return job.name, job.fmt.frac


def _by_convolution(job: _Job) -> tuple[str, int] | None:
    """The convolution behind takes in signs, powers of two and offsets: in its weights, its alignment and its bias."""
    op = job.builder.op(job.value.name)
    exponents = [log2(abs(m.scale)) for m in job.maps]
    if (
        not isinstance(op, Conv2d)
        or op.requantize is not None
        or not job.value.alone
        or not job.uniform_bounds
    ):
        return None
    if any(exponent is None for exponent in exponents):
        return None
    channels = len(job.maps)
    align = op.align or (0,) * channels
    shifts = [-(e or 0) - left for e, left in zip(exponents, align, strict=True)]
    if max(shifts) - min(shifts) > LARGEST_ALIGN:
        return None
    offsets = [sticky(m.offset * Fraction(2) ** s, m.nudge, s) for m, s in zip(job.maps, shifts, strict=True)]
    extra = max(more for _, more in offsets)
    shift = max(shifts) + extra
    if extra > MOST_WEIGHT_BITS_FOR_OFFSET or abs(shift) > MAX_SHIFT:
        return None
    fmt = job.fmt
    signs = [-1 if m.falls else 1 for m in job.maps]
    _change_convolution(
        job,
        op,
        signs=signs,
        extra=extra,
        bias=[offset << (extra - more) for offset, more in offsets],
        align=tuple(max(shifts) - s for s in shifts),
        weight_frac=fmt.frac + shift - job.builder.types[op.input].fmt.frac,
    )
    to = Requantizer(shift=shift, lo=job.maps[0].lo, hi=job.maps[0].hi, fmt=fmt)
    job.builder.emit(Requantize(name=job.name, input=job.value.name, requantize=to))
    finer = f", {extra} more bits of the accumulator" if extra else ""
    job.builder.remark(job.node, f"folded into {op.name}{finer}; shift right by {shift}, saturate to {fmt}")
    return job.name, fmt.frac


def _change_convolution(
    job: _Job,
    op: Conv2d,
    *,
    signs: Sequence[int],
    extra: int,
    bias: list[int],
    align: tuple[int, ...],
    weight_frac: int,
) -> None:
    builder = job.builder
    by_channel = np.array([sign << extra for sign in signs], dtype=np.int64)
    weight = builder.constants[op.weight] * by_channel
    before = [0] * len(signs) if op.bias is None else builder.constants[op.bias].tolist()
    total = [old * (sign << extra) + new for old, sign, new in zip(before, signs, bias, strict=True)]
    builder.constant(op.weight, weight)
    name = builder.constant(f"{op.name}.bias", total) if any(total) else None
    builder.amend(replace(op, bias=name, align=align if any(align) else (), weight_frac=weight_frac))


def _by_short_multiplier(job: _Job) -> tuple[str, int] | None:
    """Every channel times an integer of a few bits, plus an offset, shifted right: exactly the map."""
    finest = [places(m.scale) for m in job.maps]
    if any(bits is None for bits in finest) or not job.uniform_bounds:
        return None
    rounds = any(m.nudge != 0 or places(m.offset) != 0 for m in job.maps)
    shift = max([1 if rounds else 0, *(bits or 0 for bits in finest)])
    if max(int(abs(m.scale) * 2**shift).bit_length() for m in job.maps) > SHORT_MULTIPLIER_BITS:
        return None
    offsets = [sticky(m.offset * 2**shift, m.nudge, shift) for m in job.maps]
    extra = max(more for _, more in offsets)
    scales = [int(m.scale * 2 ** (shift + extra)) for m in job.maps]
    whole = [offset << (extra - more) for offset, more in offsets]
    if not _fits(job, scales, whole, shift + extra):
        return None
    job.builder.remark(
        job.node, f"integer multiplier and offset per channel, shift right by {shift + extra}: exact"
    )
    return _emit_affine(job, scales, whole, shift + extra)


def _fits(job: _Job, scales: list[int], offsets: list[int], shift: int) -> bool:
    width = job.source.fmt.width + max(abs(s).bit_length() for s in scales)
    largest = max(abs(offset).bit_length() for offset in offsets)
    return max(width, largest) + 2 <= MAX_ACCUMULATOR_BITS and shift <= MAX_SHIFT


def _emit_affine(job: _Job, scales: list[int], offsets: list[int], shift: int) -> tuple[str, int]:
    fmt = job.fmt
    op = Affine(
        name=job.name,
        input=job.value.name,
        scale=job.builder.constant(f"{job.name}.scale", scales),
        offset=job.builder.constant(f"{job.name}.offset", offsets),
        scale_frac=fmt.frac + shift - job.source.fmt.frac,
        requantize=Requantizer(shift=shift, lo=job.maps[0].lo, hi=job.maps[0].hi, fmt=fmt),
    )
    job.builder.emit(op)
    return job.name, fmt.frac


def _by_thresholds(job: _Job) -> tuple[str, int] | None:
    """Every channel compared with the integers at which its code changes."""
    levels = max(m.hi - m.lo for m in job.maps)
    if levels >= 1 << job.builder.options.threshold_bits:
        return None
    rows = [m.steps(range_) for m, range_ in zip(job.maps, job.entering, strict=True)]
    starts = [m.hi if m.falls else m.lo for m in job.maps]
    emit_thresholds(
        job.builder, job.name, job.value.name, rows, starts, [-1 if m.falls else 1 for m in job.maps], job.fmt
    )
    job.builder.remark(job.node, f"at most {levels} thresholds per channel: exact")
    return job.name, job.fmt.frac


def _by_multiplier(job: _Job) -> tuple[str, int]:
    """The shortest multiplier that gives every code exactly; else the longest allowed, and how far it is off."""
    if not job.uniform_bounds:
        raise ModelError("bounds that differ between channels are not supported", where=job.node.place)
    options = job.builder.options
    most = options.multiplier_bits if options.exact else min(options.multiplier_bits, MOST_BITS_UNASKED)
    provable = sum(m.hi - m.lo for m in job.maps) <= MOST_STEPS_PROVEN
    if provable:
        steps = all_steps(job.maps, job.entering)
        for bits in range(SHORT_MULTIPLIER_BITS // 2, most + 1):
            found = _equal(job, steps, bits)
            if found is not None:
                text = f"integer multiplier of {bits} bits and offset per channel: proven exact on every accumulator"
                job.builder.remark(job.node, text)
                return _emit_affine(job, *found)
    if job.builder.options.exact:
        raise ModelError(
            f"its scale is no power of two, and no multiplier of up to {most} bits computes it exactly",
            where=job.node.place,
            hint="use power-of-two scales, or allow rounding",
        )
    bits = job.builder.options.rounded_bits
    rounded = _nearest(job, bits)
    if rounded is None:
        raise ModelError("its scales lie too far apart for integer multipliers", where=job.node.place)
    off = _deviation(job, rounded) if provable else "a code off where an accumulator comes close to a tie"
    what = f"integer multiplier of {bits} bits and offset per channel: {off}"
    job.builder.remark(job.node, what, Outcome.ROUNDED)
    return _emit_affine(job, *rounded)


def _shift_for(job: _Job, bits: int) -> int | None:
    """The shift at which the largest scale has so many bits; None where that is impossible."""
    largest = job.largest_scale
    if largest == 0:
        return None
    shift = bits - (largest.numerator.bit_length() - largest.denominator.bit_length()) - 1
    return shift if 1 <= shift <= MAX_SHIFT else None


def _equal(job: _Job, steps: IntArray, bits: int) -> tuple[list[int], list[int], int] | None:
    """Scales and offsets of so many bits whose steps are those of the maps; None where there are none."""
    shift = _shift_for(job, bits)
    found = None if shift is None else integer_maps(job.maps, steps, job.entering, shift)
    if shift is None or found is None:
        return None
    return (*found, shift) if _fits(job, *found, shift) else None


def _nearest(job: _Job, bits: int) -> tuple[list[int], list[int], int] | None:
    """Scales and offsets rounded to so many bits; None where that is impossible."""
    shift = _shift_for(job, bits)
    if shift is None:
        return None
    scales = [round(m.scale * 2**shift) for m in job.maps]
    offsets = [round(m.offset * 2**shift) for m in job.maps]
    return (scales, offsets, shift) if _fits(job, scales, offsets, shift) else None


def _deviation(job: _Job, rounded: tuple[list[int], list[int], int]) -> str:
    """In words: how far the codes are off, and how often."""
    scales, offsets, shift = rounded
    worst, differing, total = 0, 0, 0
    for m, scale, offset, entering in zip(job.maps, scales, offsets, job.entering, strict=True):
        near = replace(m, scale=Fraction(scale, 1 << shift), offset=Fraction(offset, 1 << shift), nudge=0)
        wanted, found = m.steps(entering), near.steps(entering)
        edges = sorted({entering.lo, *wanted, *found, entering.hi + 1})
        total += entering.hi - entering.lo + 1
        for start, end in pairwise(edge for edge in edges if edge <= entering.hi + 1):
            off = abs(_code(m, wanted, start) - _code(near, found, start))
            worst = max(worst, off)
            differing += (end - start) * (off > 0)
    return f"at most {worst} code off, on {differing} of the {total} accumulators that can occur"


def _code(m: RoundedMap, steps: list[int], at: int) -> int:
    """The result of a map from its steps."""
    passed = bisect_right(steps, at)
    return m.hi - passed if m.falls else m.lo + passed
