"""Cycles and resources of a source, without writing a design."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from psp_hw.backends.plan_file import PLAN_NAME, load_plan
from psp_hw.cost.calibration import NOT_CALIBRATED, Calibration, load_calibration
from psp_hw.cost.estimate import Estimate, to_json
from psp_hw.cost.estimate import estimate as estimate_graph
from psp_hw.cost.parts import Part
from psp_hw.cost.resources import Resource
from psp_hw.dse import search
from psp_hw.dse.explore import point_plan
from psp_hw.dse.fifos import least_fifos
from psp_hw.flow.defaults import DEFAULT_CLOCK_NS, DEFAULT_PART
from psp_hw.flow.device import NOTHING_MORE, DeviceRequest, board_of, choose_part
from psp_hw.flow.goal import GoalRequest, parse_folds
from psp_hw.flow.hardware import summarize
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.source import Source, SourceKind, number_at, read_graph, read_json, resolve, text_at
from psp_hw.folding.plan import FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.report.model import HardwareSummary
from psp_hw.units import Clock

REPORT_NAME = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A graph with the plan that was found for it, and what that costs.

    Args:
        optimality: how near the plan comes to the best, in words; of a design, what its own search found.
    """

    graph: Graph
    plan: FoldPlan
    estimate: Estimate
    optimality: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateSummary:
    """What ``psp-hw estimate`` says."""

    planned: Planned
    hardware: HardwareSummary

    @property
    def fits(self) -> bool:
        """Whether the part has enough of everything."""
        return self.planned.estimate.fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The part, the clock, and the constants of the site."""

    part: Part
    clock: Clock
    calibration: Calibration = NOT_CALIBRATED

    @property
    def searched(self) -> Part:
        """The part as the search sees it: calibration makes resources scarcer or ampler there."""
        return self.calibration.shrink(self.part) if self.calibration.factors else self.part


def settings_of(
    source: Source, part: str | None, clock_ns: float | None, device: DeviceRequest = NOTHING_MORE
) -> Settings:
    """What was asked; else, for a design, its own; else the defaults. A board brings its clock.

    Raises:
        SpecError: no such part, board or clock; a bad budget.
    """
    part, usual = board_of(part, device)
    clock_ns = usual if clock_ns is None else clock_ns
    own = source.manifest if source.kind is SourceKind.DESIGN else {}
    name = part if part is not None else text_at(own, "part") or DEFAULT_PART
    period = clock_ns if clock_ns is not None else number_at(own, "clock_ns")
    period = DEFAULT_CLOCK_NS if period is None else period
    calibration = load_calibration(device.calibration) if device.calibration is not None else NOT_CALIBRATED
    recorded = _recorded(source, name) if own else None
    return Settings(
        part=choose_part(name, device, recorded=recorded),
        clock=Clock(period_ns=period),
        calibration=calibration,
    )


def _recorded(source: Source, part: str) -> dict[Resource, int]:
    """What the report of a design says its part has; nothing where it has no report, or one of another part."""
    file = source.path / REPORT_NAME
    if not file.is_file():
        return {}
    report = read_json(file)
    if text_at(report, "hardware", "part") != part:
        return {}
    amounts = ((one, number_at(report, "hardware", "available", one.value)) for one in Resource)
    return {one: int(amount) for one, amount in amounts if amount is not None and amount >= 0}


def _recorded_optimality(source: Source, settings: Settings) -> str:
    """What the report of a design says of its folds; nothing for another part or clock, for which they were not chosen."""
    file = source.path / REPORT_NAME
    report = read_json(file) if file.is_file() else {}
    part, clock_ns = text_at(report, "hardware", "part"), number_at(report, "hardware", "clock_ns")
    same = part == settings.part.name and clock_ns == settings.clock.period_ns
    return (text_at(report, "hardware", "optimality") or "") if same else ""


def plan_for(
    source: Source, settings: Settings, goal: GoalRequest, progress: Progress, *, maps: bool = True
) -> Planned:
    """Find a plan for the goal and estimate it; a design keeps its own plan where nothing else is asked.

    Args:
        maps: whether the back end can fold affine maps and thresholds.
    """
    progress.step("reading the network", 0, None)
    graph = read_graph(source)
    own = source.path / PLAN_NAME
    searched: search.Found | None = None
    if source.kind is SourceKind.DESIGN and not goal.asked and own.is_file():
        plan = load_plan(own)
    elif goal.point is not None:
        progress.step("searching the front", 0, None)
        plan = point_plan(graph, settings.searched, settings.clock, goal.point, maps=maps)
    else:
        progress.step("searching folds", 0, None)
        folds = parse_folds(goal.fold)
        searched = search.search(graph, settings.searched, settings.clock, goal.goal, folds=folds, maps=maps)
        plan = searched.plan
    if goal.least_fifos:
        progress.step("making FIFOs shallower", 0, None)
        plan = least_fifos(graph, plan, settings.part, settings.clock)
    found = estimate_graph(graph, plan, settings.part, settings.clock, calibration=settings.calibration)
    if searched is not None:
        found = replace(found, optimality=searched.optimality, remedy=searched.remedy)
    known = "" if found.optimality is None else str(found.optimality)
    if searched is None and source.kind is SourceKind.DESIGN and not goal.asked:
        known = _recorded_optimality(source, settings)
    return Planned(graph=graph, plan=plan, estimate=found, optimality=known)


def estimate(
    path: Path | None,
    *,
    part: str | None,
    clock_ns: float | None,
    goal: GoalRequest,
    exact: bool = False,
    device: DeviceRequest = NOTHING_MORE,
    progress: Progress | None = None,
) -> EstimateSummary:
    """Estimate a source on a part.

    Raises:
        PspHwError: a bad part, clock, fold or source; a frame rate that the part does not reach.
    """
    source = resolve(path, exact=exact)
    planned = plan_for(source, settings_of(source, part, clock_ns, device), goal, progress or Silent())
    hardware = summarize(
        planned.graph, planned.plan, planned.estimate, target="", optimality=planned.optimality
    )
    return EstimateSummary(planned=planned, hardware=hardware)


def document(result: EstimateSummary) -> dict[str, object]:
    """The JSON of ``estimate --json``."""
    return dict(to_json(result.planned.estimate))
