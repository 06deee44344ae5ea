"""benchmarks/paper_rows at the size of the digits: several trainings side by side, a budget, a table."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.paper_rows import gpus, trainings
from benchmarks.paper_rows.__main__ import main, parse
from benchmarks.paper_rows.rows import ROOT, ROWS, spec_of
from psp_hw.flow.floats import train_floats
from psp_hw.flow.train import Request
from psp_hw.spec.enums import AlphaInit, Precision, RateShape
from psp_hw.spec.load import spec_to_yaml


def _words(folder: Path, *more: str) -> list[str]:
    tiny = ["--net", "digits-cnn", "--data", "digits", "--accelerator", "cpu"]
    return ["--runs", str(folder / "runs"), "--out", str(folder / "out"), "--side", "2", *tiny, *more]


def test_every_row_has_its_recipe_and_the_schedule_of_the_paper() -> None:
    given = parse(["--minutes", "0"])
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) == 14
    for row in ROWS:
        spec = spec_of(row, given)
        schedule, structures = spec.training, spec.pruning.structures
        assert row.net == spec.net.name
        assert (300, 64, 0.1, RateShape.STEP) == (
            schedule.epochs, schedule.batch_size, schedule.rate, schedule.shape,
        )  # fmt: skip
        assert Precision.BFLOAT16 is spec.engine.precision
        assert ("-dense-" in row.recipe) == (not structures)
        assert not spec.engine.compile  # on a CPU, or where nobody asked
        if structures:
            assert AlphaInit.PAPER is spec.pruning.init
            assert set(row.recipe.split("-")[1:-1]) == {s.kind.value for s in structures}
            assert row.epsilon is None or {row.epsilon} == {s.epsilon for s in structures}


def test_reports_cifar10_names_no_row_that_is_missing() -> None:
    """Shape pruning of either network at four thresholds; every recipe of a CIFAR network of the paper has a row."""
    shapes = {(row.net, row.epsilon) for row in ROWS if "-shape-psp" in row.recipe}
    assert {(net, eps) for net in ("resnet56", "densenet40") for eps in (0.1, 0.2, 0.3, 0.5)} == shapes
    recipes = {path.name for path in (ROOT / "models").glob("*-psp")}
    assert {name for name in recipes if name.startswith(("resnet56", "densenet40"))} == {
        row.recipe for row in ROWS
    }


def test_figures_stand_beside_the_table_that_prints_them() -> None:
    """docs/paper.md: 0.27 G is of Table 3, Table 2 prints 0.53 G operations."""
    (dense,) = [row for row in ROWS if row.name == "densenet40-dense"]
    assert ("Table 3", 0.27) == (dense.table, dense.paper.macs)


def test_a_trial_leaves_the_report_of_the_paper_alone(tmp_path: Path) -> None:
    runs = ["--minutes", "0", "--runs", str(tmp_path)]
    assert ROOT / "reports/paper" == parse(runs).out
    assert tmp_path / "o" == parse([*runs, "--steps", "3", "--out", str(tmp_path / "o")]).out
    for trial in (["--net", "digits-cnn"], ["--data", "digits"], ["--steps", "3"]):
        assert tmp_path == parse([*runs, *trial]).out


def test_rows_are_spread_over_the_gpus_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    given = parse(["--minutes", "0", "--accelerator", "cuda"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert (None,) == gpus.gpus_of(given)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert ("0", "1", "2") == gpus.gpus_of(given)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8a,7")
    names = gpus.gpus_of(given)
    assert ("4", "GPU-8a", "7") == names
    assert (None,) == gpus.gpus_of(parse(["--minutes", "0", "--accelerator", "cpu"]))

    running: list[Any] = []
    for row in ROWS[:5]:
        running.append(trainings.Training(row, None, trainings.idlest(names, running)))
    assert ["4", "GPU-8a", "7", "4", "GPU-8a"] == [training.gpu for training in running]
    del running[1]
    assert "GPU-8a" == trainings.idlest(names, running)


def test_steps_are_compiled_on_a_gpu_where_that_works_and_a_row_goes_on_as_it_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chosen(*more: str, problem: str | None = None, minutes: str = "1") -> bool | None:
        monkeypatch.setattr(gpus, "compile_problem", lambda: problem)
        given = parse(["--runs", str(tmp_path), "--minutes", minutes, "--accelerator", "cuda", *more])
        gpus.choose_compile(given)
        compiled: bool | None = given.compile
        assert bool(compiled) == spec_of(ROWS[0], given).engine.compile
        return compiled

    assert chosen() is True
    assert "" == capsys.readouterr().err
    assert chosen(problem="RuntimeError: Failed to find C compiler.") is False
    said = "not compiled: torch.compile fails on this machine: RuntimeError: Failed to find C compiler.\n"
    assert said == capsys.readouterr().err
    assert chosen("--no-compile") is False
    assert chosen("--compile", problem="any") is True
    assert chosen("--accelerator", "cpu") is None
    assert chosen(minutes="0") is None

    given = parse(["--runs", str(tmp_path), "--minutes", "1"])
    row = ROWS[2]
    (tmp_path / f"{row.name}.yaml").write_text(spec_to_yaml(spec_of(row, given)))
    assert chosen() is False  # begun without


def test_what_torch_says_is_told_when_it_cannot_compile() -> None:
    assert gpus.compile_problem("pass") is None
    assert "RuntimeError: no C compiler" == gpus.compile_problem("raise RuntimeError('no C compiler')")
    assert "exit code 3" == gpus.compile_problem("raise SystemExit(3)")


@pytest.mark.slow
def test_a_row_that_failed_is_an_exit_code(tmp_path: Path) -> None:
    words = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--accelerator", "cpu"]
    words += ["--data-dir", str(tmp_path / "nowhere"), "--rows", "resnet56-dense", "resnet56-column"]
    assert 1 == main([*words, "--minutes", "5"])
    assert {"failed"} == {_rows(tmp_path)[name]["state"] for name in ("resnet56-dense", "resnet56-column")}
    assert 1 == main([*words, "--minutes", "0"])  # the table says so again


def test_what_was_not_run_was_cut_or_failed_is_listed_so(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("resnet56-column", "resnet56-shape-0.1"):
        (runs / name).mkdir(parents=True)
    (runs / "resnet56-column.json").write_text('{"error": "interrupted", "exit_code": 130}')
    (runs / "resnet56-shape-0.1.json").write_text('{"error": "net: a sentence", "exit_code": 2}')
    facts = {"density": 0.5, "seconds": {"train": 7200.0}, "run": "r"}
    for name, accuracy, macs in (
        ("resnet56-dense", 0.93, 126_000_000),
        ("resnet56-shape-0.2", 0.932, 60_000_000),
    ):
        (runs / name).mkdir()
        told = {"accuracy": accuracy, "params": 850_000, "macs": macs} | facts
        (runs / f"{name}.json").write_text(json.dumps(told))

    assert 0 == main([*_words(tmp_path, "--minutes", "0", "--rows", "resnet56-dense")])

    text = (tmp_path / "out/report.md").read_text()
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert "| done | 7.00 | 6.35 | 0.850 | – | 0.1260 | – | 0.500 | 2.00 |" in lines["resnet56-dense"]
    assert (
        "| cut (before the first checkpoint) | – | 6.55 | – | 0.21 | – | 0.03 |" in lines["resnet56-column"]
    )
    assert "| failed (net: a sentence) |" in lines["resnet56-shape-0.1"]
    assert "| not run |" in lines["densenet40-shape-0.1"]
    assert "- resnet56-shape-0.2: 2.10 times fewer MACs, -0.20 points of error: met" in text
    states = {name: row["state"] for name, row in _rows(tmp_path).items()}
    told = {"resnet56-column": "cut", "resnet56-shape-0.1": "failed"}
    told |= {"resnet56-dense": "done", "resnet56-shape-0.2": "done"}
    assert {row.name: "not run" for row in ROWS} | told == states


def test_a_table_holds_rows_of_one_request(tmp_path: Path) -> None:
    """A row that is done with 6 epochs is no row of a table of 12."""
    runs = tmp_path / "runs"
    (runs / "resnet56-dense").mkdir(parents=True)
    given = parse(_words(tmp_path, "--minutes", "0", "--epochs", "6"))
    text = spec_to_yaml(spec_of(ROWS[0], given))
    (runs / "resnet56-dense.yaml").write_text(text)
    facts = {"accuracy": 0.9, "density": 1.0, "params": 1, "macs": 1, "seconds": {}, "run": "r"}
    (runs / "resnet56-dense.json").write_text(json.dumps(facts))

    main(_words(tmp_path, "--minutes", "0", "--epochs", "6"))
    assert "done" == _rows(tmp_path)["resnet56-dense"]["state"]
    with pytest.raises(SystemExit, match="resnet56-dense was begun with another request"):
        main(_words(tmp_path, "--minutes", "0", "--epochs", "12", "--rows", "resnet56-column"))


def _rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads((folder / "out/result.json").read_text())["rows"]}


@pytest.mark.slow
def test_a_row_that_was_cut_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trainings side by side are stopped once both have a checkpoint; the same command goes on."""
    words = _words(tmp_path, "--epochs", "20", "--rows", "resnet56-dense", "resnet56-shape-0.3")
    names = ("resnet56-dense", "resnet56-shape-0.3")
    runs = tmp_path / "runs"

    class _OverError(Exception):
        """The time is over."""

    def until_both_have_begun() -> None:
        time.sleep(0.05)
        if all((runs / name / "checkpoints/train-previous.ckpt").exists() for name in names):
            raise _OverError

    with monkeypatch.context() as patch:
        patch.setattr(trainings, "pause", until_both_have_begun)
        with pytest.raises(_OverError):
            main([*words, "--minutes", "5"])
    cut = _rows(tmp_path)
    assert ["cut", "cut"] == [cut[name]["state"] for name in names]
    assert "of 20, step" in cut["resnet56-dense"]["told"]

    with pytest.raises(SystemExit, match="was begun with another request; give the same"):
        main([*words, "--minutes", "5", "--seed", "2"])

    assert 0 == main([*words, "--minutes", "5"])
    for name in names:
        done = _rows(tmp_path)[name]
        request = Request(spec=runs / f"{name}.yaml", accelerator="cpu", out=tmp_path / name)
        expected = train_floats(request, progress=False)
        assert expected is not None
        assert "done" == done["state"]
        assert (100 * (1 - expected.accuracy), expected.density) == (done["ours"]["error"], done["density"])
        assert expected.params / 1e6 == done["ours"]["params"]
