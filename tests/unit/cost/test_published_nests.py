"""Loop nests of published reports: their schedule counted by hand, and what a record must tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from psp_hw.cost.published.loop_area import area_of_nest
from psp_hw.cost.published.loops import body_of_nest, timing_of_nest
from psp_hw.cost.published.nests import Banks, Division, nest_of
from psp_hw.cost.published.records import RefusedError, read_records

CONV = [["R", "r < 5"], ["C", "c < 5"], ["F", "f < 4"], ["KR", "i < 3"], ["KC", "j < 3"]]
DENSE = [["OUT", "i < 10"], ["IN", "j < (2 * 25)"]]


def record(loops, directives=(), *, values="float", kind="conv2d", top=()):
    conv = {"in_h": 7, "in_w": 7, "in_c": 1, "out_h": 5, "out_w": 5, "filters": 4, "k_h": 3, "k_w": 3}
    shape = conv if kind == "conv2d" else {"n_in": 50, "n_out": 10}
    constants = {"n_zero_q": 0, "n_pow2_q": 4, "csd_digits": 90, "n_unique_q": 30, "max_abs_bits": 8}
    return {
        "framework": "handwritten",
        "kind": kind,
        "stage": "hls_estimate",
        "grade": "A",
        "tool": "Vivado HLS",
        "version": "2019.1",
        "family": "zynq",
        "clk_target_ns": 20.0,
        "layer_label": "layer_1",
        "shape": shape,
        "precision": {"input": values},
        "weights": {"n": 36 if kind == "conv2d" else 500, **({} if values == "float" else constants)},
        "hls": {
            "loop_nest": loops,
            "directives": [f"set_directive_{line}" for line in directives],
            "top_directives": [f"set_directive_{line}" for line in top],
        },
        "measured": {"DSP": 5},
        "source": {"repo": "somebody/something"},
    }


@pytest.fixture
def nest(tmp_path: Path):
    def make(*args, **kwargs):
        path = tmp_path / "records.jsonl"
        path.write_text(json.dumps(record(*args, **kwargs)))
        return nest_of(read_records(path)[0][0])

    return make


def test_loops_without_directives_take_their_turns_one_after_the_other(nest):
    found = timing_of_nest(nest(CONV))

    # A product: read, 2 cycles, then 3 of the sum and its store: 7. Around it two states per turn of a loop, and at the filter
    # the bias (3 cycles), the comparison (1) and the store.
    kernel = 3 * (3 * 7 + 2)
    filters = 4 * (kernel + 2 + 5)
    assert 5 * (5 * (filters + 2) + 2) + 1 == found.latency


def test_a_pipeline_at_the_filters_is_bound_by_the_ports_of_the_picture(nest):
    piped = nest(CONV, ['pipeline "layer_1/F"'])
    found = timing_of_nest(piped)

    assert 5 == found.interval  # nine pixels through two ports
    assert 5 * (5 * 5 * 4 - 1) + found.depth + 1 == found.latency  # three loops flattened into one


def test_divided_arrays_have_more_ports(nest):
    by_rows = ['array_partition -type cyclic -factor 3 -dim 1 "top" layer_1_input']
    both = [*by_rows, 'array_partition -type cyclic -factor 3 -dim 2 "top" layer_1_input']
    intervals = [
        timing_of_nest(nest(CONV, ['pipeline "layer_1/F"'], top=top)).interval for top in ([], by_rows, both)
    ]

    assert [5, 2, 1] == intervals


def test_a_pipeline_that_only_adds_up_waits_for_its_sum(nest):
    found = timing_of_nest(nest(CONV, ['pipeline "layer_1/KC"']))

    assert 4 == found.interval
    inner = 4 * (9 - 1) + 7  # rows and columns of the kernel flattened
    assert 5 * 5 * 4 * (inner + 2 + 5) + 1 == found.latency


def test_unrolled_sums_of_floating_point_are_a_chain(nest):
    body = body_of_nest(nest(CONV, ['pipeline "layer_1/KR"']))
    found = timing_of_nest(nest(CONV, ['pipeline "layer_1/KR"']))

    assert (3, 3) == (body.products, body.chain)
    assert 4 * 3 == found.interval


def test_fixed_point_adds_within_a_cycle(nest):
    found = timing_of_nest(nest(DENSE, ['pipeline "layer_1/IN"'], values="ap_fixed<14,6>", kind="dense"))

    assert 1 == found.interval
    assert abs(found.latency - 500) < 5


def test_flattening_that_is_forbidden_keeps_the_loops(nest):
    piped = ['pipeline "layer_1/F"']
    flat, kept = (nest(CONV, [*piped, *more]) for more in ([], ['loop_flatten -off "layer_1/C"']))

    assert timing_of_nest(kept).latency > timing_of_nest(flat).latency


def test_floating_point_operators_are_shared_by_the_turns_of_a_pipeline(nest):
    shared = area_of_nest(nest(CONV, ['pipeline "layer_1/F"']))

    # Ten sums and nine products every five cycles: two adders of 2 DSPs, two multipliers of 3; one DSP for the address of
    # the flattened loops.
    assert 2 * 2 + 2 * 3 + 1 == shared.dsp


def test_products_of_fixed_point_are_not_shared(nest):
    found = area_of_nest(nest(CONV, ['pipeline "layer_1/F"'], values="ap_fixed<14,6>"))

    assert 9 + 1 == found.dsp


def test_large_tables_take_block_ram_in_the_shallowest_shape_that_holds_them(nest):
    large = replace(nest(DENSE, kind="dense"), weights=20000)

    # 20000 words of 32 bits: two banks of 16K x 1 per bit; ten biases fit LUTs.
    assert 64 == area_of_nest(large).bram18


@pytest.mark.parametrize(
    ("banks", "most"),
    [
        (Banks(Division.CYCLIC, 3), 3),
        (Banks(Division.BLOCK, 3), 7),
        (Banks(Division.BLOCK, 7), 3),
        (Banks(Division.COMPLETE, 1), 1),
    ],
)
def test_neighbours_share_banks_as_array_partition_deals_them(banks, most):
    assert most == banks.share(7, 21)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"loop_nest": None}, "handwritten layers without their loops are not modelled"),
        ({"loop_nest": [["R", "r < n"]]}, "bound 'r < n' of a loop is no number"),
        ({"loop_nest": [["R", "r < 4 / 0"]]}, "bound '4 / 0' divides by 0"),
        ({"loop_nest": [["R", "r < (4"]]}, r"bound '\(4' of a loop is no number"),
        ({"loop_nest": [["R", "r < 4 - 4"]]}, "a loop of 0 trips"),
        ({"loop_nest": [["R", "r < " + "(" * 5000]]}, "of a loop is no number"),
        ({"loop_nest": "loops"}, "loop_nest is no list of loops"),
        ({"loop_nest": [["R"]]}, "loop_nest holds no pairs of name and bound"),
        (
            {"loop_nest": [["R", "r < 3"], ["C", "c < 5"]]},
            r"the loops \[3, 5\] do not make the 100 outputs first",
        ),
        ({"loop_nest": CONV[:4]}, r"the loops \[3\] do not go over the whole kernel and all channels"),
        ({"loop_nest": [*CONV, ["X", "x < 8"]]}, "do not go over the kernel and its channels"),
        (
            {"directives": ['set_directive_unroll -factor -2 "layer_1/KC"']},
            "-factor '-2' of a directive",
        ),
    ],
)
def test_a_nest_that_a_record_does_not_tell_is_refused_with_the_reason(tmp_path, change, reason):
    found = record(CONV)
    found["hls"].update(change)
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(found))

    with pytest.raises(RefusedError, match=reason):
        nest_of(read_records(path)[0][0])
