"""Published results as others wrote them: odd numbers, repeated lines, reports under the wrong configuration."""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path

import pytest

from psp_hw.cost.published import records as reading
from psp_hw.cost.published.predict import predict
from psp_hw.cost.published.records import Metric, contradicting, read_records
from psp_hw.errors import DataError

SAMPLE = Path(__file__).with_name("published_layers.jsonl")
NETWORKS = Path(__file__).with_name("published_networks.jsonl")


def sample() -> dict:
    return json.loads(SAMPLE.read_text().splitlines()[0])


def read(tmp_path, *lines):
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return read_records(path)


def measured(**numbers) -> dict:
    record = sample()
    return {**record, "measured": {**record["measured"], **numbers}}


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (-1, "LUT is less than 0"),
        (-1e300, "LUT is less than 0"),
        (10**13, "LUT is more than 1e+12"),
        (10**400, "LUT is more than 1e+12"),
    ],
)
def test_a_number_that_counts_nothing_is_skipped_and_named(tmp_path, number, reason):
    records, skipped = read(tmp_path, sample(), measured(LUT=number))

    assert [1] == [record.line for record in records]
    assert [(2, reason)] == [(one.line, one.reason) for one in skipped]


def test_a_number_too_large_for_a_float_is_more_than_any_count(tmp_path):
    text = json.dumps(measured(LUT=123456789)).replace("123456789", "1e999")

    _, skipped = read(tmp_path, sample(), text)

    assert ["LUT is more than 1e+12"] == [one.reason for one in skipped]


@pytest.mark.parametrize("missing", [float("nan"), float("inf"), None, "7", True])
def test_what_is_no_number_is_missing(tmp_path, missing):
    (record,), skipped = read(tmp_path, measured(LUT=missing))

    assert not skipped
    assert Metric.LUT not in record.measured
    assert Metric.FF in record.measured


def test_a_line_that_was_there_before_is_not_counted_again(tmp_path):
    other = measured(LUT=77)

    records, skipped = read(tmp_path, sample(), other, sample(), sample())

    assert [1, 2] == [record.line for record in records]
    assert [(3, "is line 1 once more"), (4, "is line 1 once more")] == [(s.line, s.reason) for s in skipped]


def reported(binding: str, reuse: int, **changes) -> dict:
    record = sample()
    source = {**record["source"], "report_date": "Mon Jul 17 12:26:12 2023", "module": "dense"}
    hls = {**record["hls"], "tcl": [f"config_op mul -impl {binding}"], "reuse_factor": reuse}
    return {**record, "source": source, "hls": hls, **changes}


def test_a_report_under_two_configurations_is_refused_under_both(tmp_path):
    records, _ = read(tmp_path, reported("dsp", 1), reported("fabric", 1), sample())

    assert {1, 2} == contradicting(records)
    assert ("the same report stands under different configurations", 2) in predict(records).refused


@pytest.mark.parametrize(
    "other",
    [
        reported("dsp", 1, grade="B"),  # the same configuration
        reported("fabric", 1, measured={"LUT": 3}),  # other numbers
        reported("fabric", 1, kind="relu"),
        {
            **reported("fabric", 1),
            "source": {"repo": sample()["source"]["repo"]},
        },  # when it was made is not told
        {**reported("fabric", 1), "source": {**reported("dsp", 1)["source"], "module": 7}},
    ],
)
def test_reports_that_differ_or_tell_too_little_contradict_nothing(tmp_path, other):
    records, _ = read(tmp_path, reported("dsp", 1), other)

    assert frozenset() == contradicting(records)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 4096, bytes(range(256)) * 64, b"<?xml version='1.0'?><a/>", b"[" * 200_000, b"1" * 5000],
)
def test_what_holds_no_record_is_refused(tmp_path, content):
    path = tmp_path / "records.jsonl"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"holds no record \((it is empty|line 1: )"):
        read_records(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="Is a directory"):
        read_records(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
def test_what_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 1 << 16)

    with pytest.raises(DataError, match="is larger than 65536 bytes"):
        read_records(Path("/dev/zero"))


def test_a_pipe_is_read(tmp_path):
    source, sink = os.pipe()
    os.write(sink, json.dumps(sample()).encode())
    os.close(sink)

    records, _ = read_records(Path(f"/dev/fd/{source}"))
    os.close(source)

    assert 1 == len(records)


ODD = (
    None,
    True,
    -1,
    0,
    10**30,
    10**400,
    -2.5,
    1e300,
    "",
    "ap_fixed<999999,3>",
    [],
    [1],
    {},
    {"a": 1},
    "[" * 5000,
)


def places(value, path=()):
    """Where something stands inside objects and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_whatever_stands_in_a_record_it_is_predicted_refused_or_skipped(tmp_path, seed):
    rng = random.Random(seed)
    texts = [*SAMPLE.read_text().splitlines(), *NETWORKS.read_text().splitlines()]
    chosen = [json.loads(text) for text in rng.sample(texts, 24)]
    for record in chosen[:-4]:  # the last ones stay, so that there is something to learn from
        *way, last = rng.choice(list(places(record)))
        inner = record
        for key in way:
            inner = inner[key]
        inner[last] = rng.choice(ODD)

    records, skipped = read(tmp_path, *chosen)
    found = predict(records)

    assert len(chosen) == len(records) + len(skipped)
    assert len(records) == len(found.covered) + sum(count for _, count in found.refused)
    assert all(math.isfinite(one.predicted) for one in found.predictions)
