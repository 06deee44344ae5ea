"""``psp-hw validate-estimate``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psp_hw.cli.main import run

SAMPLE = Path(__file__).parents[1] / "unit" / "cost" / "published_layers.jsonl"


@pytest.mark.slow
def test_json_is_one_document(capsys):
    assert 0 == run(["validate-estimate", str(SAMPLE), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert 1.0 == document["coverage"]
    assert {"DSP", "LUT", "FF", "BRAM18", "latency", "II"} == {
        group["metric"] for group in document["groups"]
    }
    for worst in document["worst"]:
        alike = [
            group["median_ape"]
            for group in document["groups"]
            if group["metric"] == worst["metric"]
            and group["kind"] in ("conv2d", "dense")
            and group["covered"] >= 10
            and group["median_ape"] is not None
        ]
        assert max(alike) == worst["median_ape"]
    for metric, tail in document["overall_p90"].items():
        assert tail is None or tail >= document["overall"][metric]


@pytest.mark.slow
def test_a_page_and_pictures_are_written(capsys, tmp_path):
    assert 0 == run(["validate-estimate", str(SAMPLE), "--out", str(tmp_path / "out")])

    assert {"report.md", "result.json", "lut.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert b"\x89PNG" == (tmp_path / "out" / "lut.png").read_bytes()[:4]
    assert "goal 15 %" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_named(capsys):
    assert 2 == run(["validate-estimate", "missing.jsonl"])

    assert "psp-hw: missing.jsonl: No such file or directory" in capsys.readouterr().err
