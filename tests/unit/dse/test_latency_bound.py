"""The bound on what a latency costs, held to designs and to every combination of a small graph."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sample_graphs import Builder, pick_taps, random_graph

from psp_hw.cost.optimality import Measure
from psp_hw.cost.parts import find_part
from psp_hw.dse.choose import chosen, cost_of
from psp_hw.dse.latency import latest, least_cost
from psp_hw.dse.search import search
from psp_hw.dse.space import alone, search_space, with_least_fifos
from psp_hw.spec.target import Latency
from psp_hw.units import Clock

PART = find_part("xc7z020clg400-1")
CLOCK = Clock(period_ns=10.0)


def residual():
    make = Builder(6, 6, 2)
    stem = make.conv(2, bits=4)
    make.add(make.conv(2, source=stem, taps=pick_taps(make.rng, 2), bits=4), stem)
    return make.graph()


@pytest.mark.parametrize("seed", range(40))
def test_no_design_is_faster_or_cheaper_than_its_latency_allows(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    space = search_space(graph, PART, CLOCK, {})
    for _ in range(4):
        picks = tuple(int(rng.integers(len(options.plans))) for options in space.problem.options)
        choice = chosen(space.within(space.problem.capacity), (*picks, *[0] * len(space.problem.beside)))
        wanted = alone(space, choice)

        most = latest(space, wanted)

        for options, pick in zip(space.problem.options, picks, strict=True):
            assert int(options.intervals[pick]) <= most.get(options.name, int(options.intervals[pick]))
        cost = cost_of(space.problem, with_least_fifos(space, choice, space.problem.capacity))
        assert least_cost(space, wanted, space.problem.capacity) <= cost + 1e-9


def test_the_bound_is_below_and_the_design_near_the_cheapest_of_every_combination():
    graph = residual()
    space = search_space(graph, PART, CLOCK, {})
    least = {}  # cost by latency
    for picks in itertools.product(*(range(0, len(one.plans), 3) for one in space.problem.options)):
        choice = chosen(space.problem, (*picks, *[0] * len(space.problem.beside)))
        took = alone(space, choice)
        least[took] = min(least.get(took, np.inf), cost_of(space.problem, choice))
    for wanted in sorted(least)[:: max(1, len(least) // 6)]:
        cheapest = min(cost for took, cost in least.items() if took <= wanted)

        found = search(graph, PART, CLOCK, Latency(microseconds=wanted / 100 + 1e-6))

        assert found.optimality is not None
        assert found.optimality.measure is Measure.COST
        assert found.optimality.bound <= cheapest + 1e-9
        assert found.optimality.bound <= found.optimality.reached + 1e-9
        assert found.optimality.reached <= 1.3 * cheapest  # of a third of all options each
