"""The goal of a latency."""

from __future__ import annotations

import pytest
from sample_graphs import resnet

from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.dse.search import plan
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


def test_a_latency_that_nothing_reaches_names_the_nearest():
    with pytest.raises(
        DoesNotFitError, match=r"a latency of 1 us cannot be reached .*the fastest that fits takes \d"
    ):
        plan(resnet(1, taps=4), PART, CLOCK, Latency(microseconds=1.0))
