"""Multiplexers of published layers: how many ways, and what Vivado HLS lists them at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from psp_hw.cost.published.area import luts
from psp_hw.cost.published.layers import Tool, stock_layer
from psp_hw.cost.published.muxes import input_ways, last_muxes, mux_luts, output_ways
from psp_hw.cost.published.records import Record


def record(kind: str = "dense", name: str = "a#x", n_in: int = 64, **hls: object) -> Record:
    settings: dict[str, object] = {"strategy": "resource", "reuse_factor": 32, "io_type": "io_parallel"} | hls
    fixed = dict.fromkeys(("input", "output", "weight", "accum"), "ap_fixed<16,6>")
    weights = {
        "n": 32 * n_in,
        "n_zero_q": 0,
        "n_pow2_q": 9,
        "csd_digits": 80 * n_in,
        "n_unique_q": 600,
        "max_abs_bits": 9,
    }
    return Record(
        line=1,
        kind=kind,
        framework="hls4ml",
        strategy=str(settings["strategy"]),
        stage="hls_estimate",
        grade="A",
        repository="somebody/something",
        measured={},
        fields={
            "id": name,
            "tool": "Vivado HLS",
            "family": "zynq",
            "clk_target_ns": 5.0,
            "shape": {"n_in": n_in, "n_out": 32},
            "precision": fixed,
            "weights": weights,
            "hls": settings,
        },
    )


@pytest.mark.parametrize(
    ("inputs", "reuse", "ways"),
    [(120, 30, 32), (50, 25, 32), (128, 32, 64), (64, 32, 64), (20, 20, 20), (10, 30, 10)],
)
def test_inputs_of_a_multiplier_are_a_power_of_two_or_all(inputs, reuse, ways):
    assert ways == input_ways(inputs, reuse)


def test_a_multiplier_that_is_reused_longer_than_there_are_inputs_adds_to_several_sums():
    assert (3, 24, 1) == (output_ways(10, 30), output_ways(53, 1272), output_ways(64, 32))


@pytest.mark.parametrize(("ways", "listed"), [(1, 0), (2, 9), (12, 65), (32, 147), (64, 273)])
def test_a_multiplexer_costs_by_its_ways(ways, listed):
    assert listed == mux_luts(ways)


def test_the_last_multiplexer_of_a_design_is_that_of_its_last_layer_that_has_one():
    records = [
        record(name="a#1"),
        record("softmax", "a#2", 10, io_type="io_stream"),
        record(name="b#1", n_in=120, reuse_factor=30),
        record("softmax", "b#2", 10),
        record("relu", "b#3", 7),
        record(name="c#1", strategy="latency"),
    ]

    assert {"a": 10, "b": 32} == last_muxes(records)


def test_vivado_hls_lists_every_multiplexer_at_the_price_of_the_last():
    alone, followed = stock_layer(record()), stock_layer(record(), last_mux=10)

    chosen = 2
    assert luts(alone)[chosen] == 64 * mux_luts(64)
    assert luts(followed)[chosen] == 64 * mux_luts(10)
    assert luts(replace(followed, tool=Tool.VITIS_HLS))[chosen] == 64 * mux_luts(64)
