"""benchmarks/paper_rows.py at the size of the digits: several trainings side by side, a budget, a table."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from psp_hw.flow.floats import train_floats
from psp_hw.flow.train import Request
from psp_hw.spec.enums import AlphaInit, Precision, RateShape

SCRIPT = Path(__file__).parents[3] / "benchmarks/paper_rows.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("paper_rows", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["paper_rows"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _words(folder: Path, *more: str) -> list[str]:
    tiny = ["--net", "digits-cnn", "--data", "digits", "--accelerator", "cpu"]
    return ["--runs", str(folder / "runs"), "--out", str(folder / "out"), "--side", "2", *tiny, *more]


def test_every_row_has_its_recipe_and_the_schedule_of_the_paper(script: ModuleType) -> None:
    given = script.parse(["--minutes", "0"])
    names = [row.name for row in script.ROWS]
    assert len(set(names)) == len(names) == 10
    for row in script.ROWS:
        spec = script.spec_of(row, given)
        schedule, structures = spec.training, spec.pruning.structures
        assert row.net == spec.net.name
        assert (300, 64, 0.1, RateShape.STEP) == (
            schedule.epochs, schedule.batch_size, schedule.rate, schedule.shape,
        )  # fmt: skip
        assert Precision.BFLOAT16 is spec.engine.precision
        assert ("-dense-" in row.recipe) == (not structures)
        if structures:
            assert AlphaInit.PAPER is spec.pruning.init
            assert set(row.recipe.split("-")[1:-1]) == {s.kind.value for s in structures}
            assert row.epsilon is None or {row.epsilon} == {s.epsilon for s in structures}


def test_what_was_not_run_was_cut_or_failed_is_listed_so(script: ModuleType, tmp_path: Path) -> None:
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

    script.main([*_words(tmp_path, "--minutes", "0", "--rows", "resnet56-dense")])

    text = (tmp_path / "out/report.md").read_text()
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert "| done | 7.00 | 6.35 | 0.850 | – | 0.1260 | – | 0.500 | 2.00 |" in lines["resnet56-dense"]
    assert (
        "| cut (before the first checkpoint) | – | 6.55 | – | 0.21 | – | 0.03 |" in lines["resnet56-column"]
    )
    assert "| failed (net: a sentence) |" in lines["resnet56-shape-0.1"]
    assert "| not run |" in lines["densenet40-shape"]
    assert "- resnet56-shape-0.2: 2.10 times fewer MACs, -0.20 points of error: met" in text
    states = [row["state"] for row in json.loads((tmp_path / "out/result.json").read_text())["rows"]]
    assert ["done", "cut", "failed", "done"] + ["not run"] * 6 == states


def test_a_table_holds_rows_of_one_request(script: ModuleType, tmp_path: Path) -> None:
    """A row that is done with 6 epochs is no row of a table of 12."""
    runs = tmp_path / "runs"
    (runs / "resnet56-dense").mkdir(parents=True)
    given = script.parse(_words(tmp_path, "--minutes", "0", "--epochs", "6"))
    text = script.spec_to_yaml(script.spec_of(script.ROWS[0], given))
    (runs / "resnet56-dense.yaml").write_text(text)
    facts = {"accuracy": 0.9, "density": 1.0, "params": 1, "macs": 1, "seconds": {}, "run": "r"}
    (runs / "resnet56-dense.json").write_text(json.dumps(facts))

    script.main(_words(tmp_path, "--minutes", "0", "--epochs", "6"))
    assert "done" == _rows(tmp_path)["resnet56-dense"]["state"]
    with pytest.raises(SystemExit, match="resnet56-dense was begun with another request"):
        script.main(_words(tmp_path, "--minutes", "0", "--epochs", "12", "--rows", "resnet56-column"))


def _rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads((folder / "out/result.json").read_text())["rows"]}


@pytest.mark.slow
def test_a_row_that_was_cut_goes_on_and_ends_as_one_that_was_not(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trainings side by side are stopped once both have a checkpoint; the same command goes on."""
    words = _words(tmp_path, "--epochs", "6", "--rows", "resnet56-dense", "resnet56-shape-0.3")
    names = ("resnet56-dense", "resnet56-shape-0.3")
    runs = tmp_path / "runs"

    class _OverError(Exception):
        """The time is over."""

    def until_both_have_begun() -> None:
        time.sleep(0.05)
        if all((runs / name / "checkpoints/train-previous.ckpt").exists() for name in names):
            raise _OverError

    with monkeypatch.context() as patch:
        patch.setattr(script, "pause", until_both_have_begun)
        with pytest.raises(_OverError):
            script.main([*words, "--minutes", "5"])
    cut = _rows(tmp_path)
    assert ["cut", "cut"] == [cut[name]["state"] for name in names]
    assert "of 6, step" in cut["resnet56-dense"]["told"]

    with pytest.raises(SystemExit, match="was begun with another request; give the same"):
        script.main([*words, "--minutes", "5", "--seed", "2"])

    script.main([*words, "--minutes", "5"])
    for name in names:
        done = _rows(tmp_path)[name]
        request = Request(spec=runs / f"{name}.yaml", accelerator="cpu", out=tmp_path / name)
        expected = train_floats(request, progress=False)
        assert expected is not None
        assert "done" == done["state"]
        assert (100 * (1 - expected.accuracy), expected.density) == (done["ours"]["error"], done["density"])
        assert expected.params / 1e6 == done["ours"]["params"]
