"""Which of several options others beat: those that take no more of anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CostArray = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]

# Rows that are compared with each other at once.
RANKED_AT_ONCE = 128

MOST_INT32 = np.iinfo(np.int32).max

# The interval until which an option matters that none beats.
NEVER = np.iinfo(np.int64).max


def unbeaten(rows: CostArray) -> Indices:
    """Indices of the rows than which no other has less of something and no more of the rest; of equals the first.

    In order of their columns, the first before the others, a row can only be beaten by an earlier one.

    Args:
        rows: [n, columns].

    Returns:
        by ascending columns, the first before the others.
    """
    if len(rows) < 2:
        return np.arange(len(rows))
    order = np.lexsort(rows.T[::-1])
    ranked = _narrowed(rows[order, 1:])
    kept, count = np.empty_like(ranked), 0
    found: list[Indices] = []
    for start in range(0, len(rows), RANKED_AT_ONCE):
        block = ranked[:, start : start + RANKED_AT_ONCE]
        places = np.flatnonzero(~_no_more(kept[:, :count], block).any(axis=0))
        block = block[:, places]
        earlier = ~np.tri(len(places), dtype=np.bool_)
        some = np.flatnonzero(~(_no_more(block, block) & earlier).any(axis=0))
        kept[:, count : count + len(some)] = block[:, some]
        count += len(some)
        found.append(order[start + places[some]])
    return np.concatenate(found)


def matters_until(intervals: CostArray, costs: CostArray) -> CostArray:
    """The interval from which on another option takes no more of anything, by option; of equals the first stays [n].

    Args:
        intervals: of the options [n], ascending.
        costs: resources [n, 5].
    """
    columns = _narrowed(costs)
    until = intervals.copy()  # what an earlier one beats never matters
    alive = np.zeros(0, dtype=np.intp)
    for start in range(0, len(intervals), RANKED_AT_ONCE):
        block = np.arange(start, min(start + RANKED_AT_ONCE, len(intervals)))
        born = block[~_no_more(columns[:, alive], columns[:, block]).any(axis=0)]
        if not len(born):
            continue
        own = _no_more(columns[:, born], columns[:, born])
        own &= ~np.tril(own & own.T)  # of equals the first stays
        beaten = np.concatenate([_no_more(columns[:, born], columns[:, alive]), own], axis=1)
        every, ends = np.concatenate([alive, born]), beaten.any(axis=0)
        first = born[beaten.argmax(axis=0)]
        until[every] = np.where(ends, np.maximum(intervals[first], intervals[every]), NEVER)
        alive = every[~ends]
    return until


def _narrowed(rows: CostArray) -> npt.NDArray[np.int32] | CostArray:
    """Those columns in which rows differ, columns first; half as wide where that holds them: compared twice as fast."""
    columns = [column for column in rows.T if (column != column[0]).any()]
    ranked = np.array(columns, dtype=np.int64).reshape(len(columns), len(rows))
    return ranked.astype(np.int32) if ranked.max(initial=0) <= MOST_INT32 else ranked


def _no_more(
    some: npt.NDArray[np.int32] | CostArray, others: npt.NDArray[np.int32] | CostArray
) -> npt.NDArray[np.bool_]:
    """Whether each of some rows has no more of anything than each of others, columns first [some, others]."""
    found = np.ones((some.shape[1], others.shape[1]), dtype=np.bool_)
    for one, other in zip(some, others, strict=True):
        found &= one[:, None] <= other
    return found
