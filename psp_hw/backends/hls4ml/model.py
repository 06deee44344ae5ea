"""A graph under a fold plan as layers of hls4ml: its own where their arithmetic is exact, else ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import assert_never

import numpy as np
import numpy.typing as npt

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.backends.hls4ml.engines import (
    bias_type_format,
    conv_record,
    pointwise_record,
    threshold_record,
    weight_type_format,
)
from psp_hw.backends.hls4ml.pooling import global_pool, window_pool
from psp_hw.backends.hls4ml.specs import INPUT_NAME, LayerSpec, ends_as, shape_of
from psp_hw.backends.hls4ml.types import exact_type, settled_type
from psp_hw.backends.names import identifiers
from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import Channel, Dataflow
from psp_hw.folding.engine import (
    AddEngine,
    ConcatEngine,
    ConvEngine,
    Engine,
    ForkEngine,
    GlobalPoolEngine,
    PointwiseEngine,
    PortEngine,
    WindowPoolEngine,
    requantizer_of,
)
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Relu
from psp_hw.ir.types import Tap, TensorType

# float64 has every integer up to here.
MOST_EXACT_FLOAT = 1 << 53


def layer_specs(graph: Graph, flow: Dataflow, *, forks: bool = False) -> tuple[LayerSpec, ...]:
    """The layers of a graph.

    Args:
        graph, flow: what to compute, and its engines.
        forks: copy values with several readers in layers of ours; with io_stream hls4ml does that by itself.
    """
    names = layer_names(graph)
    specs: list[LayerSpec] = []
    for engine in flow.engines:
        channels = flow.inputs(engine.name)
        inputs = tuple(_arriving(channel, flow, names, forks=forks) for channel in channels)
        if isinstance(engine, ForkEngine):
            specs += [_fork(engine, inputs)] if forks else []
            continue
        if isinstance(engine, PortEngine) and not engine.enters:
            continue
        made = _layers(engine, names[engine.name], inputs, graph)
        arriving = tuple(channel.name for channel in channels)
        specs += [_with_channels(spec, inputs, arriving) for spec in made]
    return tuple(specs)


def layer_names(graph: Graph) -> dict[str, str]:
    """The layer of every value but the output's, by name of the value."""
    values = [op.name for op in graph.ops[1:-1]]
    return {graph.input.name: INPUT_NAME, **identifiers(values, taken=["input", INPUT_NAME])}


def _with_channels(spec: LayerSpec, inputs: tuple[str, ...], arriving: tuple[str, ...]) -> LayerSpec:
    """Name the channel behind every input that comes from outside the engine."""
    waiting = dict(zip(range(len(inputs)), arriving, strict=True))
    found: list[str | None] = []
    for name in spec.inputs:
        port = next((n for n, source in enumerate(inputs) if source == name and n in waiting), None)
        found.append(waiting.pop(port) if port is not None else None)
    return replace(spec, channel_inputs=tuple(found))


def _arriving(channel: Channel, flow: Dataflow, names: Mapping[str, str], *, forks: bool) -> str:
    """Name of the value that a channel brings, or of the copy of it."""
    if channel.source in names:
        return names[channel.source]
    value = names[flow.inputs(channel.source)[0].source]
    return _copy(value, flow.outputs(channel.source).index(channel)) if forks else value


def _copy(value: str, place: int) -> str:
    return f"{value}__copy{place}"


def _fork(engine: ForkEngine, inputs: tuple[str, ...]) -> LayerSpec:
    return LayerSpec(
        name=f"{inputs[0]}__fork",
        kind="PspFork",
        inputs=inputs,
        outputs=tuple(_copy(inputs[0], place) for place in range(engine.copies)),
        entries={
            "output_shape": shape_of(engine.type),
            "engine": {"elements": engine.type.pixels * engine.type.channels},
        },
        precision={"result": exact_type(engine.type.fmt)},
    )


def _layers(engine: Engine, name: str, inputs: tuple[str, ...], graph: Graph) -> list[LayerSpec]:
    """The layers of an engine; the last has its name."""
    match engine:
        case PortEngine():
            return [_input(engine, name)]
        case ConvEngine():
            made = _dense if _is_dense(engine) else _conv
            return [made(engine, name, inputs, graph)]
        case GlobalPoolEngine():
            return [global_pool(engine, name, inputs)]
        case WindowPoolEngine():
            return [window_pool(engine, name, inputs)]
        case AddEngine():
            return _add(engine, name, inputs)
        case ConcatEngine():
            return _concat(engine, name, inputs)
        case AffineEngine():
            return _affine(engine, name, inputs, graph)
        case ThresholdEngine():
            return [_threshold(engine, name, inputs, graph)]
        case PointwiseEngine():
            return [_pointwise(engine, name, inputs)]
        case ForkEngine():
            return []
        case _:
            assert_never(engine)


