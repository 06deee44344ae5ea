"""The command."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import benchmarks.paper_rows as package
from benchmarks.paper_rows.gpus import choose_compile
from benchmarks.paper_rows.outcomes import State
from benchmarks.paper_rows.rows import ROOT, ROWS
from benchmarks.paper_rows.table import document, table
from benchmarks.paper_rows.trainings import check_requests, train
from psp_hw.training.machine import Accelerator


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.paper_rows", description=(package.__doc__ or "").splitlines()[0]
    )
    names = [row.name for row in ROWS]
    arguments.add_argument("--data-dir", type=Path, help="where CIFAR-10 is")
    arguments.add_argument("--runs", type=Path, default=Path("runs/paper"), help="folder of the runs")
    arguments.add_argument("--out", type=Path, help="folder of the table (reports/paper; of a trial: --runs)")
    arguments.add_argument("--minutes", type=float, required=True, help="0: only write the table")
    arguments.add_argument("--side", type=int, default=6, help="trainings at a time")
    arguments.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW")
    arguments.add_argument("--epochs", type=int)
    arguments.add_argument("--batch", type=int)
    arguments.add_argument("--rate", type=float)
    arguments.add_argument("--steps", type=int, help="at most so many steps")
    arguments.add_argument("--seed", type=int, default=1)
    compiled = "the default on a GPU on which torch.compile works"
    arguments.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help=compiled)
    arguments.add_argument("--accelerator", default="auto", choices=[kind.value for kind in Accelerator])
    arguments.add_argument("--net", help="another network, to try the script")
    arguments.add_argument("--data", help="another data set, to try the script")
    given = arguments.parse_args(words)
    given.words = list(sys.argv[1:] if words is None else words)
    trial = given.net or given.data or given.steps
    given.out = given.out or (given.runs if trial else ROOT / "reports" / "paper")
    return given


def main(words: Sequence[str] | None = None) -> int:
    """Train, then write the table; also after Ctrl-C.

    Returns:
        1 where a row that was asked for failed, else 0.
    """
    given = parse(words)
    given.runs.mkdir(parents=True, exist_ok=True)
    wanted = [row for row in ROWS if row.name in given.rows]
    choose_compile(given)
    check_requests(given)
    failed: dict[str, int] = {}
    try:
        failed = train(wanted, given)
    finally:
        given.out.mkdir(parents=True, exist_ok=True)
        found = document(ROWS, given)
        (given.out / "result.json").write_text(json.dumps(found, indent=2) + "\n")
        text = table(found)
        (given.out / "report.md").write_text(text)
        print(text)
    for name, code in failed.items():
        print(f"{name}: exit code {code}; what it said: {given.runs / name}.log", file=sys.stderr)
    states = {row["name"]: row["state"] for row in found["rows"]}
    return int(bool(failed) or any(states[row.name] == State.FAILED.value for row in wanted))


if __name__ == "__main__":
    sys.exit(main())
