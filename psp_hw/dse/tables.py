"""Which connection tables are worth a look: those that save cycles at equal multipliers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from functools import cache

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.folding.connections import Pattern, blocks_of
from psp_hw.folding.plan import Fold, divisors, extents
from psp_hw.ir.graph import Graph

# Products that an engine may do at once. Vivado HLS and Vitis HLS refuse to unroll or partition beyond this without being asked
# to (config_unroll, config_array_partition -maximum_size); larger loops take hours to schedule.
MAX_PRODUCTS = 4096

# Share of the inputs of all blocks that must be unneeded: quantized weights that are zero by chance in a network that nobody pruned
# are no structure, and a table has to pay for its selections.
LEAST_UNNEEDED = 1 / 16

# Ratio of one number of lanes to the next that is tried.
LEAST_STEP = 1.3


# A table is not looked at where another with no more multipliers takes less than this share of its cycles: multipliers cost most.
BEATEN_BY = 0.9


def table_folds(weight: IntArray) -> list[Fold]:
    """Folds with a connection table that take fewer cycles than any of the dense schedule with as many multipliers.

    For each ``pe`` the fewest lanes are taken that give the longest block so many words, in steps. Without those that another
    table beats clearly.

    Args:
        weight: [T, Ci, Co].
    """
    if np.count_nonzero(weight) > (1 - LEAST_UNNEEDED) * weight.size:
        return []
    pattern = Pattern.of(weight)
    found = [(fold, words) for fold, words in _tables(pattern) if words < _dense_words(pattern, fold)]
    return [fold for fold, words in found if not _beaten(fold, words, found)]


def folds_tried(graph: Graph, given: Collection[str] = ()) -> str:
    """Which folds of a network are tried where not all are, in words; empty where all are.

    Dense folds of too many products are not, nor are most connection tables. A table saves nothing where no weight is zero.

    Args:
        given: convolutions whose folds are asked for: these alone count.
    """
    free = [op for op in graph.convolutions if op.name not in given]
    limits = []
    if any(extents(op, graph).multipliers > MAX_PRODUCTS for op in free):
        limits.append(f"at most {MAX_PRODUCTS:,} products per engine")
    if any((graph.constants[op.weight] == 0).any() for op in free):
        limits.append("not every connection table")
    return ", ".join(limits)


def _tables(pattern: Pattern) -> Iterator[tuple[Fold, int]]:
    """Folds and their words."""
    for pe in divisors(pattern.out_channels):
        blocks = blocks_of(pattern, pe)
        if blocks.counts.sum() > (1 - LEAST_UNNEEDED) * len(blocks.counts) * pattern.columns:
            continue
        for lanes in _lanes(min(blocks.most, MAX_PRODUCTS // pe), blocks.most):
            yield Fold(pe=pe, lanes=lanes), int(blocks.lengths(lanes).sum())


def _dense_words(pattern: Pattern, fold: Fold) -> int:
    """The fewest words of the dense schedule with at most as many multipliers."""
    products, words = _dense(pattern.taps, pattern.in_channels, pattern.out_channels)
    return words[bisect_right(products, fold.multipliers) - 1]


def _beaten(fold: Fold, words: int, others: list[tuple[Fold, int]]) -> bool:
    return any(other.multipliers <= fold.multipliers and fewer < BEATEN_BY * words for other, fewer in others)


def _lanes(limit: int, most: int) -> list[int]:
    """The fewest lanes, up to a limit, for numbers of words that a block of ``most`` columns can have, ``LEAST_STEP`` apart."""
    found: list[int] = []
    for words in range(most, 0, -1):
        lanes = -(-most // words)
        if lanes <= limit and (not found or lanes >= LEAST_STEP * found[-1] or words == 1):
            found.append(lanes)
    return sorted(set(found))


@cache
def _dense(taps: int, in_channels: int, out_channels: int) -> tuple[list[int], list[int]]:
    """Numbers of multipliers of the dense schedule, ascending, and the words with so many."""
    operands = {t * i for t in divisors(taps) for i in divisors(in_channels)}
    products = sorted({pe * n for pe in divisors(out_channels) for n in operands})
    return products, [taps * in_channels * out_channels // number for number in products]
