"""Weights whose zeros lie as each structure leaves them, and plans that run from connection tables."""

from __future__ import annotations

import numpy as np

from psp_hw.folding.connections import Pattern, blocks_of
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind, NodePlan, divisors
from psp_hw.ir.graph import Graph

STRUCTURES = ("shape", "column", "channel", "filter", "kernel", "vector", "strided", "weight", "none", "all")


def mask(rng: np.random.Generator, shape: tuple[int, int, int], structure: str) -> np.ndarray:
    """What a structure keeps of weights [T, Ci, Co], about half."""
    taps, inputs, outputs = shape
    extents = {
        "shape": (taps, 1, 1),
        "column": (taps, inputs, 1),
        "channel": (1, inputs, 1),
        "filter": (1, 1, outputs),
        "kernel": (1, inputs, outputs),
        "weight": shape,
    }
    if structure in extents:
        kept = rng.random(extents[structure]) < 0.5
    elif structure == "vector":  # taps in threes
        kept = np.repeat(rng.random((-(-taps // 3), inputs, outputs)) < 0.5, 3, axis=0)[:taps]
    elif structure == "strided":  # inside each kernel every other tap, from a first of its own
        first = rng.integers(0, 2, size=(inputs, outputs))
        kept = (np.arange(taps)[:, None, None] + first) % 2 == 0
    else:
        kept = np.full((1, 1, 1), structure == "none")
    return np.broadcast_to(kept, shape)


def pruned(graph: Graph, rng: np.random.Generator, structure: str) -> Graph:
    """The graph with weights of every convolution zero where a structure would have pruned them."""
    constants = {}
    for op in graph.convolutions:
        weight = graph.constants[op.weight]
        constants[op.weight] = weight * mask(rng, weight.shape, structure)
    return graph.with_ops(graph.ops, constants)


def table_plan(graph: Graph, rng: np.random.Generator) -> FoldPlan:
    """Connection tables everywhere: legal folds, memories and multipliers by chance."""
    nodes = {}
    for op in graph.convolutions:
        weight = graph.constants[op.weight]
        pe = int(rng.choice(divisors(weight.shape[2])))
        blocks = blocks_of(Pattern.of(weight), pe)
        fold = Fold(pe=pe, lanes=int(rng.integers(1, blocks.most + 1)))
        kinds = [kind for kind in MultiplierKind if kind is not MultiplierKind.DSP_PAIR or pe % 2 == 0]
        constant = int(blocks.lengths(fold.lanes).sum()) == 1
        memories = (MemoryKind.REGISTERS, MemoryKind.LUTRAM, MemoryKind.BRAM)
        nodes[op.name] = NodePlan(
            fold=fold,
            weights=memories[rng.integers(3)],
            multipliers=MultiplierKind.TOOL if constant else kinds[rng.integers(len(kinds))],
        )
    return FoldPlan(nodes=nodes)
