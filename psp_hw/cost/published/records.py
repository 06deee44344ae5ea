"""Published synthesis results: a line of JSON per layer, read with care, since others wrote it.

The format is that of a collection of public reports: kind, framework, stage, shape, precision, weights, hls, measured, source.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from psp_hw.errors import DataError

MAX_BYTES = 1 << 28
MOST = 10**12  # of anything that is counted; more is no count


class Metric(Enum):
    """What is predicted; the value is its name in tables and JSON."""

    DSP = "DSP"
    LUT = "LUT"
    FF = "FF"
    BRAM18 = "BRAM18"
    LATENCY = "latency"
    II = "II"


# The names of the metrics in a record.
MEASURED = {
    Metric.DSP: "DSP",
    Metric.LUT: "LUT",
    Metric.FF: "FF",
    Metric.BRAM18: "BRAM_18K",
    Metric.LATENCY: "lat_max",
    Metric.II: "ii_max",
}


class RefusedError(Exception):
    """A record that is sound but not modelled, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A result, and what it is a result of.

    Args:
        line: where it stands in its file.
        repository: whose it is; fits leave one out at a time.
        measured: the truth; a metric that the report does not give is missing.
        fields: the record as it was read.
    """

    line: int
    kind: str
    framework: str
    strategy: str
    stage: str
    grade: str
    repository: str
    measured: Mapping[Metric, int]
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A line that holds no record, and why."""

    line: int
    reason: str


def read_records(path: Path) -> tuple[list[Record], list[Skipped]]:
    """Records of a file, and the lines that hold none.

    Raises:
        DataError: the file cannot be read, or holds no record at all.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # of a pipe the size is not known before
    except OSError as error:
        raise DataError(error.strerror or str(error), where=str(path)) from error
    if len(content) > MAX_BYTES:
        raise DataError(f"is larger than {MAX_BYTES} bytes", where=str(path))
    text = content.decode("utf-8", errors="replace")
    records: list[Record] = []
    skipped: list[Skipped] = []
    first_at: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        first = first_at.setdefault(line.strip(), number)
        try:
            # NaN and Infinity are no JSON, but common programs write them for what is missing.
            record = _record(number, json.loads(line, parse_constant=lambda _: None))
            if first != number:
                raise ValueError(f"is line {first} once more")
            records.append(record)
        except (ValueError, RecursionError) as error:
            reason = "is no JSON" if isinstance(error, (json.JSONDecodeError, RecursionError)) else str(error)
            skipped.append(Skipped(line=number, reason=reason))
    if not records:
        why = f"line {skipped[0].line}: {skipped[0].reason}" if skipped else "it is empty"
        raise DataError(f"holds no record ({why})", where=str(path), hint="one JSON object per line")
    return records, skipped


def _record(line: int, found: object) -> Record:
    if not isinstance(found, dict):
        raise ValueError("is no JSON object")
    source, hls, measured = (object_of(found, name) for name in ("source", "hls", "measured"))
    truth = {
        metric: _count(name, value)
        for metric, name in MEASURED.items()
        if isinstance(value := measured.get(name), (int, float)) and not isinstance(value, bool)
    }
    if not truth:
        raise ValueError("measures nothing")
    return Record(
        line=line,
        kind=text_of(found, "kind"),
        framework=text_of(found, "framework"),
        strategy=str(hls.get("strategy") or "none"),
        stage=text_of(found, "stage"),
        grade=text_of(found, "grade"),
        repository=text_of(source, "repo"),
        measured=truth,
        fields=found,
    )


def _count(name: str, value: int | float) -> int:
    if not 0 <= value <= MOST:
        raise ValueError(f"{name} is {'less than 0' if value < 0 else f'more than {MOST:.0e}'}")
    return int(value)


def contradicting(records: Sequence[Record]) -> frozenset[int]:
    """Lines of the same report (module, second of its making, all numbers) under different configurations: it has one of them at most."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        source = record.fields.get("source")
        told = (
            [source.get(name) for name in ("report_date", "module")] if isinstance(source, dict) else [None]
        )
        if all(isinstance(value, str) for value in told):
            numbers = sorted((metric.value, value) for metric, value in record.measured.items())
            groups[json.dumps([record.repository, record.stage, record.kind, *told, numbers])].append(record)
    lines: set[int] = set()
    for group in groups.values():
        if len({_configuration(record) for record in group}) > 1:
            lines |= {record.line for record in group}
    return frozenset(lines)


def _configuration(record: Record) -> str:
    """What decides the products of a layer: strategy, reuse factor, where the project binds them."""
    hls = object_of(record.fields, "hls")
    script = hls.get("tcl")
    bound = [line for line in script if str(line).startswith("config_op")] if isinstance(script, list) else []
    return json.dumps([record.strategy, hls.get("reuse_factor"), bound])


def check_modelled(record: Record) -> None:
    """Refuse what is no report of C synthesis on a layer that multiplies.

    Raises:
        RefusedError: says what it is.
    """
    if record.kind not in ("dense", "conv2d"):
        raise RefusedError(f"{record.kind} is not modelled")
    if record.stage != "hls_estimate":
        raise RefusedError(f"stage {record.stage} is not modelled")


def object_of(found: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = found.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value


def text_of(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value


def number_of(found: Mapping[str, object], name: str) -> int:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is missing")
    if value > MOST:
        raise ValueError(f"{name} is more than {MOST:.0e}")
    return value


def count_of(found: Mapping[str, object], name: str) -> int:
    value = number_of(found, name)
    if value == 0:
        raise ValueError(f"{name} is 0")
    return value
