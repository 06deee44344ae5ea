"""What a SOURCE is, and which run is the newest."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from psp_hw.errors import RunError
from psp_hw.flow.emit import Request as EmitRequest
from psp_hw.flow.emit import emit
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.source import SourceKind, complete_runs, incomplete_runs, number_at, read_graph, resolve
from psp_hw.ir.store import files_of
from psp_hw.training import run as run_folder


def make_run(folder: Path, *, complete: bool = True, age_s: int = 0, kind: str = "psp-hw run") -> Path:
    folder.mkdir(parents=True)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"kind": kind, "complete": complete}))
    then = manifest.stat().st_mtime - age_s
    os.utime(manifest, (then, then))
    return folder


def test_no_source_means_the_newest_complete_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs/a"), age_s=50)
    make_run(Path("runs/b"), age_s=20)
    make_run(Path("runs/c"), complete=False)
    (Path("runs/d")).mkdir()

    asked: list[Path] = []
    monkeypatch.setattr(
        run_folder, "load_run", lambda path: asked.append(path) or SimpleNamespace(manifest={})
    )
    assert resolve(None).path == Path("runs/b")
    assert asked == [Path("runs/b")]
    assert complete_runs(Path("runs")) == [Path("runs/b"), Path("runs/a")]
    assert incomplete_runs(Path("runs")) == [Path("runs/c")]


def test_designs_beside_the_runs_are_no_runs(tmp_path: Path) -> None:
    design = tmp_path / "a-vivado"
    design.mkdir()
    (design / "design.json").write_text(json.dumps({"kind": "psp-hw design"}))

    assert complete_runs(tmp_path) == []
    assert resolve(design).kind is SourceKind.DESIGN


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "not a JSON object"),
        ('{"kind": "other"}', "expected 'psp-hw run'"),
        ("{}", "expected 'psp-hw run'"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "manifest.json").write_text(content)

    with pytest.raises(RunError, match=says):
        resolve(tmp_path)


def test_an_incomplete_run_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--resume --out"):
        resolve(make_run(tmp_path / "r", complete=False))


@pytest.mark.parametrize("name", ["notes.txt", "model", "folder/"])
def test_anything_else_is_no_source(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_text("x")

    with pytest.raises(RunError, match="SOURCE is a run, a QONNX file or a design"):
        resolve(path)


@pytest.mark.parametrize(
    ("name", "says"), [("net.pt", "is a .pt file, not .onnx"), ("net", "its name does not end in .onnx")]
)
def test_a_file_that_is_no_network_says_why(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_text("x")

    with pytest.raises(RunError, match=says):
        resolve(tmp_path / name)


def test_a_mistyped_source_suggests_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "resnet8-shape").mkdir()
    (tmp_path / "notes").mkdir()

    with pytest.raises(
        RunError, match=rf"does not exist \(did you mean {tmp_path / 'resnet8-shape'}\? SOURCE"
    ):
        resolve(tmp_path / "resnet8-shap")
    with pytest.raises(RunError, match=r"does not exist \(SOURCE is a run, a QONNX file or a design\)"):
        resolve(tmp_path / "nowhere" / "resnet8-shape")


def test_a_file_is_taken_by_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"")

    source = resolve(path)

    assert (source.kind, source.name) == (SourceKind.ONNX, "net")


@pytest.mark.parametrize("value", ["7", True, None, float("nan"), float("inf"), -float("inf"), 10**400])
def test_what_is_no_number_that_is_counted_is_missing(value: object) -> None:
    assert number_at({"metrics": {"macs": value}}, "metrics", "macs") is None


def test_a_number_of_a_manifest_is_found() -> None:
    assert number_at({"metrics": {"macs": 12}}, "metrics", "macs") == 12
    assert number_at({"metrics": 3}, "metrics", "macs") is None


def test_a_name_that_is_no_text_has_a_title_that_is(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"net\xff.onnx")
    path.write_bytes(b"")

    assert resolve(path).title == "net\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("swapped", [("graph.npz",), ("graph.txt", "graph.npz"), ("plan.json",)])
def test_a_design_whose_files_were_swapped_is_refused(
    tmp_path: Path, digits_run: Path, swapped: tuple[str, ...]
) -> None:
    source = resolve(digits_run)
    design, other = tmp_path / "a", tmp_path / "b"
    emit(EmitRequest(source=source.path, out=design))
    emit(EmitRequest(source=source.path, out=other, goal=GoalRequest(fps=2000)))
    graph = read_graph(resolve(design))
    assert graph.name == read_graph(resolve(other)).name
    constants = {name: -value for name, value in graph.constants.items()}
    for name, content in files_of(replace(graph, constants=constants)).items():
        (other / name).write_bytes(content)

    for name in swapped:
        shutil.copyfile(other / name, design / name)

    with pytest.raises(RunError, match="emit the design again"):
        read_graph(resolve(design))
