"""What is compared: stock hls4ml by strategy and ours, at the same folds, with the same integers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.backends.hls4ml.model import layer_specs
from psp_hw.backends.hls4ml.specs import LayerSpec
from psp_hw.backends.hls4ml.types import exact_type, settled_type
from psp_hw.folding.dataflow import Dataflow
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d


class Way(Enum):
    """Through what: a strategy of stock hls4ml, or our layer."""

    LATENCY = "stock latency"
    RESOURCE = "stock resource"
    UNROLLED = "stock resource_unrolled"
    OURS = "psp-hw"

    @property
    def strategy(self) -> str:
        """The word of hls4ml."""
        words = {Way.LATENCY: "latency", Way.RESOURCE: "resource", Way.UNROLLED: "resource_unrolled"}
        return words.get(self, "latency")


class Pace(Enum):
    """What is held fixed between the dense and the pruned network."""

    SAME_II = "same II"
    SAME_MULTIPLIERS = "same multipliers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table; measured fields are None where nothing was run."""

    pace: str
    network: str
    way: str
    multipliers: int
    weight_bits: int
    line_buffer_bits: int
    cycles_per_pixel: int
    cycles_per_frame: int
    compile_seconds: float | None = None
    images_per_second: float | None = None
    mismatches: int | None = None
    gave_up_after_seconds: float | None = None


def fold_of(op: Conv2d, graph: Graph, pace: Pace) -> Fold:
    """The fold of a convolution, dense or pruned, at a pace."""
    taps, inputs, outputs = graph.constants[op.weight].shape
    if op.name == "conv0":
        return Fold(pe=16, simd=3, taps=1) if pace is Pace.SAME_II else Fold(pe=16, simd=1, taps=1)
    if op.kernel == (1, 1):
        return Fold(pe=max(1, outputs // 16), simd=inputs, taps=1)
    return Fold(pe=outputs // 16, simd=inputs, taps=taps if pace is Pace.SAME_II else 1)


def plan_of(graph: Graph, pace: Pace) -> FoldPlan:
    """The folds of all convolutions at a pace."""
    return FoldPlan(nodes={op.name: NodePlan(fold=fold_of(op, graph, pace)) for op in graph.convolutions})


def reuse_of(op: Conv2d, graph: Graph, pace: Pace) -> int:
    """The reuse factor at which stock hls4ml has the multipliers that ours has for the dense network."""
    _, inputs, outputs = graph.constants[op.weight].shape
    dense = op.kernel[0] * op.kernel[1] * inputs * outputs
    taps = 9 if op.kernel == (3, 3) and pace is Pace.SAME_II and op.name != "conv0" else 1
    fold = fold_of(op, graph, pace)
    return dense // (fold.pe * fold.simd * taps)


def stock_specs(graph: Graph, flow: Dataflow, pace: Pace) -> tuple[LayerSpec, ...]:
    """The layers with stock Conv2D in place of ours, exact types."""
    engines = {engine.name: engine for engine in flow.engines if isinstance(engine, ConvEngine)}
    return tuple(
        _stock_conv(spec, engines[spec.name], graph, pace) if spec.kind == "PspConv2D" else spec
        for spec in layer_specs(graph, flow)
    )


def _stock_conv(spec: LayerSpec, engine: ConvEngine, graph: Graph, pace: Pace) -> LayerSpec:
    op, source = engine.op, engine.source
    frac = source.fmt.frac + op.weight_frac
    wide = FixedPoint(width=engine.acc_fmt.width + 1, signed=True, frac=frac)
    assert op.requantize is not None
    settled = settled_type(op.requantize)
    assert settled is not None
    return LayerSpec(
        name=spec.name,
        kind="Conv2D",
        inputs=spec.inputs,
        entries=_geometry(engine) | _numbers(engine, graph, frac),
        precision={
            "weight": spec.precision["weight"],
            "bias": spec.precision["bias"],
            "accum": exact_type(wide),
            "result": settled,
        },
        reuse_factor=reuse_of(op, graph, pace),
    )


def _geometry(engine: ConvEngine) -> dict[str, object]:
    """As many rows and columns of padding as the windows use: hls4ml pads "same" on the far side first."""
    op, source, result = engine.op, engine.source, engine.result
    return {
        "data_format": "channels_last",
        "in_height": source.height,
        "in_width": source.width,
        "n_chan": source.channels,
        "out_height": result.height,
        "out_width": result.width,
        "n_filt": result.channels,
        "filt_height": op.kernel[0],
        "filt_width": op.kernel[1],
        "stride_height": op.stride[0],
        "stride_width": op.stride[1],
        "pad_top": op.padding.top,
        "pad_bottom": op.padding.bottom,
        "pad_left": op.padding.left,
        "pad_right": op.padding.right,
    }


def _numbers(engine: ConvEngine, graph: Graph, frac: int) -> dict[str, object]:
    """Kernel and bias as floats, zeros where positions are gone."""
    op = engine.op
    assert op.bias is not None
    kernel = np.zeros((*op.kernel, engine.source.channels, engine.result.channels))
    for tap, weight in zip(op.taps, graph.constants[op.weight], strict=True):
        kernel[tap.r, tap.s] = weight
    return {
        "weight_data": np.ldexp(kernel, -op.weight_frac),
        "bias_data": np.ldexp(graph.constants[op.bias].astype(float), -frac),
    }
