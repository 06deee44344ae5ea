"""From the reports of a site's tools to its constants: estimate beside synthesis, module by module."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psp_hw.backends.names import identifiers
from psp_hw.backends.plan_file import PLAN_NAME, load_plan
from psp_hw.cost.calibration import (
    LEAST_MODULES,
    NOT_CALIBRATED,
    Calibration,
    Factor,
    entries,
    print_calibration,
)
from psp_hw.cost.estimate import Estimate
from psp_hw.cost.estimate import estimate as estimate_graph
from psp_hw.cost.fit_factors import LEAST_AMOUNT, LeftOut, Sample, calibrate
from psp_hw.cost.parts import Part, find_part
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import DataError, SpecError
from psp_hw.flow.estimate import Settings, settings_of
from psp_hw.flow.files import write_files
from psp_hw.flow.source import Source, SourceKind, read_graph, resolve, text_at
from psp_hw.tools.synthesis import SynthesisReport, read_reports
from psp_hw.units import Clock

DEFAULT_OUT = Path("calibration.json")
SAME_CLOCK = 0.006  # reports write clocks with two digits: share, and [ns]
PATTERNS = (
    "**/*csynth.xml",
    "**/*csynth.rpt",
    "**/export_syn.xml",
    "**/export_impl.xml",
    "**/*_export.xml",
    "**/*utilization*.rpt",
    "**/*utilization*.xml",
    "**/vivado_synth.rpt",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSummary:
    """What ``psp-hw calibrate`` found.

    Args:
        samples: estimate and report of every module that was recognized.
        left_out: resources of which nothing could be learnt.
        ignored: reports of modules that are no engine of ours, as the tools' own loops.
        refused: reports of another device or clock than the design's, each with what is wrong.
        notes: what is odd about the others, in sentences.
        file: where the calibration was written.
    """

    calibration: Calibration
    samples: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...]
    ignored: tuple[Path, ...]
    refused: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The reports of a design: those that count, with their samples; those of nothing of ours; those made otherwise."""

    part: Part
    used: tuple[tuple[SynthesisReport, Sample], ...]
    ignored: tuple[Path, ...]
    refused: tuple[tuple[Path, str], ...]


def calibrate_site(paths: Sequence[Path], *, out: Path | None = None) -> CalibrationSummary:
    """Fit the constants of a site to reports of our own designs.

    Args:
        paths: designs that were synthesized, or single reports inside such designs; what is named twice counts once.
        out: the file to write; None: calibration.json here.

    Raises:
        PspHwError: a path that belongs to no design; a report that is damaged; designs of several fabrics; nothing to learn from.
    """
    designs = [_read(design, files) for design, files in _designs(paths)]
    used = [pair for one in designs for pair in one.used]
    refused = tuple(pair for one in designs for pair in one.refused)
    ignored = tuple(path for one in designs for path in one.ignored)
    if not used:
        raise _nothing(paths[0], ignored, refused)
    fabrics = {one.part.fabric: one.part for one in designs if one.used}
    if len(fabrics) > 1:
        named = " and ".join(f"{part.name} ({fabric.value})" for fabric, part in fabrics.items())
        raise DataError(
            f"the designs are for {named}, which have other LUTs, DSPs or memories",
            where="calibrate",
            hint="calibrate each kind of device on its own, with another --out",
        )
    samples = tuple(sample for _, sample in used)
    fit = calibrate(samples, [report.tool for report, _ in used], next(iter(fabrics)))
    file = out or DEFAULT_OUT
    write_files(file.parent, {file.name: print_calibration(fit.calibration)})
    return CalibrationSummary(
        calibration=fit.calibration,
        samples=samples,
        left_out=fit.left_out,
        ignored=ignored,
        refused=refused,
        notes=tuple(_notes(designs)),
        file=file,
    )


def synthesis_of(design: Source, calibration: Calibration = NOT_CALIBRATED) -> tuple[Sample, ...]:
    """Estimate and report of every module of a design of which the tools left a report inside it.

    Reports that are damaged, or of another device or clock, are passed over.

    Args:
        calibration: of the site, by which the estimates are scaled.
    """
    files = _report_files(design.path)
    if not files:
        return ()
    return tuple(
        replace(sample, estimated=calibration.apply(sample.estimated, sample.stage))
        for _, sample in _read(design, files, damaged=True).used
    )


def _nothing(path: Path, ignored: Sequence[Path], refused: Sequence[tuple[Path, str]]) -> DataError:
    """Why there is nothing to calibrate with."""
    if refused:
        file, why = refused[0]
        more = f", and {len(refused) - 1} more such reports" if refused[1:] else ""
        return DataError(
            f"{why}{more}",
            where=str(file),
            hint="give reports of the design as it was emitted, or emit it so",
        )
    named = f" (of {len(ignored)} reports none is of a module of the design)" if ignored else ""
    return DataError(f"no report of an engine or of the whole design was found{named}", where=str(path))


