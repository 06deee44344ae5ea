"""Connection tables in the search: taken where they save cycles at equal multipliers, priced as the estimate prices them."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from patterns import mask, pruned
from sample_graphs import Builder, resnet

from psp_hw.cost.bill import Mux, Rom
from psp_hw.cost.cycles import engine_cycles
from psp_hw.cost.engines import engine_bill
from psp_hw.cost.estimate import estimate, to_json
from psp_hw.cost.parts import find_part
from psp_hw.cost.pricing import price_bill
from psp_hw.cost.resources import Resources
from psp_hw.dse.choose import Choice
from psp_hw.dse.search import plan
from psp_hw.dse.space import finish, search_space
from psp_hw.dse.tables import MAX_PRODUCTS, table_folds
from psp_hw.errors import SpecError
from psp_hw.folding.connections import Pattern, blocks_of
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, NodePlan, divisors
from psp_hw.ir.graph import Graph
from psp_hw.spec.target import Fps, MaxThroughput, MinArea
from psp_hw.units import Clock

pytestmark = pytest.mark.slow

PART = find_part("xc7z020clg400-1")
CLOCK = Clock(period_ns=10.0)
SHARED = ("column", "channel")
DIFFERENT = ("kernel", "vector", "strided", "weight")


def weight_of(structure: str, channels: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (9, channels, channels)
    return rng.integers(1, 64, size=shape) * mask(rng, shape, structure)


def dense_words(multipliers: int, channels: int = 16, taps: int = 9) -> int:
    """The fewest words of the dense schedule with at most so many multipliers, by trying every fold."""
    return min(
        (channels // pe) * (channels // simd) * (taps // t)
        for pe, simd, t in itertools.product(divisors(channels), divisors(channels), divisors(taps))
        if pe * simd * t <= multipliers
    )


@pytest.mark.parametrize("structure", SHARED + DIFFERENT)
def test_every_table_that_is_tried_saves_cycles_at_equal_multipliers(structure):
    weight = weight_of(structure)
    folds = table_folds(weight)

    assert folds
    for fold in folds:
        words = int(blocks_of(Pattern.of(weight), fold.pe).lengths(fold.lanes).sum())
        assert words < dense_words(fold.multipliers)
        assert fold.multipliers <= MAX_PRODUCTS


@pytest.mark.parametrize("structure", ["none", "shape"])
def test_no_table_is_tried_where_nothing_can_be_left_out(structure):
    weight = weight_of(structure)
    kept = weight[(weight != 0).any(axis=(1, 2))]  # as the passes leave it

    assert [] == table_folds(kept)


def test_a_network_that_nobody_pruned_keeps_its_dense_schedule():
    found = plan(resnet(1, taps=4), PART, CLOCK)

    assert not any(node.fold.table for node in found.nodes.values())


def sparse(structure: str) -> Graph:
    return pruned(resnet(1, taps=9), np.random.default_rng(4), structure)


@pytest.mark.parametrize("structure", SHARED + DIFFERENT)
def test_with_tables_a_pruned_network_is_faster_on_the_same_part(structure):
    whole = estimate(resnet(1, taps=9), plan(resnet(1, taps=9), PART, CLOCK), PART, CLOCK)
    graph = sparse(structure)
    chosen = plan(graph, PART, CLOCK)
    found = estimate(graph, chosen, PART, CLOCK)

    assert found.fits
    assert any(node.fold.table for node in chosen.nodes.values())
    assert found.interval < (0.65 if structure in SHARED else 0.95) * whole.interval


@pytest.mark.parametrize("goal", [MaxThroughput(), MinArea(), Fps(frames_per_second=2000)])
def test_the_search_prices_a_table_as_the_estimate_does(goal):
    graph = sparse("kernel")
    space = search_space(graph, PART, CLOCK, {})
    chosen = plan(graph, PART, CLOCK, goal)
    engines = {engine.name: engine for engine in build(graph, chosen).engines}
    for options in space.problem.options:
        pick = options.plans.index(chosen.nodes[options.name])
        found = engine_bill(engines[options.name], graph, PART.fabric, CLOCK)
        cycles = engine_cycles(engines[options.name], found.pipeline.depth)

        assert price_bill(found.items, PART.fabric).amounts == tuple(options.costs[pick])
        assert cycles.interval == options.intervals[pick]


@pytest.mark.parametrize("structure", ["column", "kernel", "weight"])
@pytest.mark.parametrize("lut", [1500, 3000, 6000])
def test_no_combination_of_folds_and_tables_is_faster_within_the_part(structure, lut):
    make = Builder(5, 5, 4)
    make.conv(4, weight=weight_of(structure, 4, 1)[:, :, :4])
    make.conv(2, weight=weight_of(structure, 4, 2)[:4, :, :2], taps=((0, 0), (0, 1), (1, 0), (1, 1)))
    graph = make.graph()
    part = dataclasses.replace(PART, resources=Resources(dsp=10, lut=lut, ff=2 * lut, bram18=10))
    space = search_space(graph, part, CLOCK, {})
    problem = space.problem
    assert any(node.fold.table for options in problem.options for node in options.plans)

    found = estimate(graph, plan(graph, part, CLOCK, MaxThroughput()), part, CLOCK)

    first, second = problem.options
    for i, j in itertools.product(range(len(first.plans)), range(len(second.plans))):
        total = problem.fixed + first.costs[i] + second.costs[j]
        interval = max(int(first.intervals[i]), int(second.intervals[j]))
        if (total <= problem.budget).all() and (not found.fits or interval < found.bottleneck.cycles):
            # With its FIFOs, which the total does not hold, each in the memory that its size asks for.
            faster = dataclasses.replace(finish(space, Choice((i, j), total)).plan, fifo_memories={})
            assert not estimate(graph, faster, part, CLOCK).fits


def bill_of(weight: np.ndarray, fold: Fold) -> dict[object, int]:
    make = Builder(6, 6, weight.shape[1])
    make.conv(weight.shape[2], weight=weight)
    graph = make.graph()
    plan_of = FoldPlan(nodes={"conv0": NodePlan(fold=fold, weights=MemoryKind.BRAM)})
    (engine,) = (e for e in build(graph, plan_of).engines if e.name == "conv0")
    return {item.operator: item.count for item in engine_bill(engine, graph, PART.fabric, CLOCK).items}


def test_the_bill_of_shared_columns_has_a_narrower_multiplexer_and_no_selections():
    weight = np.zeros((9, 16, 16), dtype=np.int64)
    weight[:, ::2] = 5
    dense, table = bill_of(weight, Fold(pe=4, simd=2, taps=9)), bill_of(weight, Fold(pe=4, lanes=18))

    assert {Mux(8, 18 * 8)} == {operator for operator in dense if isinstance(operator, Mux)}
    # Eight of sixteen channels are left, and beside each operand goes whether its tap lies inside the frame.
    assert {Mux(4, 9): 18} == {item: count for item, count in table.items() if isinstance(item, Mux)}
    assert Rom(32, 4 * 18 * 3, MemoryKind.BRAM) in dense
    assert Rom(16, 4 * 18 * 3, MemoryKind.BRAM) in table
    assert 2 == sum(isinstance(operator, Rom) for operator in table)  # weights and bias


def test_the_bill_of_different_kernels_has_selections_beside_the_weights():
    rng = np.random.default_rng(0)
    kept = np.stack([rng.permutation(16) < 8 for _ in range(16)], axis=1)
    table = bill_of(np.broadcast_to(5 * kept, (9, 16, 16)), Fold(pe=1, lanes=9))

    lanes = {item: count for item, count in table.items() if isinstance(item, Mux)}
    assert {Mux(16, 9): 9} == lanes
    assert Rom(128, 9 * 3, MemoryKind.BRAM) in table
    assert Rom(128, 9 * 4, MemoryKind.BRAM) in table  # one of 16 for each lane


def test_a_table_that_no_memory_can_give_at_once_is_refused():
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 128, size=(9, 64, 64)) * (rng.random((9, 64, 1)) < 0.9)
    make = Builder(4, 4, 64)
    make.conv(64, weight=weight)

    with pytest.raises(SpecError, match=r"fold.conv0: pe:16,lanes:300 reads 33600 bits of weights per cycle"):
        plan(make.graph(), PART, CLOCK, folds={"conv0": Fold(pe=16, lanes=300)})


def test_the_estimate_says_the_lanes_of_a_table():
    graph = sparse("column")
    chosen = plan(graph, PART, CLOCK, folds={"conv1": Fold(pe=2, lanes=5)})

    layers = {layer["name"]: layer for layer in to_json(estimate(graph, chosen, PART, CLOCK))["layers"]}

    assert {"pe": 2, "lanes": 5} == layers["conv1"]["fold"]
