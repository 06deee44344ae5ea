"""Reports of Vivado HLS, Vitis HLS and Vivado: what a design really takes.

Three forms are read: ``*csynth.xml`` and ``*csynth.rpt`` of C synthesis, and the text of Vivado's ``report_utilization``, which counts
what RTL synthesis or implementation left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import DataError

MAX_BYTES = 64 << 20

_COLUMNS = {
    "BRAM_18K": Resource.BRAM18,
    "DSP": Resource.DSP,
    "DSP48E": Resource.DSP,
    "FF": Resource.FF,
    "LUT": Resource.LUT,
    "URAM": Resource.URAM,
}
# First cells of report_utilization, without the footnote star; a tile of block RAM is two RAMB18.
_SITES = {
    "Slice LUTs": Resource.LUT,
    "CLB LUTs": Resource.LUT,
    "Slice Registers": Resource.FF,
    "CLB Registers": Resource.FF,
    "Block RAM Tile": Resource.BRAM18,
    "DSPs": Resource.DSP,
    "URAM": Resource.URAM,
}
_NEEDED = (Resource.LUT, Resource.FF)


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisReport:
    """A report.

    Args:
        path: where it was read.
        stage: which synthesis.
        module: the module that it is about, as the tool calls it; empty where the report does not say.
        tool: as ``Vitis HLS 2023.2``; empty where the report does not say.
        resources: what the module takes.
        latency, interval: of C synthesis [cycles], the worst case; None where the tool knows none.
    """

    path: Path
    stage: Stage
    module: str
    tool: str
    resources: Resources
    latency: int | None
    interval: int | None


def read_report(path: Path) -> SynthesisReport:
    """Read a report of any of the three forms.

    Raises:
        DataError: it cannot be read, or is none of them.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"is larger than {MAX_BYTES} bytes", where=str(path))
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(error.strerror or str(error), where=str(path)) from error
    if path.suffix.lower() == ".xml":
        return _xml(path, text)
    if "== Utilization Estimates" in text:
        return _csynth_text(path, text)
    if re.search(r"\|\s*Site Type\s*\|", text):
        return _utilization(path, text)
    raise DataError(
        "is no synthesis report",
        where=str(path),
        hint="give csynth.xml, csynth.rpt or the text of report_utilization",
    )


def _xml(path: Path, text: str) -> SynthesisReport:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError("declares entities, which no synthesis report does", where=str(path))
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (no entities, and of limited size)
    except ElementTree.ParseError as error:
        raise DataError(f"is no XML: {error}", where=str(path)) from error
    found = root.find("AreaEstimates/Resources")
    if found is None:
        raise DataError("has no AreaEstimates", where=str(path), hint="give the csynth.xml of C synthesis")
    amounts = {_COLUMNS[child.tag]: _whole(child.text, path) for child in found if child.tag in _COLUMNS}
    overall = "PerformanceEstimates/SummaryOfOverallLatency/"
    version = root.findtext("ReportVersion/Version") or ""
    return SynthesisReport(
        path=path,
        stage=Stage.C_SYNTHESIS,
        module=root.findtext("UserAssignments/TopModelName") or _stem(path),
        tool=f"HLS {version}".strip() if version else "",
        resources=_resources(amounts, path),
        latency=_cycles(root.findtext(f"{overall}Worst-caseLatency")),
        interval=_cycles(root.findtext(f"{overall}Interval-max")),
    )


def _csynth_text(path: Path, text: str) -> SynthesisReport:
    columns: list[str] = []
    amounts: dict[Resource, int] = {}
    for cells in _rows(text[text.index("== Utilization Estimates") :]):
        if "BRAM_18K" in cells:
            columns = cells
        elif columns and cells[0] == "Total" and not amounts:
            pairs = zip(columns[1:], cells[1:], strict=False)
            amounts = {_COLUMNS[name]: _whole(cell, path) for name, cell in pairs if name in _COLUMNS}
    version = re.search(r"^\* Version:\s*(\S+)", text, re.MULTILINE)
    module = re.search(r"Report for '([^']+)'", text)
    return SynthesisReport(
        path=path,
        stage=Stage.C_SYNTHESIS,
        module=module[1] if module else _stem(path),
        tool=f"HLS {version[1]}" if version else "",
        resources=_resources(amounts, path),
        latency=None,
        interval=None,
    )


def _utilization(path: Path, text: str) -> SynthesisReport:
    amounts: dict[Resource, int] = {}
    for cells in _rows(text):
        resource = _SITES.get(cells[0].rstrip("*"))
        if resource is None or resource in amounts or len(cells) < 2:
            continue
        if resource is Resource.BRAM18:
            amounts[resource] = round(2 * _number(cells[1], path))
        else:
            amounts[resource] = _whole(cells[1], path)
    version = re.search(r"^\|?\s*Tool Version\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    module = re.search(r"^\|?\s*Design\s*:\s*(\S+)", text, re.MULTILINE)
    return SynthesisReport(
        path=path,
        stage=Stage.RTL_SYNTHESIS,
        module=module[1] if module else "",
        tool=version[1].split(" (")[0].replace(" v.", " ") if version else "",
        resources=_resources(amounts, path),
        latency=None,
        interval=None,
    )


def _rows(text: str) -> Iterator[list[str]]:
    """The cells of every line of a table."""
    for line in text.splitlines():
        plain = line.strip()
        if plain.startswith("|") and plain.endswith("|"):
            yield [cell.strip() for cell in plain[1:-1].split("|")]


def _stem(path: Path) -> str:
    return re.sub(r"_?csynth$", "", path.stem)


def _resources(amounts: Mapping[Resource, int], path: Path) -> Resources:
    lacking = [resource.value for resource in _NEEDED if resource not in amounts]
    if lacking:
        raise DataError(f"says nothing of {' and '.join(lacking)}", where=str(path))
    dsp, lut, ff, bram18, uram = (amounts.get(resource, 0) for resource in Resource)
    return Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram)


def _number(text: str | None, path: Path) -> float:
    plain = (text or "").strip().replace(",", "")
    if plain in ("", "-"):
        return 0.0
    if re.fullmatch(r"\d+(\.\d+)?", plain) is None:
        raise DataError(f"{plain[:40]!r} is no amount", where=str(path))
    return float(plain)


def _whole(text: str | None, path: Path) -> int:
    return round(_number(text, path))


def _cycles(text: str | None) -> int | None:
    plain = (text or "").strip()
    return int(plain) if plain.isdigit() else None
