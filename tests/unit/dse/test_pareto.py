"""Orders of rows, and rows that others beat, seen of all engines at once."""

from __future__ import annotations

import numpy as np
import pytest

from psp_hw.cost.devices import Fabric
from psp_hw.cost.operators import times, tree
from psp_hw.cost.pricing import price_parts
from psp_hw.dse.chains import trees
from psp_hw.dse.pareto import NEARBY, ascending, dominated_nearby, matters_until
from psp_hw.sim.sweeps import _holds_more, occupancy


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


@pytest.mark.parametrize("fabric", list(Fabric))
def test_trees_priced_together_take_what_each_takes(fabric):
    inputs, bits, most = np.add(np.indices((40, 6, 5)).reshape(3, -1), np.array([[1], [2], [3]]))

    expected = [
        price_parts(times(tree(*one), 1), fabric).amounts
        for one in zip(inputs.tolist(), bits.tolist(), most.tolist(), strict=True)
    ]

    assert np.array(expected).tolist() == trees(inputs, bits, most, fabric).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_a_channel_holds_more_than_some_tokens_exactly_where_its_count_says_so(seed):
    rng = np.random.default_rng(seed)
    tokens, frames = int(rng.integers(1, 6)), 4
    written = np.cumsum(rng.integers(1, 4, size=tokens * frames))
    read = np.maximum.accumulate(written + rng.integers(1, 30, size=len(written)))
    by_frame = read.reshape(frames, tokens)
    for frame, some in enumerate(written.reshape(frames, tokens)):
        most = occupancy(some, read, frame * tokens)
        for held in range(most + 3):
            assert (most > held) == _holds_more(some, list(by_frame[: frame + 1]), held)