def _input(engine: PortEngine, name: str) -> LayerSpec:
    return LayerSpec(
        name=name,
        kind="Input",
        inputs=(),
        entries={"input_shape": shape_of(engine.type)},
        precision={"result": exact_type(engine.type.fmt)},
    )


def _settled(spec: LayerSpec, exact: TensorType, to: Requantizer | None, fmt: FixedPoint) -> list[LayerSpec]:
    """A layer of hls4ml that ends by rounding and saturating; what no type of its can do follows in a layer of ours.

    Args:
        spec: the layer; its result type is what this function decides.
        exact: type of its exact result.
        to: what then happens.
        fmt: format of what leaves.
    """
    ending = ends_as(to, fmt)
    if ending is not None:
        return [replace(spec, precision={**spec.precision, "result": ending})]
    assert to is not None
    aside = f"{spec.name}__exact"  # no identifier of ours has two underscores in a row
    return [
        replace(spec, name=aside, precision={**spec.precision, "result": exact_type(exact.fmt)}),
        _requantize(spec.name, aside, exact, to),
    ]


def _requantize(name: str, source: str, kind: TensorType, to: Requantizer) -> LayerSpec:
    return LayerSpec(
        name=name,
        kind="PspPointwise",
        inputs=(source,),
        entries={"output_shape": shape_of(kind), "engine": asdict(pointwise_record(kind, to))},
        precision={"result": exact_type(to.fmt)},
    )


def _is_dense(engine: ConvEngine) -> bool:
    """One tap on one pixel, one out, all connections, and hls4ml's own dense layer can end as the convolution does."""
    op, to = engine.op, engine.op.requantize
    return (
        engine.table is None
        and op.taps == (Tap(op.padding.top, op.padding.left),)
        and engine.source.pixels == 1
        and engine.result.pixels == 1
        and (to is None or settled_type(to) is not None)
    )


def _conv(engine: ConvEngine, name: str, inputs: tuple[str, ...], graph: Graph) -> LayerSpec:
    weight, bias = weight_type_format(engine), bias_type_format(engine)
    return LayerSpec(
        name=name,
        kind="PspConv2D",
        inputs=inputs,
        entries={
            "output_shape": shape_of(engine.result),
            "engine": asdict(conv_record(engine, graph.constants[engine.op.weight])),
            "weight_data": _real(
                engine.weight_words(graph.constants[engine.op.weight]).reshape(-1), weight.frac
            ),
            "bias_data": _real(engine.by_block(_bias(engine, graph)).reshape(-1), bias.frac),
        },
        precision={
            "weight": exact_type(weight),
            "bias": exact_type(bias),
            "result": exact_type(engine.result.fmt),
        },
        reuse_factor=1,
    )


def _dense(engine: ConvEngine, name: str, inputs: tuple[str, ...], graph: Graph) -> LayerSpec:
    """hls4ml's own layer: per-channel scales go into the weights, which are few."""
    op, source = engine.op, engine.source
    align = np.array(op.align or (0,) * engine.out_channels, dtype=np.int64)
    weights = graph.constants[op.weight].reshape(-1, engine.out_channels) << align
    bias = _bias(engine, graph) << align
    frac = source.fmt.frac + op.weight_frac
    weight_fmt = _signed_holding(weights, op.weight_frac)
    acc_fmt = FixedPoint(width=engine.acc_fmt.width + 1 + int(align.max()), signed=True, frac=frac)
    return LayerSpec(
        name=name,
        kind="Dense",
        inputs=inputs,
        entries={
            "n_in": source.channels,
            "n_out": engine.out_channels,
            "weight_data": _real(weights, op.weight_frac),
            "bias_data": _real(bias, frac),
        },
        precision={
            "weight": exact_type(weight_fmt),
            "bias": exact_type(_signed_holding(bias, frac)),
            "accum": exact_type(acc_fmt),
            "result": ends_as(op.requantize, engine.result.fmt) or "",
        },
        reuse_factor=engine.cycles_per_output,
    )


