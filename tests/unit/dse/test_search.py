"""Folds, memories and FIFO depths for a goal."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest
from sample_graphs import Builder, pick_taps, resnet

from psp_hw.cost.estimate import estimate
from psp_hw.cost.optimality import Measure
from psp_hw.cost.parts import find_part
from psp_hw.cost.resources import Resources
from psp_hw.dse.choose import Problem, affordable, cheapest, cost_of, possible
from psp_hw.dse.densities import at_density
from psp_hw.dse.options import Options
from psp_hw.dse.search import plan, search
from psp_hw.dse.space import search_space
from psp_hw.errors import DoesNotFitError, SpecError
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, NodePlan
from psp_hw.folding.ports import check_ports
from psp_hw.spec.target import Fps, MaxThroughput, MinArea
from psp_hw.units import Clock

PART = find_part("xc7z020clg400-1")
CLOCK = Clock(period_ns=10.0)


def small_graph(channels: int = 8):
    make = Builder(8, 8, 1)
    stem = make.conv(channels, source="image")
    inner = make.conv(channels, source=stem, taps=pick_taps(make.rng, 4))
    make.add(make.conv(channels, source=inner, taps=pick_taps(make.rng, 6)), stem)
    make.mean(8, 8)
    make.conv(10, kernel=(1, 1), pad=0, requantize=False)
    return make.graph()


def test_the_default_goal_stays_within_the_comfortable_share_and_reaches_its_interval():
    graph = small_graph()

    found = estimate(graph, plan(graph, PART, CLOCK), PART, CLOCK)

    assert found.fits
    shares = found.resources.utilization(PART.resources)
    assert max(shares.values()) <= 0.7
    assert found.interval <= found.bottleneck.cycles * 1.01


@pytest.mark.parametrize("goal", [MaxThroughput(), MinArea(), Fps(frames_per_second=3000)])
@pytest.mark.parametrize("name", ["xc7z020clg400-1", "xczu7ev-ffvc1156-2-e"])
def test_the_memories_of_a_plan_can_feed_its_engines(goal, name):
    graph = resnet(1, taps=4)
    part = find_part(name)

    check_ports(build(graph, plan(graph, part, CLOCK, goal)))


def test_a_fold_whose_weights_no_memory_can_give_at_once_is_refused():
    make = Builder(4, 4, 64)
    make.conv(64, taps=pick_taps(make.rng, 4))
    graph = make.graph()

    with pytest.raises(
        SpecError, match=r"fold.conv0: pe:32,simd:64,taps:4 reads 65536 bits of weights per cycle"
    ):
        plan(graph, PART, CLOCK, folds={"conv0": Fold(pe=32, simd=64, taps=4)})


def test_more_of_the_part_is_never_slower():
    graph = small_graph()
    intervals = [
        estimate(graph, plan(graph, PART, CLOCK, MaxThroughput(share=share)), PART, CLOCK).interval
        for share in (0.2, 0.5, 1.0)
    ]

    assert sorted(intervals, reverse=True) == intervals


@pytest.mark.parametrize("rate", [100.0, 2000.0, 20000.0])
def test_a_frame_rate_that_is_asked_for_is_reached(rate):
    graph = small_graph()

    found = estimate(graph, plan(graph, PART, CLOCK, Fps(frames_per_second=rate)), PART, CLOCK)

    assert found.fps >= rate
    assert found.fits


def test_the_least_design_is_not_larger_than_any_other():
    graph = small_graph()

    def share(goal):
        found = estimate(graph, plan(graph, PART, CLOCK, goal), PART, CLOCK)
        return sum(found.resources.utilization(PART.resources).values())

    assert share(MinArea()) <= min(share(MaxThroughput()), share(Fps(frames_per_second=2000)))


def test_a_rate_beyond_a_pixel_per_cycle_says_what_can_be_reached():
    with pytest.raises(DoesNotFitError, match=r"a frame takes at least \d+ cycles") as caught:
        plan(small_graph(), PART, CLOCK, Fps(frames_per_second=1e8))

    reached = int(caught.value.hint.split("at most ")[1].split(",")[0])
    graph = small_graph()
    large = find_part("xcvu13p")
    found = estimate(graph, plan(graph, large, CLOCK, Fps(frames_per_second=reached * 0.95)), large, CLOCK)
    assert found.fps >= reached * 0.95


def test_a_rate_that_the_part_cannot_hold_names_what_binds_and_what_it_reaches():
    graph = resnet(1, taps=9)
    with pytest.raises(
        DoesNotFitError, match=r"do not fit xc7z010; (the part reaches|even the least)"
    ) as caught:
        plan(graph, find_part("xc7z010"), CLOCK, Fps(frames_per_second=20000))

    assert "LUT binds" in str(caught.value)
    assert "a larger part" in str(caught.value)


@pytest.mark.slow
def test_what_is_said_to_be_enough_is_enough():
    graph = resnet(1, taps=9)
    rate = Fps(frames_per_second=20000)
    with pytest.raises(DoesNotFitError, match="what helps") as caught:
        plan(graph, find_part("xc7z010"), CLOCK, rate)

    said = str(caught.value)
    assert "conv2d (" in said
    assert "the largest engine is" in said
    (larger,) = re.findall(r"a larger part \((\w+) is enough\)", said)
    assert estimate(graph, plan(graph, find_part(larger), CLOCK, rate), find_part(larger), CLOCK).fits
    (reached,) = re.findall(r"--fps ([\d.]+)", said)
    slower = Fps(frames_per_second=float(reached))
    part = find_part("xc7z010")
    assert estimate(graph, plan(graph, part, CLOCK, slower), part, CLOCK).fits


@pytest.mark.slow
def test_a_density_that_is_said_to_help_does():
    graph = resnet(2, taps=9)
    least = estimate(graph, plan(graph, PART, CLOCK, MinArea()), PART, CLOCK)
    thin = at_density(graph, 1 / 9)
    thinnest = estimate(thin, plan(thin, PART, CLOCK, MinArea()), PART, CLOCK)
    between = (least.resources.lut + 2 * thinnest.resources.lut) // 3
    part = dataclasses.replace(PART, resources=dataclasses.replace(PART.resources, lut=between))

    found = search(graph, part, CLOCK, MinArea())

    assert found.optimality is None
    (density,) = re.findall(r"a density of (\d+)% in every layer", found.remedy)
    thinner = at_density(graph, int(density) / 100)
    assert estimate(thinner, plan(thinner, part, CLOCK, MinArea()), part, CLOCK).fits


def test_a_fold_that_is_asked_for_is_kept_and_others_are_chosen():
    graph = small_graph()

    found = plan(graph, PART, CLOCK, folds={"conv1": Fold(pe=2, simd=4, taps=2)})

    assert Fold(pe=2, simd=4, taps=2) == found.nodes["conv1"].fold
    assert set(found.nodes) == {op.name for op in graph.convolutions}


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (
            {"conv1": Fold(pe=3)},
            r"fold.conv1: pe=3 does not divide the 8 output channels \(use one of \[1, 2, 4, 8\]\)",
        ),
        ({"conv9": Fold()}, r"nothing that folds is called 'conv9' \(there are conv0, conv1, conv2, conv3\)"),
    ],
)
def test_a_fold_that_cannot_be_is_refused(folds, message):
    with pytest.raises(SpecError, match=message):
        plan(small_graph(), PART, CLOCK, folds=folds)


def test_a_part_that_is_too_small_gives_the_least_design_for_the_estimate_to_judge():
    graph = resnet(3, taps=9)
    part = find_part("xc7s6")

    found = estimate(graph, plan(graph, part, CLOCK), part, CLOCK, simulated=False)

    assert not found.fits
    assert "binds" in found.advice


def random_problem(rng: np.random.Generator) -> Problem:
    options = []
    for index in range(int(rng.integers(1, 5))):
        count = int(rng.integers(1, 7))
        intervals = np.sort(rng.integers(1, 20, size=count))
        costs = rng.integers(0, 30, size=(count, 5))
        plans = tuple(NodePlan(fold=Fold(pe=pe + 1)) for pe in range(count))
        options.append(Options(f"conv{index}", plans, intervals, costs))
    capacity = np.array([60, 60, 60, 60, 60])
    return Problem(tuple(options), np.array([2, 2, 2, 2, 2]), capacity, capacity)


def brute_force(problem: Problem, interval: int) -> float:
    """Least cost of all combinations within the budget; infinite where there is none."""
    best = math.inf
    for picks in itertools.product(*(range(options.within(interval)) for options in problem.options)):
        total = problem.fixed.copy()
        for options, pick in zip(problem.options, picks, strict=True):
            total = total + options.costs[pick]
        if (total <= problem.budget).all():
            best = min(best, float(total @ problem.prices))
    return best


@pytest.mark.parametrize("seed", range(150))
def test_the_choice_is_the_cheapest_of_all_combinations(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    interval = int(rng.integers(1, 20))

    answer = affordable(problem, interval)

    expected = brute_force(problem, interval)
    actual = math.inf if answer.choice is None else cost_of(problem, answer.choice)
    assert expected == pytest.approx(actual)
    assert expected == pytest.approx(answer.bound)  # and that is proven
    assert possible(problem, interval) is (expected < math.inf)


@pytest.mark.parametrize("seed", range(40))
def test_without_a_budget_the_choice_is_the_cheapest_engine_by_engine(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    wide = Problem(problem.options, problem.fixed, problem.budget * 100, problem.capacity)

    choice = cheapest(wide, 19)

    assert brute_force(wide, 19) == pytest.approx(float(choice.total @ wide.prices))


@pytest.mark.parametrize("lut", [1500, 2500, 4000, 8000])
def test_no_combination_of_folds_is_faster_within_the_part(lut):
    """The interval that the search reaches against every combination of options of a small graph."""
    make = Builder(5, 5, 2)
    make.conv(3, taps=((0, 1), (1, 1)))
    make.conv(2, taps=((1, 1),))
    graph = make.graph()
    resources = Resources(dsp=10, lut=lut, ff=2 * lut, bram18=10)
    part = dataclasses.replace(PART, resources=resources)
    space = search_space(graph, part, CLOCK, {})
    reachable = [i for i in space.intervals if brute_force(space.problem, i) < math.inf]

    found = estimate(graph, plan(graph, part, CLOCK, MaxThroughput()), part, CLOCK)

    if not reachable:
        assert not found.fits
    else:
        assert min(reachable) == found.bottleneck.cycles
        assert found.fits


def tight(lut: int, dsp: int, bram18: int):
    """A small graph on a part where several resources run short together."""
    make = Builder(5, 5, 4)
    make.conv(4, taps=((0, 1), (1, 1)))
    make.conv(4, taps=((1, 1),))
    graph = make.graph()
    resources = Resources(dsp=dsp, lut=lut, ff=2 * lut, bram18=bram18)
    part = dataclasses.replace(PART, resources=resources)
    return graph, part, search_space(graph, part, CLOCK, {})


@pytest.mark.parametrize("bram18", [0, 2])
@pytest.mark.parametrize("dsp", [0, 3, 8])
@pytest.mark.parametrize("lut", [1800, 2600])
def test_what_is_claimed_of_the_best_holds_against_every_combination(lut, dsp, bram18):
    graph, part, space = tight(lut, dsp, bram18)
    reachable = [i for i in space.intervals if brute_force(space.problem, i) < math.inf]

    found = search(graph, part, CLOCK, MaxThroughput())

    if found.optimality is None:
        assert not estimate(graph, found.plan, part, CLOCK).fits
        return
    assert found.optimality.measure is Measure.INTERVAL
    assert found.optimality.bound <= found.optimality.reached
    assert found.optimality.bound == min(reachable)  # so small that all is gone through


@pytest.mark.parametrize(("lut", "dsp"), [(2600, 8), (4000, 2), (8000, 0)])
def test_a_rate_is_met_at_the_least_cost_of_every_combination(lut, dsp):
    graph, part, space = tight(lut, dsp, 2)
    interval = min(i for i in space.intervals if brute_force(space.problem, i) < math.inf) * 3 // 2

    found = search(graph, part, CLOCK, Fps(frames_per_second=CLOCK.per_second(interval)))

    assert found.optimality is not None
    assert found.optimality.measure is Measure.COST
    assert found.optimality.bound == pytest.approx(brute_force(space.problem, interval))
    assert found.optimality.bound <= found.optimality.reached + 1e-9
