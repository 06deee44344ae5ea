"""``psp-hw explore`` on a design, and ``emit --point``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_designs import small_design

from psp_hw.cli.main import run
from psp_hw.errors import SpecError
from psp_hw.flow.goal import GoalRequest


@pytest.fixture
def design(tmp_path: Path) -> Path:
    return small_design(tmp_path / "design")


def test_a_picture_a_table_and_json_are_written(design, capsys):
    assert 0 == run(["explore", str(design), "--json"])

    document = json.loads(capsys.readouterr().out)
    folder = design.parent / "design-explore"
    assert b"\x89PNG" == (folder / "front.png").read_bytes()[:4]
    assert "(knee)" in (folder / "front.md").read_text()
    assert document["points"] == json.loads((folder / "front.json").read_text())["points"]
    assert 1 <= document["knee"] <= len(document["points"])
    assert "expect a factor" in document["expected_error"]


def test_a_point_estimates_as_it_was_shown(design, capsys):
    assert 0 == run(["explore", str(design), "--json", "--dsp", "20"])
    point = json.loads(capsys.readouterr().out)["points"][1]

    assert 0 == run(["estimate", str(design), "--json", "--dsp", "20", "--point", "2"])

    found = json.loads(capsys.readouterr().out)
    assert (point["interval"], point["resources"]) == (found["cycles"]["interval"], found["resources"])
    assert found["resources"]["DSP"] <= 20


def test_a_point_is_emitted(design, capsys):
    out = design.parent / "second"
    assert 0 == run(["emit", str(design), "--point", "1", "--out", str(out), "--json"])

    assert (out / "plan.json").is_file()
    assert json.loads(capsys.readouterr().out)["fits"]


def test_a_point_goes_with_no_other_goal():
    with pytest.raises(SpecError, match="--fps and --point exclude each other"):
        GoalRequest(fps=3.0, point=1)
    with pytest.raises(SpecError, match="--point and --fold exclude each other"):
        GoalRequest(point=1, fold=("conv0=pe:2",))
