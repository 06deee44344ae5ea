"""Choosing an option per engine where several resources bind."""

from __future__ import annotations

import numpy as np
import pytest

from psp_hw.dse.choose import Problem, affordable
from psp_hw.dse.options import Options
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

    choice = affordable(problem, 1)

    assert choice is not None
    assert (choice.total <= problem.budget).all()
    taken = sum(options.costs[pick] for options, pick in zip(problem.options, choice.picks, strict=True))
    assert (taken == choice.total).all()


def test_a_budget_below_the_least_of_one_resource_has_no_choice():
    problem = planted(0, 24)
    least = np.sum([options.costs.min(axis=0) for options in problem.options], axis=0)
    short = Problem(problem.options, problem.fixed, least - np.array([0, 1, 0, 0, 0]), problem.capacity)

    assert affordable(short, 1) is None
