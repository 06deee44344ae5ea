"""From a source to a design folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from psp_hw import __version__
from psp_hw.backends.base import Target, Vectors, check_bindable, source_hash
from psp_hw.backends.folder import check_replaceable, kept_as, strangers
from psp_hw.backends.hls import emit as emit_hls
from psp_hw.backends.hls4ml import Backend, IoType
from psp_hw.backends.hls4ml import emit as emit_hls4ml
from psp_hw.backends.made_for import MadeFor
from psp_hw.cost.parts import Part
from psp_hw.errors import DoesNotFitError, SpecError
from psp_hw.flow.defaults import DEFAULT_TARGET
from psp_hw.flow.device import NOTHING_MORE, DeviceRequest, unfinished_name
from psp_hw.flow.estimate import Planned, plan_for, settings_of
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.hardware import summarize
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.provenance import provenance, title_of, training_of
from psp_hw.flow.source import Source, SourceKind, resolve
from psp_hw.flow.vectors import golden
from psp_hw.report.model import HardwareSummary, Report
from psp_hw.report.render import render
from psp_hw.units import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What ``psp-hw emit`` was asked; None means not asked."""

    source: Path | None = None
    target: str = DEFAULT_TARGET
    part: str | None = None
    clock_ns: float | None = None
    goal: GoalRequest = field(default_factory=GoalRequest)
    out: Path | None = None
    force: bool = False
    hls4ml_backend: str | None = None
    io_type: str | None = None
    exact: bool = False
    device: DeviceRequest = NOTHING_MORE


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitSummary:
    """What was written.

    Args:
        design: the folder.
        files: relative to it, sorted.
        hardware: what it costs and how fast it is.
        kept: where the design that was there before is, if it held anything of somebody else's.
        notes: what is to be known of part and calibration, and of what is kept.
    """

    design: Path
    target: Target
    part: str
    clock_ns: float
    files: tuple[str, ...]
    hardware: HardwareSummary
    kept: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the part has enough of everything."""
        return self.hardware.fits


def document(result: EmitSummary) -> dict[str, object]:
    """The JSON of ``emit --json``."""
    return {
        "design": str(result.design),
        "target": result.target.value,
        "part": result.part,
        "clock_ns": result.clock_ns,
        "files": list(result.files),
        "fits": result.fits,
        "kept": None if result.kept is None else str(result.kept),
    }


def refusal(request: Request) -> dict[str, object]:
    """The JSON of a design that does not fit and was not written."""
    settings = settings_of(resolve(request.source), request.part, request.clock_ns, request.device)
    return {
        "design": None,
        "target": request.target,
        "part": settings.part.name,
        "clock_ns": settings.clock.period_ns,
        "files": [],
        "fits": False,
        "kept": None,
    }


def emit(request: Request, *, progress: Progress | None = None) -> EmitSummary:
    """Write a design.

    Raises:
        DoesNotFitError: it needs more than the part has, and ``force`` is not set; nothing is written.
        PspHwError: a bad target, part, clock, fold or source; an output folder that is not ours.
    """
    progress = progress or Silent()
    target = Target.parse(request.target)
    hls4ml = _for_hls4ml(request, target)
    source = resolve(request.source, exact=request.exact)
    settings = settings_of(source, request.part, request.clock_ns, request.device)
    out = request.out or design_folder(source, target)
    check_replaceable(out)
    planned = plan_for(source, settings, request.goal, progress, target=target)
    check_bindable(planned.plan, target)
    if not planned.estimate.fits and not request.force:
        raise _does_not_fit(planned)
    hardware = summarize(
        planned.graph,
        planned.plan,
        planned.estimate,
        target=target.value,
        optimality=planned.optimality,
    )
    progress.step("writing the design", 0, None)
    common = Common(
        part=settings.part.name,
        clock=settings.clock,
        vectors=golden(source, planned.graph),
        out=out,
        report_files=render(_report(source, planned, hardware, request.goal)),
        made_for=MadeFor(
            available=settings.part.resources,
            budget=settings.budget,
            calibration=settings.constants,
            optimality=planned.estimate.optimality,
        ),
    )
    kept = kept_as(out)
    files = _write(planned, common, target, hls4ml)
    return EmitSummary(
        design=out,
        target=target,
        part=settings.part.name,
        clock_ns=settings.clock.period_ns,
        files=tuple(sorted(path.relative_to(out).as_posix() for path in files)),
        hardware=hardware,
        kept=kept if kept.is_dir() else None,
        notes=(*settings.notes, *_notes(settings.part, out, kept)),
    )


def _notes(part: Part, out: Path, kept: Path) -> Iterator[str]:
    unfinished = unfinished_name(part)
    if unfinished:
        yield unfinished
    if kept.is_dir():
        yield _kept(out, kept)


def _kept(out: Path, kept: Path) -> str:
    """That a design was not replaced, in words."""
    found = strangers(kept)
    more = f" and {len(found) - 1} more" if found[1:] else ""
    return (
        f"{out} held what psp-hw did not write or what was changed since ({found[0]}{more}): "
        f"the design before is kept as {kept}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What every back end is given beside graph and plan."""

    part: str
    clock: Clock
    vectors: Vectors
    out: Path
    report_files: Mapping[str, str | bytes]
    made_for: MadeFor


