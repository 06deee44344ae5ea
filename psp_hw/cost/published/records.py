"""Published synthesis results: a line of JSON per layer, read with care, since others wrote it.

The format is that of a collection of public reports: kind, framework, stage, shape, precision, weights, hls, measured, source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from psp_hw.cost.devices import FABRICS, Fabric, Family
from psp_hw.errors import DataError
from psp_hw.units import Clock

MAX_BYTES = 1 << 28
_WIDTH = re.compile(r"ap_u?(?:fixed|int)<(\d+)")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StockLayer:
    """A dense or convolution layer of hls4ml: ``inputs * outputs`` weights, applied to every pixel.

    Args:
        kind: ``dense`` or ``conv2d``.
        strategy: ``latency`` or ``resource``.
        stream: io_stream; else io_parallel.
        reuse: reuse factor.
        inputs, outputs: of the matrix; of a convolution the window and the filters.
        pixels: input pixels per frame; 1 for a dense layer.
        beat: values per token of the input stream; 0 where there is none.
        entering, weight, acc: widths [bits].
        count, alive, powers, digits: weights; those that are not zero; powers of two among them; their signed digits.
        bound: whether the project binds products: to DSPs (True), to LUTs (False), or not at all (None).
    """

    kind: str
    strategy: str
    stream: bool
    reuse: int
    inputs: int
    outputs: int
    pixels: int
    beat: int
    entering: int
    weight: int
    acc: int
    count: int
    alive: int
    powers: int
    digits: int
    bound: bool | None
    fabric: Fabric
    clock: Clock


def read_records(path: Path) -> tuple[list[Record], list[Skipped]]:
    """Records of a file, and the lines that hold none.

    Raises:
        DataError: the file cannot be read, or holds no record at all.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"is larger than {MAX_BYTES} bytes", where=str(path))
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(error.strerror or str(error), where=str(path)) from error
    records: list[Record] = []
    skipped: list[Skipped] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            records.append(_record(number, json.loads(line)))
        except (ValueError, RecursionError) as error:
            reason = "is no JSON" if isinstance(error, (json.JSONDecodeError, RecursionError)) else str(error)
            skipped.append(Skipped(line=number, reason=reason))
    if not records:
        first = f"line {skipped[0].line}: {skipped[0].reason}" if skipped else "it is empty"
        raise DataError(f"holds no record ({first})", where=str(path), hint="one JSON object per line")
    return records, skipped


def _record(line: int, found: object) -> Record:
    if not isinstance(found, dict):
        raise ValueError("is no JSON object")
    source, hls, measured = (_object(found, name) for name in ("source", "hls", "measured"))
    truth = {
        metric: int(value)
        for metric, name in MEASURED.items()
        if isinstance(value := measured.get(name), (int, float))
        and not isinstance(value, bool)
        and value >= 0
    }
    if not truth:
        raise ValueError("measures nothing")
    return Record(
        line=line,
        kind=_text(found, "kind"),
        framework=_text(found, "framework"),
        strategy=str(hls.get("strategy") or "none"),
        stage=_text(found, "stage"),
        grade=_text(found, "grade"),
        repository=_text(source, "repo"),
        measured=truth,
        fields=found,
    )


def stock_layer(record: Record) -> StockLayer:
    """The layer of a record.

    Raises:
        RefusedError: it is not modelled, or lacks what the model needs.
    """
    if record.framework != "hls4ml":
        raise RefusedError(f"{record.framework} layers are not modelled")
    if record.kind not in ("dense", "conv2d"):
        raise RefusedError(f"{record.kind} is not modelled")
    if record.stage != "hls_estimate":
        raise RefusedError(f"stage {record.stage} is not modelled")
    if record.strategy not in ("latency", "resource"):
        raise RefusedError(f"strategy {record.strategy} is not modelled")
    fields = record.fields
    try:
        return _layer(record, *(_object(fields, name) for name in ("shape", "precision", "weights", "hls")))
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _layer(
    record: Record,
    shape: Mapping[str, object],
    precision: Mapping[str, object],
    weights: Mapping[str, object],
    hls: Mapping[str, object],
) -> StockLayer:
    if record.kind == "dense":
        inputs, outputs, pixels = _count(shape, "n_in"), _count(shape, "n_out"), 1
    else:
        inputs = _count(shape, "k_h") * _count(shape, "k_w") * _count(shape, "in_c")
        outputs, pixels = _count(shape, "filters"), _count(shape, "in_h") * _count(shape, "in_w")
    script = hls.get("tcl")
    lines = [str(line) for line in script] if isinstance(script, list) else []
    family = _text(record.fields, "family")
    if family not in {known.value for known in Family}:
        raise ValueError(f"family {family!r} is not known")
    count = _count(weights, "n")
    beat = hls.get("stream_in_elems")
    return StockLayer(
        kind=record.kind,
        strategy=record.strategy,
        stream=hls.get("io_type") == "io_stream",
        reuse=_count(hls, "reuse_factor"),
        inputs=inputs,
        outputs=outputs,
        pixels=pixels,
        beat=beat if isinstance(beat, int) else 0,
        entering=_width(precision, "input"),
        weight=_width(precision, "weight"),
        acc=_width(precision, "accum"),
        count=count,
        alive=count - _number(weights, "n_zero_q"),
        powers=_number(weights, "n_pow2_q"),
        digits=_number(weights, "csd_digits"),
        bound=_bound(lines),
        fabric=FABRICS[Family(family)],
        clock=Clock(period_ns=_period(record.fields)),
    )


def _bound(lines: list[str]) -> bool | None:
    for line in lines:
        if "config_op" in line and "mul" in line:
            if "impl dsp" in line:
                return True
            if "impl fabric" in line:
                return False
    return None


def _object(found: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = found.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value


def _text(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value


def _number(found: Mapping[str, object], name: str) -> int:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is missing")
    return value


def _count(found: Mapping[str, object], name: str) -> int:
    value = _number(found, name)
    if value == 0:
        raise ValueError(f"{name} is 0")
    return value


def _width(found: Mapping[str, object], name: str) -> int:
    match = _WIDTH.match(str(found.get(name)))
    if match is None:
        raise ValueError(f"{name} type {found.get(name)!r}")
    return int(match[1])


def _period(found: Mapping[str, object]) -> float:
    value = found.get("clk_target_ns")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError("no clk_target_ns")
    return float(value)
