"""Cycles and resources of a source, without writing a design."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from psp_hw.backends.base import Target
from psp_hw.backends.folder import MANIFEST
from psp_hw.backends.made_for import MadeFor, read_made_for
from psp_hw.backends.plan_file import PLAN_NAME, load_plan
from psp_hw.cost.calibration import NOT_CALIBRATED, Calibration, load_calibration
from psp_hw.cost.estimate import Estimate, to_json
from psp_hw.cost.estimate import estimate as estimate_graph
from psp_hw.cost.optimality import Optimality
from psp_hw.cost.parts import Part
from psp_hw.cost.resources import Resource
from psp_hw.cost.trust import warning
from psp_hw.dse import search
from psp_hw.dse.explore import point_plan
from psp_hw.dse.fifos import least_fifos
from psp_hw.flow.defaults import DEFAULT_CLOCK_NS, DEFAULT_PART, DEFAULT_TARGET
from psp_hw.flow.device import NOTHING_MORE, DeviceRequest, board_of, choose_part
from psp_hw.flow.goal import GoalRequest, parse_folds
from psp_hw.flow.hardware import summarize
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.source import Source, SourceKind, number_at, read_graph, resolve, text_at
from psp_hw.folding.plan import FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.report.model import HardwareSummary
from psp_hw.units import Clock

# Clocks are written with six digits.
SAME_CLOCK = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A graph with the plan that was found for it, and what that costs."""

    graph: Graph
    plan: FoldPlan
    estimate: Estimate

    @property
    def optimality(self) -> str:
        """How near the plan comes to the best, in words; empty where nobody knows."""
        return "" if self.estimate.optimality is None else str(self.estimate.optimality)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateSummary:
    """What ``psp-hw estimate`` says.

    Args:
        notes: what is to be known of part and calibration.
    """

    planned: Planned
    hardware: HardwareSummary
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the part has enough of everything."""
        return self.planned.estimate.fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The part, the clock, and the constants of the site.

    Args:
        budget: what limits the part; nothing where its whole is meant.
        notes: what is to be known of part and calibration: a part that nobody knows, constants that are not given again.
    """

    part: Part
    clock: Clock
    calibration: Calibration = NOT_CALIBRATED
    budget: Mapping[Resource, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def searched(self) -> Part:
        """The part as the search sees it: calibration makes resources scarcer or ampler there."""
        return self.calibration.shrink(self.part) if self.calibration.factors else self.part

    @property
    def constants(self) -> str | None:
        """Digest of the constants of the site; None where there are none."""
        return self.calibration.digest


def settings_of(
    source: Source, part: str | None, clock_ns: float | None, device: DeviceRequest = NOTHING_MORE
) -> Settings:
    """What was asked; else, for a design, its own; else the defaults. A board brings its clock.

    A design's own part is what its budget left of it, unless part, board or budget are asked for.

    Raises:
        SpecError: no such part, board or clock; a bad budget.
        RunError: a design that does not say what it was made for.
    """
    part, usual = board_of(part, device)
    clock_ns = usual if clock_ns is None else clock_ns
    own = source.manifest if source.kind is SourceKind.DESIGN else {}
    name = part if part is not None else text_at(own, "part") or DEFAULT_PART
    period = clock_ns if clock_ns is not None else number_at(own, "clock_ns")
    period = DEFAULT_CLOCK_NS if period is None else period
    calibration = load_calibration(device.calibration) if device.calibration is not None else NOT_CALIBRATED
    made_for = made_for_of(source)
    known = made_for if made_for is not None and name == text_at(own, "part") else None
    chosen = choose_part(
        name,
        device,
        recorded=dict(known.available) if known is not None else None,
        kept=known.budget if known is not None and part is None else None,
    )
    found = Settings(
        part=chosen.part, clock=Clock(period_ns=period), calibration=calibration, budget=chosen.budget
    )
    return replace(found, notes=tuple(_notes(found, chosen.note, made_for)))


def _notes(found: Settings, of_part: str, made_for: MadeFor | None) -> Iterator[str]:
    if of_part:
        yield of_part
    if other := warning(found.calibration, found.part):
        yield other
    if made_for is not None and made_for.calibration is not None and made_for.calibration != found.constants:
        given = (
            "other constants are given"
            if found.constants
            else "without them estimates are those of the price list"
        )
        yield (
            f"the design was searched with constants of its site (digest {made_for.calibration}): {given}; "
            "--calibration FILE names them"
        )


def made_for_of(source: Source) -> MadeFor | None:
    """What a design remembers of its making; None for anything else, and where it remembers nothing.

    Raises:
        RunError: it does not read.
    """
    if source.kind is not SourceKind.DESIGN:
        return None
    return read_made_for(source.manifest, str(source.path / MANIFEST))


def _own_optimality(source: Source, settings: Settings, target: Target) -> Optimality | None:
    """What the search for a design found; None for any part, clock, budget, constants or abilities of a back end but its own."""
    own = made_for_of(source)
    clock_ns = number_at(source.manifest, "clock_ns")
    if own is None or clock_ns is None or not _as_able(target, target_of(source), settings.part):
        return None
    same = (
        settings.part.name == text_at(source.manifest, "part")
        and settings.part.resources == own.available
        and math.isclose(settings.clock.period_ns, clock_ns, rel_tol=SAME_CLOCK)
        and settings.constants == own.calibration
    )
    return own.optimality if same else None


def _of_budget(found: Optimality | None, settings: Settings) -> Optimality | None:
    """The same with its limits called by their name: a search knows a part alone."""
    if found is None or not settings.budget:
        return found
    return replace(found, within=found.within.replace("the part", "the budget"))


def target_of(source: Source, asked: str | None = None) -> Target:
    """The tool that a design is written for: the one that was asked for, that of a design, else the default of ``emit``."""
    own = text_at(source.manifest, "target") if source.kind is SourceKind.DESIGN else None
    return Target.parse(asked if asked is not None else own or DEFAULT_TARGET)


def _as_able(one: Target, other: Target, part: Part) -> bool:
    """Whether a search on a part finds the same for two targets."""
    ultra_ram = part.resources.uram > 0
    return one.bindable.on_part(ultra_ram=ultra_ram) == other.bindable.on_part(ultra_ram=ultra_ram)


def plan_for(
    source: Source,
    settings: Settings,
    goal: GoalRequest,
    progress: Progress,
    *,
    target: Target | None = None,
) -> Planned:
    """Find a plan for the goal and estimate it; a design keeps its own plan where nothing else is asked.

    Args:
        target: the tool that is written for; None: ``target_of`` the source.
    """
    progress.step("reading the network", 0, None)
    graph = read_graph(source)
    target = target or target_of(source)
    own = source.path / PLAN_NAME
    optimality, remedy = None, ""
    if source.kind is SourceKind.DESIGN and not goal.asked and own.is_file():
        plan, optimality = load_plan(own), _own_optimality(source, settings, target)
    elif goal.point is not None:
        progress.step("searching the front", 0, None)
        plan = point_plan(graph, settings.searched, settings.clock, goal.point, bindable=target.bindable)
    else:
        progress.step("searching folds", 0, None)
        folds = parse_folds(goal.fold)
        searched = search.search(
            graph,
            settings.searched,
            settings.clock,
            goal.goal,
            folds=folds,
            bindable=target.bindable,
        )
        plan, optimality, remedy = searched.plan, _of_budget(searched.optimality, settings), searched.remedy
    if goal.least_fifos:
        progress.step("making FIFOs shallower", 0, None)
        plan = least_fifos(graph, plan, settings.part, settings.clock)
    found = estimate_graph(graph, plan, settings.part, settings.clock, calibration=settings.calibration)
    return Planned(
        graph=graph,
        plan=plan,
        estimate=replace(found, optimality=optimality if found.proven else None, remedy=remedy),
    )


def estimate(
    path: Path | None,
    *,
    part: str | None,
    clock_ns: float | None,
    goal: GoalRequest,
    exact: bool = False,
    device: DeviceRequest = NOTHING_MORE,
    target: str | None = None,
    progress: Progress | None = None,
) -> EstimateSummary:
    """Estimate a source on a part.

    Args:
        target: whose design; None: that of a design, else the default of ``emit``.

    Raises:
        PspHwError: a bad part, clock, fold or source; a frame rate that the part does not reach.
    """
    source = resolve(path, exact=exact)
    settings = settings_of(source, part, clock_ns, device)
    planned = plan_for(source, settings, goal, progress or Silent(), target=target_of(source, target))
    hardware = summarize(
        planned.graph, planned.plan, planned.estimate, target="", optimality=planned.optimality
    )
    return EstimateSummary(planned=planned, hardware=hardware, notes=settings.notes)


def document(result: EstimateSummary) -> dict[str, object]:
    """The JSON of ``estimate --json``."""
    return dict(to_json(result.planned.estimate))
