"""Orders of rows, and rows that others dominate, seen of all engines at once."""

from __future__ import annotations

import numpy as np
import pytest

from psp_hw.dse.pareto import NEARBY, ascending, dominated_nearby, matters_until


@pytest.mark.parametrize("bits", [1, 20, 40, 62])
@pytest.mark.parametrize("seed", range(5))
def test_rows_ascend_as_a_sort_of_their_columns_one_by_one_has_them(seed, bits):
    rows = np.random.default_rng(seed).integers(0, 1 << bits, size=(200, 4), endpoint=True)
    rows[:, seed % 4] %= 3  # equal ones, too

    assert np.array_equal(np.lexsort(rows.T[::-1]), ascending(rows))


@pytest.mark.parametrize("seed", range(10))
def test_without_what_neighbours_beat_the_others_matter_as_long(seed):
    rng = np.random.default_rng(seed)
    owners = np.sort(rng.integers(0, 5, size=200))
    intervals, costs = rng.integers(0, 40, size=200), rng.integers(0, 6, size=(200, 5))
    order = np.lexsort((intervals, owners))
    intervals, costs = intervals[order], costs[order]

    dominated = dominated_nearby(owners, costs)

    for row in range(200):
        near = range(max(0, row - NEARBY), row)
        assert dominated[row] == any(
            owners[a] == owners[row] and (costs[a] <= costs[row]).all() for a in near
        )
    for owner in range(5):
        every = owners == owner
        kept = every & ~dominated
        until, fewer = (matters_until(intervals[some], costs[some]) for some in (every, kept))
        assert until[until > intervals[every]].tolist() == fewer[fewer > intervals[kept]].tolist()
