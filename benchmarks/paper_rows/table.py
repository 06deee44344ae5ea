"""The report: our figures, those of the paper beside them, and where they come from."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import asdict

import torch

from benchmarks.paper_rows.gpus import gpus_of, on_gpu
from benchmarks.paper_rows.outcomes import State, outcome_of
from benchmarks.paper_rows.rows import ROOT, UNKNOWN, Row, spec_of
from psp_hw.spec.train import TrainSpec


def document(rows: Sequence[Row], given: argparse.Namespace) -> dict:
    """Everything that the table says, and where it comes from."""
    outcomes = {row.name: outcome_of(row, given.runs) for row in rows}
    plain = {name: asdict(one) | {"state": one.state.value} for name, one in outcomes.items()}
    return {
        "command": shlex.join(["python", "-m", "benchmarks.paper_rows", *given.words]),
        "commit": _commit(),
        "seed": given.seed,
        "hardware": _hardware(given),
        "torch": torch.__version__,
        "specs": {row.name: _schedule(spec_of(row, given)) for row in rows},
        "rows": [asdict(row) | plain[row.name] for row in rows],
    }


def _schedule(spec: TrainSpec) -> str:
    """A schedule and an engine in words."""
    schedule, engine = spec.training, spec.engine
    steps = "" if schedule.max_steps is None else f", at most {schedule.max_steps} steps"
    how = f"rate {schedule.rate:g}{steps}, {engine.precision.value}{', compiled' if engine.compile else ''}"
    return f"{schedule.epochs} epochs of batches of {schedule.batch_size}, {how}"


def _commit() -> str:
    """Of the checkout; where there is none, unknown."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _hardware(given: argparse.Namespace) -> str:
    if on_gpu(given):
        count = len(gpus_of(given))
        several = f"{count} x " if count > 1 else ""
        return f"{several}{torch.cuda.get_device_name()}, {given.side} trainings side by side"
    return f"{platform.machine()} CPU, {os.cpu_count()} cores, {given.side} trainings side by side"


def table(found: dict) -> str:
    """The report: our figures, those of the paper beside them, and what shape pruning was to reach."""
    rows = found["rows"]
    lines = [
        "# The rows of PSP on CIFAR-10",
        "",
        "Error on the 10,000 test images, pruned floats. Parameters with BN folded; MACs per image. The figures of the paper are beside"
        " ours where they are known here; – is not known.",
        "",
        "| row | | state | error [%] | paper | parameters [M] | paper | MACs [G] | paper | density | hours |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
        "",
        *_goals(rows),
        f"Command: `{found['command']}`, commit {found['commit']}, seed {found['seed']}; {found['hardware']}; torch {found['torch']}.",
        "",
        *(f"- {name}: {spec}" for name, spec in found["specs"].items()),
        "",
    ]
    return "\n".join(lines)


def _line(row: dict) -> str:
    ours, paper = row["ours"], row["paper"]
    state = row["state"] + (f" ({row['told']})" if row["told"] else "")
    hours = None if row["seconds"] is None else row["seconds"] / 3600
    cells = [row["name"], row["table"], state, _number(ours["error"], 2), _number(paper["error"], 2)]
    cells += [_number(ours["params"], 3), _number(paper["params"], 2)]
    cells += [_number(ours["macs"], 4), _number(paper["macs"], 2)]
    cells += [_number(row["density"], 3), _number(hours, 2)]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _goals(rows: list[dict]) -> list[str]:
    """Shape pruning was to halve the MACs at no more error than the dense network of the same command."""
    dense = {row["recipe"].partition("-")[0]: row for row in rows if "-dense-" in row["recipe"]}
    said = []
    for row in rows:
        base = dense.get(row["recipe"].partition("-")[0])
        both = base is not None and base["state"] == row["state"] == State.DONE.value
        if "shape" not in row["name"] or base is None or not both:
            continue
        saved = base["ours"]["macs"] / row["ours"]["macs"]
        more = row["ours"]["error"] - base["ours"]["error"]
        met = "met" if saved >= 2.0 and more <= 0.0 else "not met"
        said.append(f"- {row['name']}: {saved:.2f} times fewer MACs, {more:+.2f} points of error: {met}")
    return ["Goal: at least 2 times fewer MACs at no more error than dense.", "", *said, ""] if said else []
