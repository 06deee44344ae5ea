"""State of a lowering: the ops so far, the types of their values, and which ONNX tensor is which."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.errors import ModelError
from psp_hw.ir.graph import Graph
from psp_hw.ir.infer import result_type
from psp_hw.ir.ops import Op, op_inputs
from psp_hw.ir.types import NO_PADDING, TensorType
from psp_hw.lowering.features import ONE, Layout, PendingInput, PendingMean, Value, frame
from psp_hw.lowering.names import Names
from psp_hw.lowering.onnx_file import FloatArray, Node, OnnxModel
from psp_hw.lowering.quant import QuantTensor

MAX_ACCUMULATOR_BITS = 62

Known = Value | PendingInput | PendingMean | QuantTensor


class Outcome(Enum):
    """How an ONNX node is computed."""

    EXACT = "exact"
    ROUNDED = "rounded"
    UNSUPPORTED = "unsupported"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a lowering may do.

    Args:
        exact: refuse what would not be computed exactly.
        multiplier_bits: most bits of the integer that stands for a scale which is no power of two, where that is exact.
        rounded_bits: its bits where no such integer is exact. A DSP48 multiplies by 18 bits at once.
        threshold_bits: most bits of a result that is found by comparing with thresholds.
    """

    exact: bool = True
    multiplier_bits: int = 40
    rounded_bits: int = 18
    threshold_bits: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What happens to a node, in words."""

    node: Node
    outcome: Outcome
    text: str


class Builder:
    """Collects ops; every tensor of the ONNX graph is a value, a constant of floats, or a constant of integers."""

    def __init__(self, model: OnnxModel, options: Options) -> None:
        self.model = model
        self.options = options
        self.names = Names()
        self.types: dict[str, TensorType] = {}
        self.constants: dict[str, IntArray] = {}
        self.named_by_quantizer: set[str] = set()
        self.remarks: list[Remark] = []
        self._changed: set[str] = set()
        self._ops: dict[str, Op] = {}
        self._floats = dict(model.constants)
        self.image = _pending_input(model)
        self._known: dict[str, Known] = {model.input: self.image}
        self._uses: dict[str, int] = {model.output: 1}
        for node in model.nodes:
            for tensor in node.inputs:
                self._uses[tensor] = self._uses.get(tensor, 0) + 1

    def remark(self, node: Node, text: str, outcome: Outcome = Outcome.EXACT) -> None:
        """Say what happens to a node."""
        self.remarks.append(Remark(node=node, outcome=outcome, text=text))

    def check_inputs(self, node: Node) -> None:
        """Every tensor that a node reads is defined before it."""
        for tensor in node.inputs:
            if tensor and tensor not in self._known and tensor not in self._floats:
                raise ModelError(f"it reads {tensor!r}, which no earlier node gives", where=node.place)

    def uses(self, tensor: str) -> int:
        """How many inputs of nodes, or of the model's output, read a tensor."""
        return self._uses.get(tensor, 0)

    def define(self, tensor: str, known: Known) -> None:
        """Say what an ONNX tensor is."""
        if isinstance(known, Value) and known.alone:
            known = replace(known, alone=self.uses(tensor) <= 1)
        self._known[tensor] = known

    def define_floats(self, tensor: str, values: FloatArray) -> None:
        """Say that an ONNX tensor is a constant of floats."""
        self._floats[tensor] = values

    def known(self, tensor: str) -> Known | None:
        """What a tensor is, unless it is a constant of floats."""
        return self._known.get(tensor)

    def floats(self, tensor: str) -> FloatArray | None:
        """A constant of floats."""
        return self._floats.get(tensor)

    def value(self, tensor: str, node: Node | None, *, padded: bool = False) -> Value:
        """The feature map that a tensor is, whatever real map lies over its codes.

        Raises:
            ModelError: it is a constant, not quantized yet, a mean that nothing rounds, or has zeros around it that the
                reader cannot take in.
        """
        place = node.place if node is not None else "output"
        match self._known.get(tensor):
            case Value() as value:
                if value.padding != NO_PADDING and not padded:
                    raise ModelError(
                        "the zeros of a Pad node reach it; they are supported only before a convolution or max pooling",
                        where=place,
                    )
                return value
            case PendingInput():
                raise ModelError(
                    "the input image reaches it without a Quant node",
                    where=place,
                    hint="psp-hw check MODEL.onnx --quantize-input s8.5 writes a file that quantizes it",
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
        self._settle_type(op)
        self._ops[op.name] = op
        return Value(name=op.name, alone=True)

    def op(self, name: str) -> Op:
        """An op emitted before."""
        return self._ops[name]

    def amend(self, op: Op) -> None:
        """Replace the op of the same name, which nothing but the current node reads; what it makes may change."""
        self._settle_type(op)
        self._ops[op.name] = op
        self._changed.add(op.name)

    def _settle_type(self, op: Op) -> None:
        kind = result_type(op, [self.types[name] for name in op_inputs(op)], self.constants)
        if kind.fmt.width > MAX_ACCUMULATOR_BITS:
            raise ModelError(
                f"its exact result needs {kind.fmt.width} bits; up to {MAX_ACCUMULATOR_BITS} are supported",
                where=op.name,
            )
        self.types[op.name] = kind

    def constant(self, name: str, values: IntArray | list[int] | list[list[int]]) -> str:
        """Keep integers under a name."""
        try:
            self.constants[name] = np.asarray(values, dtype=np.int64)
        except OverflowError as error:
            raise ModelError("it needs a constant of more than 64 bits", where=name) from error
        return name

    def rename(self, old: str, new: str) -> None:
        """Give an op another name, everywhere."""
        self._ops = {new if name == old else name: _renamed(op, old, new) for name, op in self._ops.items()}
        self.types = {new if name == old else name: kind for name, kind in self.types.items()}
        self._changed = {new if name == old else name for name in self._changed}
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
        return {
            known.name: tensor
            for tensor, known in self._known.items()
            if isinstance(known, Value)
            and known.plain
            and known.factors == ONE
            and known.name not in self._changed
        }


def _pending_input(model: OnnxModel) -> PendingInput:
    layout = _input_layout(model)
    channels, height, width = frame(layout, model.input_shape)
    return PendingInput(channels=channels, height=height, width=width, layout=layout)


def _input_layout(model: OnnxModel) -> Layout:
    """The layout that the first node which minds it gives the image."""
    if model.input_rank == 2:
        return Layout.FLAT_CHW
    reached = {model.input}
    for node in model.nodes:
        if not node.inputs or node.inputs[0] not in reached:
            continue
        if node.op_type == "Transpose":
            chosen = node.attributes.get("perm") == (0, 3, 1, 2)
            return Layout.NHWC if chosen else Layout.NCHW
        if node.channels_last:
            return Layout.NHWC
        if node.op_type in ("Conv", "Flatten", "GlobalAveragePool", "AveragePool", "MaxPool"):
            return Layout.NCHW
        reached |= set(node.outputs)
    return Layout.NCHW


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
