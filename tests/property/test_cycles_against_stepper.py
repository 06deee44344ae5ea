"""The token-level simulation of the dataflow equals the cycle-by-cycle one, to the cycle."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from patterns import STRUCTURES, pruned, table_plan
from sample_graphs import Builder, random_graph, resnet

from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan, divisors, extents
from psp_hw.ir.graph import Graph
from psp_hw.sim import sweeps
from psp_hw.sim.cycles import Clockwork, DeadlockError, simulate
from psp_hw.sim.process import RESTART_CYCLES, Depths
from psp_hw.sim.regime import regime_of
from psp_hw.sim.stepper import step
from psp_hw.sim.sweeps import Sweeps


def random_plan(graph: Graph, rng: np.random.Generator) -> FoldPlan:
    nodes = {}
    for op in graph.convolutions:
        full = extents(op, graph)
        fold = Fold(
            **{part: int(rng.choice(divisors(getattr(full, part)))) for part in ("pe", "simd", "taps")}
        )
        nodes[op.name] = NodePlan(fold=fold)
    return FoldPlan(nodes=nodes)


def with_depths(flow: Dataflow, pick) -> Dataflow:
    return dataclasses.replace(
        flow, channels=tuple(dataclasses.replace(c, depth=pick()) for c in flow.channels)
    )


@pytest.mark.parametrize("seed", range(60))
def test_simulation_equals_the_stepper_to_the_cycle(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    flow = build(graph, random_plan(graph, rng))
    flow = with_depths(flow, lambda: int(rng.integers(1, 8)) if rng.random() < 0.5 else 40)
    depths = {engine.name: int(rng.integers(0, 7)) for engine in flow.engines}
    try:
        fast = simulate(flow, depths=depths, max_frames=4)
    except DeadlockError:
        assert step(flow, 4, depths=depths).deadlock
        return

    slow = step(flow, fast.frames, depths=depths)

    assert not slow.deadlock
    assert slow.finished == fast.finished
    assert slow.occupancy == {use.name: use.occupancy for use in fast.channels}


@pytest.mark.parametrize("seed", range(30))
def test_simulation_of_connection_tables_equals_the_stepper_to_the_cycle(seed):
    rng = np.random.default_rng(500 + seed)
    graph = pruned(random_graph(rng), rng, STRUCTURES[seed % len(STRUCTURES)])
    flow = with_depths(build(graph, table_plan(graph, rng)), lambda: 40)
    depths = {engine.name: int(rng.integers(0, 7)) for engine in flow.engines}

    fast = simulate(flow, depths=depths, max_frames=3)

    assert step(flow, fast.frames, depths=depths).finished == fast.finished


@pytest.mark.parametrize("seed", range(12))
def test_a_fifo_as_deep_as_its_occupancy_changes_nothing_and_no_frame_leaves_earlier_with_less(seed):
    rng = np.random.default_rng(1000 + seed)
    graph = random_graph(rng)
    flow = with_depths(build(graph, random_plan(graph, rng)), lambda: 64)
    depths = {engine.name: int(rng.integers(0, 5)) for engine in flow.engines}
    wide = simulate(flow, depths=depths, max_frames=6)
    exact = {use.name: max(1, use.occupancy) for use in wide.channels}

    assert wide.finished == simulate(flow, depths=depths, fifo_depths=exact, max_frames=wide.frames).finished


@pytest.mark.parametrize("seed", range(12))
def test_a_steady_interval_holds_for_later_frames(seed):
    rng = np.random.default_rng(2000 + seed)
    graph = random_graph(rng)
    flow = build(graph, random_plan(graph, rng))
    joins = {c.target for c in flow.channels if c.target.startswith("add")}
    channels = tuple(dataclasses.replace(c, depth=24 if c.target in joins else 3) for c in flow.channels)
    flow = dataclasses.replace(flow, channels=channels)
    timeline = simulate(flow, max_frames=40)
    assert timeline.proven

    finished = step(flow, timeline.frames + 4).finished

    later = np.diff(finished)[timeline.frames - 2 :]
    assert [timeline.interval] * len(later) == later.tolist()


@pytest.mark.parametrize("fold", [Fold(), Fold(pe=2), Fold(pe=4, simd=3, taps=9)])
def test_interval_of_a_lone_slow_engine_is_its_trips_depth_and_restart(fold):
    make = Builder(6, 6, 3)
    make.conv(4)
    graph = make.graph()
    flow = build(graph, FoldPlan(nodes={"conv0": NodePlan(fold=fold)}))
    conv = flow.engines[1]

    timeline = simulate(flow, depths={"conv0": 7})

    assert conv.schedule().iterations + 7 + RESTART_CYCLES == timeline.interval


def test_a_skip_fifo_that_is_too_small_is_a_deadlock_that_names_the_waiting_engines():
    make = Builder(6, 6, 2)
    inner = make.conv(2, source="image")
    make.add(inner, "image")
    graph = make.graph()
    flow = build(graph, FoldPlan(nodes={"conv0": NodePlan(fold=Fold())}))

    with pytest.raises(DeadlockError, match="add0 waits for conv0") as caught:
        simulate(flow)

    names = [wait.engine for wait in caught.value.waits]
    assert {"image_fork", "conv0", "add0"} == set(names)
    assert "deepen image_fork_to_add0" == caught.value.hint


def timed(flow: Dataflow, depths, frames: int):
    """A design in time by sweeps and token by token: what both say of every frame, FIFO and stall."""
    swept = Sweeps(flow, Depths(pipelines=depths))
    tokens = Clockwork(flow, Depths(pipelines=depths))
    for _ in range(frames):
        assert swept.run_frame()
        tokens.run_frame()
    return [
        (one.finished, regime_of(one), one.occupancies(), one.stalls(), one.bounds())
        for one in (swept, tokens)
    ]


@pytest.mark.parametrize("depth", [2, 5, 16, 200, 3000])
def test_sweeps_equal_the_clockwork_of_tokens_on_a_network(depth):
    rng = np.random.default_rng(depth)
    graph = resnet(1, taps=4)
    flow = build(graph, random_plan(graph, rng))
    joins = {c.target for c in flow.channels if "add" in c.target}
    channels = tuple(
        dataclasses.replace(c, depth=depth + 1200 if c.target in joins else depth) for c in flow.channels
    )
    depths = {engine.name: int(rng.integers(1, 9)) for engine in flow.engines}

    swept, tokens = timed(dataclasses.replace(flow, channels=channels), depths, 4)

    assert tokens == swept


@pytest.mark.parametrize("seed", range(20))
def test_what_sweeps_leave_unsettled_is_computed_token_by_token(seed, monkeypatch):
    rng = np.random.default_rng(3000 + seed)
    graph = random_graph(rng)
    flow = with_depths(build(graph, random_plan(graph, rng)), lambda: 48)
    settled = simulate(flow, max_frames=5)

    monkeypatch.setattr(sweeps, "MOST_UPDATES", 0)

    assert settled == simulate(flow, max_frames=5)
