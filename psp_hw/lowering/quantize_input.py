"""A Quant node for an input that has none: files from QKeras say how weights and activations are quantized, not the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.errors import ModelError
from psp_hw.lowering.onnx_file import parse, read

QUANT_DOMAIN = "qonnx.custom_op.general"
QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant", "MultiThreshold")


def with_input_quant(path: Path, fmt: FixedPoint) -> bytes:
    """A QONNX file whose input is quantized to a format, rounded half to even and saturated, before anything reads it.

    Args:
        path: a QONNX file.
        fmt: of the image: ``s8.5`` holds -4 .. 3.97 in steps of 1/32.

    Returns:
        The content of the new file.

    Raises:
        ModelError: the file cannot be read, or quantizes its input itself.
    """
    model = read(path)  # refuses what is huge, external or no single input
    readers = [node for node in model.nodes if model.input in node.inputs]
    quantized = [node for node in readers if node.op_type in QUANTIZERS]
    if quantized:
        what = f"the input is quantized already, by {quantized[0].place}"
        raise ModelError(what, where=str(path), hint="use the file as it is")
    proto = parse(path)
    graph = proto.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    taken |= {tensor.name for tensor in graph.initializer} | {value.name for value in graph.output}
    image = _free(f"{model.input}_quantized", taken)
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == model.input:
                node.input[place] = image
    _insert_quantizer(graph, model.input, image, fmt, taken)
    (value,) = (value for value in graph.input if value.name == model.input)
    shape = onnx.ValueInfoProto()
    shape.CopyFrom(value)
    shape.name = image
    graph.value_info.append(shape)
    if QUANT_DOMAIN not in {opset.domain for opset in proto.opset_import}:
        proto.opset_import.append(helper.make_opsetid(QUANT_DOMAIN, 1))
    return bytes(proto.SerializeToString())


def _insert_quantizer(
    graph: onnx.GraphProto, source: str, image: str, fmt: FixedPoint, taken: set[str]
) -> None:
    """A Quant node at the head of the graph, with its constants."""
    constants = {"scale": 2.0**-fmt.frac, "zeropt": 0.0, "bits": float(fmt.width)}
    names = [_free(f"{image}_{word}", taken) for word in constants]
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, dtype=np.float32), name)
        for name, value in zip(names, constants.values(), strict=True)
    )
    node = helper.make_node(
        "Quant",
        [source, *names],
        [image],
        name=_free("QuantizeInput", taken),
        domain=QUANT_DOMAIN,
        signed=int(fmt.signed),
        narrow=0,
        rounding_mode="ROUND",
    )
    graph.node.insert(0, node)


def _free(name: str, taken: set[str]) -> str:
    """A name that nothing else has."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
