"""The meaning of a graph in the plainest way: Python integers, one pixel at a time, no fast path."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import (
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv2d,
    Flatten,
    Input,
    MaxPool,
    Relu,
    Requantize,
    Threshold,
    op_inputs,
)

Frame = dict[tuple[int, int], list[int]]  # channels by (row, column)


def _round(value: int, to: Requantizer | None) -> int:
    if to is None:
        return value
    return min(max(round(Fraction(value) / (to.divisor * Fraction(2) ** to.shift)), to.lo), to.hi)


def execute(graph: Graph, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Every value of every frame, [N, H, W, C] by name."""
    frames = [_execute_frame(graph, frame.tolist()) for frame in codes]
    result = {}
    for op in graph.ops:
        height, width, channels = graph.types[op.name].shape
        whole = np.empty((len(frames), height, width, channels), dtype=np.int64)
        for n, values in enumerate(frames):
            for (y, x), pixel in values[op.name].items():
                whole[n, y, x] = pixel
        result[op.name] = whole
    return result


def _execute_frame(graph: Graph, image: list[list[list[int]]]) -> dict[str, Frame]:
    values: dict[str, Frame] = {}
    for op in graph.ops:
        out = graph.types[op.name]
        sources = [(values[name], graph.types[name]) for name in op_inputs(op)]
        frame: Frame = {}
        for y, x in itertools.product(range(out.height), range(out.width)):
            match op:
                case Input():
                    frame[y, x] = list(image[y][x])
                case Conv2d():
                    frame[y, x] = _convolve(op, graph, *sources[0], y, x)
                case Add():
                    frac = max(kind.fmt.frac for _, kind in sources)
                    lifted = [[m << (frac - kind.fmt.frac) for m in v[y, x]] for v, kind in sources]
                    frame[y, x] = [_round(a + b, op.requantize) for a, b in zip(*lifted, strict=True)]
                case Concat():
                    frame[y, x] = [
                        m << (out.fmt.frac - kind.fmt.frac) for v, kind in sources for m in v[y, x]
                    ]
                case AvgPool():
                    window = _window(op.kernel, op.stride, y, x)
                    sums = [sum(sources[0][0][place][c] for place in window) for c in range(out.channels)]
                    frame[y, x] = [_round(total, op.requantize) for total in sums]
                case MaxPool():
                    top, left = op.padding.top, op.padding.left
                    window = [(r - top, s - left) for r, s in _window(op.kernel, op.stride, y, x)]
                    seen = [sources[0][0][place] for place in window if place in sources[0][0]]
                    frame[y, x] = [max(pixel[c] for pixel in seen) for c in range(out.channels)]
                case Affine():
                    scale, offset = (graph.constants[n].tolist() for n in (op.scale, op.offset))
                    products = zip(sources[0][0][y, x], scale, offset, strict=True)
                    frame[y, x] = [_round(m * a + b, op.requantize) for m, a, b in products]
                case Threshold():
                    levels, start, step = (
                        graph.constants[n].tolist() for n in (op.thresholds, op.start, op.step)
                    )
                    rows = zip(sources[0][0][y, x], levels, start, step, strict=True)
                    frame[y, x] = [low + up * sum(m >= t for t in row) for m, row, low, up in rows]
                case Relu():
                    frame[y, x] = [max(m, 0) for m in sources[0][0][y, x]]
                case Requantize():
                    frame[y, x] = [_round(m, op.requantize) for m in sources[0][0][y, x]]
                case Flatten():
                    kind = sources[0][1]
                    places = itertools.product(range(kind.height), range(kind.width))
                    frame[y, x] = [m for place in places for m in sources[0][0][place]]
                case _:
                    frame[y, x] = sources[0][0][y, x]
        values[op.name] = frame
    return values


def _window(kernel: tuple[int, int], stride: tuple[int, int], y: int, x: int) -> list[tuple[int, int]]:
    return [(y * stride[0] + r, x * stride[1] + s) for r in range(kernel[0]) for s in range(kernel[1])]


def _convolve(op: Conv2d, graph: Graph, source: Frame, kind, y: int, x: int) -> list[int]:
    weight = graph.constants[op.weight].tolist()
    outputs = graph.types[op.name].channels
    bias = [0] * outputs if op.bias is None else graph.constants[op.bias].tolist()
    results = []
    for k in range(outputs):
        total = bias[k]
        for t, tap in enumerate(op.taps):
            place = (y * op.stride[0] + tap.r - op.padding.top, x * op.stride[1] + tap.s - op.padding.left)
            if place in source:
                total += sum(weight[t][c][k] * source[place][c] for c in range(kind.channels))
        results.append(_round(total << (op.align[k] if op.align else 0), op.requantize))
    return results
