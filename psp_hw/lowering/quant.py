"""QONNX quantizers as exact numbers.

``Quant(x) = (clip(round(x / scale + zero), lo, hi) - zero) * scale`` (QONNX, custom op ``Quant``);
``BipolarQuant(x) = scale where x >= 0, else -scale``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray
from psp_hw.errors import ModelError
from psp_hw.lowering.exact import HALF
from psp_hw.lowering.features import Reals
from psp_hw.lowering.onnx_file import FloatArray, Node

MAX_BITS = 32
LARGEST_SCALE = 2.0**100
# A scale that belongs to a weight leaves it near its range: learnt and statistical scales saturate outliers of a few times
# the range at most. Weights this far outside come with the scale of another tensor.
LARGEST_EXCESS = 16
# Nor does a scale of a weight leave most of it outside, where there are more codes than signs: half of a weight lies within its
# median, and no way to choose a scale of 3 bits or more puts the range below that.
MOST_SATURATED = 0.5
_MANY_CODES = 3  # bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """``round_half_even(x + offset)``, where ``nudge`` says which way a tie goes: up (1), down (-1), to even (0)."""

    offset: Fraction = Fraction(0)
    nudge: int = 0


HALF_EVEN = Rounding()
_FLOOR, _CEIL = Rounding(offset=-HALF, nudge=1), Rounding(offset=HALF, nudge=-1)
_ROUNDINGS = {"ROUND": HALF_EVEN, "HALF_EVEN": HALF_EVEN, "FLOOR": _FLOOR, "CEIL": _CEIL}
# The modes that depend on the sign are one of the others where nothing is negative.
_POSITIVE_ROUNDINGS = {
    "DOWN": _FLOOR,
    "ROUND_TO_ZERO": _FLOOR,
    "UP": _CEIL,
    "HALF_UP": Rounding(nudge=1),
    "HALF_DOWN": Rounding(nudge=-1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """A quantizer to codes ``lo .. hi``; code q stands for ``(q - zero) * scale``.

    Args:
        scales: one for the tensor, or one per index of ``axis`` of a shape of ``rank`` axes.
        zero: an integer.
        lo, hi: smallest and largest code.
        bits, signed: of the format of the codes.
        rounding: how it rounds.
    """

    scales: Reals
    axis: int | None
    rank: int
    zero: int
    lo: int
    hi: int
    bits: int
    signed: bool
    rounding: Rounding = HALF_EVEN

    def fmt(self, frac: int) -> FixedPoint:
        """Format of the codes with so many fractional bits."""
        return FixedPoint(width=self.bits, signed=self.signed, frac=frac)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantTensor:
    """A constant as integers: ``values * scale``, one scale for the tensor or one per index of ``axis``."""

    values: IntArray
    scales: Reals
    axis: int = 0

    def scales_along(self, axis: int, extent: int, node: Node) -> Reals:
        """The scale of every index of an axis.

        Raises:
            ModelError: they vary along another axis.
        """
        if len(self.scales) == 1:
            return self.scales * extent
        if self.axis != axis or len(self.scales) != extent:
            raise ModelError("its scale does not vary along the output channels", where=node.place)
        return self.scales

    def transposed(self, axes: tuple[int, ...]) -> QuantTensor:
        """With its axes in another order."""
        axis = axes.index(self.axis) if len(self.scales) > 1 else 0
        return replace(self, values=self.values.transpose(axes), axis=axis)

    def reals(self) -> npt.NDArray[np.object_]:
        """The exact numbers that it stands for."""
        shape = [1] * self.values.ndim
        if len(self.scales) > 1:
            shape[self.axis] = -1
        scales = np.array(self.scales, dtype=object).reshape(shape if self.values.ndim else ())
        return np.asarray(self.values.astype(object) * scales, dtype=object).reshape(self.values.shape)


def read_quantizer(node: Node, parameters: list[FloatArray | None], *, positive: bool = False) -> Quantizer:
    """The quantizer of a Quant node.

    Args:
        node: the node.
        parameters: its scale, zero point and bit width.
        positive: nothing that reaches it is negative.

    Raises:
        ModelError: a parameter is not constant or makes no sense.
    """
    if len(parameters) != 3 or any(p is None for p in parameters):
        raise ModelError("scale, zero point and bit width must be constants", where=node.place)
    scale, zero, width = (np.asarray(p) for p in parameters)
    zeros = sorted(set(zero.reshape(-1).tolist()))
    if len(zeros) != 1 or not float(zeros[0]).is_integer() or abs(zeros[0]) > 2**MAX_BITS:
        raise ModelError(f"the zero point {zeros} is not one integer", where=node.place)
    signed, narrow = node.integer("signed", 1) == 1, node.integer("narrow", 0) == 1
    bits = read_bits(node, width, least=2 if signed else 1)
    axis, scales = read_scales(node, scale)
    return Quantizer(
        scales=scales,
        axis=axis,
        rank=scale.ndim,
        zero=int(zeros[0]),
        lo=(-(1 << (bits - 1)) + narrow) if signed else 0,
        hi=(1 << (bits - 1)) - 1 if signed else (1 << bits) - 1 - narrow,
        bits=bits,
        signed=signed,
        rounding=read_rounding(node, node.text("rounding_mode", "ROUND"), positive=positive),
    )


def read_rounding(node: Node, mode: str, *, positive: bool) -> Rounding:
    """A rounding mode by its QONNX name."""
    known = {**_ROUNDINGS, **_POSITIVE_ROUNDINGS} if positive else _ROUNDINGS
    if mode.upper() not in known:
        raise ModelError(
            f"rounding mode {mode} is not supported here",
            where=node.place,
            hint="use ROUND (half to even); the modes that depend on the sign need a ReLU before them",
        )
    return known[mode.upper()]


def read_bits(node: Node, width: FloatArray, *, least: int) -> int:
    """A bit width."""
    if width.size != 1 or not float(width.reshape(-1)[0]).is_integer():
        raise ModelError("the bit width is not one integer", where=node.place)
    bits = int(width.reshape(-1)[0])
    if not least <= bits <= MAX_BITS:
        raise ModelError(f"a width of {bits} bits is outside {least} .. {MAX_BITS}", where=node.place)
    return bits


def read_scales(node: Node, scale: FloatArray) -> tuple[int | None, Reals]:
    """The axis that a scale varies along, and the exact scales."""
    varying = [axis for axis, extent in enumerate(scale.shape) if extent > 1]
    if len(varying) > 1:
        raise ModelError(f"a scale of shape {scale.shape} varies along several axes", where=node.place)
    if scale.size == 0:
        raise ModelError("the scale is empty", where=node.place)
    for value in scale.reshape(-1).tolist():
        if not (math.isfinite(value) and 1 / LARGEST_SCALE <= value <= LARGEST_SCALE):
            raise ModelError(f"the scale {value!r} is outside 2**-100 .. 2**100", where=node.place)
    return (varying[0] if varying else None), tuple(Fraction(value) for value in scale.reshape(-1).tolist())


def quantize_constant(values: FloatArray, quantizer: Quantizer, node: Node) -> tuple[QuantTensor, int]:
    """The integers of a constant, and how many of them saturate.

    Divided in float32, in which the model holds its constants and in which qonnx divides; a scale that is a power of two
    makes that exact.

    Raises:
        ModelError: a value is not finite or far outside the range, or the scales do not suit the shape.
    """
    axis = _axis_of(values, quantizer.scales, quantizer.axis, quantizer.rank, node)
    divided = _divided(values, quantizer.scales, axis, node) + np.float32(quantizer.zero)
    rounding = quantizer.rounding
    if rounding == HALF_EVEN:
        rounded = np.rint(divided)
    elif rounding == _FLOOR:
        rounded = np.floor(divided)
    elif rounding == _CEIL:
        rounded = np.ceil(divided)
    else:
        raise ModelError("this rounding mode is not supported for constants", where=node.place)
    codes = np.clip(rounded, quantizer.lo, quantizer.hi)
    saturated = int(np.count_nonzero(codes != rounded))
    reach = max(abs(quantizer.lo - quantizer.zero), abs(quantizer.hi - quantizer.zero), 1)
    if values.size and np.abs(divided - quantizer.zero).max() > LARGEST_EXCESS * reach:
        worst = float(values.reshape(-1)[np.argmax(np.abs(divided - quantizer.zero))])
        raise ModelError(
            f"the constant {worst:g} lies far outside its Quant range, {quantizer.lo} .. {quantizer.hi} steps of its scale",
            where=node.place,
            hint="give the quantizer the scale that belongs to this tensor",
        )
    # A bias has few values, and its own way to be cut.
    many = quantizer.bits >= _MANY_CODES and values.ndim >= 2
    if many and saturated > MOST_SATURATED * values.size:
        raise ModelError(
            f"{saturated} of {values.size} weights lie outside its Quant range, {quantizer.lo} .. {quantizer.hi} steps of its scale",
            where=node.place,
            hint="give the quantizer the scale that belongs to this tensor",
        )
    integers = codes.astype(np.int64) - quantizer.zero
    return QuantTensor(values=integers, scales=quantizer.scales, axis=axis or 0), saturated


def quantize_bipolar(values: FloatArray, scale: FloatArray, node: Node) -> QuantTensor:
    """A constant of a BipolarQuant node: 1 where it is at least 0, else -1."""
    varying, scales = read_scales(node, scale)
    axis = _axis_of(values, scales, varying, scale.ndim, node)
    _divided(values, scales, axis, node)
    return QuantTensor(values=np.where(values >= 0, 1, -1), scales=scales, axis=axis or 0)


def _axis_of(values: FloatArray, scales: Reals, axis: int | None, rank: int, node: Node) -> int | None:
    """The axis of a constant along which its scales vary: the two shapes are broadcast from their last axes on."""
    if axis is None:
        return None
    own = axis + values.ndim - rank
    if own < 0 or len(scales) != values.shape[own]:
        raise ModelError(
            f"{len(scales)} scales along axis {axis} of {rank} do not suit a constant of shape {values.shape}",
            where=node.place,
        )
    return own


def _divided(values: FloatArray, scales: Reals, axis: int | None, node: Node) -> npt.NDArray[np.float32]:
    if not np.all(np.isfinite(values)):
        raise ModelError("a weight is not a finite number", where=node.place)
    shape = [1] * values.ndim
    if axis is not None:
        shape[axis] = -1
    divisors = np.array([float(scale) for scale in scales], dtype=np.float32).reshape(shape)
    with np.errstate(over="ignore"):  # what overflows lies far outside every range, and is refused as that
        return np.asarray(values.astype(np.float32) / divisors)
