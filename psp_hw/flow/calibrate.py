"""From the reports of a site's tools to its constants: estimate beside synthesis, module by module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psp_hw.backends.names import identifiers
from psp_hw.backends.plan_file import PLAN_NAME, load_plan
from psp_hw.cost.calibration import Calibration, Sample, calibrate, print_calibration
from psp_hw.cost.estimate import Estimate
from psp_hw.cost.estimate import estimate as estimate_graph
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resources
from psp_hw.errors import DataError
from psp_hw.flow.estimate import settings_of
from psp_hw.flow.files import write_files
from psp_hw.flow.source import Source, SourceKind, read_graph, resolve, text_at
from psp_hw.tools.synthesis import SynthesisReport, read_reports

DEFAULT_OUT = Path("calibration.json")
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
        ignored: reports of modules that are no engine of ours, as the tools' own loops.
        file: where the calibration was written.
    """

    calibration: Calibration
    samples: tuple[Sample, ...]
    ignored: tuple[Path, ...]
    file: Path


def calibrate_site(paths: Sequence[Path], *, out: Path | None = None) -> CalibrationSummary:
    """Fit the constants of a site to reports of our own designs.

    Args:
        paths: designs that were synthesized, or single reports inside such designs.
        out: the file to write; None: calibration.json here.

    Raises:
        PspHwError: a path that belongs to no design; a report that is damaged; nothing to learn from.
    """
    samples: list[Sample] = []
    ignored: list[Path] = []
    tools: list[str] = []
    for path in paths:
        design, reports = _reports_of(path)
        found = _samples(reports, _expected(design))
        used = {report.path for report, _ in found}
        ignored += [file for file in dict.fromkeys(report.path for report in reports) if file not in used]
        tools += [report.tool for report, _ in found]
        samples += [sample for _, sample in found]
    if not samples:
        named = f" (of {len(ignored)} reports none is of a module of the design)" if ignored else ""
        raise DataError(
            f"no report of an engine or of the whole design was found{named}", where=str(paths[0])
        )
    calibration = calibrate(samples, tools)
    file = out or DEFAULT_OUT
    write_files(file.parent, {file.name: print_calibration(calibration)})
    return CalibrationSummary(
        calibration=calibration, samples=tuple(samples), ignored=tuple(ignored), file=file
    )


def synthesis_of(design: Source) -> tuple[Sample, ...]:
    """Estimate and report of every module of a design of which the tools left a report inside it; damaged ones are passed over."""
    reports: list[SynthesisReport] = []
    for file in _report_files(design.path):
        try:
            reports += read_reports(file)
        except DataError:
            continue
    return tuple(sample for _, sample in _samples(reports, _expected(design))) if reports else ()


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
            )
            found[key] = (report, sample)
    return list(found.values())


def _reports_of(path: Path) -> tuple[Source, list[SynthesisReport]]:
    """The design that a path is or lies in, and the reports that are meant, XML first."""
    if path.is_dir():
        design = resolve(path)
        if design.kind is not SourceKind.DESIGN:
            raise DataError(
                "is no design", where=str(path), hint="give a design folder, or a report inside one"
            )
        files = _report_files(path)
        if not files:
            raise DataError(
                "holds no synthesis report",
                where=str(path),
                hint="run its Tcl script with the vendor tool first",
            )
    else:
        files = [path]
        read_reports(path)  # what is no report is said before where it lies
        design = _design_around(path)
    return design, [report for file in files for report in read_reports(file)]


def _design_around(path: Path) -> Source:
    for folder in path.resolve().parents:
        if (folder / "design.json").is_file():
            return resolve(folder)
    raise DataError("lies in no design", where=str(path), hint="give the report where the tool wrote it")


def _expected(design: Source) -> _Expected:
    """What was estimated for every module of a design: its engines without their FIFOs, and the whole."""
    settings = settings_of(design, None, None)
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
    dsp, lut, ff, bram18, uram = (
        amount - sum(part.of(resource) for part in parts) for resource, amount in whole
    )
    return Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram)


def _folded(module: str) -> str:
    """A module's name as tools vary it: letters of any case, underscores, the ``_s`` of an instance."""
    return module.lower().removesuffix("_s").replace("_", "")


def document(found: CalibrationSummary) -> dict[str, object]:
    """The JSON of ``calibrate --json``."""
    return {
        "file": str(found.file),
        "tools": list(found.calibration.tools),
        "factors": [
            {
                "stage": stage.value,
                "resource": resource.value,
                "factor": factor.value,
                "samples": factor.samples,
                "error": factor.error,
            }
            for (stage, resource), factor in found.calibration.factors.items()
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
    }
