"""Choosing an option per engine where several resources bind."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from psp_hw.dse.choose import Problem, affordable, cost_of
from psp_hw.dse.options import Options
from psp_hw.dse.relax import Choosing, Relaxing
from psp_hw.folding.plan import Fold, NodePlan


def planted(seed: int, engines: int) -> Problem:
    """Engines that take a product in a DSP or in LUTs, and a budget that a known mixture of both just meets."""
    rng = np.random.default_rng(seed)
    options, chosen = [], []
    for index in range(engines):
        products = rng.integers(8, 200)
        in_dsps = [products // 2, products * rng.integers(20, 30), products * 60, rng.integers(0, 4), 0]
        in_luts = [0, products * rng.integers(70, 90), products * 40, rng.integers(0, 4), 0]
        costs = np.array([in_dsps, in_luts], dtype=np.int64)
        plans = tuple(NodePlan(fold=Fold()) for _ in costs)
        options.append(Options(f"engine{index}", plans, np.ones(len(costs), dtype=np.int64), costs))
        chosen.append(costs[rng.integers(2)])
    budget = np.sum(chosen, axis=0) * 103 // 100
    return Problem(tuple(options), np.zeros(5, dtype=np.int64), budget, 2 * budget)


@pytest.mark.parametrize("seed", range(30))
def test_dsps_and_luts_are_balanced_where_both_bind(seed):
    problem = planted(seed, 24)  # 2**24 choices: not searched exhaustively

    answer = affordable(problem, 1)

    choice = answer.choice
    assert choice is not None
    assert (choice.total <= problem.budget).all()
    taken = sum(options.costs[pick] for options, pick in zip(problem.options, choice.picks, strict=True))
    assert (taken == choice.total).all()
    assert answer.bound <= cost_of(problem, choice) + 1e-9
    assert cost_of(problem, choice) <= 1.01 * answer.bound  # what is left to gain is known to be little


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("engines", [2, 5, 7])
def test_the_answer_is_the_best_of_all_where_several_resources_bind(seed, engines):
    problem = planted(seed, engines)
    every = [sum(costs) for costs in itertools.product(*(one.costs for one in problem.options))]
    costs = [float(total @ problem.prices) for total in every if (total <= problem.budget).all()]

    answer = affordable(problem, 1)

    assert answer.choice is not None
    assert min(costs) == pytest.approx(cost_of(problem, answer.choice))
    assert min(costs) == pytest.approx(answer.bound)


@pytest.mark.parametrize("seed", range(60))
def test_a_bound_is_never_above_what_is_possible(seed):
    rng = np.random.default_rng(seed)
    options = []
    for index in range(4):
        costs = rng.integers(0, 40, size=(int(rng.integers(2, 7)), 5))
        plans = tuple(NodePlan(fold=Fold()) for _ in costs)
        options.append(Options(f"engine{index}", plans, np.ones(len(costs), dtype=np.int64), costs))
    least = np.sum([one.costs.min(axis=0) for one in options], axis=0)
    budget = least + rng.integers(0, 25, size=5)
    problem = Choosing([one.costs for one in options], np.zeros(5, dtype=np.int64), budget, np.ones(5) / 160)
    every = [sum(costs) for costs in itertools.product(*problem.lists)]
    best = min((float(t @ problem.prices) for t in every if (t <= budget).all()), default=np.inf)

    relaxed = Relaxing(problem).run()

    assert relaxed.bound <= best + 1e-9
    assert relaxed.cost >= best - 1e-9
    if best < np.inf:
        # What an option adds to the bound is no more than what it adds to the best choice that has it.
        for row, reduced in enumerate(relaxed.reduced):
            for pick, more in enumerate(reduced):
                having = [
                    float(sum(costs) @ problem.prices)
                    for costs in itertools.product(
                        *problem.lists[:row], [problem.lists[row][pick]], *problem.lists[row + 1 :]
                    )
                    if (sum(costs) <= budget).all()
                ]
                assert relaxed.bound + more <= min(having, default=np.inf) + 1e-9


def test_a_budget_below_the_least_of_one_resource_has_no_choice():
    problem = planted(0, 24)
    least = np.sum([options.costs.min(axis=0) for options in problem.options], axis=0)
    short = Problem(problem.options, problem.fixed, least - np.array([0, 1, 0, 0, 0]), problem.capacity)

    assert affordable(short, 1).ruled_out
