"""metrics.csv: a line per epoch of both phases, whatever interrupted them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from psp_hw.training.manner import PhaseRecord, Row

COLUMNS = ("phase", "epoch", "step", "loss", "accuracy", "density", "epsilon")


def merged_log(records: Mapping[str, PhaseRecord | None], logs: Path) -> str:
    """The log of all phases as one table.

    Args:
        records: of each phase, by name; None where a run of an earlier version did not remember it.
        logs: where Lightning wrote; read for the phases that nobody remembers.

    Returns:
        CSV text.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for phase, record in records.items():
        rows = _written(logs, phase) if record is None else record.rows
        writer.writerows({"phase": phase, **row} for row in rows)
    return text.getvalue()


def _written(logs: Path, phase: str) -> Iterable[Row]:
    """The rows of all starts of a phase; after a resume, the later row of an epoch holds."""
    rows: dict[int, Row] = {}
    for file in sorted(logs.glob(f"{phase}-*/metrics.csv"), key=_number):
        with file.open(newline="", encoding="utf-8", errors="replace") as stream:
            for row in csv.DictReader(stream):
                if None in row.values():  # a process that was killed may have cut its last line
                    continue
                known = {key: value for key, value in row.items() if key and value}
                if known.get("epoch", "").isdigit():
                    rows.setdefault(int(known["epoch"]), {}).update(known)
    return [rows[epoch] for epoch in sorted(rows)]


def _number(file: Path) -> int:
    number = file.parent.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
