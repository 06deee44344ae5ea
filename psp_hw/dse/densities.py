"""A network with other shares of its kernel positions, to see what it would cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Op
from psp_hw.ir.types import Tap

# Kept share of the kernel positions of every layer at which a network is looked at, dense first.
DENSITIES = (1.0, 2 / 3, 4 / 9, 2 / 9, 1 / 9)


def with_kernels(graph: Graph) -> list[Conv2d]:
    """The convolutions whose kernel has more than one position."""
    return [op for op in graph.convolutions if op.kernel != (1, 1)]


def densities_below(graph: Graph) -> list[float]:
    """Those of ``DENSITIES`` that leave a network fewer kernel positions than it has, largest first."""
    kernels = with_kernels(graph)
    kept = sum(len(op.taps) for op in kernels)
    return [density for density in DENSITIES if sum(taps_at(op, density) for op in kernels) < kept]


def distinct_densities(graph: Graph) -> list[float]:
    """Those of ``DENSITIES`` that differ in the tap counts of some layer, largest first; none where no kernel has two positions."""
    kernels = with_kernels(graph)
    counts = {tuple(taps_at(op, density) for op in kernels): density for density in reversed(DENSITIES)}
    return sorted(counts.values(), reverse=True) if kernels else []


def kept_at(graph: Graph, density: float) -> float:
    """The share of all kernel positions that layers keep together at a density: each keeps a whole number of them."""
    kernels = with_kernels(graph)
    return sum(taps_at(op, density) for op in kernels) / sum(op.kernel[0] * op.kernel[1] for op in kernels)


def taps_at(op: Conv2d, density: float) -> int:
    """Kernel positions that a convolution keeps at a density: at least one."""
    return max(1, round(density * op.kernel[0] * op.kernel[1]))


def at_density(graph: Graph, density: float) -> Graph:
    """A network with another share of its kernel positions, the same in every layer, at least one in each.

    Layers keep their heaviest taps. Positions that were pruned come back with the weights of taps that survive: what they cost
    depends on how many there are and hardly on their values. What the network would compute is not meant.
    """
    constants = dict(graph.constants)
    ops: list[Op] = []
    for op in graph.ops:
        if isinstance(op, Conv2d) and op.kernel != (1, 1):
            taps, weight = _with_taps(op, graph.constants[op.weight], taps_at(op, density))
            constants[op.weight] = weight
            ops.append(replace(op, taps=taps))
        else:
            ops.append(op)
    return Graph(graph.name, tuple(ops), constants)


def _with_taps(op: Conv2d, weight: IntArray, count: int) -> tuple[tuple[Tap, ...], IntArray]:
    """So many taps in raster order, and their weights [count, Ci, Co]."""
    heavy = np.argsort(-np.abs(weight).sum(axis=(1, 2)), kind="stable").tolist()
    held = {op.taps[index]: weight[index] for index in heavy[:count]}
    gone = (Tap(r, s) for r in range(op.kernel[0]) for s in range(op.kernel[1]) if Tap(r, s) not in op.taps)
    for number, tap in zip(range(count - len(held)), gone, strict=False):
        held[tap] = weight[heavy[number % len(heavy)]]
    taps = tuple(sorted(held, key=lambda tap: (tap.r, tap.s)))
    return taps, np.stack([held[tap] for tap in taps])
