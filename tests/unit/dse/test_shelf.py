"""Which options matter for an interval, against a look at every pair."""

from __future__ import annotations

import numpy as np
import pytest

from psp_hw.dse.options import Options
from psp_hw.dse.pareto import NEVER, RANKED_AT_ONCE, matters_until
from psp_hw.dse.shelf import Shelf
from psp_hw.folding.plan import Fold, NodePlan


def drawn(rng: np.random.Generator, most: int, spread: int) -> Options:
    """Options of random intervals and costs, equal ones among them."""
    count = int(rng.integers(1, most))
    intervals = np.sort(rng.integers(1, 30, size=count))
    costs = rng.integers(0, spread, size=(count, 5))
    return Options("engine", tuple([NodePlan(fold=Fold())] * count), intervals, costs)


def beats(one: list[int], other: list[int], *, earlier: bool) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and (one != other or earlier)


def mattering(options: Options, interval: int) -> list[int]:
    """Those that meet an interval and that no other which meets it beats, the first of equals."""
    costs = options.costs[: options.within(interval)].tolist()
    return [
        place
        for place, cost in enumerate(costs)
        if not any(beats(other, cost, earlier=at < place) for at, other in enumerate(costs) if at != place)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_options_that_matter_are_those_that_none_beats(seed):
    rng = np.random.default_rng(seed)
    every = [drawn(rng, 40, int(rng.integers(2, 6))) for _ in range(4)]
    shelf = Shelf(every)

    for interval in range(31):
        shown = shelf.at(interval)

        expected = [mattering(options, interval) for options in every]
        assert all(expected) == shown.whole
        assert [place for places in expected for place in places] == shown.own.tolist()
        taken = [options.costs[places] for options, places in zip(every, expected, strict=True)]
        assert np.concatenate(taken).tolist() == shown.costs.tolist()


def test_more_options_than_are_compared_at_once_say_the_same():
    rng = np.random.default_rng(5)
    options = drawn(rng, 3, 2)
    while len(options.intervals) <= 2 * RANKED_AT_ONCE:
        options = drawn(rng, 4 * RANKED_AT_ONCE, 20)

    until = matters_until(options.intervals, options.costs)

    for interval in range(31):
        some = np.flatnonzero((options.intervals <= interval) & (until > interval))
        assert mattering(options, interval) == some.tolist()
    assert until.max() == NEVER


def test_the_cheapest_and_the_least_are_those_of_all_that_meet_the_interval():
    rng = np.random.default_rng(9)
    every = [drawn(rng, 30, 9) for _ in range(5)]
    prices = rng.random(5)

    shown = Shelf(every).at(30)

    picks = shown.picks([*shown.cheapest(prices), 7])
    assert (*(int((one.costs @ prices).argmin()) for one in every), 7) == picks
    assert sum(one.costs.min(axis=0) for one in every).tolist() == shown.least.tolist()


def test_the_same_options_stand_on_a_shelf():
    rng = np.random.default_rng(1)
    every = [drawn(rng, 9, 3) for _ in range(3)]
    shelf = Shelf(every)

    assert shelf.holds(tuple(every))
    assert not shelf.holds(every[:2])
    assert not shelf.holds([*every[:2], drawn(rng, 9, 3)])
