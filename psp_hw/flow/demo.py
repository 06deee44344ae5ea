"""The whole job once: train, quantize, emit, compile, compare, estimate, report."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from psp_hw.errors import RunError
from psp_hw.flow import emit as emitting
from psp_hw.flow import report as reporting
from psp_hw.flow import simulate as simulating
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.provenance import checks_of, record_check
from psp_hw.flow.source import complete_runs, incomplete_runs
from psp_hw.flow.train import Request, TrainSummary, train
from psp_hw.report.model import HardwareSummary
from psp_hw.tools.gxx import compiler

MARKER = ".psp-hw-demo"
RUN, DESIGN = "run", "design"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSummary:
    """What the closing table says.

    Args:
        images: test images that were compared, every one with Brevitas and with the compiled C++.
        mismatches: of both comparisons.
        first_difference: names the first, where there is one.
        seconds: of the whole demo.
    """

    training: TrainSummary
    hardware: HardwareSummary
    images: int
    mismatches: int
    first_difference: str | None
    seconds: float
    run: Path
    design: Path
    report: Path


def document(result: DemoSummary) -> dict[str, object]:
    """The JSON of ``demo --json``."""
    hardware = result.hardware
    return {
        "accuracy": result.training.accuracy,
        "accuracy_quantized": result.training.accuracy_quantized,
        "density": result.training.density,
        "cycles": {"latency": hardware.latency_cycles, "interval": hardware.interval_cycles},
        "fps": hardware.fps,
        "fits": hardware.fits,
        "resources": {use.name: use.used for use in hardware.resources},
        "images": result.images,
        "mismatches": result.mismatches,
        "seconds": result.seconds,
        "run": str(result.run),
        "design": str(result.design),
        "report": str(result.report),
    }


def demo(out: Path, *, progress: Progress | None = None, bars: bool = True) -> DemoSummary:
    """Do the whole job in a folder.

    Args:
        out: made where it is missing; a demo that stands there is replaced.
        progress: told how far it is.
        bars: whether the training draws its own progress bars.

    Raises:
        PspHwError: the folder holds something else, g++ is missing, the disk is full.
    """
    progress = progress or Silent()
    start = time.perf_counter()
    compiler()  # before anything is trained or removed: without it the demo cannot end well
    _clear(out)
    progress.pause()
    trained = train(Request(structures=("shape",), out=out / RUN), progress=bars)
    progress.resume()
    written = emitting.emit(emitting.Request(source=out / RUN, out=out / DESIGN), progress=progress)
    compared = [
        simulating.simulate(simulating.Request(source=out / RUN, against="brevitas"), progress=progress),
        simulating.simulate(simulating.Request(source=out / DESIGN, against="csim"), progress=progress),
    ]
    progress.step("writing the report", 0, None)
    for check in checks_of(out / RUN):
        record_check(out / DESIGN, check)
    reporting.write_report(out / RUN, part=None, clock_ns=None, out=None)
    files = reporting.write_report(out / DESIGN, part=None, clock_ns=None, out=None)
    return DemoSummary(
        training=trained,
        hardware=written.hardware,
        images=min(one.images for one in compared),
        mismatches=sum(one.mismatches or 0 for one in compared),
        first_difference=next((one.first_difference for one in compared if one.first_difference), None),
        seconds=time.perf_counter() - start,
        run=out / RUN,
        design=out / DESIGN,
        report=files[0],
    )


def _clear(out: Path) -> None:
    """Make room: a new or empty folder, or that of an earlier demo.

    Raises:
        RunError: the folder holds something else.
    """
    if out.is_dir() and any(out.iterdir()):
        if not (out / MARKER).is_file():
            raise RunError("exists and is no demo of psp-hw", where=str(out), hint="choose another --out")
        known = [*complete_runs(out), *incomplete_runs(out)]
        for folder in (out / RUN, out / DESIGN):
            if folder in known or (folder / "design.json").is_file():
                shutil.rmtree(folder)
    elif out.exists() and not out.is_dir():
        raise RunError("is a file, not a folder", where=str(out), hint="choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("A demo of psp-hw: `psp-hw demo` replaces what is in here.\n", encoding="utf-8")
