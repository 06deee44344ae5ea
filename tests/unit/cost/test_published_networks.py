"""Networks after RTL synthesis, from their C synthesis reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from psp_hw.cost.published.networks import design_of, is_network, known, predict_networks, reports_of
from psp_hw.cost.published.records import Metric, RefusedError, read_records
from psp_hw.cost.published.score import to_json, validate

SAMPLE = Path(__file__).with_name("published_networks.jsonl")

# Median and 90th percentile of the error [%] when the sample was taken, and a little more: a change that worsens it fails.
LIMITS = {
    Metric.DSP: (0.1, 1.0),
    Metric.LUT: (12.5, 46.0),
    Metric.FF: (20.0, 55.0),
    Metric.BRAM18: (3.0, 25.0),
}


@pytest.fixture(scope="module")
def records():
    return read_records(SAMPLE)[0]


@pytest.fixture(scope="module")
def designs(records):
    reports = reports_of(records)
    return [design_of(record, reports) for record in records if is_network(record)]


@pytest.mark.parametrize("metric", list(LIMITS))
def test_the_error_on_published_networks_does_not_grow(records, metric):
    found = {one.metric: one for one in validate(records).after_rtl}[metric]

    assert found.median_ape <= LIMITS[metric][0]
    assert found.p90_ape <= LIMITS[metric][1]


def test_networks_are_groups_of_their_own_and_no_layers(records):
    found = to_json(validate(records))
    groups = [group for group in found["groups"] if group["stage"] == "rtl_synth" and group["covered"]]

    assert {"network"} == {group["kind"] for group in groups}
    assert {"hls4ml", "hls4ml-dev-branch", "hls4ml-modified", "handwritten"} == {
        g["framework"] for g in groups
    }
    assert {None} == set(found["overall"].values())
    assert [34, 34, 34, 26] == [one["designs"] for one in found["after_rtl"]]


def test_a_network_is_never_fitted_on_its_own_repository(designs):
    """Other truths in one repository leave its own predictions as they are."""
    chosen = "Keb-L/hls4ml-data"
    changed = [
        replace(one, record=replace(one.record, measured={**one.record.measured, Metric.FF: 10**7}))
        if one.record.repository == chosen
        else one
        for one in designs
    ]

    def predicted(some, own):
        found = predict_networks(some, Metric.FF)
        return [value for record, value, _ in found if (record.repository == chosen) is own]

    assert predicted(designs, own=True) == predicted(changed, own=True)
    assert predicted(designs, own=False) != predicted(changed, own=False)


def test_one_repository_alone_is_not_predicted(designs):
    alone = [one for one in designs if one.record.repository == "pominiq/DNNonSilicon"]

    assert [] == predict_networks(alone, Metric.LUT)


def test_no_more_dsps_are_left_than_the_part_has(designs):
    beyond = [one for one in designs if one.dsps and one.c_synthesis[Metric.DSP] > one.dsps]

    assert [(1170, 220, 220.0)] == [
        (one.c_synthesis[Metric.DSP], one.record.measured[Metric.DSP], known(one, Metric.DSP))
        for one in beyond
    ]


def test_block_ram_of_designs_without_shared_multipliers_needs_no_factor(designs):
    """FIFOs of up to 1024 bits come out in LUTs, the others in the best shape; all else stays."""
    some = [one for one in designs if not one.shared and known(one, Metric.BRAM18) is not None]
    exact = [one for one in some if known(one, Metric.BRAM18) == one.record.measured[Metric.BRAM18]]

    assert (13, 16) == (len(exact), len(some))


def test_block_ram_is_not_told_where_fifos_are_not_listed(designs):
    some = [one for one in designs if one.fifos is None and one.fifo_blocks]

    assert 8 == len(some)
    assert {None} == {known(one, Metric.BRAM18) for one in some}


def pair(tmp_path, **changes):
    """A network and its C synthesis report, the report changed."""
    common = {"framework": "hls4ml", "kind": "network", "grade": "A", "hls": {}, "source": {"repo": "a/b"}}
    totals = {"DSP": 4, "LUT": 100, "FF": 200, "BRAM_18K": 3}
    report = {**common, "id": "x#design", "stage": "hls_estimate", "measured": totals, **changes}
    after = {**common, "id": "x#rtl", "stage": "rtl_synth", "measured": totals}
    path = tmp_path / "records.jsonl"
    path.write_text(f"{json.dumps(report)}\n{json.dumps(after)}\n")
    return read_records(path)[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": "y#design"}, "no C synthesis report of the network"),
        ({"id": 7}, "no C synthesis report of the network"),
        ({"measured": {"LUT": 5}}, "the C synthesis report of the network lacks DSP, FF, BRAM18"),
    ],
)
def test_a_network_without_its_report_is_refused_with_the_reason(tmp_path, changes, reason):
    records = pair(tmp_path, **changes)

    with pytest.raises(RefusedError, match=f"^{reason}$"):
        design_of(records[1], reports_of(records))


def test_two_reports_of_a_design_are_one_too_many(tmp_path):
    records = pair(tmp_path)

    with pytest.raises(RefusedError, match=r"^more than one C synthesis report of the network$"):
        design_of(records[1], reports_of([*records, records[0]]))


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": "[[[[", "fifos": "{}", "breakdown": "none", "part": 7},
        {"layers": [1, None, {"rf": True}, {"rf": -3}], "fifos": [{"depth": "a"}], "breakdown": {"FIFO": 3}},
        {"layers": {"rf": 4}, "fifos": [{"BRAM_18K": 2}], "breakdown": {"FIFO": {"BRAM_18K": 2}}},
        {"layers": "[" * 100_000, "part": "no such part"},
    ],
)
def test_odd_lists_in_a_report_are_read_as_nothing(tmp_path, changes):
    records = pair(tmp_path, **changes)

    found = design_of(records[1], reports_of(records))

    assert (False, 1, None, None) == (found.shared, found.reuse, found.fifos, found.dsps)
    assert 4.0 == known(found, Metric.DSP)
