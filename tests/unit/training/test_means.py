"""Means of an epoch that goes on: what each process had summed, whatever their number is afterwards."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from psp_hw.training.means import Means

STEPS = [([2.5, 0.25], 8), ([1.75, 0.5], 8), ([0.125, 1.0], 4)]  # loss and accuracy, images; exact in float32


def _of(steps: list[tuple[list[float], int]]) -> Means:
    means = Means()
    for values, images in steps:
        means.add(torch.tensor(values), images)
    return means


def _expected(steps: list[tuple[list[float], int]]) -> list[Fraction]:
    """Sums of loss and accuracy over the images, and their number."""
    sums = [sum(Fraction(values[place]) * images for values, images in steps) for place in (0, 1)]
    return [*sums, Fraction(sum(images for _, images in steps))]


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_all_processes_together_have_what_all_had(processes: int) -> None:
    had = torch.stack([_of(STEPS[:1]).totals(), _of(STEPS[1:]).totals()])  # two processes
    state = _of([]).state_dict(had)

    found = []
    for rank in range(processes):
        means = Means()
        means.load_state_dict(state, rank=rank, processes=processes)
        found.append(means.totals())
    assert _expected(STEPS) == [Fraction(value) for value in torch.stack(found).sum(0).tolist()]
    if processes == 2:
        assert torch.equal(had, torch.stack(found))


@pytest.mark.parametrize("steps", [[], STEPS])
def test_a_checkpoint_of_an_earlier_form_is_read(steps: list[tuple[list[float], int]]) -> None:
    sums = torch.tensor([float(value) for value in _expected(steps)[:2]]) if steps else None
    means = Means()
    means.load_state_dict({"sums": sums, "images": int(_expected(steps)[2])}, rank=0, processes=1)

    assert _expected(steps) == [Fraction(value) for value in means.totals().tolist()]
