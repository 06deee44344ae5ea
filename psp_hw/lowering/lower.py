"""From QONNX nodes to a verified integer graph, node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from psp_hw.errors import ModelError
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Output
from psp_hw.ir.verify import GraphError, verify
from psp_hw.lowering import arithmetic, convolution, pooling, quantizers, shapes
from psp_hw.lowering.builder import Builder, Options, Outcome, Remark
from psp_hw.lowering.features import Layout
from psp_hw.lowering.onnx_file import Node, OnnxModel, read
from psp_hw.lowering.units import settled

Handler = Callable[[Node, Builder], None]

HANDLERS: Mapping[str, Handler] = {
    "Quant": quantizers.lower_quant,
    "IntQuant": quantizers.lower_quant,
    "BipolarQuant": quantizers.lower_bipolar_quant,
    "Trunc": quantizers.lower_trunc,
    "MultiThreshold": quantizers.lower_multi_threshold,
    "Conv": convolution.lower_conv,
    "Gemm": convolution.lower_gemm,
    "MatMul": convolution.lower_matmul,
    "Add": arithmetic.lower_add,
    "Sub": arithmetic.lower_sub,
    "Mul": arithmetic.lower_mul,
    "Div": arithmetic.lower_div,
    "BatchNormalization": arithmetic.lower_batch_normalization,
    "Relu": arithmetic.lower_relu,
    "Clip": arithmetic.lower_clip,
    "Concat": shapes.lower_concat,
    "AveragePool": pooling.lower_average_pool,
    "GlobalAveragePool": pooling.lower_global_average_pool,
    "ReduceMean": pooling.lower_reduce_mean,
    "MaxPool": pooling.lower_max_pool,
    "GlobalMaxPool": pooling.lower_global_max_pool,
    "Flatten": shapes.lower_flatten,
    "Reshape": shapes.lower_reshape,
    "Transpose": shapes.lower_transpose,
    "Squeeze": shapes.lower_squeeze,
    "Unsqueeze": shapes.lower_unsqueeze,
    "Pad": shapes.lower_pad,
    "Identity": shapes.lower_identity,
    "Dropout": shapes.lower_identity,
    "Cast": shapes.lower_identity,
}

_CLEAN_UP = "run qonnx-cleanup on the model first"
_LOGITS = "end the model with its logits: the largest is the same"
# Shapes that exporters leave to be computed, which qonnx folds into constants; ends of networks that classify.
_ADVICE = {
    **dict.fromkeys(("Shape", "Gather", "Slice", "ConstantOfShape", "Range", "Expand"), _CLEAN_UP),
    **dict.fromkeys(("Softmax", "LogSoftmax", "ArgMax", "TopK"), _LOGITS),
}
LISTED = "supported are "

# What a node becomes where its handler says nothing more.
_PLAIN = {
    "Add": "offset per channel, for the quantizer behind it",
    "Relu": "lower bound of zero",
    "Mul": "factor per channel, for the quantizer behind it",
    "Div": "factor per channel, for the quantizer behind it",
    "Sub": "offset per channel, for the quantizer behind it",
    "BatchNormalization": "factor and offset per channel, for the quantizer behind it",
    "Clip": "bounds of the quantizer behind it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A graph, and where its values come from.

    Args:
        graph: verified.
        tensors: the ONNX tensor that each value equals, by value name (those that have one).
        remarks: what happened to each node, in order.
        channels_last, output_channels_last: the model's own image, or output, is [N, H, W, C].
    """

    graph: Graph
    tensors: Mapping[str, str]
    remarks: tuple[Remark, ...] = ()
    channels_last: bool = False
    output_channels_last: bool = False

    @property
    def exact(self) -> bool:
        """Whether the graph computes what the file says, number for number."""
        return all(remark.outcome is Outcome.EXACT for remark in self.remarks)


def lower(path: Path) -> Graph:
    """The integer graph of a QONNX file, if it computes exactly what the file says.

    Raises:
        ModelError: the file is corrupt, or a node is not supported exactly; names the node and what is supported.
    """
    return lower_file(path).graph


def lower_file(path: Path, options: Options | None = None) -> Lowered:
    """The integer graph of a QONNX file, and what happened to each node.

    Raises:
        ModelError: the file is corrupt, or a node is not supported; names the node and what is supported.
    """
    return lower_model(read(path), where=str(path), options=options)


def lower_model(model: OnnxModel, *, where: str, options: Options | None = None) -> Lowered:
    """The integer graph of a model in memory."""
    builder = Builder(model, options or Options())
    for node in model.nodes:
        lower_node(node, builder)
    return finish(builder, where)


def lower_node(node: Node, builder: Builder) -> None:
    """Append what a node computes.

    Raises:
        ModelError: it is not supported; names the node.
    """
    handler = HANDLERS.get(node.op_type)
    if handler is None:
        raise ModelError(
            f"the op {node.op_type} is not supported",
            where=node.place,
            hint=_ADVICE.get(node.op_type, f"{LISTED}{', '.join(sorted(HANDLERS))}"),
        )
    builder.check_inputs(node)
    said = len(builder.remarks)
    try:
        handler(node, builder)
    except (ValueError, IndexError, OverflowError, ZeroDivisionError) as error:  # what does not fit together
        raise ModelError(str(error), where=node.place) from error
    if len(builder.remarks) == said:
        builder.remark(node, _PLAIN.get(node.op_type, "exact"))


def finish(builder: Builder, where: str) -> Lowered:
    """The graph of all nodes, with its output."""
    tensor = builder.model.output
    node = Node(name=tensor, op_type="Output", inputs=(tensor,), outputs=(), attributes={})
    value = settled(builder, node, builder.value(tensor, None))
    unit = float(value.factors[0])
    builder.emit(Output(name=builder.names.fresh("output"), input=value.name, unit=unit))
    try:
        graph = verify(builder.graph())
    except GraphError as error:
        raise ModelError(str(error), where=where) from error
    return Lowered(
        graph=graph,
        tensors=builder.tensors(),
        remarks=tuple(builder.remarks),
        channels_last=builder.image.layout is Layout.NHWC,
        output_channels_last=value.layout in (Layout.NHWC, Layout.FLAT_HWC),
    )
