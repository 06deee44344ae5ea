"""A design remembers for what it was made: part, clock, budget, constants of the site, and what its search found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_designs import small_design

from psp_hw.backends.made_for import MadeFor, read_made_for, to_json
from psp_hw.cli.main import run
from psp_hw.cost.optimality import Measure, Optimality
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import RunError

FACTORS = [
    {"stage": "rtl-synthesis", "resource": "LUT", "factor": 0.8, "samples": 3, "error": 0.1},
    {"stage": "rtl-synthesis", "resource": "FF", "factor": 0.9, "samples": 3, "error": 0.1},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_design(tmp_path_factory.mktemp("base") / "net")


def emitted(base: Path, out: Path, *options: object) -> Path:
    assert 0 == run(["emit", str(base), "--max", "--out", str(out), *map(str, options)])
    return out


def estimated(capsys: pytest.CaptureFixture[str], design: Path, *options: object) -> dict[str, object]:
    capsys.readouterr()
    assert 0 == run(["estimate", str(design), "--json", *map(str, options)])
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def calibration(folder: Path, factor: float = 0.8) -> Path:
    file = folder / f"site-{factor}.json"
    entries = [{**FACTORS[0], "factor": factor}, FACTORS[1]]
    file.write_text(json.dumps({"kind": "psp-hw calibration", "tools": [], "factors": entries}))
    return file


def test_what_is_remembered_reads_as_it_was_written() -> None:
    found = MadeFor(
        available=Resources(dsp=40, lut=20000, ff=106400, bram18=280),
        budget={Resource.DSP: 40, Resource.LUT: 20000},
        calibration="0123456789abcdef",
        optimality=Optimality(
            measure=Measure.COST, reached=0.5, bound=0.25, within="the budget", tried="a few"
        ),
    )

    assert found == read_made_for(json.loads(json.dumps({"made_for": to_json(found)})), "design.json")


def test_a_claim_that_does_not_say_which_folds_were_tried_is_forgotten() -> None:
    found = MadeFor(
        available=Resources(), optimality=Optimality(measure=Measure.COST, reached=1.0, bound=1.0)
    )
    written = json.loads(json.dumps({"made_for": to_json(found)}))
    del written["made_for"]["optimality"]["tried"]

    assert replace(found, optimality=None) == read_made_for(written, "design.json")


def test_a_design_has_what_its_budget_left(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = emitted(base, tmp_path / "d", "--budget", "dsp=9,lut=20000")
    printed = capsys.readouterr().out
    claim = next(line for line in printed.splitlines() if line.startswith("Folds"))
    assert "the budget" in claim

    assert 0 == run(["estimate", str(design)])
    said = capsys.readouterr().out
    assert claim in said
    assert "budget 20,000" in said
    assert "106,400" in said
    assert "budget 106,400" not in said
    assert "53,200" not in said
    assert 0 == run(["report", str(design)])
    assert claim in (design / "report.md").read_text()
    assert 20000 == json.loads((design / "report.json").read_text())["hardware"]["available"]["LUT"]


def test_json_says_of_optimality_what_the_search_said(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--dsp", "9")
    wanted = estimated(capsys, base, "--max", *asked)["optimality"]
    design = emitted(base, tmp_path / "d", *asked)

    assert wanted is not None
    assert wanted == estimated(capsys, design)["optimality"]
    assert wanted == estimated(capsys, design, "--dsp", "9")["optimality"]


@pytest.mark.parametrize(
    "options",
    [
        ("--part", "xc7z020clg400-1"),
        ("--part", "xc7z045ffg900-2"),
        ("--board", "pynq-z2"),
        ("--clock", "9"),
        ("--dsp", "8"),
        ("--budget", "lut=50000"),
    ],
    ids=" ".join,
)
def test_nothing_is_claimed_for_what_the_folds_were_not_chosen_for(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    design = emitted(base, tmp_path / "d", "--budget", "dsp=9")

    assert estimated(capsys, design)["optimality"] is not None
    assert estimated(capsys, design, *options)["optimality"] is None


def test_nothing_is_claimed_for_other_constants_of_the_site(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = emitted(base, tmp_path / "plain")
    site = calibration(tmp_path)
    fitted = emitted(base, tmp_path / "fitted", "--calibration", site)

    assert estimated(capsys, plain, "--calibration", site)["optimality"] is None
    assert estimated(capsys, fitted, "--calibration", site)["optimality"] is not None
    assert estimated(capsys, fitted)["optimality"] is None
    assert estimated(capsys, fitted, "--calibration", calibration(tmp_path, 0.7))["optimality"] is None
    assert 0 == run(["estimate", str(fitted)])
    assert "the design was searched with constants of its site" in capsys.readouterr().err


def test_a_report_that_was_edited_proves_nothing(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = emitted(base, tmp_path / "d")
    report = json.loads((design / "report.json").read_text())
    report["hardware"]["optimality"] = "Folds: proven by magic."
    (design / "report.json").write_text(json.dumps(report))
    capsys.readouterr()

    assert 0 == run(["estimate", str(design)])
    assert "magic" not in capsys.readouterr().out


def test_a_design_made_from_a_design_hands_on_what_is_known(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = emitted(base, tmp_path / "first", "--budget", "dsp=9")
    assert 0 == run(["emit", str(first), "--target", "vitis", "--out", str(tmp_path / "second")])

    remembered = [json.loads((tmp_path / name / "design.json").read_text()) for name in ("first", "second")]
    assert remembered[0]["made_for"] == remembered[1]["made_for"]
    assert {"DSP": 9} == remembered[1]["made_for"]["budget"]


def test_a_design_on_a_part_that_nobody_knows_needs_no_report(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = emitted(base, tmp_path / "d", "--part", "xczu99eg", "--budget", "dsp=500,lut=60000,bram18=300")
    assert "'xczu99eg' is not in the table" in capsys.readouterr().err
    (design / "report.json").unlink()

    assert 0 == run(["estimate", str(design)])
    said = capsys.readouterr()
    assert "60,000" in said.out
    assert said.err == ""
    assert estimated(capsys, design)["optimality"] is not None


def test_a_design_that_remembers_nothing_is_still_estimated(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert estimated(capsys, base)["optimality"] is None


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((), [], r"\[\] is no mapping"),
        (("available",), None, "None is no mapping"),
        (("available", "LUT"), -1, "-1 is no amount"),
        (("available", "LUT"), True, "True is no amount"),
        (("available", "LUT"), 1 << 70, "is no amount"),
        (("available", "LUTS"), 5, "'LUTS' is not a valid Resource"),
        (("budget", "DSP"), 1.5, "1.5 is no amount"),
        (("calibration",), 7, "7 is no line of text"),
        (("optimality", "measure"), "magic", "'magic' is not a valid Measure"),
        (("optimality", "bound"), 0, "0 is no number above 0"),
        (("optimality", "reached"), float("nan"), "nan is no number above 0"),
        (("optimality", "within"), "the part\nand more", "is no line of text"),
    ],
)
def test_a_memory_that_does_not_read_is_refused(path: tuple[str, ...], value: object, words: str) -> None:
    found = MadeFor(
        available=Resources(dsp=1, lut=1, ff=1, bram18=1),
        optimality=Optimality(measure=Measure.INTERVAL, reached=2, bound=1),
    )
    entries: dict[str, object] = {"made_for": to_json(found)}
    place = entries
    for key in ("made_for", *path)[:-1]:
        place = place[key]  # type: ignore[assignment]
    place[("made_for", *path)[-1]] = value

    with pytest.raises(
        RunError, match=rf"design.json: made_for does not read: .*{words}.* \(emit the design again\)"
    ):
        read_made_for(entries, "design.json")


def test_a_memory_that_lacks_something_is_refused() -> None:
    entries = to_json(MadeFor(available=Resources(dsp=1)))
    del entries["budget"]

    with pytest.raises(RunError, match="made_for does not read: 'budget' is missing"):
        read_made_for({"made_for": entries}, "design.json")


def test_a_report_takes_a_budget_of_its_own(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = emitted(base, tmp_path / "d", "--budget", "dsp=9")
    out = tmp_path / "report"

    assert 0 == run(["report", str(design), "--budget", "lut=30000", "--dsp", "7", "--out", str(out)])
    hardware = json.loads((out / "report.json").read_text())["hardware"]
    assert (7, 30000) == (hardware["available"]["DSP"], hardware["available"]["LUT"])
    assert hardware["optimality"] == ""

    options = ["--part", "xczu99eg", "--budget", "dsp=500,lut=60000,bram18=300", "--out", str(out)]
    capsys.readouterr()
    assert 0 == run(["report", str(design), *options])
    assert "'xczu99eg' is not in the table" in capsys.readouterr().err