def _write(
    planned: Planned, common: Common, target: Target, hls4ml: tuple[Backend, IoType]
) -> tuple[Path, ...]:
    if target is Target.HLS4ML:
        return emit_hls4ml(
            planned.graph,
            planned.plan,
            part=common.part,
            clock=common.clock,
            vectors=common.vectors,
            out=common.out,
            report_files=common.report_files,
            made_for=common.made_for,
            backend=hls4ml[0],
            io_type=hls4ml[1],
        )
    return emit_hls(
        planned.graph,
        planned.plan,
        part=common.part,
        clock=common.clock,
        target=target,
        vectors=common.vectors,
        out=common.out,
        report_files=common.report_files,
        made_for=common.made_for,
    )


def _for_hls4ml(request: Request, target: Target) -> tuple[Backend, IoType]:
    """The back end and the joining of layers of an hls4ml project.

    Raises:
        SpecError: no such word, or another target was asked for.
    """
    asked = {"--backend": request.hls4ml_backend, "--io-type": request.io_type}
    for option, word in asked.items():
        if word is not None and target is not Target.HLS4ML:
            raise SpecError(f"belongs to --target hls4ml, not to {target.value}", where=option)
    if target is Target.HLS4ML and request.goal.least_fifos:
        raise SpecError(
            "--least-fifos goes by the pipelines of our own engines, not by those of hls4ml",
            where="options",
            hint="leave it out, or emit for vivado or vitis",
        )
    backend = Backend.parse(request.hls4ml_backend) if request.hls4ml_backend is not None else Backend.VITIS
    return backend, IoType.parse(request.io_type) if request.io_type is not None else IoType.STREAM


def design_folder(source: Source, target: Target) -> Path:
    """Where a design goes when nobody says: beside its source, named after source and target."""
    name = source.name
    for known in Target:
        name = name.removesuffix(f"-{known.value}") if source.kind is SourceKind.DESIGN else name
    return source.beside / f"{name}-{target.value}"


def _report(source: Source, planned: Planned, hardware: HardwareSummary, goal: GoalRequest) -> Report:
    """What the report of a new design says."""
    training = training_of(source)
    return Report(
        title=title_of(source, training),
        version=__version__,
        source_hash=source_hash(planned.graph, planned.plan),
        training=training,
        hardware=hardware,
        provenance=provenance(source, goal),
    )


def _does_not_fit(planned: Planned) -> DoesNotFitError:
    estimate = planned.estimate
    lacking = "; ".join(str(shortage) for shortage in estimate.shortages)
    return DoesNotFitError(
        f"the design does not fit {estimate.part.name}: it needs {lacking}",
        where="emit",
        hint=f"{estimate.advice}; --force writes the files anyway",
    )
