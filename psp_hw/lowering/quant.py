"""QONNX Quant nodes as integers.

``Quant(x) = (clip(round(x / scale + zero), lo, hi) - zero) * scale`` (QONNX, custom op ``Quant``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray
from psp_hw.errors import ModelError
from psp_hw.lowering.onnx_file import FloatArray, Node

MAX_BITS = 32
_ROUNDINGS = ("ROUND", "HALF_EVEN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """A Quant node with a power-of-two scale.

    Args:
        fracs: fractional bits: one for the tensor, or one per channel in the axis that ``scale`` varies along.
        lo, hi: smallest and largest integer.
        bits, signed: of the format.
    """

    fracs: tuple[int, ...]
    axis: int | None
    lo: int
    hi: int
    bits: int
    signed: bool

    def fmt(self, where: str) -> FixedPoint:
        """The format, where there is one for the tensor."""
        if self.axis is not None:
            raise ModelError(
                "an activation with a scale per channel is not supported",
                where=where,
                hint="use one scale per tensor",
            )
        return FixedPoint(width=self.bits, signed=self.signed, frac=self.fracs[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantTensor:
    """A constant as integers: ``values * 2**-fracs``, one for the tensor or one per index of ``axis``."""

    values: IntArray
    fracs: tuple[int, ...]
    axis: int = 0

    def fracs_along(self, axis: int, extent: int, node: Node) -> tuple[int, ...]:
        """Fractional bits of every index of an axis.

        Raises:
            ModelError: they vary along another axis.
        """
        if len(self.fracs) == 1:
            return self.fracs * extent
        if self.axis != axis or len(self.fracs) != extent:
            raise ModelError("its scale does not vary along the output channels", where=node.place)
        return self.fracs


def read_quantizer(node: Node, parameters: list[FloatArray | None]) -> Quantizer:
    """The quantizer of a Quant node.

    Args:
        node: the node.
        parameters: its scale, zero point and bit width.

    Raises:
        ModelError: a parameter is not constant, the scale no power of two, the zero point not 0, another rounding.
    """
    if len(parameters) != 3 or any(p is None for p in parameters):
        raise ModelError("scale, zero point and bit width must be constants", where=node.place)
    scale, zero, width = (np.asarray(p) for p in parameters)
    rounding = node.text("rounding_mode", "ROUND").upper()
    if rounding not in _ROUNDINGS:
        raise ModelError(
            f"rounding mode {rounding} is not supported", where=node.place, hint="use ROUND (half to even)"
        )
    if np.any(zero != 0):
        raise ModelError(
            "a zero point other than 0 is not supported", where=node.place, hint="use symmetric quantization"
        )
    signed, narrow = node.integer("signed", 1) == 1, node.integer("narrow", 0) == 1
    if width.size != 1 or not float(width.reshape(-1)[0]).is_integer():
        raise ModelError("the bit width is not one integer", where=node.place)
    bits = int(width.reshape(-1)[0])
    if not (2 if signed else 1) <= bits <= MAX_BITS:
        raise ModelError(
            f"a width of {bits} bits is outside {2 if signed else 1} .. {MAX_BITS}", where=node.place
        )
    lo = (-(1 << (bits - 1)) + narrow) if signed else 0
    hi = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1 - narrow
    axis, fracs = _fractional_bits(scale, node)
    return Quantizer(fracs=fracs, axis=axis, lo=lo, hi=hi, bits=bits, signed=signed)


def _fractional_bits(scale: FloatArray, node: Node) -> tuple[int | None, tuple[int, ...]]:
    varying = [axis for axis, extent in enumerate(scale.shape) if extent > 1]
    if len(varying) > 1:
        raise ModelError(f"a scale of shape {scale.shape} varies along several axes", where=node.place)
    fracs = []
    for value in scale.reshape(-1).tolist():
        if not (math.isfinite(value) and value > 0 and math.frexp(value)[0] == 0.5):
            raise ModelError(
                f"the scale {value!r} is not a power of two",
                where=node.place,
                hint="train with power-of-two scales (Brevitas *FixedPoint quantizers)",
            )
        frac = 1 - math.frexp(value)[1]
        if abs(frac) > 40:
            raise ModelError(f"the scale {value!r} is outside 2**-40 .. 2**40", where=node.place)
        fracs.append(frac)
    return (varying[0] if varying else None), tuple(fracs)


def quantize_constant(values: FloatArray, quantizer: Quantizer, node: Node) -> QuantTensor:
    """The integers of a constant: scaled by powers of two (exact), rounded half to even, saturated.

    Raises:
        ModelError: a value is not finite, or the scales do not suit the shape.
    """
    if not np.all(np.isfinite(values)):
        raise ModelError("a weight is not a finite number", where=node.place)
    axis = quantizer.axis or 0
    if quantizer.axis is not None and (axis >= values.ndim or len(quantizer.fracs) != values.shape[axis]):
        raise ModelError(
            f"{len(quantizer.fracs)} scales along axis {axis} do not suit a constant of shape {values.shape}",
            where=node.place,
        )
    shape = [1] * values.ndim
    if quantizer.axis is not None:
        shape[axis] = -1
    factors = np.array([2.0**frac for frac in quantizer.fracs]).reshape(shape)
    integers = np.clip(np.rint(values * factors), quantizer.lo, quantizer.hi).astype(np.int64)
    return QuantTensor(values=integers, fracs=quantizer.fracs, axis=axis)