def _notes(designs: Sequence[_Found]) -> Iterator[str]:
    """What is odd about reports that count: another device of the same fabric, several tools."""
    for one in designs:
        others = dict.fromkeys(
            report.part
            for report, _ in one.used
            if report.part and not _is_device(report.part, one.part.device)
        )
        for part in others:
            yield f"reports are of {part}, the design is for {one.part.name}: they count, both are {one.part.fabric.value}"
    for stage in Stage:
        tools = {
            report.tool for one in designs for report, _ in one.used if report.stage is stage and report.tool
        }
        if len(tools) > 1:
            yield f"reports of {stage.value} are of {' and '.join(sorted(tools))}: a calibration of each says more"


def _read(design: Source, files: Sequence[Path], *, damaged: bool = False) -> _Found:
    """The reports of a design, each module once.

    Args:
        damaged: whether damaged ones are passed over.
    """
    settings = settings_of(design, None, None)
    reports: list[SynthesisReport] = []
    for file in files:
        try:
            reports += read_reports(file)
        except DataError:
            if not damaged:
                raise
    refused = {
        report.path: why
        for report in reports
        if (why := _made_otherwise(report, settings.part, settings.clock))
    }
    used = _samples([one for one in reports if one.path not in refused], _expected(design, settings))
    known = {report.path for report, _ in used} | set(refused)
    ignored = dict.fromkeys(report.path for report in reports if report.path not in known)
    return _Found(
        part=settings.part, used=tuple(used), ignored=tuple(ignored), refused=tuple(refused.items())
    )


def _made_otherwise(report: SynthesisReport, part: Part, clock: Clock) -> str:
    """What a report says that was not asked of the design; empty where nothing, or nothing is said."""
    if report.clock_ns is not None and not math.isclose(
        report.clock_ns, clock.period_ns, rel_tol=SAME_CLOCK, abs_tol=SAME_CLOCK
    ):
        return f"is a report at {report.clock_ns:g} ns, the design is for {clock.period_ns:g} ns"
    if not report.part or _is_device(report.part, part.device):
        return ""
    try:
        other = find_part(report.part)
    except SpecError:
        return f"is a report of {report.part}, the design is for {part.name}"
    if other.fabric is part.fabric:
        return ""
    return f"is a report of {report.part} ({other.fabric.value}), the design is for {part.name} ({part.fabric.value})"


def _is_device(name: str, device: str) -> bool:
    """Whether a part string, as tools vary it, is of a device."""
    return _plain(name).startswith(_plain(device))


def _plain(name: str) -> str:
    return name.lower().replace("-", "").removeprefix("xc")


def _report_files(folder: Path) -> list[Path]:
    return [file for pattern in PATTERNS for file in sorted(folder.glob(pattern))]


@dataclass(frozen=True, slots=True)
class _Expected:
    """What was estimated for the modules of a design, by stage and name; the whole is the module without a name.

    Args:
        top: the name of the whole.
    """

    top: str
    amounts: Mapping[tuple[Stage, str], Resources]

    def key(self, report: SynthesisReport) -> tuple[Stage, str] | None:
        """Which module a report is of; tools put the name of the whole, and of what is around it, before the name of a module."""
        name = _folded(report.module)
        if self.top in name and (report.stage, name) not in self.amounts:
            name = name[name.rindex(self.top) + len(self.top) :]
        return (report.stage, name) if (report.stage, name) in self.amounts else None


def _samples(reports: Iterable[SynthesisReport], expected: _Expected) -> list[tuple[SynthesisReport, Sample]]:
    """Estimate beside report, one per module and stage: the first."""
    found: dict[tuple[Stage, str], tuple[SynthesisReport, Sample]] = {}
    for report in reports:
        key = expected.key(report)
        if key is not None and key not in found:
            sample = Sample(
                stage=report.stage,
                module=report.module or expected.top,
                estimated=expected.amounts[key],
                reported=report.resources,
                whole=not key[1],
            )
            found[key] = (report, sample)
    return list(found.values())


def _designs(paths: Sequence[Path]) -> list[tuple[Source, list[Path]]]:
    """Every design that a path is or lies in, once, with the reports that are meant, each once, XML first."""
    designs: dict[Path, Source] = {}
    meant: dict[Path, dict[Path, Path]] = {}
    for path in paths:
        design, files = _reports_of(path)
        key = design.path.resolve()
        designs.setdefault(key, design)
        known = meant.setdefault(key, {})
        for file in files:
            known.setdefault(file.resolve(), file)
    return [(design, list(meant[key].values())) for key, design in designs.items()]


