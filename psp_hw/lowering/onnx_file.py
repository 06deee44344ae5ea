"""Read an ONNX file without trusting it: bounded size, no external data, no execution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from psp_hw.errors import ModelError
from psp_hw.spec.files import read_bounded

MAX_FILE_BYTES = 1 << 30
MAX_CONSTANT_ELEMENTS = 1 << 27
MAX_INPUT_ELEMENTS = 1 << 26

FloatArray = npt.NDArray[np.float64]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One ONNX node, its attributes as Python values."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    domain: str = ""

    @property
    def channels_last(self) -> bool:
        """One of qonnx's wrappers around an ONNX op: feature maps [N, H, W, C], convolution weights [K, R, S, C]."""
        return self.domain.endswith("channels_last")

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            raise ModelError(f"attribute {name}={value!r} is not a number", where=self.place)
        return float(value)

    def integer(self, name: str, default: int) -> int:
        """An attribute that is an integer."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise ModelError(f"attribute {name}={value!r} is not an integer", where=self.place)
        return value

    def text(self, name: str, default: str) -> str:
        """An attribute that is a string."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise ModelError(f"attribute {name}={value!r} is not a string", where=self.place)
        return value

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """An attribute that is a list of integers, as long as its default."""
        value = self.attributes.get(name, default)
        if (
            not isinstance(value, tuple)
            or len(value) != len(default)
            or any(not isinstance(v, int) for v in value)
        ):
            raise ModelError(f"attribute {name}={value!r} is not {len(default)} integers", where=self.place)
        return tuple(int(v) for v in value)

    @property
    def place(self) -> str:
        """How an error names the node."""
        return f"node {self.name!r} ({self.op_type})"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """What the lowering needs of a file.

    Args:
        name: name of the graph.
        nodes: in topological order.
        constants: initializers as float64, by tensor name.
        input, output: names of the one input and the one output.
        input_shape: extents of the input after the batch; (C, 1, 1) where there is one.
        input_rank: its number of axes, 4 or 2.
    """

    name: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, FloatArray]
    input: str
    output: str
    input_shape: tuple[int, int, int]
    input_rank: int


def read(path: Path) -> OnnxModel:
    """The model of a file.

    Raises:
        ModelError: the file is missing, too large, no ONNX, or has external data, several inputs or a dynamic shape.
    """
    proto = parse(path)
    graph = proto.graph
    place = str(path)
    nodes = tuple(_node(n, position) for position, n in enumerate(graph.node))
    if not nodes:
        raise ModelError("the graph has no nodes", where=place)
    constants = {_text(tensor.name): _array(tensor, place) for tensor in graph.initializer}
    inputs = [value for value in graph.input if _text(value.name) not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(
            f"the graph has {len(inputs)} inputs and {len(graph.output)} outputs",
            where=place,
            hint="one of each is supported",
        )
    constants |= _constant_nodes(graph, place)
    return OnnxModel(
        name=_text(graph.name) or path.stem,
        nodes=tuple(node for node in nodes if node.op_type != "Constant"),
        constants=constants,
        input=_text(inputs[0].name),
        output=_text(graph.output[0].name),
        input_shape=_input_shape(inputs[0], place),
        input_rank=len(inputs[0].type.tensor_type.shape.dim),
    )


def parse(path: Path) -> onnx.ModelProto:
    """The message in a file, which nothing has looked at yet.

    Raises:
        ModelError: missing, too large, or no ONNX.
    """
    try:
        content = read_bounded(path, MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise ModelError("no such file", where=str(path)) from error
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise ModelError(
            "no ONNX file, or a truncated one", where=str(path), hint="export it again"
        ) from error
    if not content or not proto.HasField("graph"):
        raise ModelError("no ONNX graph in it", where=str(path), hint="export it again")
    return proto


def _array(tensor: onnx.TensorProto, place: str) -> FloatArray:
    where = f"{place}: tensor {tensor.name!r}"
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError(
            "its data lies in another file",
            where=where,
            hint="save the model with its weights inside the ONNX file",
        )
    elements = 1
    for extent in tensor.dims:
        if extent < 0:
            raise ModelError(f"a negative extent in its shape {list(tensor.dims)}", where=where)
        elements *= extent
    if elements > MAX_CONSTANT_ELEMENTS:
        raise ModelError(
            f"it declares {elements} elements; up to {MAX_CONSTANT_ELEMENTS} are read", where=where
        )
    try:
        array = numpy_helper.to_array(tensor)
        return np.asarray(array, dtype=np.float64)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"its data does not match its shape and type: {error}", where=where) from error


def _text(name: str | bytes) -> str:
    """A name of a file, printable; protobuf hands out bytes where they are no UTF-8."""
    text = name if isinstance(name, str) else name.decode("utf-8", errors="replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _node(proto: onnx.NodeProto, position: int) -> Node:
    op_type = _text(proto.op_type)
    name = _text(proto.name) or f"{op_type}_{position}"
    attributes: dict[str, Attribute] = {}
    for attribute in proto.attribute:
        match attribute.type:
            case onnx.AttributeProto.INT:
                attributes[_text(attribute.name)] = int(attribute.i)
            case onnx.AttributeProto.FLOAT:
                attributes[_text(attribute.name)] = float(attribute.f)
            case onnx.AttributeProto.STRING:
                attributes[_text(attribute.name)] = _text(attribute.s)
            case onnx.AttributeProto.INTS:
                attributes[_text(attribute.name)] = tuple(int(v) for v in attribute.ints)
            case onnx.AttributeProto.FLOATS:
                attributes[_text(attribute.name)] = tuple(float(v) for v in attribute.floats)
            case _:
                pass  # tensors belong to Constant nodes, read apart; subgraphs to ops that are refused by name
    return Node(
        name=name,
        op_type=op_type,
        inputs=tuple(_text(tensor) for tensor in proto.input),
        outputs=tuple(_text(tensor) for tensor in proto.output),
        attributes=attributes,
        domain=_text(proto.domain),
    )


def _constant_nodes(graph: onnx.GraphProto, place: str) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    for node in graph.node:
        if node.op_type != "Constant":
            continue
        for attribute in node.attribute:
            if attribute.name == "value":
                found[_text(node.output[0])] = _array(attribute.t, place)
            elif attribute.name in ("value_float", "value_int"):
                found[_text(node.output[0])] = np.array(
                    attribute.f if attribute.name == "value_float" else attribute.i, dtype=np.float64
                )
            elif attribute.name in ("value_floats", "value_ints"):
                values = attribute.floats if attribute.name == "value_floats" else attribute.ints
                found[_text(node.output[0])] = np.array(list(values), dtype=np.float64)
    return found


def _input_shape(value: onnx.ValueInfoProto, place: str) -> tuple[int, int, int]:
    extents = [d.dim_value if d.HasField("dim_value") else 0 for d in value.type.tensor_type.shape.dim]
    where = f"{place}: input {value.name!r}"
    if len(extents) == 2:
        extents = [*extents, 1, 1]
    if len(extents) != 4:
        raise ModelError(f"its shape {extents} is not [N, C, H, W]", where=where)
    if min(extents[1:]) < 1:
        raise ModelError(
            "its channels, height or width are not fixed",
            where=where,
            hint="export with a concrete example input",
        )
    if math.prod(extents[1:]) > MAX_INPUT_ELEMENTS:
        raise ModelError(
            f"an image of {math.prod(extents[1:])} elements is larger than the {MAX_INPUT_ELEMENTS} supported",
            where=where,
        )
    return extents[1], extents[2], extents[3]
