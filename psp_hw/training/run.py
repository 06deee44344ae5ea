"""The run folder: what a training leaves behind. Reading it needs no torch.

RUN/manifest.json    kind, version, spec, seed, versions, metrics, seconds per phase, checksums, complete
RUN/spec.yaml        the request; ``psp-hw train --spec RUN/spec.yaml`` trains the same again
RUN/model.onnx       QONNX: the hand-off to the integer world
RUN/quantized.pt     state of the Brevitas network (tensors only)
RUN/input.npz        the preprocessing of the images
RUN/metrics.csv      one line per epoch of both phases
RUN/checkpoints/     to resume from: of each phase the last and the one before, and the pruned network between them
RUN/logs/            CSV per start, by Lightning; RUN/tensorboard/: event files, where TensorBoard is installed
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp_hw import __version__
from psp_hw.errors import RunError, reason
from psp_hw.spec.files import read_text_bounded
from psp_hw.spec.load import spec_from_dict, spec_to_dict, spec_to_yaml
from psp_hw.spec.train import TrainSpec
from psp_hw.training.durable import alone_in, tidy, write_text

KIND = "psp-hw run"
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 16 << 20
SPEC = "spec.yaml"
MODEL = "model.onnx"
QUANTIZED = "quantized.pt"
INPUT = "input.npz"
METRICS = "metrics.csv"
PRUNED = "checkpoints/pruned.pt"
_BARELY_BEGUN = {f".{MANIFEST}.tmp"}  # what a process leaves that was killed before the folder was ours
CHECKED = (SPEC, MODEL, QUANTIZED, INPUT, METRICS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A complete run.

    Args:
        path: the folder.
        spec: the request.
        manifest: what manifest.json holds.
    """

    path: Path
    spec: TrainSpec
    manifest: Mapping[str, Any]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """accuracy, accuracy_calibrated (not in runs of earlier versions), accuracy_quantized, density, params, macs, layers."""
        metrics: Mapping[str, Any] = self.manifest["metrics"]
        return metrics

    @property
    def model(self) -> Path:
        """The QONNX file."""
        return self.path / MODEL

    @property
    def input(self) -> Path:
        """The stored preprocessing."""
        return self.path / INPUT


def open_run(path: Path, spec: TrainSpec, *, resume: bool) -> bool:
    """Make the folder of a run, or take up one that was interrupted.

    Args:
        path: the folder.
        spec: the request; a resumed run must have the same.
        resume: whether an interrupted run may be there.

    Returns:
        Whether the run is already complete.

    Raises:
        RunError: the folder holds something else, another run, or cannot be made.
    """
    make_folder(path)
    if not {entry.name for entry in path.iterdir()} <= _BARELY_BEGUN:
        return _take_up(path, spec, resume)
    write_text(path / MANIFEST, _json({**_head(spec), "complete": False}))  # from here on the folder is ours
    write_text(path / SPEC, spec_to_yaml(spec))
    return False


@contextmanager
def opened(path: Path, spec: TrainSpec, *, resume: bool) -> Iterator[bool]:
    """`open_run`, and hold the folder against other processes while this lasts.

    Raises:
        RunError: as `open_run`; or another process trains into it.
    """
    make_folder(path)
    with alone_in(path):
        yield open_run(path, spec, resume=resume)


def make_folder(path: Path) -> None:
    """Make the folder of a run, unless it is there.

    Raises:
        RunError: it is a file, or cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise RunError("is a file, not a folder", where=str(path), hint="choose another --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot be made: {error.strerror}", where=str(path)) from error


def _take_up(path: Path, spec: TrainSpec, resume: bool) -> bool:
    """Decide what to do with a folder that is not empty."""
    if not (path / MANIFEST).is_file():
        what = "exists and is not a run of psp-hw; nothing was changed"
        raise RunError(what, where=str(path), hint="choose another --out")
    manifest = read_manifest(path)
    state = "complete" if manifest.get("complete") else "unfinished"
    if not resume:
        hint = "choose another --out" if state == "complete" else "continue it with --resume"
        raise RunError(f"holds a run already ({state})", where=str(path), hint=hint)
    started = spec_to_dict(started_with(path, manifest))
    if started != spec_to_dict(spec):
        differing = differences(started, spec_to_dict(spec))
        raise RunError(
            f"the run was started with another request; different: {', '.join(differing)}",
            where=str(path),
            hint=f"resume with --spec {path / SPEC}, or choose another --out",
        )
    tidy(path)
    if not (path / SPEC).is_file():
        write_text(path / SPEC, spec_to_yaml(started_with(path, manifest)))
    return state == "complete"


def started_with(path: Path, manifest: Mapping[str, Any]) -> TrainSpec:
    """The request of a run; a key that its version of psp-hw did not know has the default of this one."""
    wanted = manifest.get("spec")
    if not isinstance(wanted, dict):
        raise RunError("has no spec", where=str(path / MANIFEST), hint="choose another --out")
    return spec_from_dict(wanted, where=str(path / MANIFEST))


def differences(left: Any, right: Any, key: str = "") -> list[str]:
    """Keys at which two nested mappings differ."""
    if not (isinstance(left, dict) and isinstance(right, dict)):
        return [key or "spec"] if left != right else []
    found = []
    for name in dict.fromkeys([*left, *right]):
        found += differences(left.get(name), right.get(name), f"{key}.{name}" if key else str(name))
    return found


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a run folder, complete or not.

    Raises:
        RunError: missing, not JSON, or of something else.
    """
    file = path / MANIFEST
    try:
        manifest = json.loads(read_text_bounded(file, MAX_MANIFEST_BYTES))
    except FileNotFoundError as error:
        raise RunError("is not a run of psp-hw: it has no manifest.json", where=str(path)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"cannot be read: {reason(error)}", where=str(file), hint="train again") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise RunError("is not the manifest of a psp-hw run", where=str(file))
    return manifest


