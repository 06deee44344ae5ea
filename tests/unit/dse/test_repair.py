"""Choices changed one option at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from psp_hw.dse.relax import Choosing
from psp_hw.dse.repair import Walk


def random_problem(seed: int) -> Choosing:
    rng = np.random.default_rng(seed)
    lists = [rng.integers(0, 20, size=(int(rng.integers(1, 5)), 5)) for _ in range(int(rng.integers(1, 5)))]
    budget = rng.integers(8, 18, size=5) * len(lists)
    return Choosing(lists, rng.integers(0, 4, size=5), budget, 1.0 / budget)


def taken(problem: Choosing, picks: tuple[int, ...]) -> np.ndarray:
    return problem.fixed + sum(costs[pick] for costs, pick in zip(problem.lists, picks, strict=True))


@pytest.mark.parametrize("seed", range(60))
def test_a_walk_ends_within_the_budget_where_no_single_change_saves_anything(seed):
    problem = random_problem(seed)
    every = list(itertools.product(*(range(len(costs)) for costs in problem.lists)))
    walk = Walk(problem, every[-1])
    fits = walk.into_budget()

    assert fits is bool((taken(problem, walk.picks) <= problem.budget).all())
    assert not fits or any((taken(problem, picks) <= problem.budget).all() for picks in every)
    if fits:
        before = walk.cost
        walk.cheaper()
        assert walk.cost <= before
        assert math.isclose(float(taken(problem, walk.picks) @ problem.prices), walk.cost)
        beside = [picks for picks in every if sum(map(int.__ne__, picks, walk.picks)) == 1]
        able = [picks for picks in beside if (taken(problem, picks) <= problem.budget).all()]
        assert all(float(taken(problem, picks) @ problem.prices) >= walk.cost - 1e-8 for picks in able)


def test_some_walks_begin_outside_the_budget_and_end_within_it():
    problems = [random_problem(seed) for seed in range(60)]
    outside = [
        (problem, Walk(problem, tuple(len(costs) - 1 for costs in problem.lists))) for problem in problems
    ]
    repaired = [walk.into_budget() for _, walk in outside if not walk.fits]

    assert any(repaired)
    assert not all(repaired)
