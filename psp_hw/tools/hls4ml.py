"""hls4ml's own compile and predict, on a project of ours."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray
from psp_hw.errors import RunError, ToolError
from psp_hw.spec.files import read_text_bounded

CHUNK = 16
MAX_MANIFEST_BYTES = 16 << 20
WHAT_COMPILING_NEEDS = ("firmware", "build_lib.sh", "hls4ml_config.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of compiling and running a project.

    Args:
        codes: output codes [N, outputs].
        compile_seconds: of hls4ml's ``compile``.
        images_per_second: of hls4ml's ``predict``.
    """

    codes: IntArray
    compile_seconds: float
    images_per_second: float


def compile_and_run(
    design: Path, codes: IntArray, *, on_chunk: Callable[[int], None] | None = None
) -> IntArray:
    """Output codes of a project for input codes, computed by hls4ml.

    Args:
        design: a project that psp-hw emitted; it stays as it is.
        codes: [N, H, W, C] in the format of the input.
        on_chunk: called with the number of images done, after every chunk.

    Returns:
        [N, outputs].

    Raises:
        RunError: the folder is no such project.
        ToolError: g++ is missing or does not compile it.
    """
    return run(design, codes, on_chunk=on_chunk).codes


def run(design: Path, codes: IntArray, *, on_chunk: Callable[[int], None] | None = None) -> Run:
    """As ``compile_and_run``, with the time that each part took."""
    source, result = _formats(design)
    if shutil.which("g++") is None:
        raise ToolError("g++ is not on PATH", where="hls4ml", hint="install g++")
    with tempfile.TemporaryDirectory() as place, _quiet():
        copy = Path(place) / "project"
        _copy(design, copy)
        start = time.perf_counter()
        model = _compiled(copy)
        compiled = time.perf_counter()
        real = np.ldexp(codes.astype(np.float64), -source.frac)
        parts = []
        for at in range(0, len(real), CHUNK):
            chunk = np.ascontiguousarray(real[at : at + CHUNK])
            parts.append(np.asarray(model.predict(chunk), dtype=np.float64).reshape(len(chunk), -1))
            if on_chunk is not None:
                on_chunk(len(chunk))
        seconds = time.perf_counter() - compiled
    found = np.ldexp(np.concatenate(parts), result.frac)
    return Run(
        codes=found.astype(np.int64),
        compile_seconds=compiled - start,
        images_per_second=len(codes) / max(seconds, 1e-9),
    )


def _formats(design: Path) -> tuple[FixedPoint, FixedPoint]:
    path = design / "design.json"
    try:
        manifest = json.loads(read_text_bounded(path, MAX_MANIFEST_BYTES))
        if manifest["target"] != "hls4ml":
            raise RunError(f"is written for {manifest['target']}, not for hls4ml", where=str(design))
        return FixedPoint.parse(manifest["input"]["format"]), FixedPoint.parse(manifest["output"]["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"is no hls4ml project of psp-hw: {error}", where=str(design)) from error


def _copy(design: Path, to: Path) -> None:
    to.mkdir()
    try:
        for name in WHAT_COMPILING_NEEDS:
            source = design / name
            if source.is_dir():
                shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("*.so"))
            else:
                shutil.copy2(source, to / name)
        for bridge in sorted(design.glob("*_bridge.cpp")):
            shutil.copy2(bridge, to / bridge.name)
    except OSError as error:
        raise RunError(
            f"{error.filename} is missing", where=str(design), hint="emit the design again"
        ) from error


def _compiled(project: Path) -> Any:
    from hls4ml.converters import link_existing_project

    try:
        with warnings.catch_warnings():
            # hls4ml leaves its configuration file to be closed by the interpreter.
            warnings.simplefilter("ignore", ResourceWarning)
            model = link_existing_project(project)
        model.config.config["OutputDir"] = str(project)
        model.compile()
    except Exception as error:  # hls4ml raises nothing narrower
        raise ToolError(f"hls4ml does not compile it: {error}", where=str(project)) from error
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _without_optimization(model: Any) -> None:
    """Let a model write projects that compile several times faster; a few frames do not repay optimizing."""
    write = model.write

    def write_and_change() -> None:
        write()
        script = Path(model.config.get_output_dir()) / "build_lib.sh"
        script.write_text(script.read_text().replace("-O3", "-O0"))

    model.write = write_and_change


def trace(design: Path, codes: IntArray) -> dict[str, IntArray]:
    """Codes of the values of a few frames, by name in the graph, as hls4ml traces them.

    Args:
        design: a project that psp-hw emitted; it stays as it is. Its saved ModelGraph is what is traced.
        codes: [N, H, W, C].

    Returns:
        [N, elements] each; the input is not among them.

    Raises:
        RunError: the folder is no such project.
        ToolError: it cannot be loaded, compiled or traced.
    """
    source, _ = _formats(design)
    values = json.loads((design / "design.json").read_text(encoding="utf-8"))["layers"]
    real = np.ascontiguousarray(np.ldexp(codes.astype(np.float64), -source.frac))
    with tempfile.TemporaryDirectory() as place, _quiet():
        try:
            from hls4ml.converters import load_saved_model

            model = load_saved_model(design / "model.fml", output_dir=place)
            model.config.config["OutputDir"] = str(Path(place) / "project")
            _without_optimization(model)
            for layer in model.get_layers():
                layer.set_attr("trace", layer.name in values)  # of a clone hls4ml would wait for two results
            _, found = model.trace(real)
            fracs = {n.name: n.get_output_variable().type.precision.fractional for n in model.get_layers()}
        except Exception as error:  # hls4ml raises nothing narrower
            raise ToolError(f"hls4ml does not trace it: {error}", where=str(design)) from error
    return {
        values[name]: np.ldexp(np.asarray(value, dtype=np.float64), fracs[name])
        .astype(np.int64)
        .reshape(len(codes), -1)
        for name, value in found.items()
        if name in values
    }
