"""``psp-hw explore`` on a design, and ``emit --point``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from small_designs import design_of, norm_graph, small_design

from psp_hw.cli.main import run
from psp_hw.errors import SpecError
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.source import resolve

FACTOR = {"stage": "rtl-synthesis", "resource": "LUT", "factor": 0.8, "samples": 3, "error": 0.1}
CALIBRATION = json.dumps({"kind": "psp-hw calibration", "tools": [], "factors": [FACTOR]})


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time goes into the picture: tests of something else leave it out."""
    monkeypatch.setattr("psp_hw.flow.explore.picture", lambda _: b"")


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


@pytest.mark.usefixtures("no_picture")
def test_a_point_estimates_as_it_was_shown(design, capsys):
    assert 0 == run(["explore", str(design), "--json", "--dsp", "20"])
    point = json.loads(capsys.readouterr().out)["points"][1]

    assert 0 == run(["estimate", str(design), "--json", "--dsp", "20", "--point", "2"])

    found = json.loads(capsys.readouterr().out)
    assert (point["interval"], point["resources"]) == (found["cycles"]["interval"], found["resources"])
    assert found["resources"]["DSP"] <= 20


@pytest.mark.usefixtures("no_picture")
def test_claims_of_points_are_about_the_budget_that_was_given(design, capsys):
    assert 0 == run(["explore", str(design)])
    whole = capsys.readouterr().out
    assert 0 == run(["explore", str(design), "--dsp", "20"])
    limited = capsys.readouterr().out

    assert "within 70% of the part" in whole
    assert "within 70% of the budget, or within the budget where they take more" in limited
    assert "of the part" not in limited
    for said in (whole, limited):
        assert "Folds as tried (not every connection table): " in said


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


@pytest.mark.usefixtures("no_picture")
def test_the_command_that_is_printed_builds_the_point_that_was_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small_design(tmp_path / "a net")
    Path("my site.json").write_text(CALIBRATION)
    options = ["--part", "xc7z045ffg900-2", "--clock", "6.6666667", "--budget", "dsp=30, lut=90000"]
    options += ["--calibration", "my site.json"]
    assert 0 == run(["explore", "a net", *options])
    said = capsys.readouterr().out
    document = json.loads(Path("a net-explore/front.json").read_text())
    knee = document["points"][document["knee"] - 1]

    command = said.rstrip().splitlines()[-1].strip()
    assert command == (
        f"psp-hw emit 'a net' --point {document['knee']} --part xc7z045ffg900-2 --clock 6.6666667 "
        "--budget 'dsp=30, lut=90000' --calibration 'my site.json'"
    )
    assert command.replace("'a net'", "SOURCE") == document["emit"]
    assert f"    {document['emit']}\n" in Path("a net-explore/front.md").read_text()
    assert {"DSP": 30, "LUT": 90000} == document["budget"]
    assert 0 == run([*shlex.split(command)[1:], "--out", "made"])
    made = json.loads(Path("made/report.json").read_text())["hardware"]
    assert (knee["interval"], knee["resources"]) == (made["cycles"]["interval"], made["resources"])
    remembered = json.loads(Path("made/design.json").read_text())["made_for"]
    assert (document["budget"], document["calibration"]) == (remembered["budget"], remembered["calibration"])


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("target", ["vivado", "hls4ml"])
def test_a_point_is_one_design_of_its_target(tmp_path, capsys, target):
    source = design_of(norm_graph(), tmp_path / "net")
    assert 0 == run(["explore", str(source), "--target", target, "--json"])
    document = json.loads(capsys.readouterr().out)

    out = tmp_path / "made"
    assert 0 == run(["emit", str(source), "--target", target, "--point", "1", "--out", str(out)])

    made = json.loads((out / "report.json").read_text())["hardware"]
    assert document["target"] == target
    assert document["points"][0]["resources"] == made["resources"]


@pytest.mark.usefixtures("no_picture")
def test_fronts_of_targets_differ_where_only_one_folds_maps(tmp_path, capsys):
    source = design_of(norm_graph(), tmp_path / "net")
    fronts = []
    for target in ("vitis", "hls4ml"):
        assert 0 == run(["explore", str(source), "--target", target, "--json"])
        fronts.append(json.loads(capsys.readouterr().out)["points"])

    assert fronts[0] != fronts[1]


@pytest.mark.usefixtures("no_picture")
def test_a_front_lies_beside_a_link_as_a_design_does(design, tmp_path):
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "net"
    link.symlink_to(design)
    assert 0 == run(["explore", str(link)])
    assert 0 == run(["emit", str(link)])

    assert {"net", "design-explore", "design-vivado"} == {path.name for path in link.parent.iterdir()}
    assert {"design", "links"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("source", [".", "..", "sub/.."])
def test_a_folder_has_one_place_beside_it_however_it_is_named(design, monkeypatch, source):
    (design / "sub").mkdir()
    monkeypatch.chdir(design / "sub" if source == ".." else design)

    assert design.parent.resolve() == resolve(Path(source)).beside.resolve()


@pytest.mark.usefixtures("no_picture")
def test_the_front_of_a_design_is_that_of_its_target(tmp_path, capsys):
    source = design_of(norm_graph(), tmp_path / "net")
    out = tmp_path / "made"
    assert 0 == run(["emit", str(source), "--target", "hls4ml", "--out", str(out)])
    capsys.readouterr()

    assert 0 == run(["explore", str(out), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert "hls4ml" == document["target"]
    assert "--target hls4ml" in document["emit"]
    assert 0 == run(["estimate", str(out), "--point", "1", "--json"])
    assert document["points"][0]["resources"] == json.loads(capsys.readouterr().out)["resources"]


def test_a_name_is_no_markup_of_the_table_nor_of_the_picture(tmp_path):
    source = small_design(tmp_path / "<b> $\\bad{$ | `x`")
    assert 0 == run(["explore", str(source)])

    page = (tmp_path / f"{source.name}-explore" / "front.md").read_text()
    assert page.startswith(
        "# What could be built of \\<b\\> $\\\\bad\\{$ \\| \\`x\\` on xc7z020clg400-1 at 10 ns\n"
    )
