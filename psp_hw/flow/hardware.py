"""From graph, plan and estimate to what a report says of the hardware."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from psp_hw.cost.estimate import Estimate, FifoEstimate, LayerEstimate, folded_map
from psp_hw.cost.resources import Resources
from psp_hw.cost.shortage import limited
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.engine import ConvEngine, Engine, ForkEngine, PortEngine, WindowPoolEngine
from psp_hw.folding.maps import AffineEngine
from psp_hw.folding.plan import FoldPlan, MultiplierKind
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d
from psp_hw.ir.types import TensorType
from psp_hw.report.model import FifoRow, HardwareSummary, LayerRow, ResourceUse, TapPlane

# How products are made, after where the weights are.
_PRODUCTS = {
    MultiplierKind.TOOL: "",
    MultiplierKind.LUT: ", products in LUTs",
    MultiplierKind.DSP: ", products in DSPs",
    MultiplierKind.DSP_PAIR: ", two products in a DSP",
}


def summarize(
    graph: Graph, plan: FoldPlan, estimate: Estimate, *, target: str, optimality: str = ""
) -> HardwareSummary:
    """What the design costs and how fast it is, engine by engine."""
    part = estimate.part
    dataflow = build(graph, plan)
    costs = {layer.name: layer for layer in estimate.layers}
    limits = limited(part)
    return HardwareSummary(
        part=part.name,
        part_note=f"{part.family.value}, {part.source}",
        target=target,
        clock_ns=estimate.clock.period_ns,
        latency_cycles=estimate.latency,
        interval_cycles=estimate.interval,
        resources=tuple(
            ResourceUse(
                name=resource.value,
                used=used,
                available=part.resources.of(resource),
                factor=max(1.0, estimate.expected_factors.get(resource, 1.0)),
                c_synthesis=estimate.c_synthesis.of(resource),
                limited=resource in limits,
            )
            for resource, used in estimate.resources
        ),
        control=_amounts(estimate.control),
        shortages=tuple(str(shortage) for shortage in estimate.shortages),
        advice=estimate.advice,
        layers=tuple(
            replace(
                _row(engine, dataflow, graph, costs[engine.name]), stalls=estimate.stalls.get(engine.name)
            )
            for engine in dataflow.engines
        ),
        fifos=tuple(_fifo(fifo, estimate.held.get(fifo.name)) for fifo in estimate.fifos),
        statement=estimate.statement,
        optimality=optimality,
    )


def _fifo(fifo: FifoEstimate, held: int | None) -> FifoRow:
    return FifoRow(
        source=fifo.source,
        target=fifo.target,
        depth=fifo.depth,
        width=fifo.bits,
        memory=fifo.memory.value,
        held=held,
    )


def _amounts(resources: Resources) -> tuple[tuple[str, int], ...]:
    return tuple((resource.value, amount) for resource, amount in resources)


def _row(engine: Engine, dataflow: Dataflow, graph: Graph, cost: LayerEstimate) -> LayerRow:
    result = _result(engine)
    inputs = [channel.type for channel in dataflow.inputs(engine.name)]
    source = inputs[0] if inputs else result
    conv = engine if isinstance(engine, ConvEngine) else None
    return LayerRow(
        name=engine.name,
        op=cost.op,
        shape_in=source.shape,
        shape_out=result.shape,
        bits_in=source.fmt.width,
        bits_weight=None if conv is None else conv.weight_fmt.width,
        bits_out=result.fmt.width,
        plane=None if conv is None else tap_plane(conv.op, graph),
        taps=_taps(engine),
        macs=0 if conv is None else _macs(conv),
        macs_dense=0 if conv is None else _dense(conv.op, result),
        connections=0 if conv is None else int(np.count_nonzero(graph.constants[conv.op.weight])),
        connections_dense=0 if conv is None else _dense(conv.op, result) // result.pixels,
        multipliers=0 if conv is None else conv.fold.multipliers,
        fold=_fold(engine),
        memory=_memory(engine),
        cycles=cost.cycles,
        resources=_amounts(cost.resources),
    )


def _result(engine: Engine) -> TensorType:
    return engine.type if isinstance(engine, (ForkEngine, PortEngine)) else engine.result


def _taps(engine: Engine) -> int:
    return len(engine.scan.taps) if isinstance(engine, (ConvEngine, WindowPoolEngine)) else 0


def _memory(engine: Engine) -> str:
    """Where constants are kept and how products are made, in words."""
    if isinstance(engine, ConvEngine):
        return f"weights in {engine.weights.value}{_PRODUCTS[engine.multipliers]}"
    found = folded_map(engine)
    if found is None:
        return ""
    products = _PRODUCTS[found.multipliers] if isinstance(found, AffineEngine) else ""
    return f"constants in {found.weights.value}{products}"


def _fold(engine: Engine) -> str:
    found = engine if isinstance(engine, ConvEngine) else folded_map(engine)
    if found is None:
        return ""
    fold = found.fold
    if not isinstance(found, ConvEngine):
        return str(fold.pe)
    return f"{fold.pe} × {fold.lanes} by table" if fold.table else f"{fold.pe} × {fold.simd} × {fold.taps}"


def _macs(conv: ConvEngine) -> int:
    """Multiplications per frame: every weight of the kept taps, or what the blocks of a connection table need."""
    columns = len(conv.op.taps) * conv.in_channels * conv.out_blocks
    if conv.table is not None:
        columns = int(conv.table.blocks.counts.sum())
    return columns * conv.fold.pe * conv.result.pixels


def _dense(op: Conv2d, result: TensorType) -> int:
    """Multiplications per frame of the layer before anything was pruned."""
    return op.kernel[0] * op.kernel[1] * op.dense_in_channels * op.dense_out_channels * result.pixels


def tap_plane(op: Conv2d, graph: Graph) -> TapPlane | None:
    """Where the weight of a convolution lies; None for a kernel of one position."""
    if op.kernel == (1, 1):
        return None
    sums = np.abs(graph.constants[op.weight]).sum(axis=(1, 2), dtype=np.int64)
    heaviest = max(1, int(sums.max()))
    return TapPlane(
        kernel=op.kernel,
        taps=tuple((tap.r, tap.s) for tap in op.taps),
        heat=tuple(round(int(total) / heaviest, 6) for total in sums),
    )
