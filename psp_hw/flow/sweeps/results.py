"""How a sweep stands: its fronts as a table, a picture and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psp_hw.data.registry import data_info
from psp_hw.flow.files import write_files
from psp_hw.flow.sweeps.front import BEST, Fronts, Trained, fronts, picture, table
from psp_hw.flow.sweeps.plan import Plan, record
from psp_hw.flow.sweeps.trials import Entry, State


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """How a sweep stands.

    Args:
        plan: what was asked.
        fronts: of the trials that are done.
        failed: trials that could not be trained, each with the reason.
        files: what was written.
    """

    plan: Plan
    fronts: Fronts
    failed: tuple[Entry, ...]
    files: tuple[Path, ...]


def write(plan: Plan, entries: Sequence[Entry]) -> SweepResult:
    """Write the fronts of what is done so far."""
    trained = [_trained(plan, entry) for entry in entries if entry.state is State.DONE]
    failed = tuple(entry for entry in entries if entry.state is State.FAILED)
    result = SweepResult(plan=plan, fronts=fronts(trained, plan.costs), failed=failed, files=())
    files: dict[str, str | bytes] = {
        "front.json": json.dumps(document(result), indent=1) + "\n",
        "front.md": page(result),
    }
    if trained:
        files["front.png"] = picture(result.fronts, title=f"{plan.name} on {plan.part}")
    return replace(result, files=tuple(write_files(plan.folder, files)))


def _trained(plan: Plan, entry: Entry) -> Trained:
    accuracy, *costs = entry.objectives
    return Trained(
        number=entry.number,
        values=entry.values,
        accuracy=accuracy,
        costs=dict(zip(plan.costs, costs, strict=True)),
        run=entry.run,
    )


def trust(plan: Plan) -> str:
    """How far an accuracy can be trusted that was the best of many."""
    images = data_info(plan.spec.data.name).test
    return (
        f"Accuracy is that of the quantized network on the {images:,} test images, of one training each: one standard error is "
        f"{100 * math.sqrt(0.9 * 0.1 / images):.1f} points at 90 %, and the best of many is optimistic by one or two of them."
    )


def page(result: SweepResult) -> str:
    """The sweep as Markdown."""
    plan, found = result.plan, result.fronts
    lines = [f"# Sweep of {plan.spec.net.name} on {plan.spec.data.name}", ""]
    lines += [
        f"{len(found.trained)} of {plan.trials} trials are done, {len(result.failed)} failed. Cycles are estimated for {plan.part} "
        f"at {plan.clock_ns:g} ns{', with the constants of your tools' if plan.calibration else ''}. `psp-hw emit {plan.runs}/NNNN` builds a trial.",
        "",
        trust(plan),
        "",
        f"## Accuracy against {', '.join(cost.value for cost in plan.costs)}: what no other trial beats in everything",
        "",
        *table(found, found.best, plan.axes),
        "",
        "## Every trial",
        "",
        *table(found, range(len(found.trained)), plan.axes),
        "",
    ]
    if result.failed:
        lines += ["## Failed", ""]
        lines += [f"- {entry.run}: {dict(entry.values)}: {entry.error}" for entry in result.failed]
    return "\n".join(lines).rstrip() + "\n"


def document(result: SweepResult) -> dict[str, object]:
    """The JSON of ``sweep --json``, and front.json."""
    plan, found = result.plan, result.fronts
    numbers = [one.number for one in found.trained]
    return {
        **record(plan),
        "name": plan.name,
        "storage": plan.storage,
        "trials_asked": plan.trials,
        "trials": [
            {
                "trial": one.number,
                "values": dict(one.values),
                "accuracy": one.accuracy,
                **{cost.value: _plain(one.costs[cost]) for cost in plan.costs},
                "run": str(plan.runs / one.run),
            }
            for one in found.trained
        ],
        "fronts": {
            **{cost.value: [numbers[i] for i in found.of[cost]] for cost in plan.costs},
            BEST: [numbers[i] for i in found.best],
        },
        "failed": [
            {"trial": entry.number, "values": dict(entry.values), "error": entry.error}
            for entry in result.failed
        ],
    }


def _plain(amount: float) -> int | None:
    """A cost for JSON; None where the network does not fit."""
    return round(amount) if math.isfinite(amount) else None


def files_of(result: SweepResult) -> Mapping[str, str]:
    """What was written, by name."""
    return {path.name: str(path) for path in result.files}
