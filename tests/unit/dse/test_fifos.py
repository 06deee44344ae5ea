"""FIFO depths from the dataflow in time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sample_graphs import Builder, random_graph, resnet

from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.dse.densities import at_density
from psp_hw.dse.fifos import Sizing, deepest, least_fifos, tighten
from psp_hw.dse.search import plan
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan, divisors, extents
from psp_hw.sim.cycles import DeadlockError, simulate
from psp_hw.sim.stepper import step
from psp_hw.units import Clock


def flow_of(graph, fold: Fold = Fold()):  # noqa: B008 - a frozen value
    return build(graph, FoldPlan(nodes={op.name: NodePlan(fold=fold) for op in graph.convolutions}))


def residual():
    make = Builder(7, 7, 2)
    inner = make.conv(2, source="image")
    inner = make.conv(2, source=inner)
    make.add(inner, "image")
    return make.graph()


def test_the_skip_of_a_residual_block_is_the_early_channel():
    flow = flow_of(residual())

    assert frozenset({"image_fork_to_add0"}) == Sizing(flow, {}).early


@pytest.mark.parametrize("taps", [((0, 0),), ((1, 1),), ((2, 2),), ((1, 1), (2, 2))])
@pytest.mark.parametrize("size", [7, 8, 16])
def test_the_late_branch_is_found_too_where_the_whole_frame_piles_up_before_a_slow_engine(size, taps):
    make = Builder(size, size, 2)
    inner = make.conv(2, source="image", taps=taps)
    inner = make.conv(2, source=inner, taps=taps)
    make.add(inner, "image")
    make.conv(8)  # takes 144 cycles for a pixel, those before it 8 at most
    flow = flow_of(make.graph())

    # A lone tap above and left of its pixel is read before that pixel: there the convolutions are ahead of the skip.
    ahead = "conv1_to_add0" if taps == ((0, 0),) else "image_fork_to_add0"
    assert frozenset({ahead}) == Sizing(flow, {}).early
    simulate(flow, fifo_depths=Sizing(flow, {}).plan().depths, max_frames=3)  # does not deadlock


def test_the_skip_fifo_holds_what_the_other_branch_is_late():
    flow = flow_of(residual())

    found = Sizing(flow, {}).plan()

    # Two 3x3 windows are complete 2 * (7 + 1) pixels after the first; FIFOs of the branch hold the rest.
    assert 16 < found.depths["image_fork_to_add0"] <= 16 + 2 + 3 * 32
    assert found.timeline.regime is not None


@pytest.mark.parametrize("seed", range(25))
def test_sized_fifos_never_deadlock_and_reach_the_interval_of_deeper_ones(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    flow = flow_of(graph)
    depths = {engine.name: int(rng.integers(1, 6)) for engine in flow.engines}

    found = Sizing(flow, depths).plan()

    wide = {channel.name: 400 for channel in flow.channels}
    assert not step(
        flow.__class__(engines=flow.engines, channels=_with(flow, found.depths)), 4, depths=depths
    ).deadlock
    assert found.timeline.interval <= 1.02 * simulate(flow, depths=depths, fifo_depths=wide).interval


def _with(flow, depths):
    from dataclasses import replace

    return tuple(replace(channel, depth=depths[channel.name]) for channel in flow.channels)


@pytest.mark.parametrize("seed", range(40))
def test_sized_fifos_do_not_deadlock_where_pipelines_are_not_as_deep_as_was_thought(seed):
    rng = np.random.default_rng(500 + seed)
    graph = random_graph(rng)
    flow = flow_of(graph, Fold()) if seed % 2 else _whole_pixels(graph)
    depths = {engine.name: int(rng.integers(1, 8)) for engine in flow.engines}

    found = Sizing(flow, depths).plan()

    for _ in range(4):
        actual = {name: int(rng.integers(1, deepest(depth) + 1)) for name, depth in depths.items()}
        simulate(flow, depths=actual, fifo_depths=found.depths, max_frames=3)
    late = {name: deepest(depth) for name, depth in depths.items()}
    simulate(flow, depths=late, fifo_depths=found.depths, max_frames=3)


@pytest.mark.parametrize("seed", range(30))
def test_sized_fifos_do_not_deadlock_whatever_the_folds(seed):
    rng = np.random.default_rng(900 + seed)
    graph = random_graph(rng)
    if seed % 2:
        graph = at_density(resnet(1, taps=int(rng.integers(1, 10))), rng.choice([1 / 9, 2 / 9, 4 / 9, 1]))
    nodes = {}
    for op in graph.convolutions:
        full = extents(op, graph)
        parts = {name: int(rng.choice(divisors(getattr(full, name)))) for name in ("pe", "simd", "taps")}
        nodes[op.name] = NodePlan(fold=Fold(**parts))
    flow = build(graph, FoldPlan(nodes=nodes))
    depths = {engine.name: int(rng.integers(1, 10)) for engine in flow.engines}

    found = Sizing(flow, depths).plan()

    for _ in range(3):
        actual = {name: int(rng.integers(1, deepest(depth) + 1)) for name, depth in depths.items()}
        simulate(flow, depths=actual, fifo_depths=found.depths, max_frames=3)


def _whole_pixels(graph):
    return build(
        graph, FoldPlan(nodes={op.name: NodePlan(fold=extents(op, graph)) for op in graph.convolutions})
    )


def with_depths(flow, depths):
    channels = tuple(dataclasses.replace(one, depth=depths[one.name]) for one in flow.channels)
    return dataclasses.replace(flow, channels=channels)


@pytest.mark.parametrize("seed", range(8))
def test_tightened_fifos_are_the_smallest_that_do_not_slow_the_design(seed):
    rng = np.random.default_rng(seed)
    flow = flow_of(random_graph(rng))
    depths = {engine.name: int(rng.integers(1, 6)) for engine in flow.engines}
    sized = with_depths(flow, Sizing(flow, depths).plan().depths)
    before = simulate(sized, depths=depths)

    tight = tighten(sized, depths)

    after = simulate(flow, depths=depths, fifo_depths=tight)
    assert (after.interval, after.latency) == (before.interval, before.latency)
    for channel in sized.channels:
        depth = tight[channel.name]
        assert depth <= channel.depth
        if depth == 2:
            continue
        try:
            less = simulate(flow, depths=depths, fifo_depths={**tight, channel.name: depth - 1})
        except DeadlockError:
            continue
        assert less.interval > before.interval or less.latency > before.latency


def test_a_plan_with_least_fifos_is_as_fast_and_no_larger():
    graph, part, clock = resnet(1, taps=4), find_part("xc7z020clg400-1"), Clock(period_ns=10.0)
    sized = plan(graph, part, clock)

    least = least_fifos(graph, sized, part, clock)

    before, after = (estimate(graph, one, part, clock) for one in (sized, least))
    assert (after.interval, after.latency) == (before.interval, before.latency)
    assert least.nodes == sized.nodes
    assert sum(fifo.depth for fifo in after.fifos) < sum(fifo.depth for fifo in before.fifos)
    assert after.resources.lut <= before.resources.lut


def test_bursts_of_strided_convolutions_are_taken_up_by_deeper_fifos():
    graph = resnet(1, taps=4)
    flow = flow_of(graph)
    depths = {engine.name: 5 for engine in flow.engines}
    slowest = max(engine.schedule().iterations for engine in flow.engines) + 5 + 2

    found = Sizing(flow, depths).plan()

    shallow = simulate(flow, depths=depths, unbounded=Sizing(flow, depths).early)
    assert shallow.interval > 1.2 * slowest
    assert found.timeline.interval <= 1.01 * slowest
