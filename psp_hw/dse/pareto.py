"""Which of several options others dominate: those that take no more of anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from psp_hw.dse.arrays import CostArray, Indices

# Bits of a key that rows are sorted by: what is not below zero.
MOST_KEY_BITS = 63

# Rows that are compared with each other at once.
RANKED_AT_ONCE = 128

# Rows before a row that it is compared with first.
NEARBY = 4

MOST_INT32 = np.iinfo(np.int32).max

# Whether a row of a block comes before a column [rows, columns].
_EARLIER = ~np.tri(RANKED_AT_ONCE, dtype=np.bool_)

# The interval until which an option matters that none beats.
NEVER = np.iinfo(np.int64).max


def ascending(rows: CostArray) -> Indices:
    """The order of rows by ascending columns, the first column before the others; of equal rows the first comes first.

    Columns are put side by side in words of 63 bits, and so they are compared together.

    Args:
        rows: [n, columns], from zero on.
    """
    keys, room = [np.zeros(len(rows), dtype=np.int64)], MOST_KEY_BITS
    for column in rows.T[::-1]:
        bits = int(column.max(initial=0)).bit_length()
        if bits <= room:
            keys[-1] = keys[-1] | (column << (MOST_KEY_BITS - room))
        else:
            keys.append(column)
            room = MOST_KEY_BITS
        room -= bits
    return np.lexsort(keys)


def undominated(rows: CostArray) -> Indices:
    """Indices of the rows that no other dominates, having no more of anything; of equals the first.

    In order of their columns, the first before the others, a row can only be dominated by an earlier one.

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
        earlier = _EARLIER[: len(places), : len(places)]
        some = np.flatnonzero(~(_no_more(block, block) & earlier).any(axis=0))
        kept[:, count : count + len(some)] = block[:, some]
        count += len(some)
        found.append(order[start + places[some]])
    return np.concatenate(found)


def dominated_nearby(owners: Indices, costs: CostArray) -> npt.NDArray[np.bool_]:
    """Whether one of the last few rows of the same owner takes no more of anything: quick, of all owners at once [n].

    Args:
        owners: of the rows [n], ascending.
        costs: resources [n, columns].
    """
    found = np.zeros(len(owners), dtype=np.bool_)
    columns = _narrowed(costs)
    for distance in range(1, min(NEARBY, len(owners) - 1) + 1):
        dominated = owners[:-distance] == owners[distance:]
        for column in columns:
            dominated &= column[:-distance] <= column[distance:]
        found[distance:] |= dominated
    return found


def matters_until(intervals: CostArray, costs: CostArray) -> CostArray:
    """The interval from which on another option takes no more of anything, by option; of equals the first stays [n].

    Args:
        intervals: of the options [n], ascending.
        costs: resources [n, 5].
    """
    columns = _narrowed(costs)
    until = intervals.copy()  # what an earlier one beats never matters
    alive, kept = np.zeros(0, dtype=np.intp), columns[:, :0]
    for start in range(0, len(intervals), RANKED_AT_ONCE):
        block = columns[:, start : start + RANKED_AT_ONCE]
        places = np.flatnonzero(~_no_more(kept, block).any(axis=0))
        if not len(places):
            continue
        born, some = start + places, block[:, places]
        own = _no_more(some, some)
        own &= ~own.T | _EARLIER[: len(born), : len(born)]  # of equals the first stays
        dominated = np.concatenate([_no_more(some, kept), own], axis=1)
        every, both = np.concatenate([alive, born]), np.concatenate([kept, some], axis=1)
        first = dominated.argmax(axis=0)
        ends = dominated[first, np.arange(len(every))]
        until[every] = np.where(ends, np.maximum(intervals[born[first]], intervals[every]), NEVER)
        alive, kept = every[~ends], both[:, ~ends]
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
    one_by_one = np.empty_like(found)
    for one, other in zip(some, others, strict=True):
        np.less_equal(one[:, None], other, out=one_by_one)
        found &= one_by_one
    return found