def is_complete(path: Path) -> bool:
    """Whether a folder holds a run that was finished."""
    return (path / MANIFEST).is_file() and read_manifest(path).get("complete") is True


def load_run(path: Path) -> Run:
    """A complete run, every file checked against its checksum.

    Raises:
        RunError: missing, unfinished, or a file was changed or damaged.
    """
    manifest = read_manifest(path)
    if not manifest.get("complete"):
        raise RunError("the run is unfinished", where=str(path), hint="continue it with --resume")
    checksums = manifest.get("checksums")
    if not isinstance(checksums, dict):
        raise RunError("has no checksums", where=str(path / MANIFEST), hint="train again")
    for name in CHECKED:
        file = path / name
        if not file.is_file():
            raise RunError("the file is missing", where=str(file), hint="train again")
        if checksum(file) != checksums.get(name):
            what = "the file differs from what the run wrote (sha256)"
            raise RunError(what, where=str(file), hint="restore it or train again")
    wanted = manifest.get("spec")
    if not isinstance(wanted, dict) or not isinstance(manifest.get("metrics"), dict):
        raise RunError("has no spec or no metrics", where=str(path / MANIFEST), hint="train again")
    spec = spec_from_dict(wanted, where=str(path / MANIFEST))
    return Run(path=path, spec=spec, manifest=manifest)


def finish_run(
    path: Path,
    spec: TrainSpec,
    *,
    versions: dict[str, str],
    metrics: dict[str, Any],
    seconds: dict[str, float],
) -> None:
    """Write the manifest that makes the run complete; the last file to be written."""
    known = [*CHECKED, PRUNED] if (path / PRUNED).is_file() else CHECKED  # checkpoints may be removed later
    checksums = {name: checksum(path / name) for name in known}
    manifest = {
        **_head(spec),
        "versions": versions,
        "metrics": metrics,
        "seconds": seconds,
        "checksums": checksums,
        "complete": True,
    }
    write_text(path / MANIFEST, _json(manifest))


def checksum(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_floats(run: Path) -> Path:
    """The file of the pruned floats of a run, complete or not, as the run wrote it.

    Raises:
        RunError: it is missing; names the run beside it that has the same, if there is one. Or it was changed.
    """
    path = run / PRUNED
    manifest = read_manifest(run) if (run / MANIFEST).is_file() else {}
    if not path.is_file():
        known = same_floats(run) if manifest else None
        hint = "name a run with its checkpoints, or a saved state_dict"
        raise RunError(
            "the run has no floats", where=str(path), hint=hint if known is None else f"{known} has them"
        )
    wanted = _floats_checksum(manifest)
    if wanted is not None and wanted != checksum(path):
        what = "the file differs from what the run wrote (sha256)"
        raise RunError(what, where=str(path), hint="restore it or train again")
    return path


def same_floats(run: Path) -> Path | None:
    """This run, or one beside it, that has the pruned floats of this run: runs that differ in bits share them."""
    wanted = _floats_checksum(read_manifest(run))
    if wanted is None:
        return None
    for file in (run / PRUNED, *sorted(run.parent.glob(f"*/{PRUNED}"))):
        if file.is_file() and checksum(file) == wanted:
            return file.parents[1]
    return None


def _floats_checksum(manifest: Mapping[str, Any]) -> str | None:
    known = manifest.get("checksums")
    return known.get(PRUNED) if isinstance(known, dict) else None


def _head(spec: TrainSpec) -> dict[str, Any]:
    return {"kind": KIND, "version": __version__, "spec": spec_to_dict(spec), "seed": spec.seed}


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"
