"""The quantized network as QONNX, named after its modules and the same bytes every time.

Every value carries the name of the step that made it (``stage1.block1.relu1``), so that a comparison can say where
two computations part. Beside a step X: ``X.weight.quant`` and ``X.bias.quant`` are the quantizers of its constants,
``X.relu`` is the ReLU in front of a quantizer, and every quantizer Q has ``Q.scale``, ``Q.zero_point``, ``Q.bits``.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import fx, nn

from psp_hw.errors import ModelError
from psp_hw.quant.affine import FixedAffine, QuantizedAffine
from psp_hw.quant.convert import QuantizedAdd, QuantizedConcat, affine_layers

INPUT_NAME = "input"
_QUANT_INPUTS = ("scale", "zero_point", "bits")
_SCALARS = tuple(f".{name}" for name in _QUANT_INPUTS)


def export_model(model: fx.GraphModule, image: tuple[int, int, int], path: Path, *, name: str) -> None:
    """Write a calibrated network as one QONNX file without external data.

    Args:
        model: from `psp_hw.quant.convert.quantize`; not changed.
        image: channels, height and width.
        path: of the file.
        name: of the graph, which becomes the name of the hardware.

    Raises:
        ModelError: the exporter wrote something other than the network.
    """
    blank = torch.zeros(1, *image)
    ready = _with_constants(copy.deepcopy(model).float().eval())
    raw = path.with_name(f"{path.name}.raw")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Brevitas and torch.onnx announce deprecations of their own
            from brevitas.export import export_qonnx

            export_qonnx(ready, args=blank, export_path=str(raw), dynamo=False)
        exported = onnx.load(raw)
    finally:
        raw.unlink(missing_ok=True)
    named = _with_global_pools(_with_shapes(_Renamer(exported, model, name).run()))
    onnx.checker.check_model(named)
    path.write_bytes(named.SerializeToString(deterministic=True))


def _with_constants(model: fx.GraphModule) -> fx.GraphModule:
    """The network with its affine maps as plain constants, in place."""
    for name, affine in affine_layers(model).items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, FixedAffine(affine))
    return model


class _Renamer:
    """Walks the nodes in order of execution beside the modules that they came from."""

    def __init__(self, exported: onnx.ModelProto, model: fx.GraphModule, name: str) -> None:
        self.name = name
        self.exported = exported
        self.model = model
        self.graph = exported.graph
        self.constants = {i.name: i for i in self.graph.initializer}
        self.values = {self.graph.input[0].name: INPUT_NAME}
        self.initializers: list[onnx.TensorProto] = []
        self.nodes: list[onnx.NodeProto] = []
        self.pending = list(self.graph.node)

    def run(self) -> onnx.ModelProto:
        """The renamed model."""
        modules = dict(self.model.named_modules())
        for step in self.model.graph.nodes:
            if step.op == "call_module":
                self._step(str(step.target), modules[str(step.target)])
        if self.pending:
            raise ModelError(f"unexpected node {self.pending[0].op_type}", where="QONNX export")
        return self._model()

    def _step(self, name: str, module: nn.Module) -> None:
        """Take the nodes of one module: its quantizers first, the one that makes the value last."""
        last = _last_op(module)
        while True:
            if not self.pending:
                raise ModelError(f"the exporter wrote no {last} for '{name}'", where="QONNX export")
            node = self.pending.pop(0)
            is_constant = node.op_type == "Quant" and node.input[0] in self.constants
            if node.op_type == last and not is_constant:
                self._take(node, name)
                return
            if is_constant:
                kind = "weight" if node.input[0].endswith("weight") else "bias"
                self._take(node, f"{name}.{kind}.quant", constant=f"{name}.{kind}")
            elif node.op_type == "Relu":
                self._take(node, f"{name}.relu")
            elif node.op_type == "Mul" and last == "Add":
                self._take(node, f"{name}.scaled", constant=f"{name}.gain")
            else:
                raise ModelError(f"unexpected node {node.op_type} in '{name}'", where="QONNX export")

    def _take(self, node: onnx.NodeProto, name: str, *, constant: str | None = None) -> None:
        inputs = list(node.input)
        for index, value in enumerate(inputs):
            if value in self.values:
                inputs[index] = self.values[value]
                continue
            label = constant or f"{name}.offset"
            if node.op_type == "Quant" and not (constant and index == 0):
                label = f"{name}.{_QUANT_INPUTS[index - 1]}"
            stored = np.ascontiguousarray(numpy_helper.to_array(self.constants[value]))
            if stored.size == 1 and label.endswith(_SCALARS):
                stored = stored.reshape(
                    ()
                )  # hls4ml reads a parameter of one axis, or of several, as no number
            self.initializers.append(numpy_helper.from_array(stored, label))
            inputs[index] = label
        self.values[node.output[0]] = name
        made = onnx.helper.make_node(node.op_type, inputs, [name], name=name, domain=node.domain)
        made.attribute.extend(sorted(node.attribute, key=_attribute_name))
        self.nodes.append(made)

    def _model(self) -> onnx.ModelProto:
        source, result = self.graph.input[0], self.graph.output[0]
        source_type, result_type = copy.deepcopy(source.type), copy.deepcopy(result.type)
        graph = onnx.helper.make_graph(
            self.nodes,
            self.name,
            [onnx.ValueInfoProto(name=INPUT_NAME, type=source_type)],
            [onnx.ValueInfoProto(name=self.values[result.name], type=result_type)],
            initializer=self.initializers,
        )
        return onnx.helper.make_model(
            graph,
            opset_imports=sorted(self.exported.opset_import, key=lambda opset: opset.domain),
            ir_version=self.exported.ir_version,
            producer_name="psp-hw",
        )


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shape of every tensor in it, without which qonnx's executor does not begin."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    inferred = ModelWrapper(copy.deepcopy(model)).transform(InferShapes()).model
    shapes = sorted(inferred.graph.value_info, key=lambda value: str(value.name))
    del model.graph.value_info[:]
    model.graph.value_info.extend(shapes)
    return model


def _with_global_pools(model: onnx.ModelProto) -> onnx.ModelProto:
    """Means over the whole frame as GlobalAveragePool, which qonnx and hls4ml know in every layout."""
    extents = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    for node in model.graph.node:
        if node.op_type != "AveragePool":
            continue
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if list(given["kernel_shape"]) == extents[node.input[0]][2:] and not any(given.get("pads", ())):
            node.op_type = "GlobalAveragePool"
            del node.attribute[:]
    return model


def _attribute_name(attribute: Any) -> str:
    return str(attribute.name)


def _last_op(module: nn.Module) -> str:
    """The ONNX operator whose result is the value of a module."""
    for kinds, op in _LAST_OP:
        if isinstance(module, kinds):
            return op
    return "Quant"


_LAST_OP: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str], ...] = (
    (nn.Conv2d, "Conv"),
    (nn.Linear, "Gemm"),
    (nn.AvgPool2d, "AveragePool"),
    (nn.AdaptiveAvgPool2d, "GlobalAveragePool"),
    (nn.MaxPool2d, "MaxPool"),
    (nn.Flatten, "Flatten"),
    (QuantizedAdd, "Add"),
    (QuantizedAffine, "Add"),
    (QuantizedConcat, "Concat"),
)
