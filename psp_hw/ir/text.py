"""The graph as text: one line per op and per constant; ``parse`` reads what ``print_graph`` writes.

Constants are listed by shape and digest; their values travel beside the text (ir/store.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import assert_never

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import (
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv2d,
    Flatten,
    Input,
    MaxPool,
    Op,
    Output,
    Relu,
    Requantize,
    Threshold,
    kind,
    op_inputs,
)
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.ir.verify import GraphError

_OP_LINE = re.compile(r"%(?P<name>\w+) = (?P<kind>\w+)(?P<rest>.*?) : (?P<type>\S+)", re.ASCII)
_CONSTANT_LINE = re.compile(
    r"@(?P<name>[\w.]+) = \[(?P<shape>[\d, ]*)\] sha256:(?P<digest>[0-9a-f]{64})", re.ASCII
)
_REQUANTIZE = re.compile(
    r"shift:(?P<shift>-?\d+),divisor:(?P<divisor>\d+),clip:(?P<lo>-?\d+)\.\.(?P<hi>-?\d+),to:(?P<fmt>\S+)",
    re.ASCII,
)


def digest(constant: IntArray) -> str:
    """SHA-256 of shape and values."""
    array = np.ascontiguousarray(constant, dtype="<i8")
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()


def print_graph(graph: Graph) -> str:
    """The graph as text."""
    lines = [f"graph {graph.name}"]
    for op in graph.ops:
        reads = "".join(f" %{name}" for name in op_inputs(op))
        attributes = "".join(f" {key}={value}" for key, value in _attributes(op).items())
        lines.append(f"%{op.name} = {kind(op)}{reads}{attributes} : {graph.types[op.name]}")
    for name, constant in graph.constants.items():
        lines.append(f"@{name} = {list(constant.shape)} sha256:{digest(constant)}")
    return "\n".join(lines) + "\n"


def _attributes(op: Op) -> dict[str, str]:
    match op:
        case Conv2d():
            found = {"weight": f"@{op.weight}"}
            if op.bias is not None:
                found["bias"] = f"@{op.bias}"
            found |= {
                "taps": "".join(map(str, op.taps)),
                "kernel": _pair(op.kernel),
                "stride": _pair(op.stride),
                "padding": _padding(op.padding),
                "weight_frac": str(op.weight_frac),
                "dense": _pair((op.dense_in_channels, op.dense_out_channels)),
            }
            if op.align:
                found["align"] = ",".join(map(str, op.align))
            return found | _requantize(op.requantize)
        case Add():
            return _requantize(op.requantize)
        case AvgPool():
            return {"kernel": _pair(op.kernel), "stride": _pair(op.stride)} | _requantize(op.requantize)
        case MaxPool():
            return {"kernel": _pair(op.kernel), "stride": _pair(op.stride), "padding": _padding(op.padding)}
        case Requantize():
            return _requantize(op.requantize)
        case Affine():
            found = {"scale": f"@{op.scale}", "offset": f"@{op.offset}", "scale_frac": str(op.scale_frac)}
            return found | _requantize(op.requantize)
        case Threshold():
            return {"thresholds": f"@{op.thresholds}", "start": f"@{op.start}", "step": f"@{op.step}"}
        case Input() | Output():
            return {} if op.unit == 1.0 else {"unit": repr(op.unit)}
        case Concat() | Relu() | Flatten():
            return {}
        case _:
            assert_never(op)


def _pair(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _padding(padding: Padding) -> str:
    return f"{padding.top},{padding.left},{padding.bottom},{padding.right}"


def _requantize(to: Requantizer | None) -> dict[str, str]:
    if to is None:
        return {}
    return {"requantize": f"shift:{to.shift},divisor:{to.divisor},clip:{to.lo}..{to.hi},to:{to.fmt}"}


def parse_graph(text: str, constants: Mapping[str, IntArray]) -> Graph:
    """The graph of a text.

    Args:
        text: what ``print_graph`` wrote.
        constants: the constants that the text lists, by name.

    Raises:
        GraphError: a line does not read, a constant is missing or differs from its digest, a type differs.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].startswith("graph "):
        raise GraphError("the text does not begin with 'graph <name>'")
    ops: list[Op] = []
    types: dict[str, str] = {}
    found: dict[str, IntArray] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            if line.startswith("@"):
                found.update([_parse_constant(line, constants)])
            else:
                op, types_text = _parse_op(line)
                ops.append(op)
                types[op.name] = types_text
        except (ValueError, KeyError, TypeError) as error:
            raise GraphError(f"line {number} does not read: {line!r} ({error})") from error
    graph = Graph(lines[0].removeprefix("graph ").strip(), tuple(ops), found)
    _check_types(graph, types)
    return graph


def _check_types(graph: Graph, written: Mapping[str, str]) -> None:
    try:
        inferred = graph.types
    except (KeyError, ValueError) as error:
        raise GraphError(f"the ops do not fit together: {error}") from error
    for name, value in inferred.items():
        if str(value) != written[name]:
            raise GraphError(f"%{name} is written as {written[name]} but follows as {value}")


