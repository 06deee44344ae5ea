"""``psp-hw emit``, ``estimate`` and ``report`` on a trained run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from psp_hw.cli import main


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> Path:
    """A run of our own, so that designs lie beside it."""
    return Path(shutil.copytree(digits_run, tmp_path / "net"))


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """Stderr of a command that must leave with a code, after its stdout."""
    left = main.run([*map(str, arguments)])
    captured = capsys.readouterr()
    assert left == code, captured.err
    return captured.out + captured.err


def document(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, object]:
    left = main.run([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert left == code, captured.err
    return json.loads(captured.out)  # type: ignore[no-any-return]


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_design_lies_beside_its_run_and_is_whole(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = document(capsys, "emit", run)

    design = run.parent / "net-vivado"
    assert set(made) == {"design", "target", "part", "clock_ns", "files", "fits", "kept"}
    assert (made["design"], made["target"], made["part"]) == (str(design), "vivado", "xc7z020clg400-1")
    assert (made["clock_ns"], made["fits"]) == (10.0, True)
    assert made["files"] == sorted(content(design))
    wanted = {"README.md", "Makefile", "test_design.py", "design.json", "plan.json", "graph.txt", "graph.npz"}
    assert wanted | {"report.html", "report.md", "report.json", "vivado_hls.tcl"} <= set(content(design))


def test_the_next_command_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "emit", run, "--target", "vitis").endswith(f"pytest {run.parent / 'net-vitis'}\n")


def test_same_input_same_bytes_wherever_it_lies(
    run: Path, digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = Path(shutil.copytree(digits_run, tmp_path / "other" / "net"))
    document(capsys, "emit", run, "--fps", "2000", "--out", tmp_path / "a")
    document(capsys, "emit", elsewhere, "--fps", "2000", "--out", tmp_path / "deep" / "b")

    assert content(tmp_path / "a") == content(tmp_path / "deep" / "b")
    assert all(str(tmp_path).encode() not in data for data in content(tmp_path / "a").values())


def test_a_design_of_ours_is_replaced_and_anything_else_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d"
    document(capsys, "emit", run, "--out", out)
    first = content(out)
    document(capsys, "emit", run, "--fps", "100", "--out", out)
    assert [out.name] == [path.name for path in tmp_path.iterdir() if path.name != run.name]
    assert first != content(out)

    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter1.tex").write_text("years of work")
    assert "no design of psp-hw" in said(capsys, "emit", run, "--out", mine, code=2)
    assert content(mine) == {"chapter1.tex": b"years of work"}


def test_a_design_that_holds_a_project_of_the_vendors_tool_is_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d"
    document(capsys, "emit", run, "--out", out)
    report = out / "top_prj" / "solution1" / "syn" / "report" / "top_csynth.xml"
    report.parent.mkdir(parents=True)
    report.write_text("hours of synthesis")

    made = said(capsys, "emit", run, "--out", out, code=0)

    kept = tmp_path / "d.before"
    assert "(top_prj/solution1/syn/report/top_csynth.xml): the design before is kept as" in made
    assert "hours of synthesis" == (kept / report.relative_to(out)).read_text()
    assert not report.exists()
    assert document(capsys, "emit", run, "--out", out)["kept"] is None


def test_a_design_that_does_not_fit_says_by_how_much_and_writes_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d"
    made = said(capsys, "emit", run, "--part", "xc7s6", "--out", out, code=1)

    assert "LUT of 3,750" in made
    assert "a larger part" in made
    assert "--force" in made
    assert not out.exists()
    refused = document(capsys, "emit", run, "--part", "xc7s6", "--out", out, code=1)
    assert (refused["fits"], refused["files"], refused["design"]) == (False, [], None)


def test_force_writes_a_design_that_does_not_fit(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = document(capsys, "emit", run, "--part", "xc7s6", "--out", tmp_path / "d", "--force", code=1)

    assert made["fits"] is False
    assert "does not fit" in (tmp_path / "d" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--part", "xc7z021"], 2, "xc7z020"),
        (["--target", "quartus"], 2, "vivado"),
        (["--clock", "0"], 2, "0.5 .. 1000 ns"),
        (["--clock", "nan"], 2, "0.5 .. 1000 ns"),
        (["--fps", "-3"], 2, "above 0"),
        (["--fps", "1e9"], 1, "cannot be reached"),
        (["--fps", "30", "--max"], 2, "exclude each other"),
        (["--fold", "stage1_block1_conv1=pe:5"], 2, "use one of [1, 2, 4, 8, 16]"),
        (["--fold", "nolayer=pe:1"], 2, "stage1_block1_conv1"),
        (["--fold", "missing.yaml"], 2, "missing.yaml"),
    ],
)
def test_bad_requests_write_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    before = sorted(tmp_path.iterdir())

    assert says in said(capsys, "emit", run, *arguments, code=code)
    assert sorted(tmp_path.iterdir()) == before


def test_folds_by_hand_are_those_of_the_design(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document(capsys, "emit", run, "--fold", "stage1_block1_conv1=pe:2,simd:4", "--out", tmp_path / "d")

    plan = json.loads((tmp_path / "d" / "plan.json").read_text())
    assert plan["nodes"]["stage1_block1_conv1"]["fold"] == {"pe": 2, "simd": 4, "taps": 1}
    again = document(capsys, "emit", run, "--fold", tmp_path / "d" / "plan.json", "--out", tmp_path / "e")
    assert json.loads((tmp_path / "e" / "plan.json").read_text())["nodes"] == plan["nodes"]
    assert again["fits"] is True


def test_estimate_says_what_emit_reports(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = document(capsys, "estimate", run, "--fps", "5000")
    document(capsys, "emit", run, "--fps", "5000", "--out", tmp_path / "d")
    of_design = document(capsys, "estimate", tmp_path / "d")

    wanted = {"cycles", "fps", "fits", "resources", "utilization", "layers"}
    assert wanted <= set(made)
    assert {"latency", "interval"} == set(made["cycles"])  # type: ignore[call-overload]
    assert {"DSP", "LUT", "FF", "BRAM18", "URAM"} == set(made["resources"])  # type: ignore[call-overload]
    assert all({"name", "op", "taps", "cycles", "resources"} <= set(layer) for layer in made["layers"])  # type: ignore[attr-defined]
    assert made["fps"] >= 5000  # type: ignore[operator]
    assert made["optimality"]["measure"] == "cost"  # type: ignore[index]
    assert made == of_design  # a design keeps its plan and what was found of it; nothing is searched
    report = json.loads((tmp_path / "d" / "report.json").read_text())["hardware"]
    for key in ("cycles", "fps", "resources", "utilization", "fits"):
        assert made[key] == report[key]


def test_estimate_that_does_not_fit_leaves_with_1_and_all_its_numbers(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = document(capsys, "estimate", run, "--part", "xc7s6", code=1)

    assert made["fits"] is False
    assert made["utilization"]["LUT"] > 1  # type: ignore[index]


def test_report_of_a_run_and_of_a_design_name_the_same_network(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document(capsys, "emit", run, "--out", tmp_path / "d")
    before = content(tmp_path / "d")
    document(capsys, "report", run)
    document(capsys, "report", tmp_path / "d")

    of_run = json.loads((run / "report.json").read_text())
    of_design = json.loads((tmp_path / "d" / "report.json").read_text())
    assert of_run == of_design
    assert of_run["title"] == "digits-cnn on digits"
    assert content(tmp_path / "d") == before


def test_report_takes_up_comparisons(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document(capsys, "simulate", run, "--against", "brevitas", "--limit", "40")
    document(capsys, "simulate", run, "--against", "brevitas", "--limit", "50")
    document(capsys, "report", run, "--out", tmp_path / "r")

    made = json.loads((tmp_path / "r" / "report.json").read_text())
    assert [(check["against"], check["images"], check["mismatches"]) for check in made["checks"]] == [
        ("brevitas", 50, 0)
    ]
    (run / "checks.json").write_text("{}")
    assert "checks.json" in said(capsys, "report", run, code=2)


def test_qonnx_file_alone_can_be_built(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(shutil.copy(run / "model.onnx", tmp_path / "alone.onnx"))

    made = document(capsys, "emit", model)

    assert made["design"] == str(tmp_path / "alone-vivado")
    assert json.loads((tmp_path / "alone-vivado" / "report.json").read_text())["training"] is None
