"""What FIFOs between branches have to hold, whatever the folds."""

from __future__ import annotations

import numpy as np
import pytest
from sample_graphs import Builder, random_graph, resnet

from psp_hw.dse.branches import least_depths, regions
from psp_hw.dse.fifos import Sizing
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan, divisors, extents
from psp_hw.sim.cycles import DeadlockError, simulate


def random_flow(seed: int, *, slowest: int = 9):
    """A random graph under random folds, and pipeline depths below ``slowest``."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    nodes = {}
    for op in graph.convolutions:
        whole = extents(op, graph)
        parts = {part: int(rng.choice(divisors(getattr(whole, part)))) for part in ("pe", "simd", "taps")}
        nodes[op.name] = NodePlan(fold=Fold(**parts))
    flow = build(graph, FoldPlan(nodes=nodes))
    return flow, {engine.name: int(rng.integers(1, slowest)) for engine in flow.engines}


@pytest.mark.parametrize("seed", range(40))
def test_a_fifo_below_the_least_depth_stops_the_design_for_ever_whatever_the_folds(seed):
    flow, depths = random_flow(seed)
    others = {channel.name for channel in flow.channels}
    for name, least in least_depths(regions(flow)).items():
        with pytest.raises(DeadlockError):
            simulate(
                flow,
                depths=depths,
                unbounded=frozenset(others - {name}),
                fifo_depths={name: least - 1},
                max_frames=2,
            )


@pytest.mark.parametrize("seed", range(40))
def test_the_least_depth_is_enough_where_pipelines_are_a_cycle_deep(seed):
    flow, depths = random_flow(seed, slowest=2)
    least = least_depths(regions(flow))

    simulate(
        flow,
        depths=depths,
        unbounded=frozenset(channel.name for channel in flow.channels if channel.name not in least),
        fifo_depths=least,
        max_frames=2,
    )


def test_the_skip_of_a_residual_block_holds_what_two_windows_and_pipelines_hold():
    make = Builder(7, 7, 2)
    inner = make.conv(2, source=make.conv(2, source="image"))
    make.add(inner, "image")

    found = least_depths(regions(build(make.graph(), _unfolded(make.graph()))))

    # Each window is complete a row and a pixel after its first; each pipeline holds a token; and one token to be added.
    assert {"image_fork_to_add0": 2 * (7 + 1) + 2 + 1} == found


def test_the_late_input_is_known_where_a_skip_leads_past_windows_and_not_where_both_branches_compute():
    graph = resnet(1, size=8, widths=(4, 8))
    found = {region.join: region for region in regions(build(graph, _unfolded(graph)))}

    assert found["add0"].late == "conv2_to_add0"
    assert found["add1"].late is None
    assert found["add1"].least == {}


def test_a_region_begins_where_all_branches_part():
    make = Builder(6, 6, 2)
    stem = make.conv(2)
    inner = make.add(make.conv(2, source=stem), stem)
    make.add(make.conv(2, source=inner), stem)
    flow = build(make.graph(), _unfolded(make.graph()))

    nested, outer = regions(flow)

    assert [nested.fork, outer.fork] == ["conv0_fork", "conv0_fork"]
    assert [engine.name for engine in outer.between] == ["conv1", "add0", "conv2"]
    # A row and a pixel of each window, a token in each pipeline on the way, and one to be added.
    assert {"conv0_fork_to_add0": 7 + 1 + 1, "conv0_fork_to_add1": 7 + 1 + 1 + 7 + 1 + 1} == least_depths(
        (nested, outer)
    )


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_of_tokens_says_is_what_a_lone_frame_shows(seed):
    flow, depths = random_flow(seed)
    early = Sizing(flow, depths).early
    for region in regions(flow):
        if region.late is not None:
            assert {channel.name for channel in region.inputs} - early == {region.late}
            joins = {other.join for other in regions(flow)}
            free = frozenset(channel.name for channel in flow.channels if channel.target in joins)
            held = {
                use.name: use.occupancy
                for use in simulate(flow, depths=depths, unbounded=free, max_frames=1).channels
            }
            assert all(
                held[channel.name] >= held[region.late]
                for channel in region.inputs
                if channel.source == region.fork
            )


def _unfolded(graph):
    return FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions})
