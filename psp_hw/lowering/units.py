"""A feature map seen through a real map as codes with one unit and nothing pending, for ops that need that."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from psp_hw.arith.requantize import Requantizer
from psp_hw.errors import ModelError
from psp_hw.ir.ops import Affine, Conv2d, Relu, Requantize
from psp_hw.lowering.builder import Builder, Outcome
from psp_hw.lowering.exact import log2, places
from psp_hw.lowering.features import ZERO, Reals, Value, spread
from psp_hw.lowering.onnx_file import Node

RELU_SUFFIX = "_relu"
SCALED_SUFFIX = "_scaled"
CLIPPED_SUFFIX = "_clipped"
# An offset or factor that has no quantizer behind it is kept exactly while its result is at most so wide.
MOST_EXACT_BITS = 48


def settled(builder: Builder, node: Node, value: Value, *, unit: Fraction | None = None) -> Value:
    """The same feature map as codes of one unit, without offsets and bounds; its padding stays.

    Args:
        builder: where an op is appended if it takes one.
        node: which node needs it.
        value: any feature map.
        unit: the unit wanted; None takes the one that costs least.

    Raises:
        ModelError: it is no fixed-point number and ``builder.options.exact`` refuses to round.
    """
    ready = value.offsets == ZERO and len(value.factors) == 1 and value.factors[0] > 0
    if not ready or unit not in (None, value.factors[0]):
        value = _scaled(builder, node, value, unit)
    return value if value.unbounded else _bounded(builder, node, value)


def attach_offset(builder: Builder, value: Value, offsets: Reals) -> Value | None:
    """The offsets as the bias of the convolution behind, where they are whole accumulators and nothing else reads them.

    Returns:
        The value without them; None where that is impossible.
    """
    op = builder.op(value.name)
    if not isinstance(op, Conv2d) or op.requantize is not None or not value.alone or not value.unbounded:
        return None
    if 0 in value.factors:
        return None
    kind = builder.types[op.name]
    align = op.align or (0,) * kind.channels
    columns = zip(spread(offsets, kind.channels), spread(value.factors, kind.channels), align, strict=True)
    whole = [offset / factor * Fraction(2) ** (kind.fmt.frac - left) for offset, factor, left in columns]
    if any(number.denominator != 1 for number in whole):
        return None
    before = [0] * kind.channels if op.bias is None else builder.constants[op.bias].tolist()
    total = [old + int(new) for old, new in zip(before, whole, strict=True)]
    builder.amend(replace(op, bias=builder.constant(f"{op.name}.bias", total)))
    return value


def _scaled(builder: Builder, node: Node, value: Value, unit: Fraction | None) -> Value:
    kind = builder.types[value.name]
    factors, offsets = spread(value.factors, kind.channels), spread(value.offsets, kind.channels)
    unit = unit or _unit(factors, offsets, kind.fmt.frac)
    ratios = tuple(factor / unit for factor in factors)
    lifted = tuple(offset / unit * Fraction(2) ** kind.fmt.frac for offset in offsets)
    if all(ratio == 1 for ratio in ratios):
        attached = attach_offset(builder, replace(value, factors=(unit,), lo=None, hi=None), offsets)
        if attached is not None:
            return replace(attached, lo=value.lo, hi=value.hi, offsets=ZERO)
    finest = [places(number) for number in (*ratios, *lifted)]
    shift = max(bits or 0 for bits in finest)
    if None in finest or _width(kind.fmt.width, ratios, lifted, shift) > MOST_EXACT_BITS:
        return _emit(builder, node, value, unit, *_rounded(builder, node, value, unit, ratios, lifted))
    scales = [int(ratio * 2**shift) for ratio in ratios]
    whole = [int(offset * 2**shift) for offset in lifted]
    while all(number % 2 == 0 for number in (*scales, *whole)) and any(scales):
        scales, whole, shift = [s // 2 for s in scales], [o // 2 for o in whole], shift - 1
    return _emit(builder, node, value, unit, scales, whole, shift)


def _unit(factors: Reals, offsets: Reals, frac: int) -> Fraction:
    """One where everything is a dyadic number on it or all factors are powers of two; else the factor of a channel."""
    first = next((abs(factor) for factor in factors if factor), Fraction(1))
    if len(set(factors)) == 1 and first == factors[0] and log2(first) is None:
        return first
    if all(log2(factor / first) is not None for factor in factors) and log2(first) is None:
        return first
    return Fraction(1)


def _width(entering: int, ratios: Reals, offsets: Reals, shift: int) -> int:
    largest = max(abs(int(ratio * 2**shift)) for ratio in ratios).bit_length() + entering
    return 1 + max(largest, *(abs(int(offset * 2**shift)).bit_length() for offset in offsets))


def _rounded(
    builder: Builder, node: Node, value: Value, unit: Fraction, ratios: Reals, offsets: Reals
) -> tuple[list[int], list[int], int]:
    """Multipliers of as many bits as allowed, and the offsets on their grid; remarks on how far off they are."""
    bits = builder.options.rounded_bits
    if builder.options.exact:
        raise ModelError(
            f"{value.name} is no fixed-point number here: its scale or offset needs more than {MOST_EXACT_BITS} bits",
            where=node.place,
            hint="put a Quant node before it, use power-of-two scales, or allow rounding",
        )
    largest = max(abs(ratio) for ratio in ratios)
    shift = bits - (largest.numerator.bit_length() - largest.denominator.bit_length()) - 1
    grid = Fraction(2) ** shift
    scales = [round(ratio * grid) for ratio in ratios]
    whole = [round(offset * grid) for offset in offsets]
    off_scale = max(abs(scale / grid - ratio) for scale, ratio in zip(scales, ratios, strict=True)) / largest
    off_offset = max(abs(rounded / grid - offset) for rounded, offset in zip(whole, offsets, strict=True))
    step = unit * Fraction(2) ** -builder.types[value.name].fmt.frac
    errors = [f"{float(off_scale):.1e} of the value"] if off_scale else []
    errors += [f"{float(off_offset * step):.1e} in its offset"] if off_offset else []
    text = (
        f"brought to one scale by integer multipliers of {bits} bits, off by at most {' and '.join(errors)}"
    )
    builder.remark(node, text, Outcome.ROUNDED)
    return scales, whole, shift


def _emit(
    builder: Builder,
    node: Node,
    value: Value,
    unit: Fraction,
    scales: list[int],
    offsets: list[int],
    shift: int,
) -> Value:
    name = builder.names.fresh(value.name + SCALED_SUFFIX)
    op = Affine(
        name=name,
        input=value.name,
        scale=builder.constant(f"{name}.scale", scales),
        offset=builder.constant(f"{name}.offset", offsets),
        scale_frac=shift,
    )
    emitted = builder.emit(op)
    return replace(value, name=name, factors=(unit,), offsets=ZERO, alone=emitted.alone)


def _bounded(builder: Builder, node: Node, value: Value) -> Value:
    """A ReLU, or a saturation to bounds that are codes."""
    kind = builder.types[value.name]
    plain = replace(value, lo=None, hi=None, alone=True)
    if value.lo == 0 and value.hi is None:
        name = builder.names.fresh(value.name + RELU_SUFFIX)
        builder.emit(Relu(name=name, input=value.name))
        return replace(plain, name=name)
    bounds = [kind.fmt.min, kind.fmt.max]
    for index, bound in enumerate((value.lo, value.hi)):
        if bound is None:
            continue
        code = bound / value.factors[0] * Fraction(2) ** kind.fmt.frac
        if code.denominator != 1:
            raise ModelError(
                f"the bound {float(bound):g} on {value.name} is no code of its format",
                where=node.place,
                hint="put a Quant node behind the Clip",
            )
        bounds[index] = min(max(int(code), kind.fmt.min), kind.fmt.max)
    name = builder.names.fresh(value.name + CLIPPED_SUFFIX)
    to = Requantizer(shift=0, lo=bounds[0], hi=bounds[1], fmt=kind.fmt)
    builder.emit(Requantize(name=name, input=value.name, requantize=to))
    return replace(plain, name=name)
