"""What a SOURCE is: a run, a QONNX file or a design; none given means the newest complete run."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from psp_hw.errors import RunError, reason
from psp_hw.flow.defaults import RUNS
from psp_hw.spec.files import read_text_bounded

if TYPE_CHECKING:
    from psp_hw.ir.graph import Graph

RUN_KIND = "psp-hw run"
DESIGN_KIND = "psp-hw design"
MAX_MANIFEST_BYTES = 16 << 20
MOST = 1 << 62  # larger than any number that a manifest of ours holds


class SourceKind(Enum):
    """Where a graph comes from."""

    RUN = "run"
    ONNX = "QONNX file"
    DESIGN = "design"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A resolved SOURCE.

    Args:
        kind: what it is.
        path: the folder or file, as it was given.
        manifest: of a run or design; empty for a file.
        exact: refuse a file that would not be computed exactly.
    """

    kind: SourceKind
    path: Path
    manifest: Mapping[str, object]
    exact: bool = False

    @property
    def name(self) -> str:
        """The last part of its path, without a suffix: what a design is named after."""
        path = self.path.resolve()
        return path.stem if self.kind is SourceKind.ONNX else path.name

    @property
    def beside(self) -> Path:
        """The folder that it lies in, as it was given: for a link that of the link, not of what it points at."""
        plain = self.path.name not in ("", "..")
        return self.path.parent if plain else self.path.resolve().parent

    @property
    def title(self) -> str:
        """The name as text for a report, also where it is no text in any encoding."""
        return os.fsencode(self.name).decode("utf-8", errors="replace")


def resolve(path: Path | None, *, exact: bool = False) -> Source:
    """Find out what a path is.

    Args:
        path: None takes the newest complete run.
        exact: refuse a file that would not be computed exactly.

    Raises:
        RunError: it does not exist, is none of the three, or is a run that did not finish.
    """
    if path is None:
        runs = complete_runs(RUNS)
        if not runs:
            raise RunError(
                f"there is no complete run in {RUNS}/",
                where="SOURCE",
                hint="train one: psp-hw train --shape; or name a run, a QONNX file or a design",
            )
        path = runs[0]
    if not path.exists():
        raise RunError("does not exist", where=str(path), hint=_meant(path))
    if path.is_file():
        return _file(path, exact)
    if (path / "design.json").is_file():
        return Source(
            kind=SourceKind.DESIGN, path=path, manifest=_manifest(path / "design.json", DESIGN_KIND)
        )
    if (path / "manifest.json").is_file():
        manifest = _manifest(path / "manifest.json", RUN_KIND)
        if manifest.get("complete") is not True:
            hint = f"psp-hw train --resume --out {path}"
            raise RunError("the run is not complete", where=str(path), hint=hint)
        from psp_hw.training.run import load_run

        return Source(kind=SourceKind.RUN, path=path, manifest=load_run(path).manifest)
    raise RunError(
        "is neither a run (manifest.json) nor a design (design.json)",
        where=str(path),
        hint="SOURCE is a run, a QONNX file or a design",
    )


def _meant(path: Path) -> str:
    """What a path that is not there may have meant: at most three neighbours that are called alike."""
    kinds = "SOURCE is a run, a QONNX file or a design"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.name.isprintable())
    except OSError:
        return kinds
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    if not near:
        return kinds
    return f"did you mean {' or '.join(str(path.with_name(name)) for name in near)}? {kinds}"


def _file(path: Path, exact: bool) -> Source:
    if path.suffix.lower() != ".onnx":
        raise RunError(
            f"is a {path.suffix} file, not .onnx"
            if path.suffix
            else "is a file, but its name does not end in .onnx",
            where=str(path),
            hint="SOURCE is a run, a QONNX file or a design",
        )
    return Source(kind=SourceKind.ONNX, path=path, manifest={}, exact=exact)


def _manifest(path: Path, kind: str) -> Mapping[str, object]:
    """A manifest of ours.

    Raises:
        RunError: unreadable, not JSON, or somebody else's.
    """
    found = read_json(path)
    if found.get("kind") != kind:
        raise RunError(f"kind is {found.get('kind')!r}, expected {kind!r}", where=str(path))
    return found


def read_json(path: Path) -> Mapping[str, object]:
    """A JSON object from a file.

    Raises:
        RunError: unreadable, too large, or not a JSON object.
    """
    try:
        found = json.loads(read_text_bounded(path, MAX_MANIFEST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"cannot be read: {reason(error)}", where=str(path)) from error
    if not isinstance(found, dict):
        raise RunError("is not a JSON object", where=str(path))
    return found


def complete_runs(folder: Path) -> list[Path]:
    """The runs in a folder that are complete, newest first."""
    return [path for path, complete in _runs(folder) if complete]


def incomplete_runs(folder: Path) -> list[Path]:
    """The runs in a folder that wait to be resumed, newest first."""
    return [path for path, complete in _runs(folder) if not complete]


def _runs(folder: Path) -> list[tuple[Path, bool]]:
    """Runs with whether they are complete, newest first (by the time their manifest was written)."""
    found = sorted(_dated_runs(folder), key=lambda entry: (-entry[0], entry[1].name))
    return [(path, complete) for _, path, complete in found]


def _dated_runs(folder: Path) -> Iterator[tuple[int, Path, bool]]:
    for manifest in sorted(folder.glob("*/manifest.json")):
        try:
            complete = _manifest(manifest, RUN_KIND).get("complete") is True
        except RunError:
            continue
        yield manifest.stat().st_mtime_ns, manifest.parent, complete


def read_graph(source: Source) -> Graph:
    """The integer graph of a source: lowered, every pass run; a design holds it already.

    Raises:
        ModelError: the model cannot be used.
        RunError: the design is damaged.
    """
    if source.kind is SourceKind.DESIGN:
        return _design_graph(source)
    from psp_hw.lowering.builder import Options
    from psp_hw.lowering.lower import lower_file
    from psp_hw.passes.pipeline import optimize

    options = Options(exact=source.exact or source.kind is SourceKind.RUN)
    return optimize(lower_file(model_file(source), options).graph)


def _design_graph(source: Source) -> Graph:
    """The graph of a design, which must be the one that its code was written from."""
    from psp_hw.backends.base import source_hash
    from psp_hw.backends.plan_file import PLAN_NAME, load_plan
    from psp_hw.ir.store import load

    graph = load(source.path)
    found = source_hash(graph, load_plan(source.path / PLAN_NAME))
    written = source.manifest.get("source_hash")
    if found != written:
        raise RunError(
            f"graph.txt and {PLAN_NAME} have the hash {found}, the code was written from {written}",
            where=str(source.path),
            hint="emit the design again",
        )
    return graph


def model_file(source: Source) -> Path:
    """The QONNX file of a run or file."""
    assert source.kind is not SourceKind.DESIGN
    return source.path / "model.onnx" if source.kind is SourceKind.RUN else source.path


def text_at(manifest: Mapping[str, object], *keys: str) -> str | None:
    """A text somewhere inside a manifest; None where it is missing."""
    found = _at(manifest, keys)
    return found if isinstance(found, str) else None


def number_at(manifest: Mapping[str, object], *keys: str) -> float | None:
    """A number somewhere inside a manifest; None where it is missing, infinite or beyond what is counted."""
    found = _at(manifest, keys)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    return found if abs(found) <= MOST else None  # a NaN is not below anything


def _at(manifest: Mapping[str, object], keys: tuple[str, ...]) -> object:
    found: object = manifest
    for key in keys:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found
