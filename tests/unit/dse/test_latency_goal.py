"""The goal of a latency."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from sample_graphs import Builder, pick_taps, random_graph, resnet

from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.cost.resources import Resources
from psp_hw.dse.choose import chosen
from psp_hw.dse.latency import least_latency
from psp_hw.dse.search import plan
from psp_hw.dse.space import alone, search_space
from psp_hw.errors import DoesNotFitError
from psp_hw.spec.target import Latency, MaxThroughput, MinArea
from psp_hw.units import Clock

pytestmark = pytest.mark.slow  # many searches

PART = find_part("xc7z020clg400-1")
CLOCK = Clock(period_ns=10.0)


def took_and_cost(graph, goal):
    """Latency [us], and the cost that the search counts: the sum of the shares of the part."""
    found = estimate(graph, plan(graph, PART, CLOCK, goal), PART, CLOCK)
    return found.clock.seconds(found.latency) * 1e6, sum(found.resources.utilization(PART.resources).values())


def test_a_latency_is_met_and_more_time_never_costs_more():
    graph = resnet(1, taps=4)
    fastest, dearest = took_and_cost(graph, MaxThroughput())
    slowest, least = took_and_cost(graph, MinArea())
    reached = [
        took_and_cost(graph, Latency(microseconds=wanted))
        for wanted in (1.5 * fastest, 4 * fastest, 2 * slowest)
    ]

    for (took, _), wanted in zip(reached, (1.5 * fastest, 4 * fastest, 2 * slowest), strict=True):
        assert took <= wanted
    assert dearest > reached[0][1] > reached[1][1] > reached[2][1]
    assert least == reached[2][1]


def head_and_block():
    """A residual block and a classifier, for which a lone frame waits."""
    make = Builder(8, 8, 4)
    stem = make.conv(16, source="image")
    make.add(make.conv(16, source=stem, taps=pick_taps(make.rng, 4)), stem)
    make.mean(8, 8)
    make.conv(10, kernel=(1, 1), pad=0, requantize=False)
    return make.graph()


def latency_us(graph, goal, part=PART):
    found = estimate(graph, plan(graph, part, CLOCK, goal), part, CLOCK)
    return found.clock.seconds(found.latency) * 1e6


def test_a_latency_that_is_found_is_that_of_the_design_with_its_fifos():
    graph = head_and_block()
    fastest = latency_us(graph, MaxThroughput())

    for factor in (1.0, 1.05, 1.3, 1.7, 2.5, 4.0):
        assert latency_us(graph, Latency(microseconds=factor * fastest)) <= factor * fastest


def test_a_frame_is_done_sooner_than_in_the_design_of_the_shortest_interval():
    graph = head_and_block()
    part = dataclasses.replace(PART, resources=Resources(dsp=60, lut=12000, ff=40000, bram18=60))
    wanted = 0.9 * latency_us(graph, MaxThroughput(), part)

    assert latency_us(graph, Latency(microseconds=wanted), part) <= wanted


def test_a_latency_that_nothing_reaches_names_the_nearest_which_is_found_and_what_is_proven():
    graph = head_and_block()
    with pytest.raises(
        DoesNotFitError,
        match=r"a latency of 1 us cannot be reached on xc7z020\S* at 10 ns: the shortest that was found takes",
    ) as caught:
        plan(graph, PART, CLOCK, Latency(microseconds=1.0))
    found, bound = map(
        float,
        re.findall(
            r"takes ([\d.]+) us, with the folds that are tried none takes less than ([\d.]+) us",
            str(caught.value),
        )[0],
    )

    assert bound <= latency_us(graph, Latency(microseconds=found)) <= found
    assert bound > 1.0
    if bound < found - 0.2:
        with pytest.raises(DoesNotFitError, match="us was not found on"):
            plan(graph, PART, CLOCK, Latency(microseconds=bound + 0.1))


@pytest.mark.parametrize("seed", range(12))
def test_no_choice_has_a_lone_frame_done_sooner_than_is_proven(seed):
    rng = np.random.default_rng(seed)
    space = search_space(random_graph(rng), PART, CLOCK, {})
    least = least_latency(space, space.problem.capacity, 1 << 20)
    quick = tuple(0 for _ in space.problem.options)
    choices = [
        quick,
        *(tuple(int(rng.integers(len(o.plans))) for o in space.problem.options) for _ in range(6)),
    ]

    assert least < 1 << 20
    for picks in choices:
        bare = dataclasses.replace(space.problem, beside=())
        assert least <= alone(space, chosen(bare, picks))
