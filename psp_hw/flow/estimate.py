"""Cycles and resources of a source, without writing a design."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psp_hw.cost.estimate import Estimate, to_json
from psp_hw.cost.estimate import estimate as estimate_graph
from psp_hw.cost.parts import find_part
from psp_hw.dse import search
from psp_hw.flow.goal import GoalRequest, parse_folds
from psp_hw.flow.hardware import summarize
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.source import read_graph, resolve
from psp_hw.folding.plan import FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.report.model import HardwareSummary
from psp_hw.units import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A graph with the plan that was found for it, and what that costs."""

    graph: Graph
    plan: FoldPlan
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateSummary:
    """What ``psp-hw estimate`` says."""

    planned: Planned
    hardware: HardwareSummary

    @property
    def fits(self) -> bool:
        """Whether the part has enough of everything."""
        return self.planned.estimate.fits


def estimate(
    source: Path | None, *, part: str, clock_ns: float, goal: GoalRequest, progress: Progress | None = None
) -> EstimateSummary:
    """Estimate a source on a part.

    Raises:
        PspHwError: a bad part, clock, fold or source; a frame rate that the part does not reach.
    """
    progress = progress or Silent()
    found, clock = find_part(part), Clock(period_ns=clock_ns)
    progress.step("reading the network", 0, None)
    graph = read_graph(resolve(source))
    progress.step("searching folds", 0, None)
    plan = search.plan(graph, found, clock, goal.goal, folds=parse_folds(goal.fold))
    planned = Planned(graph=graph, plan=plan, estimate=estimate_graph(graph, plan, found, clock))
    return EstimateSummary(planned=planned, hardware=summarize(graph, plan, planned.estimate, target=""))


def document(result: EstimateSummary) -> dict[str, object]:
    """The JSON of ``estimate --json``."""
    return dict(to_json(result.planned.estimate))
