"""Affine maps and thresholds that work on some channels at once: what is legal, what it takes, what the search makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_graphs import random_graph
from small_designs import norm_graph

from psp_hw.backends.plan_file import load_plan, print_plan
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import engine_bill
from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.cost.pricing import price_bill
from psp_hw.dse.dense import MEMORIES
from psp_hw.dse.maps import map_options
from psp_hw.dse.pareto import undominated
from psp_hw.dse.prices import Site
from psp_hw.dse.search import plan
from psp_hw.errors import SpecError
from psp_hw.folding.bindable import Bindable
from psp_hw.folding.dataflow import build
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind, NodePlan, divisors
from psp_hw.folding.ports import check_ports
from psp_hw.ir.graph import Graph
from psp_hw.passes import optimize
from psp_hw.sim.cycles import simulate
from psp_hw.sim.process import RESTART_CYCLES
from psp_hw.sim.stepper import step
from psp_hw.spec.target import Fps, MaxThroughput, MinArea
from psp_hw.units import Clock

PART = find_part("xc7z020clg400-1")
CLOCK = Clock(period_ns=10.0)


def wide_norm(channels: int = 96) -> Graph:
    """A batch norm over many channels before a convolution to few, as DenseNets have them."""
    return norm_graph(channels)


def at(graph: Graph, node: NodePlan) -> FoldPlan:
    return FoldPlan(nodes={"conv": NodePlan(fold=Fold()), "norm": node})


def maps_of(graph: Graph):
    nodes = {op.name: NodePlan(fold=Fold()) for op in graph.convolutions}
    engines = build(graph, FoldPlan(nodes=nodes)).engines
    return [engine for engine in engines if isinstance(engine, AffineEngine | ThresholdEngine)]


@pytest.mark.parametrize("seed", range(12))
def test_every_choice_is_priced_as_its_engine_is(seed):
    graph = optimize(random_graph(seed))
    site = Site(graph, Fabric.SERIES7, CLOCK)
    engines = maps_of(graph)
    together = map_options(engines, site, frozenset(MultiplierKind), {})
    for place, engine in enumerate(engines):
        channels = engine.result.channels
        every = []
        for pe in divisors(channels):
            kinds = [MultiplierKind.TOOL]
            if isinstance(engine, AffineEngine) and pe < channels:
                kinds = [MultiplierKind.TOOL, MultiplierKind.LUT, MultiplierKind.DSP]
            for kind in kinds:
                for memory in MEMORIES:
                    one = replace(engine, fold=Fold(pe=pe), weights=memory)
                    one = replace(one, multipliers=kind) if isinstance(one, AffineEngine) else one
                    bill = engine_bill(one, graph, site.fabric, CLOCK)
                    cycles = one.schedule().iterations + bill.pipeline.depth + RESTART_CYCLES
                    every.append((cycles, *price_bill(bill.items, site.fabric).amounts))
        rows = np.array(every)

        found = together[place]

        chosen = {tuple(row) for row in np.column_stack([found.intervals, found.costs]).tolist()}
        assert chosen <= set(every)
        best = {tuple(row) for row in rows[undominated(rows)].tolist()}
        assert {row[0] for row in best} == {row[0] for row in chosen}
        assert chosen == best or isinstance(engine, AffineEngine)  # LUT and TOOL may be the same thing


def test_a_map_folded_takes_a_cycle_per_block_and_the_stepper_agrees():
    graph = wide_norm(24)
    for pe in divisors(24):
        flow = build(graph, at(graph, NodePlan(fold=Fold(pe=pe), weights=MemoryKind.LUTRAM)))
        norm = next(engine for engine in flow.engines if engine.name == "norm")

        timeline = simulate(flow, depths={"norm": 3, "conv": 2})

        assert 64 * 24 // pe == norm.schedule().iterations
        assert step(flow, timeline.frames, depths={"norm": 3, "conv": 2}).finished == timeline.finished


def test_a_folded_norm_takes_fewer_of_everything_that_multiplies():
    graph = wide_norm()
    whole = estimate(graph, at(graph, NodePlan(fold=Fold(pe=96))), PART, CLOCK)
    few = estimate(graph, at(graph, NodePlan(fold=Fold(pe=4), weights=MemoryKind.LUTRAM)), PART, CLOCK)
    costs = [next(layer for layer in one.layers if layer.name == "norm") for one in (whole, few)]

    assert costs[1].resources.lut * 2 < costs[0].resources.lut
    assert costs[1].iterations == 24 * costs[0].iterations
    assert costs[1].fold == Fold(pe=4)
    assert costs[0].fold is None


@pytest.mark.parametrize("goal", [MinArea(), Fps(frames_per_second=2000), MaxThroughput()])
def test_the_search_folds_a_norm_as_far_as_the_convolution_behind_it(goal):
    graph = wide_norm()

    found = plan(graph, PART, CLOCK, goal)
    check_ports(build(graph, found))
    without = plan(graph, PART, CLOCK, goal, bindable=Bindable(folded_maps=False))

    taken = estimate(graph, found, PART, CLOCK)
    assert taken.fits
    assert "norm" not in without.nodes
    if not isinstance(goal, MaxThroughput):
        assert found.nodes["norm"].fold.pe < 96
        assert taken.resources.lut < estimate(graph, without, PART, CLOCK).resources.lut


def test_a_fold_of_a_map_that_is_asked_for_is_kept_and_written_down(tmp_path):
    graph = wide_norm()

    found = plan(graph, PART, CLOCK, folds={"norm": Fold(pe=12)})

    assert Fold(pe=12) == found.nodes["norm"].fold
    (tmp_path / "plan.json").write_text(print_plan(found))
    assert found == load_plan(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            NodePlan(fold=Fold(pe=7)),
            r"fold.norm: pe=7 does not divide the 96 channels \(use one of \[1, 2, 3",
        ),
        (NodePlan(fold=Fold(pe=4, simd=2)), "one input per output"),
        (NodePlan(fold=Fold(pe=96), multipliers=MultiplierKind.DSP), "nothing is multiplied but constants"),
        (NodePlan(fold=Fold(pe=4), multipliers=MultiplierKind.DSP_PAIR), "share no factor"),
    ],
)
def test_a_fold_that_a_map_cannot_have_is_refused(node, message):
    graph = wide_norm()
    with pytest.raises(SpecError, match=message):
        build(graph, at(graph, node))


def test_constants_in_ultraram_are_refused():
    graph = wide_norm()
    flow = build(graph, at(graph, NodePlan(fold=Fold(pe=4), weights=MemoryKind.URAM)))

    with pytest.raises(SpecError, match=r"norm\.scale: UltraRAM starts empty"):
        check_ports(flow)
