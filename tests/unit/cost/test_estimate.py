"""The estimate of a whole design."""

from __future__ import annotations

import json

import pytest
from sample_graphs import Builder, resnet

from psp_hw.cost.cycles import engine_cycles, least_interval
from psp_hw.cost.engines import pipeline_depth
from psp_hw.cost.estimate import estimate, to_json
from psp_hw.cost.parts import find_part
from psp_hw.cost.resources import Resources
from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, NodePlan
from psp_hw.sim.stepper import step
from psp_hw.units import Clock

PART = find_part("xc7z020clg400-1")
CLOCK = Clock(period_ns=10.0)


def chain():
    make = Builder(8, 8, 2)
    make.conv(4, taps=((0, 0), (1, 1), (2, 2)))
    make.conv(4, kernel=(1, 1), pad=0)
    make.mean(8, 8)
    return make.graph()


def plan_of(graph, fold: Fold = Fold(), **depths: int) -> FoldPlan:  # noqa: B008 - a frozen value
    return FoldPlan(
        nodes={op.name: NodePlan(fold=fold, weights=MemoryKind.LUTRAM) for op in graph.convolutions},
        fifo_depths=depths,
    )


def test_latency_and_interval_equal_the_cycle_stepper():
    graph = chain()
    plan = plan_of(graph, Fold(pe=2))
    flow = build(graph, plan)
    depths = {engine.name: pipeline_depth(engine, PART.fabric, CLOCK) for engine in flow.engines}

    found = estimate(graph, plan, PART, CLOCK)

    finished = step(flow, 6, depths=depths).finished
    assert finished[0] == found.latency
    assert finished[5] - finished[4] == found.interval


def test_interval_is_that_of_the_slowest_engine_in_closed_form():
    graph = chain()
    plan = plan_of(graph)
    engines = build(graph, plan).engines
    closed = [engine_cycles(e, pipeline_depth(e, PART.fabric, CLOCK)) for e in engines]

    found = estimate(graph, plan, PART, CLOCK)

    assert least_interval(closed) == found.interval == found.bottleneck.cycles
    assert "conv0" == found.bottleneck.name
    conv = engines[1]
    # 64 windows of 24 cycles, the other positions 1 cycle.
    positions = 8 * 8 * (4 * 2 * 3) + (conv.scan.steps - 8 * 8)
    assert positions == conv.schedule().iterations


def test_totals_are_the_sums_of_layers_and_control():
    found = estimate(chain(), plan_of(chain()), PART, CLOCK)

    assert Resources.total([found.control, *(layer.resources for layer in found.layers)]) == found.resources
    assert (
        Resources.total([found.control, *(layer.c_synthesis for layer in found.layers)]) == found.c_synthesis
    )


def test_fewer_taps_cost_fewer_cycles_and_less_window():
    dense, pruned = resnet(1, taps=9), resnet(1, taps=3)
    found = [estimate(graph, plan_of(graph), PART, CLOCK, simulated=False) for graph in (dense, pruned)]

    assert found[1].interval < 0.4 * found[0].interval
    assert found[1].resources.lut < found[0].resources.lut
    assert [(9, 9), (3, 9)] == [(one.layers[3].taps, one.layers[3].taps_dense) for one in found]


def test_a_closed_form_estimate_is_a_lower_bound_of_the_simulated_one():
    graph = resnet(1, taps=4)
    deep = {"conv0_fork_to_add0": 200, "conv5_to_add1": 200, "conv8_to_add2": 200}
    plan = plan_of(graph, Fold(simd=1), **deep)

    quick, exact = (estimate(graph, plan, PART, CLOCK, simulated=simulated) for simulated in (False, True))

    assert quick.interval <= exact.interval
    assert quick.latency <= exact.latency


def test_json_has_the_promised_names_and_plain_values():
    found = estimate(chain(), plan_of(chain()), PART, CLOCK)

    document = json.loads(json.dumps(to_json(found)))

    assert {"latency", "interval"} == set(document["cycles"])
    assert (
        {"DSP", "LUT", "FF", "BRAM18", "URAM"} == set(document["resources"]) == set(document["utilization"])
    )
    assert document["fits"] is True
    assert document["fps"] == pytest.approx(1e8 / document["cycles"]["interval"])
    for layer in document["layers"]:
        assert {"name", "op", "taps", "cycles", "resources"} <= set(layer)
    assert ["input", "conv2d", "conv2d", "avg_pool", "output"] == [
        layer["op"] for layer in document["layers"]
    ]
    assert document["expected_error"]


def test_a_design_that_does_not_fit_says_by_how_much_and_what_would_help():
    graph = resnet(1, taps=9)
    found = estimate(graph, plan_of(graph), find_part("xc7s6"), CLOCK, simulated=False)

    assert not found.fits
    worst = found.shortages[0]
    assert worst.needed > worst.available == 3750
    assert f"{worst.needed:,} LUT of 3,750" in str(worst)
    assert "LUT binds; what helps: a larger part (xc7s" in found.advice


def test_a_plan_that_deadlocks_names_the_fifo():
    graph = resnet(1, size=8, taps=9)
    with pytest.raises(SpecError, match="the design stops for ever") as caught:
        estimate(graph, plan_of(graph), PART, CLOCK)

    assert "deepen" in caught.value.hint


def test_an_estimate_is_the_same_every_time():
    graph = chain()
    assert to_json(estimate(graph, plan_of(graph), PART, CLOCK)) == to_json(
        estimate(graph, plan_of(graph), PART, CLOCK)
    )
