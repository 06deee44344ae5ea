"""What the hardware of a generated project is: multipliers, weights, line buffers, cycles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hls4ml_compare.ways import Pace, Row, Way
from psp_hw.folding.dataflow import Dataflow
from psp_hw.folding.engine import ConvEngine
from psp_hw.ir.graph import Graph


def stock_row(
    graph: Graph, flow: Dataflow, pace: Pace, way: Way, network: str, model: Any, project: Path
) -> Row:
    """A row of stock hls4ml: reuse factors as hls4ml settled them, multipliers of generated code as the project says."""
    multipliers = weights = buffers = slowest = 0
    for engine in (e for e in flow.engines if isinstance(e, ConvEngine)):
        op, source, result = engine.op, engine.source, engine.result
        rows, columns = op.kernel
        inputs, rf = rows * columns * source.channels, int(model.graph[op.name].get_attr("reuse_factor"))
        total = inputs * result.channels
        zeros = total - int(np.count_nonzero(graph.constants[op.weight]))
        # nnet::dense_config: multiplier_limit of the latency strategy; block_factor of the resource strategy.
        multipliers += -(-total // rf) - (zeros // rf if way is Way.LATENCY else 0)
        weights += total * weight_bits(engine)
        padded = (source.height + 2 * op.padding.top) * (source.width + 2 * op.padding.left)
        if (rows, columns) != (1, 1):
            line = source.width + 2 * op.padding.left
            buffers += ((rows - 1) * line + rows * columns) * source.pixel_bits
        slowest = max(slowest, padded * rf)
    if way is Way.UNROLLED:
        multipliers = _limits(project)
    rf = max(int(model.graph[op.name].get_attr("reuse_factor")) for op in graph.convolutions)
    return Row(
        pace=pace.value,
        network=network,
        way=way.value,
        multipliers=multipliers,
        weight_bits=weights,
        line_buffer_bits=buffers,
        cycles_per_pixel=rf,
        cycles_per_frame=slowest,
    )


def our_row(graph: Graph, flow: Dataflow, pace: Pace, network: str, model: Any) -> Row:
    """A row of ours; the classifier is hls4ml's own dense layer."""
    engines = [e for e in flow.engines if isinstance(e, ConvEngine)]
    return Row(
        pace=pace.value,
        network=network,
        way=Way.OURS.value,
        multipliers=sum(_multipliers(e, graph, model) for e in engines),
        weight_bits=sum(graph.constants[e.op.weight].size * weight_bits(e) for e in engines),
        line_buffer_bits=sum(
            (sum(e.scan.delays) + 1) * e.source.pixel_bits for e in engines if e.op.kernel != (1, 1)
        ),
        cycles_per_pixel=max(e.cycles_per_output for e in engines),
        cycles_per_frame=max(e.schedule().iterations for e in engines),
    )


def _multipliers(engine: ConvEngine, graph: Graph, model: Any) -> int:
    node = model.graph[engine.name]
    if node.class_name != "Dense":
        return engine.fold.multipliers
    return -(-graph.constants[engine.op.weight].size // int(node.get_attr("reuse_factor")))


def weight_bits(engine: ConvEngine) -> int:
    """Width of a weight."""
    return engine.weight_fmt.width


def _limits(project: Path) -> int:
    """Sum of the multipliers that the generated code of resource_unrolled allows, layer by layer."""
    code = (project / "firmware" / "nnet_utils" / "nnet_code_gen.h").read_text()
    return sum(int(n) for n in re.findall(r"operation instances=mul limit=(\d+)", code))
