"""What a report says of an engine that runs from a connection table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from patterns import pruned
from sample_graphs import Builder

from psp_hw.cost.estimate import UNSETTLED, estimate, to_json
from psp_hw.cost.parts import find_part
from psp_hw.dse import search
from psp_hw.flow.hardware import summarize
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan
from psp_hw.report.model import LayerRow
from psp_hw.sim.cycles import simulate
from psp_hw.units import Clock


def rows(fold: Fold) -> tuple[LayerRow, int]:
    """The convolution's row under a fold, and how many weights are left."""
    make = Builder(6, 6, 8)
    make.conv(8, weight=make.rng.integers(1, 9, size=(9, 8, 8)))
    graph = pruned(make.graph(), np.random.default_rng(0), "column")
    plan = FoldPlan(nodes={"conv0": NodePlan(fold=fold)})
    found = estimate(graph, plan, find_part("xc7z020"), Clock(period_ns=10))
    (row,) = (
        layer for layer in summarize(graph, plan, found, target="vivado").layers if layer.name == "conv0"
    )
    return row, int(np.count_nonzero(graph.constants["conv0_weight"]))


def test_a_report_says_how_many_connections_are_left_and_that_a_table_leaves_the_others_out() -> None:
    dense, left = rows(Fold(pe=4, simd=1, taps=9))
    table, _ = rows(Fold(pe=4, lanes=9))

    assert (left, 9 * 8 * 8) == (dense.connections, dense.connections_dense)
    assert (left, 9 * 8 * 8) == (table.connections, table.connections_dense)
    assert ("4 × 1 × 9", "4 × 9 by table") == (dense.fold, table.fold)
    assert (9 * 8 * 8 * 36, left * 36) == (dense.macs, table.macs)  # columns: no zero is multiplied
    assert table.cycles < dense.cycles


def test_fifos_and_engines_are_as_the_simulation_found_them() -> None:
    make = Builder(6, 6, 4)
    first = make.conv(4, source="image")
    make.add(make.conv(4), first)
    graph = make.graph()
    part, clock = find_part("xc7z020"), Clock(period_ns=10)
    plan = search.plan(graph, part, clock)
    found = estimate(graph, plan, part, clock)
    flow = build(graph, plan)
    times = simulate(flow, depths={layer.name: layer.depth for layer in found.layers})

    hardware = summarize(graph, plan, found, target="vivado")

    assert [use.occupancy for use in times.channels] == [fifo.held for fifo in hardware.fifos]
    assert {layer.name: layer.stalls for layer in hardware.layers} == dict(times.stalls)
    document = to_json(found)
    assert [use.occupancy for use in times.channels] == [fifo["most_held"] for fifo in document["fifos"]]
    assert [times.stalls[layer["name"]] for layer in document["layers"]] == [
        layer["stalls"] for layer in document["layers"]
    ]
    quick = to_json(estimate(graph, plan, part, clock, simulated=False))
    assert {None} == {fifo["most_held"] for fifo in quick["fifos"]}


@pytest.mark.parametrize("proven", [True, False])
def test_an_interval_that_is_not_proven_is_said_to_be_unproven(proven: bool) -> None:
    make = Builder(6, 6, 2)
    make.conv(2, source="image")
    graph = make.graph()
    plan = FoldPlan(nodes={"conv0": NodePlan(fold=Fold())})
    found = replace(estimate(graph, plan, find_part("xc7z020"), Clock(period_ns=10)), proven=proven)

    said = summarize(graph, plan, found, target="vivado").statement

    assert proven is (UNSETTLED not in said)
    assert said.endswith(found.expected_error)
    assert proven is to_json(found)["interval_proven"]
