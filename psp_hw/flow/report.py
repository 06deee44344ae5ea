"""The report of a run or design, with what was compared since."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from psp_hw import __version__
from psp_hw.backends.base import source_hash
from psp_hw.backends.plan_file import PLAN_NAME
from psp_hw.cost.calibration import Calibration
from psp_hw.flow.calibrate import synthesis_of
from psp_hw.flow.device import NOTHING_MORE, DeviceRequest
from psp_hw.flow.estimate import Settings, plan_for, settings_of, target_of
from psp_hw.flow.files import write_files
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.hardware import summarize
from psp_hw.flow.progress import Silent
from psp_hw.flow.provenance import checks_of, provenance, title_of, training_of
from psp_hw.flow.source import Source, SourceKind, resolve
from psp_hw.report.model import Report, SynthesisRow
from psp_hw.report.render import render


def write_report(
    path: Path | None,
    *,
    part: str | None,
    clock_ns: float | None,
    out: Path | None,
    device: DeviceRequest = NOTHING_MORE,
    note: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write report.html, report.md and report.json.

    Args:
        path: a run, a QONNX file or a design.
        part, clock_ns: None: a design's own, else the defaults.
        out: the folder; None: the run or design itself, or the folder of the file.
        note: told what is to be known of part and calibration.

    Returns:
        The three files.

    Raises:
        PspHwError: a source that cannot be used, a bad part or clock.
    """
    source = resolve(path)
    settings = settings_of(source, part, clock_ns, device)
    if note is not None:
        for sentence in settings.notes:
            note(sentence)
    found = _report(source, settings)
    folder = out or (source.path.parent if source.kind is SourceKind.ONNX else source.path)
    return write_files(folder, render(found))


def _report(source: Source, settings: Settings) -> Report:
    """Everything that is known about a source; a run is estimated as ``emit`` would build it."""
    goal = GoalRequest()
    planned = plan_for(source, settings, goal, Silent())
    training = training_of(source)
    return Report(
        title=title_of(source, training),
        version=__version__,
        source_hash=source_hash(planned.graph, planned.plan),
        training=training,
        hardware=summarize(
            planned.graph,
            planned.plan,
            planned.estimate,
            target=target_of(source).value,
            optimality=planned.optimality,
        ),
        checks=() if source.kind is SourceKind.ONNX else checks_of(source.path),
        provenance=provenance(source, goal),
        synthesis=_synthesis(source, settings.calibration),
    )


def _synthesis(source: Source, calibration: Calibration) -> tuple[SynthesisRow, ...]:
    """Estimate, as calibrated, beside synthesis, where a design holds reports of its tools."""
    if source.kind is not SourceKind.DESIGN or not (source.path / PLAN_NAME).is_file():
        return ()
    return tuple(
        SynthesisRow(
            module=sample.module or source.name,
            stage=sample.stage.value,
            amounts=tuple(
                (resource.value, guess, sample.reported.of(resource)) for resource, guess in sample.estimated
            ),
        )
        for sample in synthesis_of(source, calibration)
    )
