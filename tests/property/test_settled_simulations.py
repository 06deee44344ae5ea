"""What is proven of all later frames, held to the stepper: patterns of several frames, FIFOs that hold many, intervals that last."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sample_graphs import Builder, random_graph, resnet

from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan, divisors, extents
from psp_hw.sim.cycles import MAX_FRAMES, DeadlockError, Running, simulate
from psp_hw.sim.process import Depths
from psp_hw.sim.regime import Regime
from psp_hw.sim.stepper import step

LATER = 24  # frames that are looked at beyond those that prove something


def with_depths(flow: Dataflow, pick) -> Dataflow:
    return dataclasses.replace(
        flow, channels=tuple(dataclasses.replace(c, depth=pick(c)) for c in flow.channels)
    )


def residual_mlp(layers: int, width: int = 4) -> Dataflow:
    """Dense layers one after the other beside a skip connection: one token per frame everywhere."""
    make = Builder(1, 1, width)
    first = last = make.conv(width, kernel=(1, 1), pad=0)
    for _ in range(layers):
        last = make.conv(width, source=last, kernel=(1, 1), pad=0)
    make.add(last, first)
    graph = make.graph()
    return build(graph, FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions}))


def random_folds(graph, rng) -> FoldPlan:
    nodes = {}
    for op in graph.convolutions:
        full = extents(op, graph)
        parts = {part: int(rng.choice(divisors(getattr(full, part)))) for part in ("pe", "simd", "taps")}
        nodes[op.name] = NodePlan(fold=Fold(**parts))
    return FoldPlan(nodes=nodes)


def follows(finished, regime: Regime, frames: int) -> bool:
    """Whether the frames from the end of a simulation on come as its pattern says."""
    ends = np.array(finished)
    return bool((ends[frames:] - ends[frames - regime.frames : -regime.frames] == regime.cycles).all())


@pytest.mark.parametrize(("layers", "skip"), [(4, 2), (5, 3), (6, 3), (6, 4), (8, 4), (9, 7)])
def test_a_skip_fifo_that_holds_fewer_frames_than_its_branch_makes_a_pattern_of_several(layers, skip):
    flow = with_depths(residual_mlp(layers), lambda c: skip if c.name == "conv0_fork_to_add0" else 1)

    timeline = simulate(flow)

    assert timeline.regime is not None
    assert timeline.regime.frames == skip
    finished = step(flow, timeline.frames + LATER).finished
    assert follows(finished, timeline.regime, timeline.frames)
    assert len({*np.diff(finished)[-skip:].tolist()}) > 1, "frames came at even distances after all"
    mean = (finished[-1] - finished[-1 - skip]) / skip
    assert timeline.interval - 1 < mean <= timeline.interval


@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 60))]
)
def test_a_pattern_that_was_found_holds_for_all_later_frames(seed):
    rng = np.random.default_rng(7000 + seed)
    if seed % 2:
        flow = residual_mlp(int(rng.integers(1, 9)), width=int(rng.choice([1, 2, 4])))
    else:
        graph = random_graph(rng)
        flow = build(graph, random_folds(graph, rng))
    flow = with_depths(flow, lambda _: int(rng.choice([1, 2, 3, 5, 9, 24, 64])))
    depths = {engine.name: int(rng.integers(0, 7)) for engine in flow.engines}
    try:
        timeline = simulate(flow, depths=depths)
    except DeadlockError:
        assert step(flow, 12, depths=depths).deadlock
        return

    finished = step(flow, timeline.frames + LATER, depths=depths).finished

    if timeline.regime is not None:
        assert follows(finished, timeline.regime, timeline.frames)
        assert timeline.interval == timeline.regime.interval
    if timeline.proven:
        # A bounded number of cycles is all that frames may be late by in the end.
        assert finished[-1] - finished[timeline.frames - 1] <= LATER * timeline.interval + timeline.latency


def test_frames_that_run_ahead_for_long_are_proven_by_frames_that_come_as_they_leave():
    """The first convolution is a little faster than the second: the FIFO between them fills by a few tokens per frame."""
    make = Builder(8, 8, 4)
    first = make.conv(4)
    make.conv(4, source=first)
    graph = make.graph()
    flow = build(
        graph,
        FoldPlan(nodes={"conv0": NodePlan(fold=Fold(pe=4)), "conv1": NodePlan(fold=Fold(pe=4))}),
    )
    flow = with_depths(flow, lambda _: 64)
    depths = {"conv0": 1, "conv1": 6}

    timeline = simulate(flow, depths=depths)

    assert timeline.regime is None
    assert timeline.proven
    assert timeline.frames == MAX_FRAMES
    distances = np.diff(step(flow, 120, depths=depths).finished)
    assert [timeline.interval] * len(distances) == distances.tolist()


def test_an_interval_that_fifos_do_not_sustain_is_not_proven():
    flow = with_depths(residual_mlp(6), lambda c: 3 if c.name == "conv0_fork_to_add0" else 1)
    run = Running(flow, Depths())
    run.advance(2)

    assert not run._sustains(run._slowest)
    assert run._sustains(2 * simulate(flow).interval)


def test_a_network_with_a_tail_of_one_pixel_is_proven_after_few_frames():
    graph = resnet(1, taps=4)
    rng = np.random.default_rng(3)
    flow = with_depths(build(graph, random_folds(graph, rng)), lambda _: 200)

    assert simulate(flow).frames <= MAX_FRAMES
