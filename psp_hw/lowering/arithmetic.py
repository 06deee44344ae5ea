"""Add, Sub, Mul, Div, BatchNormalization, Relu, Clip: real maps over the codes, made integers when something reads them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from psp_hw.errors import ModelError
from psp_hw.ir.ops import Add, Relu
from psp_hw.lowering.builder import Builder
from psp_hw.lowering.exact import log2, root
from psp_hw.lowering.features import ZERO, PendingInput, Reals, Value, compact, features, spread
from psp_hw.lowering.names import layer_name
from psp_hw.lowering.onnx_file import FloatArray, Node
from psp_hw.lowering.quant import QuantTensor
from psp_hw.lowering.units import RELU_SUFFIX, attach_offset, settled

ExactArray = npt.NDArray[np.object_]


def constant_of(builder: Builder, tensor: str, node: Node) -> ExactArray | None:
    """The exact numbers of a constant, quantized or not; None for anything else."""
    known = builder.known(tensor)
    if isinstance(known, QuantTensor):
        return known.reals()
    floats = builder.floats(tensor)
    return None if floats is None else exactly(floats, node)


def exactly(floats: FloatArray, node: Node) -> ExactArray:
    """Floats as exact numbers.

    Raises:
        ModelError: one is not finite.
    """
    if not np.all(np.isfinite(floats)):
        raise ModelError("a constant is not a finite number", where=node.place)
    exact: ExactArray = np.empty(floats.shape, dtype=object)
    exact.reshape(-1)[:] = [Fraction(value) for value in floats.reshape(-1).tolist()]
    return exact


def by_channel(builder: Builder, node: Node, value: Value, constant: ExactArray) -> Reals:
    """A constant that is broadcast against a feature map, as one number or one per channel.

    Raises:
        ModelError: it varies along other axes.
    """
    if constant.size == 1:
        return (Fraction(constant.reshape(-1)[0]),)
    kind = builder.types[value.name]
    shape = (1,) * (value.layout.rank - constant.ndim) + constant.shape
    expected = [1] * value.layout.rank
    expected[value.layout.channel_axis] = features(kind) if value.layout.flat else kind.channels
    if shape != tuple(expected):
        raise ModelError(
            f"a constant of shape {constant.shape} does not hold one number per channel of {kind.channels}",
            where=node.place,
        )
    if value.layout.flat and kind.pixels > 1:
        raise ModelError("a constant per feature of a flattened frame is not supported", where=node.place)
    return compact(tuple(Fraction(number) for number in constant.reshape(-1)))


def mapped(builder: Builder, node: Node, value: Value, factors: Reals, offsets: Reals) -> Value:
    """``value * factor + offset`` per channel."""
    if not value.unbounded:
        value = settled(builder, node, value)
    channels = builder.types[value.name].channels
    pairs = zip(spread(factors, channels), spread(value.factors, channels), strict=True)
    scaled = compact(tuple(factor * before for factor, before in pairs))
    triples = zip(
        spread(factors, channels), spread(value.offsets, channels), spread(offsets, channels), strict=True
    )
    moved = compact(tuple(factor * before + offset for factor, before, offset in triples))
    return replace(value, factors=scaled, offsets=moved)


def _constant_side(builder: Builder, node: Node) -> tuple[int, ExactArray] | None:
    """Which of two inputs is a constant."""
    if len(node.inputs) != 2:
        raise ModelError(f"{len(node.inputs)} inputs instead of 2", where=node.place)
    for index in (1, 0):
        constant = constant_of(builder, node.inputs[index], node)
        if constant is not None:
            return index, constant
    return None


def lower_add(node: Node, builder: Builder) -> None:
    """Add: of two feature maps, or of a constant."""
    found = _constant_side(builder, node)
    if found is None:
        builder.define(node.outputs[0], _sum(node, builder))
        return
    _offset(node, builder, node.inputs[1 - found[0]], found[1], sign=1)


def lower_sub(node: Node, builder: Builder) -> None:
    """Sub of a constant, or from a constant."""
    found = _constant_side(builder, node)
    if found is None:
        raise ModelError("the difference of two feature maps is not supported", where=node.place)
    index, constant = found
    source = node.inputs[1 - index]
    if index == 1:
        _offset(node, builder, source, np.asarray(-constant, dtype=object), sign=1)
    else:
        _offset(node, builder, source, constant, sign=-1)


def _offset(node: Node, builder: Builder, source: str, constant: ExactArray, *, sign: int) -> None:
    value = builder.value(source, node)
    offsets = by_channel(builder, node, value, constant)
    if sign > 0 and value.offsets == ZERO:
        attached = attach_offset(builder, value, offsets)
        if attached is not None:
            builder.remark(node, f"the bias of {attached.name}")
            builder.define(node.outputs[0], attached)
            return
    builder.define(node.outputs[0], mapped(builder, node, value, (Fraction(sign),), offsets))


def _sum(node: Node, builder: Builder) -> Value:
    a, b = (builder.value(name, node) for name in node.inputs)
    if a.layout.flattened != b.layout.flattened or a.layout.flat != b.layout.flat:
        raise ModelError(f"the layouts {a.layout.value} and {b.layout.value} differ", where=node.place)
    if not (a.unbounded and b.unbounded and a.factors == b.factors):
        a = settled(builder, node, a)
        b = settled(builder, node, b)
        if a.factors != b.factors:
            a, b = _one_unit(builder, node, a, b)
    channels = builder.types[a.name].channels
    if builder.types[b.name].shape != builder.types[a.name].shape:
        shapes = (builder.types[v.name].shape for v in (a, b))
        raise ModelError("the shapes {} and {} differ".format(*shapes), where=node.place)
    pairs = zip(spread(a.offsets, channels), spread(b.offsets, channels), strict=True)
    name = builder.names.fresh(layer_name(node.name, node.op_type, keep_type=True))
    emitted = builder.emit(Add(name=name, inputs=(a.name, b.name)))
    builder.remark(node, "sum of two feature maps")
    offsets = compact(tuple(left + right for left, right in pairs))
    return replace(emitted, layout=a.layout, factors=a.factors, offsets=offsets)


def _one_unit(builder: Builder, node: Node, a: Value, b: Value) -> tuple[Value, Value]:
    """Both in the unit of one of them: one where it can be, else the coarser."""
    if all(log2(v.factors[0]) is not None for v in (a, b)):
        return settled(builder, node, a, unit=Fraction(1)), settled(builder, node, b, unit=Fraction(1))
    if a.factors[0] >= b.factors[0]:
        return a, settled(builder, node, b, unit=a.factors[0])
    return settled(builder, node, a, unit=b.factors[0]), b


def lower_mul(node: Node, builder: Builder) -> None:
    """Mul by a constant."""
    found = _constant_side(builder, node)
    if found is None:
        raise ModelError("the product of two feature maps is not supported", where=node.place)
    _scale(node, builder, node.inputs[1 - found[0]], found[1])


def lower_div(node: Node, builder: Builder) -> None:
    """Div by a constant."""
    found = _constant_side(builder, node)
    if found is None or found[0] != 1:
        raise ModelError("only the division by a constant is supported", where=node.place)
    if any(number == 0 for number in found[1].reshape(-1)):
        raise ModelError("it divides by 0", where=node.place)
    inverse: ExactArray = np.empty(found[1].shape, dtype=object)
    inverse.reshape(-1)[:] = [1 / Fraction(number) for number in found[1].reshape(-1)]
    _scale(node, builder, node.inputs[0], inverse)


def _scale(node: Node, builder: Builder, source: str, constant: ExactArray) -> None:
    known = builder.known(source)
    if isinstance(known, PendingInput):
        factor = Fraction(constant.reshape(-1)[0]) if constant.size == 1 else Fraction(0)
        if log2(factor) is None:
            raise ModelError(
                "the image is scaled by other than one power of two before its Quant node",
                where=node.place,
                hint="feed scaled images, and let the model begin with its Quant node",
            )
        builder.define(node.outputs[0], replace(known, factor=known.factor * factor))
        return
    value = builder.value(source, node, padded=True)
    factors = by_channel(builder, node, value, constant)
    builder.define(node.outputs[0], mapped(builder, node, value, factors, ZERO))


def lower_batch_normalization(node: Node, builder: Builder) -> None:
    """BatchNormalization in eval: ``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` per channel."""
    if node.integer("training_mode", 0):
        raise ModelError(
            "training mode is not supported", where=node.place, hint="export the model in eval mode"
        )
    value = builder.value(node.inputs[0], node)
    if len(node.inputs) != 5:
        raise ModelError(f"{len(node.inputs)} inputs instead of 5", where=node.place)
    parameters = [constant_of(builder, name, node) for name in node.inputs[1:]]
    channels = builder.types[value.name].channels
    columns = []
    for what, parameter in zip(("scale", "bias", "mean", "variance"), parameters, strict=True):
        if parameter is None or parameter.size not in (1, channels):
            raise ModelError(f"its {what} is not one constant per channel of {channels}", where=node.place)
        columns.append(spread(tuple(Fraction(number) for number in parameter.reshape(-1)), channels))
    epsilon = Fraction(node.number("epsilon", 1e-5))
    factors, offsets = [], []
    for gamma, beta, mean, variance in zip(*columns, strict=True):
        if variance + epsilon <= 0:
            raise ModelError(f"a variance of {float(variance):g} is not positive", where=node.place)
        factor = gamma / root(variance + epsilon)
        factors.append(factor)
        offsets.append(beta - mean * factor)
    builder.define(
        node.outputs[0], mapped(builder, node, value, compact(tuple(factors)), compact(tuple(offsets)))
    )


def lower_relu(node: Node, builder: Builder) -> None:
    """Relu: of codes at once; of a real map over codes, a bound for the quantizer behind it."""
    known = builder.known(node.inputs[0])
    if isinstance(known, PendingInput):
        builder.define(node.outputs[0], replace(known, positive=True))
        return
    value = builder.value(node.inputs[0], node, padded=True)
    shifted = len(value.factors) == 1 and log2(value.factors[0]) is not None
    if value.unbounded and value.offsets == ZERO and shifted:
        name = builder.names.fresh(value.name + RELU_SUFFIX)
        builder.emit(Relu(name=name, input=value.name))
        builder.define(node.outputs[0], replace(value, name=name, alone=True))
        return
    builder.define(node.outputs[0], value.bounded(Fraction(0), None))


def lower_clip(node: Node, builder: Builder) -> None:
    """Clip to constant bounds."""
    value = builder.value(node.inputs[0], node)
    bounds: list[Fraction | None] = []
    for position, name in ((1, "min"), (2, "max")):
        if name in node.attributes:
            bounds.append(Fraction(node.number(name, 0.0)))
        elif len(node.inputs) > position and node.inputs[position]:
            found = builder.floats(node.inputs[position])
            if found is None or found.size != 1:
                raise ModelError(f"its {name} is not one constant", where=node.place)
            number = float(found.reshape(-1)[0])
            bounds.append(Fraction(number) if np.isfinite(number) else None)
        else:
            bounds.append(None)
    lo, hi = bounds
    if lo is not None and hi is not None and lo > hi:
        raise ModelError(f"its bounds {float(lo):g} .. {float(hi):g} are empty", where=node.place)
    builder.define(node.outputs[0], value.bounded(lo, hi))