def _reports_of(path: Path) -> tuple[Source, list[Path]]:
    """The design that a path is or lies in, and its reports or that one."""
    if not path.is_dir():
        read_reports(path)  # what is no report is said before where it lies
        return _design_around(path), [path]
    design = resolve(path)
    if design.kind is not SourceKind.DESIGN:
        raise DataError("is no design", where=str(path), hint="give a design folder, or a report inside one")
    files = _report_files(path)
    if not files:
        raise DataError(
            "holds no synthesis report", where=str(path), hint="run its Tcl script with the vendor tool first"
        )
    return design, files


def _design_around(path: Path) -> Source:
    for folder in path.resolve().parents:
        if (folder / "design.json").is_file():
            return resolve(folder)
    raise DataError("lies in no design", where=str(path), hint="give the report where the tool wrote it")


def _expected(design: Source, settings: Settings) -> _Expected:
    """What was estimated for every module of a design: its engines without their FIFOs, and the whole."""
    graph = read_graph(design)
    found = estimate_graph(
        graph, load_plan(design.path / PLAN_NAME), settings.part, settings.clock, simulated=False
    )
    top = text_at(design.manifest, "top") or graph.name
    whole = {(Stage.C_SYNTHESIS, ""): found.c_synthesis, (Stage.RTL_SYNTHESIS, ""): found.resources}
    return _Expected(_folded(top), dict(_engines(found, top)) | whole)


def _engines(found: Estimate, top: str) -> Iterator[tuple[tuple[Stage, str], Resources]]:
    functions = identifiers([layer.name for layer in found.layers], taken=[top])
    for layer in found.layers:
        fifos = [fifo for fifo in found.fifos if fifo.target == layer.name]
        name = _folded(functions[layer.name])
        yield (Stage.C_SYNTHESIS, name), _without(layer.c_synthesis, [fifo.c_synthesis for fifo in fifos])
        yield (Stage.RTL_SYNTHESIS, name), _without(layer.resources, [fifo.resources for fifo in fifos])


def _without(whole: Resources, parts: Sequence[Resources]) -> Resources:
    return Resources.from_amounts(
        amount - sum(part.of(resource) for part in parts) for resource, amount in whole
    )


def _folded(module: str) -> str:
    """A module's name as tools vary it: letters of any case, underscores, the ``_s`` of an instance."""
    return module.lower().removesuffix("_s").replace("_", "")


def document(found: CalibrationSummary) -> dict[str, object]:
    """The JSON of ``calibrate --json``."""
    return {
        "file": str(found.file),
        "tools": list(found.calibration.tools),
        "fabric": found.calibration.fabric.value if found.calibration.fabric is not None else None,
        "factors": entries(found.calibration),
        "left_out": [
            {"stage": one.stage.value, "resource": one.resource.value, "why": one.why}
            for one in found.left_out
        ],
        "modules": [
            {
                "stage": sample.stage.value,
                "module": sample.module,
                "estimated": {resource.value: amount for resource, amount in sample.estimated},
                "reported": {resource.value: amount for resource, amount in sample.reported},
            }
            for sample in found.samples
        ],
        "ignored": [str(path) for path in found.ignored],
        "refused": {str(path): why for path, why in found.refused},
        "notes": list(found.notes),
    }


def lines(found: CalibrationSummary) -> list[str]:
    """What was learnt, and what was not, in words."""
    lines = [_learnt(*entry, found.samples) for entry in found.calibration.factors.items()]
    lines += [str(one) for one in found.left_out]
    lines += [f"{path} {why}: it is left out" for path, why in found.refused]
    lines += [f"of no engine: {path}" for path in found.ignored]
    return lines + list(found.notes)


def _learnt(key: tuple[Stage, Resource], factor: Factor, samples: Sequence[Sample]) -> str:
    stage, resource = key
    whole = not any(
        sample.stage is stage and not sample.whole and sample.estimated.of(resource) >= LEAST_AMOUNT
        for sample in samples
    )
    noun = "whole design" if whole else "module"
    counted = f"{factor.samples} {noun}{'s' if factor.samples > 1 else ''}"
    said = f"{resource.value} in {stage.value}: times {factor.value:g} ({counted}"
    if factor.error is None:
        return f"{said}; how far off that is one alone cannot say)"
    said += f"; median error under the factor of the others {factor.error:.0%}"
    if factor.known:
        return f"{said}, nine tenths within {factor.worst:.4g} times)"
    return f"{said}; {LEAST_MODULES} would say how far off the largest are)"
