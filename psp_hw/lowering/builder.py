"""State of a lowering: the ops so far, the types of their values, and which ONNX tensor is which."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.errors import ModelError
from psp_hw.ir.graph import Graph
from psp_hw.ir.infer import result_type
from psp_hw.ir.ops import Op, op_inputs
from psp_hw.ir.types import TensorType
from psp_hw.lowering.names import Names
from psp_hw.lowering.onnx_file import FloatArray, Node, OnnxModel
from psp_hw.lowering.quant import QuantTensor

MAX_ACCUMULATOR_BITS = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A feature map in the graph.

    Args:
        name: name of the op that makes it.
        flat: whether ONNX sees [N, features] (features in C, H, W order) instead of [N, C, H, W].
    """

    name: str
    flat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingInput:
    """The float image before its quantizer."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMean:
    """A mean over a number of pixels that is no power of two, before the quantizer that rounds it."""

    node: Node
    source: Value
    kernel: tuple[int, int]
    stride: tuple[int, int]
    flat: bool = False


Known = Value | PendingInput | PendingMean | QuantTensor


class Builder:
    """Collects ops; every tensor of the ONNX graph is a value, a constant of floats, or a constant of integers."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self.names = Names()
        self.types: dict[str, TensorType] = {}
        self.constants: dict[str, IntArray] = {}
        self.named_by_quantizer: set[str] = set()
        self._ops: dict[str, Op] = {}
        channels, height, width = model.input_shape
        self._known: dict[str, Known] = {
            model.input: PendingInput(channels=channels, height=height, width=width)
        }
        self._uses: dict[str, int] = {model.output: 1}
        for node in model.nodes:
            for tensor in node.inputs:
                self._uses[tensor] = self._uses.get(tensor, 0) + 1

    def check_inputs(self, node: Node) -> None:
        """Every tensor that a node reads is defined before it."""
        for tensor in node.inputs:
            if tensor and tensor not in self._known and tensor not in self.model.constants:
                raise ModelError(f"it reads {tensor!r}, which no earlier node gives", where=node.place)

    def uses(self, tensor: str) -> int:
        """How many inputs of nodes, or of the model's output, read a tensor."""
        return self._uses.get(tensor, 0)

    def define(self, tensor: str, known: Known) -> None:
        """Say what an ONNX tensor is."""
        self._known[tensor] = known

    def known(self, tensor: str) -> Known | None:
        """What a tensor is, unless it is a constant of floats."""
        return self._known.get(tensor)

    def floats(self, tensor: str) -> FloatArray | None:
        """A constant of floats."""
        return self.model.constants.get(tensor)

    def value(self, tensor: str, node: Node | None) -> Value:
        """The feature map that a tensor is.

        Raises:
            ModelError: it is a constant, not quantized yet, or a mean that nothing rounds.
        """
        place = node.place if node is not None else "output"
        match self._known.get(tensor):
            case Value() as value:
                return value
            case PendingInput():
                raise ModelError(
                    "the input image reaches it without a Quant node",
                    where=place,
                    hint="quantize the input first",
                )
            case PendingMean() as mean:
                area = mean.kernel[0] * mean.kernel[1]
                raise ModelError(
                    f"a mean over {area} pixels reaches it without a Quant node",
                    where=place,
                    hint="quantize the result of the pooling: only means over 2**k pixels are exact",
                )
            case _:
                raise ModelError(f"{tensor!r} is a constant where a feature map is expected", where=place)

    def quantized_constant(self, tensor: str, node: Node, what: str) -> QuantTensor:
        """The integers of a constant.

        Raises:
            ModelError: it is no constant or has no Quant node.
        """
        known = self._known.get(tensor)
        if not isinstance(known, QuantTensor):
            raise ModelError(
                f"its {what} {tensor!r} has no Quant node",
                where=node.place,
                hint="export the model with quantized weights and biases",
            )
        return known

    def emit(self, op: Op) -> Value:
        """Append an op.

        Raises:
            ValueError: its inputs do not suit it.
            ModelError: its result needs more bits than can be computed exactly.
        """
        self.types[op.name] = result_type(op, [self.types[name] for name in op_inputs(op)], self.constants)
        fmt = self.types[op.name].fmt
        if fmt.width > MAX_ACCUMULATOR_BITS:
            raise ModelError(
                f"its exact result needs {fmt.width} bits; up to {MAX_ACCUMULATOR_BITS} are supported",
                where=op.name,
            )
        self._ops[op.name] = op
        return Value(name=op.name)

    def op(self, name: str) -> Op:
        """An op emitted before."""
        return self._ops[name]

    def amend(self, op: Op) -> None:
        """Replace the op of the same name; only the last one may change its type."""
        self._ops[op.name] = op
        self.types[op.name] = result_type(op, [self.types[name] for name in op_inputs(op)], self.constants)

    def constant(self, name: str, values: IntArray) -> str:
        """Keep integers under a name."""
        self.constants[name] = np.asarray(values, dtype=np.int64)
        return name

    def rename(self, old: str, new: str) -> None:
        """Give an op another name, everywhere."""
        self._ops = {new if name == old else name: _renamed(op, old, new) for name, op in self._ops.items()}
        self.types = {new if name == old else name: kind for name, kind in self.types.items()}
        for tensor, known in self._known.items():
            if isinstance(known, Value) and known.name == old:
                self._known[tensor] = replace(known, name=new)
            if isinstance(known, PendingMean) and known.source.name == old:
                self._known[tensor] = replace(known, source=replace(known.source, name=new))

    def graph(self) -> Graph:
        """The ops so far as a graph, without those that nothing reads."""
        ops = list(self._ops.values())
        read: set[str] = set()
        kept: list[Op] = []
        for op in reversed(ops):
            if op is ops[-1] or op is ops[0] or op.name in read:
                kept.append(op)
                read |= set(op_inputs(op))
        name = Names().fresh(self.model.name)
        return Graph(name, tuple(reversed(kept)), self.constants)

    def tensors(self) -> dict[str, str]:
        """The ONNX tensor that each value equals, by value name; the last one where several do."""
        return {known.name: tensor for tensor, known in self._known.items() if isinstance(known, Value)}


def _renamed(op: Op, old: str, new: str) -> Op:
    changes: dict[str, str | tuple[str, ...]] = {}
    if op.name == old:
        changes["name"] = new
    if old in op_inputs(op):
        if hasattr(op, "inputs"):
            changes["inputs"] = tuple(new if name == old else name for name in op_inputs(op))
        else:
            changes["input"] = new
    return replace(op, **changes) if changes else op  # type: ignore[arg-type]
