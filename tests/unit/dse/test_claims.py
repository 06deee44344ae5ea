"""What a search says of its design: that nothing is better, within what, and beside which folds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from random_graphs import random_graph
from sample_graphs import Builder, pick_taps
from wild_graphs import wild_graph

from psp_hw.cost.estimate import estimate, optimality_json
from psp_hw.cost.optimality import Measure, Optimality
from psp_hw.cost.parts import find_part
from psp_hw.cost.resources import Resources
from psp_hw.dse.choose import affordable
from psp_hw.dse.explore import explore
from psp_hw.dse.search import budgets, cheapest_design, search
from psp_hw.dse.space import search_space
from psp_hw.dse.tables import folds_tried
from psp_hw.errors import DoesNotFitError
from psp_hw.folding.plan import Fold
from psp_hw.passes.pipeline import optimize
from psp_hw.spec.target import Fps, Latency, MaxThroughput, MinArea
from psp_hw.units import Clock

CLOCK = Clock(period_ns=10.0)


def two_blocks():
    """Two residual blocks, whose FIFOs before the sums depend on the folds."""
    make = Builder(16, 16, 2)
    stem = make.conv(8, source="image")
    first = make.add(make.conv(8, source=stem, taps=pick_taps(make.rng, 4)), stem)
    inner = make.conv(8, source=first, taps=pick_taps(make.rng, 4))
    make.add(make.conv(8, source=inner, taps=pick_taps(make.rng, 6)), first)
    return make.graph()


def a_part(*, lut: int, dsp: int, bram18: int):
    resources = Resources(dsp=dsp, lut=lut, ff=2 * lut, bram18=bram18)
    return dataclasses.replace(find_part("xc7z020clg400-1"), resources=resources)


@pytest.mark.slow  # a search per rate
@pytest.mark.parametrize(("lut", "dsp", "bram18"), [(6000, 10, 4), (9000, 20, 6), (4500, 8, 4)])
def test_a_higher_rate_never_costs_less_within_the_same_budget(lut, dsp, bram18):
    graph, part = two_blocks(), a_part(lut=lut, dsp=dsp, bram18=bram18)
    slowest = search_space(graph, part, CLOCK, {}).intervals[-1]
    costs: dict[str, list[float]] = {}

    for interval in np.unique(np.geomspace(slowest, 2000, 24).astype(int))[::-1]:
        rate = Fps(frames_per_second=CLOCK.per_second(int(interval)))
        try:
            found = search(graph, part, CLOCK, rate)
        except DoesNotFitError:
            break
        made = estimate(graph, found.plan, part, CLOCK)
        assert made.interval <= interval
        assert found.optimality is not None
        shares = made.resources.utilization(part.resources)
        costs.setdefault(found.optimality.within, []).append(sum(shares.values()))

    assert len(costs) == 2  # the comfortable share, then the part
    for rising in costs.values():
        assert rising == sorted(rising)


def test_what_is_the_cheapest_within_a_share_of_the_part_is_said_of_that_share():
    graph, part = two_blocks(), a_part(lut=6000, dsp=10, bram18=4)
    space = search_space(graph, part, CLOCK, {})
    easy, whole = budgets(space)
    for interval in reversed(space.intervals):
        comfortable, any_ = (cheapest_design(space, budget, interval) for budget in (easy, whole))
        assert comfortable is not None, "no rate at which the share binds"
        assert any_ is not None
        if any_[1].total @ space.problem.prices < comfortable[1].total @ space.problem.prices:
            break

    found = search(graph, part, CLOCK, Fps(frames_per_second=CLOCK.per_second(interval)))

    assert found.optimality is not None
    assert "within 70% of the part" in str(found.optimality)
    assert optimality_json(found.optimality)["within"] == "70% of the part"


@pytest.mark.parametrize(
    ("reached", "text"),
    [
        (1.0, "Folds: proven to be the cheapest within 70% of the part that meet the goal."),
        (
            1.5,
            "Folds: the shares that these take add up to 150.0%; no others within 70% of the part that meet the goal take under 100.0%.",
        ),
    ],
)
def test_a_claim_of_cost_names_its_budget(reached, text):
    claim = Optimality(measure=Measure.COST, reached=reached, bound=1.0, within="70% of the part")

    assert text == str(claim)


@pytest.mark.parametrize("goal", [MaxThroughput(share=0.7), MinArea(), Fps(frames_per_second=500.0)])
def test_a_claim_beside_given_folds_says_so(goal):
    graph, part = two_blocks(), find_part("xc7z020clg400-1")
    slow = {op.name: Fold() for op in graph.convolutions}

    found = search(graph, part, CLOCK, goal, folds=slow)
    free = search(graph, part, CLOCK, goal)

    assert "of the part with the folds given" in str(
        found.optimality
    ) or "within the part with the folds given" in str(found.optimality)
    assert "folds given" not in str(free.optimality)


def wide(channels: int, *, zeros: int = 0):
    """A convolution of nine taps and one channel for each of many, some of its weights zero."""
    make = Builder(4, 4, 1)
    weight = make.rng.integers(1, 100, size=(9, 1, channels))
    weight[0, 0, :zeros] = 0
    make.conv(channels, source="image", weight=weight)
    return make.graph()


@pytest.mark.parametrize(
    ("graph", "given", "text"),
    [
        (wide(455), (), ""),  # 4,095 products
        (wide(456), (), "at most 4,096 products per engine"),
        (wide(456), ("conv0",), ""),
        (wide(8, zeros=1), (), "not every connection table"),
        (wide(456, zeros=1), (), "at most 4,096 products per engine, not every connection table"),
    ],
)
def test_a_claim_says_which_folds_are_tried_where_not_all_are(graph, given, text):
    assert text == folds_tried(graph, given)


def test_the_claim_of_a_search_says_which_folds_it_is_about():
    graph, part = wide(512), find_part("xc7z020clg400-1")
    given = {"conv0": Fold(pe=8)}

    found = search(graph, part, CLOCK, MinArea())
    beside = search(graph, part, CLOCK, MinArea(), folds=given)

    assert str(found.optimality).startswith("Folds as tried (at most 4,096 products per engine): ")
    assert optimality_json(found.optimality)["tried"] == "at most 4,096 products per engine"
    assert str(beside.optimality).startswith("Folds: ")


@pytest.mark.parametrize(
    ("measure", "reached", "bound", "text"),
    [
        (Measure.INTERVAL, 131_087, 131_081, "at most 0.01% is left to gain"),  # 0.0046 %
        (Measure.INTERVAL, 101, 100, "at most 1.00% is left to gain"),
        (
            Measure.COST,
            1.00001,
            0.89999,
            "add up to 100.1%; no others within the part that meet the goal take under 89.9%",
        ),
        (
            Measure.COST,
            0.3,
            0.1,
            "add up to 30.0%; no others within the part that meet the goal take under 10.0%",
        ),
    ],
)
def test_what_is_claimed_is_rounded_to_the_safe_side(measure, reached, bound, text):
    assert text in str(Optimality(measure=measure, reached=reached, bound=bound))


@pytest.mark.parametrize(
    ("graph", "part", "clock_ns"),
    [
        (wild_graph(27), find_part("xc7s15"), 10.0),
        (random_graph(28), a_part(lut=2458, dsp=22, bram18=7), 2.5),
    ],
    ids=["wild", "random"],
)
def test_the_least_design_is_no_dearer_than_a_faster_one_whose_fifos_are_shallower(graph, part, clock_ns):
    clock = Clock(period_ns=clock_ns)
    graph = optimize(graph)

    def cost(goal):
        made = estimate(graph, search(graph, part, clock, goal).plan, part, clock)
        return sum(made.resources.utilization(part.resources).values())

    assert cost(MinArea()) <= cost(MaxThroughput())


@pytest.mark.parametrize(
    "goal", [MaxThroughput(), MinArea(), Fps(frames_per_second=1e5), Latency(microseconds=10.0)], ids=str
)
def test_a_network_in_which_nothing_folds_has_a_design(goal):
    make = Builder(4, 4, 2)
    make.max_pool(2, source="image")
    graph, part = make.graph(), find_part("xc7z020clg400-1")

    found = search(graph, part, CLOCK, goal)

    assert found.optimality is not None
    assert found.optimality.proven
    assert estimate(graph, found.plan, part, CLOCK).fits
    assert 1 == len(explore(graph, part, CLOCK).points)


def chain(seed: int):
    """Three convolutions in a row, of sizes that leave some waiting for others."""
    rng = np.random.default_rng(seed)
    make = Builder(8, 8, int(rng.integers(1, 4)))
    make.conv(int(rng.integers(2, 7)), source="image")
    make.conv(int(rng.integers(2, 7)), taps=pick_taps(rng, int(rng.integers(1, 6))))
    make.conv(int(rng.integers(2, 7)))
    return make.graph()


@pytest.mark.parametrize("seed", range(6))
def test_a_budget_of_the_least_design_with_its_least_fifos_is_enough(seed):
    """FIFOs that hold some tokens by habit and not by need give way before a part is called too small."""
    graph, part = chain(seed), find_part("xc7z020clg400-1")
    space = search_space(graph, part, CLOCK, {})
    least = affordable(space.problem, space.intervals[-1]).choice
    assert least is not None
    tight = dataclasses.replace(part, resources=Resources.from_amounts(least.whole.tolist()))
    found = search(graph, tight, CLOCK, MinArea())

    assert not found.remedy
    assert estimate(graph, found.plan, tight, CLOCK).fits
