"""What every graph must satisfy. A violation is a bug of whoever made the graph."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Input, Op, Output, Threshold, op_constants, op_inputs

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FORK_SUFFIX = "_fork"


class GraphError(ValueError):
    """A graph that breaks the rules of docs/ir.md; the message lists every break found."""


def verify(graph: Graph) -> Graph:
    """The same graph, if it is valid.

    Raises:
        GraphError: lists everything that is wrong.
    """
    problems = [] if _IDENTIFIER.fullmatch(graph.name) else [f"{graph.name!r} is no identifier"]
    problems += _structure(graph)
    if not problems:
        problems += [problem for op in graph.convolutions for problem in _convolution(op, graph)]
        problems += [problem for op in graph.ops for problem in _thresholds(op, graph)]
        problems += [problem for op in graph.ops for problem in _unit(op)]
    if not problems:
        try:
            _ = graph.types
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise GraphError(f"graph {graph.name}: " + "; ".join(problems))
    return graph


def _structure(graph: Graph) -> Iterator[str]:
    if not graph.ops or not isinstance(graph.ops[0], Input) or not isinstance(graph.ops[-1], Output):
        yield "the first op is not the input or the last not the output"
        return
    seen: set[str] = set()
    for position, op in enumerate(graph.ops):
        yield from _names(op, seen, graph)
        if (isinstance(op, Input) and position > 0) or (
            isinstance(op, Output) and position < len(graph.ops) - 1
        ):
            yield f"{op.name}: a second input or output"
        seen.add(op.name)
    read = {name for op in graph.ops for name in op_inputs(op)}
    for op in graph.ops[:-1]:
        if op.name not in read:
            yield f"{op.name}: nothing reads it"


def _names(op: Op, seen: set[str], graph: Graph) -> Iterator[str]:
    if not _IDENTIFIER.fullmatch(op.name):
        yield f"{op.name!r} is no identifier"
    if op.name in seen:
        yield f"{op.name}: defined twice"
    if op.name.endswith(FORK_SUFFIX) and op.name.removesuffix(FORK_SUFFIX) in graph.by_name:
        yield f"{op.name}: the name of the fork of {op.name.removesuffix(FORK_SUFFIX)}"
    for name in op_inputs(op):
        if name not in seen:
            yield f"{op.name}: reads {name!r}, which is not defined before it"
    for name in op_constants(op):
        if name not in graph.constants:
            yield f"{op.name}: reads the constant {name!r}, which does not exist"


def _thresholds(op: Op, graph: Graph) -> Iterator[str]:
    if not isinstance(op, Threshold):
        return
    thresholds = graph.constants[op.thresholds]
    if thresholds.ndim != 2 or thresholds.size == 0:
        yield f"{op.name}: thresholds of shape {thresholds.shape} are not [C, L]"
    elif (np.diff(thresholds, axis=1) < 0).any():
        yield f"{op.name}: thresholds that do not ascend"


def _unit(op: Op) -> Iterator[str]:
    if isinstance(op, Input | Output) and not (math.isfinite(op.unit) and op.unit > 0):
        yield f"{op.name}: a unit of {op.unit} is not finite and positive"


def _convolution(op: Conv2d, graph: Graph) -> Iterator[str]:
    weight = graph.constants[op.weight]
    if not op.taps:
        yield f"{op.name}: no tap survives"
    if list(op.taps) != sorted(set(op.taps)):
        yield f"{op.name}: taps are not distinct and in raster order"
    if any(not (0 <= tap.r < op.kernel[0] and 0 <= tap.s < op.kernel[1]) for tap in op.taps):
        yield f"{op.name}: a tap lies outside the {op.kernel[0]}x{op.kernel[1]} kernel"
    if min(op.stride) < 1:
        yield f"{op.name}: stride {op.stride} is below 1"
    if weight.ndim != 3 or weight.size == 0:
        yield f"{op.name}: weight of shape {weight.shape} is not [T, Ci, Co]"
        return
    channels = weight.shape[2]
    if op.bias is not None and graph.constants[op.bias].shape != (channels,):
        yield f"{op.name}: bias of shape {graph.constants[op.bias].shape} for {channels} output channels"
    if op.align and (len(op.align) != channels or min(op.align) < 0):
        yield f"{op.name}: align does not hold one left shift for each of {channels} output channels"
