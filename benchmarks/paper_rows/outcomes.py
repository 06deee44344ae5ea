"""What became of a row, read from what its process left."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from benchmarks.paper_rows.rows import Figures, Row
from psp_hw.errors import PspHwError
from psp_hw.spec.load import load_spec
from psp_hw.training.checkpoints import check_checkpoint

LAST = "checkpoints/train-last.ckpt"
INTERRUPTED = 130  # exit code


class State(Enum):
    """How far a row came."""

    DONE = "done"
    CUT = "cut"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a row.

    Args:
        state: how far it came.
        ours: measured, where it is done.
        density: kept weights per weight of the layers that may be pruned.
        seconds: spent in steps, over all starts [s].
        told: epochs done, or why it failed.
    """

    state: State
    ours: Figures = field(default_factory=Figures)
    density: float | None = None
    seconds: float | None = None
    told: str = ""


def outcome_of(row: Row, runs: Path) -> Outcome:
    """What a row came to, read from what its process left."""
    told = _json(runs / f"{row.name}.json")
    if "accuracy" in told:
        return Outcome(
            state=State.DONE,
            ours=Figures(
                error=100.0 * (1.0 - float(told["accuracy"])),
                params=float(told["params"]) / 1e6,
                macs=float(told["macs"]) / 1e9,
            ),
            density=float(told["density"]),
            seconds=told["seconds"].get("train"),
        )
    if told and told["exit_code"] != INTERRUPTED:
        return Outcome(state=State.FAILED, told=told["error"])
    if not (runs / row.name).is_dir():
        return Outcome(state=State.NOT_RUN)
    return Outcome(state=State.CUT, told=_how_far(row, runs))


def _json(path: Path) -> dict:
    """The document of a process; empty where it was killed before it said anything."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _how_far(row: Row, runs: Path) -> str:
    """Epochs that are done, of those that were asked for."""
    try:
        found = check_checkpoint(runs / row.name / LAST)
        wanted = load_spec(runs / f"{row.name}.yaml").training.epochs
    except PspHwError:
        return "before the first checkpoint"
    return f"epoch {int(found['epoch']) + 1} of {wanted}, step {int(found['global_step']):,}"