def _parse_constant(line: str, constants: Mapping[str, IntArray]) -> tuple[str, IntArray]:
    match = _CONSTANT_LINE.fullmatch(line)
    if match is None:
        raise ValueError("no constant")
    name = match["name"]
    if name not in constants:
        raise ValueError(f"the constant {name} is missing")
    if digest(constants[name]) != match["digest"]:
        raise ValueError(f"the constant {name} differs from its digest")
    return name, constants[name]


def _parse_op(line: str) -> tuple[Op, str]:
    match = _OP_LINE.fullmatch(line)
    if match is None:
        raise ValueError("no op")
    words = match["rest"].split()
    inputs = tuple(word[1:] for word in words if word.startswith("%"))
    attributes = dict(word.split("=", 1) for word in words if not word.startswith("%"))
    return _make(match["kind"], match["name"], inputs, attributes, match["type"]), match["type"]


def _make(word: str, name: str, inputs: tuple[str, ...], given: dict[str, str], type_text: str) -> Op:
    requantizer = _parse_requantize(given["requantize"]) if "requantize" in given else None
    match word:
        case "input":
            return Input(name=name, type=_parse_type(type_text), unit=float(given.get("unit", "1")))
        case "conv2d":
            return _make_conv2d(name, inputs[0], given, requantizer)
        case "add":
            return Add(name=name, inputs=(inputs[0], inputs[1]), requantize=requantizer)
        case "concat":
            return Concat(name=name, inputs=inputs)
        case "avg_pool":
            kernel, stride = _parse_pair(given["kernel"]), _parse_pair(given["stride"])
            return AvgPool(name=name, input=inputs[0], kernel=kernel, stride=stride, requantize=requantizer)
        case "max_pool":
            kernel, stride = _parse_pair(given["kernel"]), _parse_pair(given["stride"])
            padding = _parse_padding(given["padding"])
            return MaxPool(name=name, input=inputs[0], kernel=kernel, stride=stride, padding=padding)
        case "relu":
            return Relu(name=name, input=inputs[0])
        case "requantize":
            if requantizer is None:
                raise ValueError("requantize is missing")
            return Requantize(name=name, input=inputs[0], requantize=requantizer)
        case "affine":
            return Affine(
                name=name,
                input=inputs[0],
                scale=_constant_name(given["scale"]),
                offset=_constant_name(given["offset"]),
                scale_frac=int(given["scale_frac"]),
                requantize=requantizer,
            )
        case "threshold":
            return Threshold(
                name=name,
                input=inputs[0],
                thresholds=_constant_name(given["thresholds"]),
                start=_constant_name(given["start"]),
                step=_constant_name(given["step"]),
                fmt=_parse_type(type_text).fmt,
            )
        case "flatten":
            return Flatten(name=name, input=inputs[0])
        case "output":
            return Output(name=name, input=inputs[0], unit=float(given.get("unit", "1")))
        case _:
            raise ValueError(f"no op is called {word}")


def _make_conv2d(name: str, source: str, given: dict[str, str], requantizer: Requantizer | None) -> Conv2d:
    dense = _parse_pair(given["dense"])
    return Conv2d(
        name=name,
        input=source,
        weight=_constant_name(given["weight"]),
        bias=_constant_name(given["bias"]) if "bias" in given else None,
        taps=tuple(Tap(int(r), int(s)) for r, s in re.findall(r"\(([0-9]+),([0-9]+)\)", given["taps"])),
        kernel=_parse_pair(given["kernel"]),
        stride=_parse_pair(given["stride"]),
        padding=_parse_padding(given["padding"]),
        weight_frac=int(given["weight_frac"]),
        align=tuple(int(a) for a in given["align"].split(",")) if "align" in given else (),
        requantize=requantizer,
        dense_in_channels=dense[0],
        dense_out_channels=dense[1],
    )


def _constant_name(text: str) -> str:
    return text.removeprefix("@")


def _parse_pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition("x")
    return int(first), int(second)


def _parse_padding(text: str) -> Padding:
    top, left, bottom, right = (int(part) for part in text.split(","))
    return Padding(top=top, left=left, bottom=bottom, right=right)


def _parse_type(text: str) -> TensorType:
    shape, _, fmt = text.partition(":")
    height, width, channels = (int(part) for part in shape.split("x"))
    return TensorType(height=height, width=width, channels=channels, fmt=FixedPoint.parse(fmt))


def _parse_requantize(text: str) -> Requantizer:
    match = _REQUANTIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no requantizer")
    return Requantizer(
        shift=int(match["shift"]),
        divisor=int(match["divisor"]),
        lo=int(match["lo"]),
        hi=int(match["hi"]),
        fmt=FixedPoint.parse(match["fmt"]),
    )