def _add(engine: AddEngine, name: str, inputs: tuple[str, ...]) -> list[LayerSpec]:
    spec = LayerSpec(name=name, kind="Merge", inputs=inputs, entries={"op": "add"}, precision={})
    return _settled(spec, replace(engine.result, fmt=engine.sum_fmt), engine.op.requantize, engine.result.fmt)


def _affine(engine: AffineEngine, name: str, inputs: tuple[str, ...], graph: Graph) -> list[LayerSpec]:
    op, frac = engine.op, engine.source.fmt.frac + engine.op.scale_frac
    scale, offset = graph.constants[op.scale], graph.constants[op.offset]
    spec = LayerSpec(
        name=name,
        kind="BatchNormalization",
        inputs=inputs,
        entries={
            "n_in": engine.source.pixels * engine.source.channels,
            "n_filt": engine.source.channels,
            "scale_data": _real(scale, op.scale_frac),
            "bias_data": _real(offset, frac),
        },
        precision={
            "scale": exact_type(_signed_holding(scale, op.scale_frac)),
            "bias": exact_type(_signed_holding(offset, frac)),
        },
    )
    if (scale == 1 << op.scale_frac).all() and not offset.any():
        # hls4ml takes such a layer out, with its rounding.
        spec = LayerSpec(
            name=name, kind="Activation", inputs=inputs, entries={"activation": "linear"}, precision={}
        )
    exact = replace(engine.source, fmt=FixedPoint(width=engine.acc_fmt.width + 1, signed=True, frac=frac))
    return _settled(spec, exact, op.requantize, engine.result.fmt)


def _threshold(engine: ThresholdEngine, name: str, inputs: tuple[str, ...], graph: Graph) -> LayerSpec:
    op = engine.op
    levels, start, step = (graph.constants[constant] for constant in (op.thresholds, op.start, op.step))
    return LayerSpec(
        name=name,
        kind="PspThreshold",
        inputs=inputs,
        entries={
            "output_shape": shape_of(engine.result),
            "engine": asdict(threshold_record(engine, levels, start, step)),
        },
        precision={"result": exact_type(engine.result.fmt)},
    )


def _concat(engine: ConcatEngine, name: str, inputs: tuple[str, ...]) -> list[LayerSpec]:
    """hls4ml joins two at a time."""
    axis = 1 if engine.result.pixels == 1 else 3
    precision = {"result": exact_type(engine.result.fmt)}
    made: list[LayerSpec] = []
    left = inputs[0]
    for place, right in enumerate(inputs[1:], start=1):
        last = place == len(inputs) - 1
        own = name if last else f"{name}__part{place}"
        made.append(
            LayerSpec(
                name=own,
                kind="Concatenate",
                inputs=(left, right),
                entries={"op": "concatenate" + ("1d" if axis == 1 else "3d"), "axis": axis},
                precision=precision,
            )
        )
        left = own
    return made


def _pointwise(engine: PointwiseEngine, name: str, inputs: tuple[str, ...]) -> LayerSpec:
    to = requantizer_of(engine)
    ending = ends_as(to, engine.result.fmt)
    if ending is None:
        assert to is not None
        return _requantize(name, inputs[0], engine.source, to)
    return LayerSpec(
        name=name,
        kind="Activation",
        inputs=inputs,
        entries={"activation": "relu" if isinstance(engine.op, Relu) else "linear"},
        precision={"result": ending},
    )


def _bias(engine: ConvEngine, graph: Graph) -> IntArray:
    """The bias [Co], zeros where there is none."""
    if engine.op.bias is None:
        return np.zeros(engine.out_channels, dtype=np.int64)
    return graph.constants[engine.op.bias]


def _real(codes: IntArray, frac: int) -> npt.NDArray[np.float64]:
    """Real values of codes, exactly.

    Raises:
        SpecError: hls4ml takes constants as float64, which does not hold one of them.
    """
    largest = max(abs(int(codes.min())), abs(int(codes.max())))
    if largest > MOST_EXACT_FLOAT:
        raise SpecError(
            f"a constant of {largest.bit_length()} bits is more than the 53 of the numbers in which hls4ml takes it",
            where="emit",
            hint="use --target vivado or vitis",
        )
    return np.asarray(np.ldexp(codes.astype(np.float64), -frac))


def _signed_holding(codes: IntArray, frac: int) -> FixedPoint:
    lo, hi = min(int(codes.min()), -1), max(int(codes.max()), 0)
    width = max((-lo - 1).bit_length(), hi.bit_length(), 1) + 1
    return FixedPoint(width=width, signed=True, frac=frac)
