"""The fronts of a sweep: against brute force, and as tables."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from psp_hw.flow.sweeps.front import Cost, Trained, fronts, picture, row, table

COSTS = tuple(Cost)


def trained(number: int, accuracy: float, *costs: float) -> Trained:
    return Trained(
        number=number,
        values={"structure": "shape", "epsilon": 0.123456},
        accuracy=accuracy,
        costs=dict(zip(COSTS, costs, strict=True)),
        run=f"{number:04d}",
    )


def beats(one: Trained, other: Trained, costs: tuple[Cost, ...]) -> bool:
    mine = (-one.accuracy, *(one.costs[cost] for cost in costs))
    theirs = (-other.accuracy, *(other.costs[cost] for cost in costs))
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_fronts_hold_whom_nobody_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = [trained(n, *map(float, rng.integers(1, 6, size=4))) for n in range(int(rng.integers(1, 15)))]

    found = fronts(some, COSTS)

    for costs, indices in [(COSTS, found.best), *(((cost,), found.of[cost]) for cost in COSTS)]:
        for index, one in enumerate(some):
            beaten = any(beats(other, one, costs) for other in some)
            place = [one.costs[c] for c in COSTS]
            first = not any(
                other.accuracy == one.accuracy
                and all(other.costs[c] == one.costs[c] for c in costs)
                and ([other.costs[c] for c in COSTS], number) < (place, index)
                for number, other in enumerate(some)
            )
            assert (index in indices) == (not beaten and first)
    for cost in COSTS:
        steps = [some[index] for index in found.of[cost]]
        for left, right in itertools.pairwise(steps):
            assert left.costs[cost] < right.costs[cost]
            assert left.accuracy < right.accuracy


def test_of_equals_on_one_front_the_one_of_least_other_costs_stands_there() -> None:
    found = fronts([trained(0, 0.9, 100, 10, 700), trained(1, 0.9, 100, 10, 500)], COSTS)

    assert found.best == (1,)
    assert [found.of[cost] for cost in COSTS] == [(1,), (1,), (1,)]


def test_what_does_not_fit_is_on_no_front_of_cycles() -> None:
    found = fronts([trained(0, 0.9, 100, 10, math.inf), trained(1, 0.8, 50, 5, 7)], COSTS)

    assert found.of[Cost.CYCLES] == (1,)
    assert found.of[Cost.MACS] == (1, 0)
    assert row(found, 0, ("structure", "epsilon")) == (
        "0000",
        "shape",
        "0.1235",
        "macs, params",
        "90.00%",
        "100",
        "10",
        "does not fit",
    )


def test_a_table_has_a_line_per_trial() -> None:
    found = fronts([trained(0, 0.9, 1000, 10, 3), trained(1, 0.8, 50, 5, 7)], COSTS)

    assert table(found, found.best, ("structure",)) == [
        "| Run | Structure | On the front of | Accuracy | MACs | Parameters | Cycles |",
        "|---|---|---|---|---|---|---|",
        "| 0000 | shape | macs, params, cycles | 90.00% | 1,000 | 10 | 3 |",
        "| 0001 | shape | macs, params | 80.00% | 50 | 5 | 7 |",
    ]


def test_a_picture_is_drawn_even_of_one_trial_that_does_not_fit() -> None:
    found = fronts([trained(0, 0.9, 100, 10, math.inf)], COSTS)

    assert picture(found, title="one").startswith(b"\x89PNG")
