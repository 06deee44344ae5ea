"""QONNX models made node by node, and qonnx's own executor as the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from psp_hw.ir.graph import Graph
from psp_hw.sim.values import Simulator, decode, encode

QUANT_DOMAIN = "qonnx.custom_op.general"


class ModelMaker:
    """An ONNX graph that grows; methods return the name of the tensor that they make."""

    def __init__(self, shape: tuple[int, int, int], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray | float, name: str | None = None) -> str:
        name = name or f"const{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype=np.float32), name))
        return name

    def shape_constant(self, values: list[int]) -> str:
        name = f"shape{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name

    def node(
        self, op: str, inputs: list[str], *, name: str | None = None, domain: str = "", **attributes
    ) -> str:
        name = name or f"/{op.lower()}{len(self.nodes)}/{op}"
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=name, domain=domain, **attributes))
        return out

    def quant(
        self,
        source: str,
        *,
        bits: float = 4,
        frac: int | np.ndarray = 2,
        signed: int = 1,
        narrow: int = 0,
        zero: float = 0.0,
        scale: np.ndarray | float | None = None,
        mode: str = "ROUND",
        name: str | None = None,
    ) -> str:
        scale = 2.0 ** -np.asarray(frac, dtype=np.float64) if scale is None else scale
        inputs = [source, self.constant(scale), self.constant(zero), self.constant(bits)]
        return self.node(
            "Quant", inputs, name=name, domain=QUANT_DOMAIN, signed=signed, narrow=narrow, rounding_mode=mode
        )

    def weight(
        self, shape: tuple[int, ...], *, bits: int = 4, per_channel: bool = False, axis: int = 0
    ) -> str:
        frac: int | np.ndarray = 3
        if per_channel:
            extents = [1] * len(shape)
            extents[axis] = shape[axis]
            frac = self.rng.integers(1, 5, size=extents)
        values = self.rng.normal(size=shape) * 0.7
        return self.quant(self.constant(values), bits=bits, frac=frac, narrow=1)

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "made",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, *self.shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.initializers,
        )
        imports = [helper.make_opsetid("", 13), helper.make_opsetid(QUANT_DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)

    def save(self, output: str, path: Path) -> Path:
        onnx.save(self.model(output), str(path))
        return path


def reference(path: Path, images: np.ndarray) -> np.ndarray:
    """What qonnx's executor computes, image by image: [N, ...]."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(str(path)).transform(InferShapes())
    name = model.graph.output[0].name
    return np.concatenate([execute_onnx(model, {"image": image[None]})[name] for image in images])


def outputs(graph: Graph, images: np.ndarray) -> np.ndarray:
    """The real-valued outputs of a graph, in ONNX's order: [N, ...]."""
    codes = Simulator(graph, threads=1).run(encode(images, graph.input.type, graph.input.unit))
    real = decode(codes, graph.types[graph.output.name].fmt, graph.output.unit)
    return real.transpose(0, 3, 1, 2)


def assert_equals_reference(
    path: Path, shape: tuple[int, int, int], *, images: int = 4, seed: int = 7, channels_last: bool = False
) -> Graph:
    """qonnx's executor, the graph and the optimized graph give equal real numbers; returns the optimized graph."""
    from psp_hw.lowering import lower
    from psp_hw.passes import optimize

    floats = np.random.default_rng(seed).normal(size=(images, *shape)).astype(np.float32) * 3
    fed = floats.transpose(0, 2, 3, 1) if channels_last else floats
    expected = reference(path, fed).astype(np.float64)
    graph = lower(path)
    optimized = optimize(graph)
    for candidate in (graph, optimized):
        actual = outputs(candidate, floats)
        if graph.output.unit != 1.0:  # the reference rounds code times scale to float32
            actual = actual.astype(np.float32)
        assert np.array_equal(expected.reshape(images, -1), actual.reshape(images, -1))
    return optimized
