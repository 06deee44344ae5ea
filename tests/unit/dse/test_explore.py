"""The front of interval against resources."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sample_graphs import Builder, pick_taps

from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.dse.densities import DENSITIES, at_density, distinct_densities, kept_at
from psp_hw.dse.explore import explore, explore_densities, point_plan
from psp_hw.dse.search import plan
from psp_hw.errors import DoesNotFitError, SpecError
from psp_hw.ir.verify import verify
from psp_hw.spec.target import Fps, MaxThroughput
from psp_hw.units import Clock

pytestmark = pytest.mark.slow  # many searches

PART = find_part("xc7z020clg400-1")
CLOCK = Clock(period_ns=10.0)


@pytest.fixture(scope="module")
def graph():
    make = Builder(8, 8, 4)
    stem = make.conv(8, source="image", taps=pick_taps(make.rng, 4))
    make.conv(8, source=stem, taps=pick_taps(make.rng, 6))
    make.mean(8, 8)
    make.conv(10, kernel=(1, 1), pad=0, requantize=False)
    return make.graph()


@pytest.fixture(scope="module")
def front(graph):
    return explore(graph, PART, CLOCK)


def test_no_point_is_beaten_by_another(front):
    assert len(front.points) >= 4
    for before, after in zip(front.points, front.points[1:], strict=False):
        assert before.interval < after.interval
        assert before.cost > after.cost


def test_the_first_point_is_as_fast_as_fits(graph, front):
    fastest = estimate(graph, plan(graph, PART, CLOCK, MaxThroughput()), PART, CLOCK)

    assert fastest.interval == front.points[0].interval


def test_a_point_is_as_cheap_as_the_goal_of_its_frame_rate(graph, front):
    for point in front.points[1:]:
        rate = Fps(frames_per_second=CLOCK.per_second(point.interval))
        found = estimate(graph, plan(graph, PART, CLOCK, rate), PART, CLOCK)

        assert point.cost == pytest.approx(
            sum(found.resources.utilization(PART.resources).values()), rel=1e-9
        )


def test_every_point_is_what_its_estimate_says(graph, front):
    for number, point in enumerate(front.points, start=1):
        found = estimate(graph, point_plan(graph, PART, CLOCK, number), PART, CLOCK)

        assert (found.interval, found.resources) == (point.interval, point.resources)


def test_the_knee_lies_between_the_ends(front):
    assert 0 < front.knee < len(front.points) - 1


def test_a_point_that_is_not_there_is_refused(graph, front):
    with pytest.raises(SpecError, match=rf"there is no point 99 \(there are 1 to {len(front.points)}\)"):
        point_plan(graph, PART, CLOCK, 99)


def test_what_fits_nothing_is_refused(graph):
    tiny = dataclasses.replace(PART, resources=dataclasses.replace(PART.resources, lut=100))

    with pytest.raises(DoesNotFitError, match="even the least design does not fit xc7z020"):
        explore(graph, tiny, CLOCK)


@pytest.mark.parametrize(("density", "taps"), [(1.0, 9), (4 / 9, 4), (1 / 9, 1), (0.0, 1)])
def test_a_density_keeps_so_many_taps_in_every_layer(graph, density, taps):
    other = verify(at_density(graph, density))

    assert [taps, taps, 1] == [len(op.taps) for op in other.convolutions]
    assert {name: kind.shape for name, kind in graph.types.items()} == {
        name: kind.shape for name, kind in other.types.items()
    }


def test_the_density_that_a_layer_has_leaves_it_as_it_is(graph):
    stem = graph.convolutions[0]
    other = at_density(graph, 4 / 9)

    assert stem == other.convolutions[0]
    assert np.array_equal(graph.constants[stem.weight], other.constants[stem.weight])


def test_densities_that_change_no_layer_are_left_out(graph):
    thin = Builder(8, 8, 4)
    thin.conv(8, source="image", kernel=(1, 3), pad=1)
    flat = Builder(8, 8, 4)
    flat.conv(8, source="image", kernel=(1, 1), pad=0)

    assert list(DENSITIES) == distinct_densities(graph)
    assert [3, 2, 1] == [
        len(at_density(thin.graph(), one).convolutions[0].taps) for one in distinct_densities(thin.graph())
    ]
    assert ["100%", "67%", "33%"] == [
        f"{kept_at(thin.graph(), one):.0%}" for one in distinct_densities(thin.graph())
    ]
    assert [] == distinct_densities(flat.graph())
    assert () == explore_densities(flat.graph(), PART, CLOCK)


def test_fewer_taps_are_faster_or_cheaper(graph):
    fronts = explore_densities(graph, PART, CLOCK)
    ends = [(front.points[-1].cost, front.points[-1].interval) for front in fronts]

    assert ["dense", "67% of the taps"] == [front.name for front in fronts[:2]]
    assert sorted((interval for _, interval in ends), reverse=True) == [interval for _, interval in ends]
