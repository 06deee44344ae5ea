"""Where every process stands in its random numbers; and float32 that is no TF32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from psp_hw.training.arithmetic import whole_float32
from psp_hw.training.draws import go_on, stand_apart, where_they_stand

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def _drawn(seed: int, rank: int) -> torch.Tensor:
    torch.manual_seed(seed)
    stand_apart(rank)
    return torch.rand(4)


def test_processes_draw_different_numbers_and_the_first_those_of_one_alone() -> None:
    torch.manual_seed(5)
    torch.rand(3)  # the initial weights: a process alone goes on behind them
    state = torch.get_rng_state()
    stand_apart(0)
    assert torch.equal(state, torch.get_rng_state())

    drawn = [_drawn(seed, rank) for seed in range(3) for rank in range(3)]
    assert len(drawn) == len({tuple(one.tolist()) for one in drawn})
    assert torch.equal(_drawn(2, 1), drawn[7])


def test_each_process_goes_on_where_it_stood() -> None:
    states, expected = [], []
    for rank in range(2):
        torch.manual_seed(11 + rank)
        torch.randn(3)  # an odd number: a normal number waits in the generator
        states.append(where_they_stand(CPU))
        expected.append(torch.randn(5))
    for rank in (1, 0):
        torch.manual_seed(0)
        assert go_on(torch.stack(states), rank=rank, device=CPU)
        assert torch.equal(expected[rank], torch.randn(5))
    before = torch.get_rng_state()
    assert not go_on(torch.stack(states), rank=2, device=CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_the_one_state_of_earlier_checkpoints_is_that_of_the_first_process() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    expected = torch.rand(3)
    assert go_on(state, rank=0, device=CPU)
    assert torch.equal(expected, torch.rand(3))
    assert not go_on(state, rank=1, device=CPU)


def test_the_generator_of_the_gpu_that_trains_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a GPU that is made up; where the training goes on without one, that of the processor alone is put back."""
    put: list[tuple[torch.Tensor, object]] = []
    gpu = torch.device("cuda", 0)
    made_up = torch.arange(16, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _: made_up)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: put.append((state, device)))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, _: self)
    states = where_they_stand(gpu)[None]
    expected = torch.rand(3)

    assert go_on(states, rank=0, device=CPU)
    assert torch.equal(expected, torch.rand(3))
    assert [] == put
    assert go_on(states, rank=0, device=gpu)
    assert torch.equal(expected, torch.rand(3))
    assert torch.equal(made_up, put[0][0])
    assert gpu == put[0][1]


def test_float32_is_no_tf32_within_and_what_it_was_behind() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    with whole_float32():
        assert (False, False) == (cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    assert before == cudnn.allow_tf32
