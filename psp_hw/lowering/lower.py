"""From QONNX nodes to a verified integer graph, node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from psp_hw.errors import ModelError
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Output
from psp_hw.ir.verify import GraphError, verify
from psp_hw.lowering import nodes
from psp_hw.lowering.builder import Builder
from psp_hw.lowering.onnx_file import Node, OnnxModel, read

Handler = Callable[[Node, Builder], None]

HANDLERS: Mapping[str, Handler] = {
    "Quant": nodes.lower_quant,
    "Conv": nodes.lower_conv,
    "Gemm": nodes.lower_gemm,
    "MatMul": nodes.lower_matmul,
    "Add": nodes.lower_add,
    "Concat": nodes.lower_concat,
    "Relu": nodes.lower_relu,
    "AveragePool": nodes.lower_average_pool,
    "GlobalAveragePool": nodes.lower_global_average_pool,
    "ReduceMean": nodes.lower_reduce_mean,
    "MaxPool": nodes.lower_max_pool,
    "Flatten": nodes.lower_flatten,
    "Reshape": nodes.lower_reshape,
    "Transpose": nodes.lower_transpose,
    "Identity": nodes.lower_identity,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A graph, and where its values come from.

    Args:
        graph: verified.
        tensors: the ONNX tensor that each value equals, by value name (those that have one).
    """

    graph: Graph
    tensors: Mapping[str, str]


def lower(path: Path) -> Graph:
    """The integer graph of a QONNX file.

    Raises:
        ModelError: the file is corrupt, or a node is not supported; names the node and what is supported.
    """
    return lower_model(read(path), where=str(path)).graph


def lower_model(model: OnnxModel, *, where: str) -> Lowered:
    """The integer graph of a model in memory."""
    builder = Builder(model)
    for node in model.nodes:
        handler = HANDLERS.get(node.op_type)
        if handler is None:
            raise ModelError(
                f"the op {node.op_type} is not supported",
                where=node.place,
                hint=f"supported are {', '.join(sorted(HANDLERS))}",
            )
        builder.check_inputs(node)
        try:
            handler(node, builder)
        except ValueError as error:  # shapes that do not fit together
            raise ModelError(str(error), where=node.place) from error
    result = builder.value(model.output, None)
    builder.emit(Output(name=builder.names.fresh("output"), input=result.name))
    try:
        graph = verify(builder.graph())
    except GraphError as error:
        raise ModelError(str(error), where=where) from error
    return Lowered(graph=graph, tensors=builder.tensors())
