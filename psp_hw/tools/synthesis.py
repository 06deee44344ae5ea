"""Reports of Vivado HLS, Vitis HLS and Vivado: what a design really takes.

Four forms are read: ``*csynth.xml`` and ``*csynth.rpt`` of C synthesis; Vivado's ``report_utilization``, flat or ``-hierarchical``,
which counts what RTL synthesis or implementation left, as text or with ``-format xml`` (an option that UG835 does not list: the same
tables, a cell's text its attribute ``contents``); and the XML that both HLS tools write of it when they export a design
(``<top>_export.xml``, ``export_syn.xml``, ``export_impl.xml``).
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
MAX_XML_BYTES = 16 << 20  # read whole, it takes about twenty times as much memory

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
# Attributes and elements of the XML of an export; its BRAM counts RAMB18, two for a RAMB36.
_EXPORTED = {
    "LUT": Resource.LUT,
    "FF": Resource.FF,
    "DSP": Resource.DSP,
    "DSP48": Resource.DSP,
    "BRAM": Resource.BRAM18,
    "URAM": Resource.URAM,
}
# Columns of report_utilization -hierarchical, and how many of the resource each counts.
_HIERARCHY = {
    "Total LUTs": (Resource.LUT, 1),
    "FFs": (Resource.FF, 1),
    "RAMB36": (Resource.BRAM18, 2),
    "RAMB18": (Resource.BRAM18, 1),
    "URAM": (Resource.URAM, 1),
    "DSP Blocks": (Resource.DSP, 1),
    "DSP48 Blocks": (Resource.DSP, 1),
}
# Cells of a row of report_utilization -format xml.
_CELLS = ("tableheader", "tablecell")
# What a report may say: no part holds, and no design takes, more than so many digits can.
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_PART = re.compile(r"[A-Za-z0-9-]{1,40}")
_CYCLES = re.compile(r"[0-9]{1,18}")
# How an export names the module of a cell, the most telling first.
_MODULE_NAMES = ("ORIG_REF_NAME", "REF_NAME", "CELL")


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisReport:
    """A report.

    Args:
        path: where it was read.
        stage: which synthesis.
        module: the module that it is about, as the tool calls it; empty where the report does not say.
        tool: as ``Vitis HLS 2023.2``; empty where the report does not say.
        part: as the tool writes it; empty where the report does not say.
        clock_ns: period that was aimed at [ns]; None where the report does not say.
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
    part: str = ""
    clock_ns: float | None = None


def read_reports(path: Path) -> tuple[SynthesisReport, ...]:
    """Read a report: the whole first, then every module that it lists.

    Raises:
        DataError: it cannot be read, or is no report.
    """
    xml = path.suffix.lower() == ".xml"
    most = MAX_XML_BYTES if xml else MAX_BYTES
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)  # of a device the size is not known before
    except OSError as error:
        raise DataError(error.strerror or str(error), where=str(path)) from error
    if len(content) > most:
        raise DataError(f"is larger than {most} bytes", where=str(path))
    text = content.decode("utf-8", errors="replace")
    if xml:
        return _xml(path, text)
    if "== Utilization Estimates" in text:
        return (_csynth_text(path, text),)
    if found := _of_vivado(path, list(_rows(text)), _design(text), _vivado(text), _device(text)):
        return found
    raise DataError(
        "is no synthesis report",
        where=str(path),
        hint="give csynth.xml, csynth.rpt, export_syn.xml or what report_utilization wrote",
    )


def _xml(path: Path, text: str) -> tuple[SynthesisReport, ...]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError("declares entities, which no synthesis report does", where=str(path))
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (no entities, and of limited size)
    except ElementTree.ParseError as error:
        raise DataError(f"is no XML: {error}", where=str(path)) from error
    if (found := root.find("AreaEstimates/Resources")) is not None:
        return (_csynth_xml(path, root, found),)
    if (found := root.find("AreaReport/Resources")) is not None:
        return _export(path, root, found)
    rows = [
        [cell.get("contents", "").strip() for cell in row if cell.tag in _CELLS]
        for row in root.iter("tablerow")
    ]
    if reports := _of_vivado(path, [cells for cells in rows if cells], "", "Vivado", ""):
        return reports
    raise DataError(
        "has neither AreaEstimates nor AreaReport nor a table of utilization",
        where=str(path),
        hint="give the csynth.xml of C synthesis, the XML of an export or of report_utilization",
    )


def _csynth_xml(path: Path, root: ElementTree.Element, found: ElementTree.Element) -> SynthesisReport:
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
        part=_part(root.findtext("UserAssignments/Part")),
        clock_ns=_period(root.findtext("UserAssignments/TargetClockPeriod")),
    )


def _export(path: Path, root: ElementTree.Element, found: ElementTree.Element) -> tuple[SynthesisReport, ...]:
    """The whole, then the modules: of those, the tools write no amount that is 0."""
    version = (root.findtext("RunData/VIVADO_VERSION") or "").strip().removeprefix("v.")
    tool = f"Vivado {version}" if version else ""
    amounts = {_EXPORTED[child.tag]: _whole(child.text, path) for child in found if child.tag in _EXPORTED}
    clock_ns = _period(root.findtext("TimingReport/TargetClockPeriod"))
    reports = [_left(path, "", tool, _resources(amounts, path), clock_ns=clock_ns)]
    for module in root.iterfind("RtlModules/RtlModule"):
        listed = module.find("Resources")
        name = next((module.get(key, "") for key in _MODULE_NAMES if module.get(key)), "")
        if listed is None or not name:
            continue
        parts = {
            _EXPORTED[key]: _whole(value, path) for key, value in listed.attrib.items() if key in _EXPORTED
        }
        none = dict.fromkeys(_NEEDED, 0)
        resources = _resources(none | parts, path)
        reports.append(_left(path, name.rpartition("/")[2], tool, resources, clock_ns=clock_ns))
    return tuple(reports)


def _left(
    path: Path,
    module: str,
    tool: str,
    resources: Resources,
    *,
    part: str = "",
    clock_ns: float | None = None,
) -> SynthesisReport:
    """What RTL synthesis or implementation left of a module."""
    return SynthesisReport(
        path=path,
        stage=Stage.RTL_SYNTHESIS,
        module=module,
        tool=tool,
        resources=resources,
        latency=None,
        interval=None,
        part=part,
        clock_ns=clock_ns,
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
    part = re.search(r"^\* Target device:\s*(\S+)", text, re.MULTILINE)
    module = re.search(r"Report for '([^']+)'", text)
    return SynthesisReport(
        path=path,
        stage=Stage.C_SYNTHESIS,
        module=module[1] if module else _stem(path),
        tool=f"HLS {version[1]}" if version else "",
        resources=_resources(amounts, path),
        latency=None,
        interval=None,
        part=_part(part[1]) if part else "",
        clock_ns=_aimed_at(text),
    )


def _aimed_at(text: str) -> float | None:
    """The period of the table of clocks [ns]."""
    rows = iter(_rows(text))
    if not any(cells[:2] == ["Clock", "Target"] for cells in rows):
        return None
    return _period(next(rows, ["", ""])[1])


def _of_vivado(
    path: Path, rows: list[list[str]], design: str, tool: str, part: str
) -> tuple[SynthesisReport, ...]:
    """What tables of ``report_utilization`` say; nothing where they are no such tables."""
    if any(cells[0] == "Site Type" for cells in rows):
        return (_utilization(path, rows, design, tool, part),)
    if any(cells[:2] == ["Instance", "Module"] for cells in rows):
        return _hierarchy(path, rows, tool, part)
    return ()


def _utilization(path: Path, rows: list[list[str]], design: str, tool: str, part: str) -> SynthesisReport:
    amounts: dict[Resource, int] = {}
    for cells in rows:
        resource = _SITES.get(cells[0].rstrip("*"))
        if resource is None or resource in amounts or len(cells) < 2:
            continue
        if resource is Resource.BRAM18:
            amounts[resource] = round(2 * _number(cells[1], path))
        else:
            amounts[resource] = _whole(cells[1], path)
    return _left(path, design, tool, _resources(amounts, path), part=part)


def _hierarchy(path: Path, rows: list[list[str]], tool: str, part: str) -> tuple[SynthesisReport, ...]:
    """Every module with what it holds in all; lines in brackets are what a module holds beside its children."""
    columns: list[str] = []
    reports: list[SynthesisReport] = []
    for cells in rows:
        if cells[:2] == ["Instance", "Module"]:
            columns = cells
        elif columns and len(cells) == len(columns) and not cells[0].startswith("("):
            amounts: dict[Resource, int] = {}
            for column, cell in zip(columns, cells, strict=True):
                if column in _HIERARCHY:
                    resource, each = _HIERARCHY[column]
                    amounts[resource] = amounts.get(resource, 0) + each * _whole(cell, path)
            module = cells[0] if cells[1] == "(top)" else cells[1]
            reports.append(_left(path, module, tool, _resources(amounts, path), part=part))
    if not reports:
        raise DataError("lists no module", where=str(path))
    return tuple(reports)


def _design(text: str) -> str:
    """The design that a text of Vivado is about."""
    found = re.search(r"^\|?\s*Design\s*:\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def _device(text: str) -> str:
    """The device that a text of Vivado is about, as ``7z020clg400-1``."""
    found = re.search(r"^\|?\s*Device\s*:\s*(\S+)", text, re.MULTILINE)
    return _part(found[1]) if found else ""


def _vivado(text: str) -> str:
    """The tool and version that a text of Vivado names."""
    version = re.search(r"^\|?\s*Tool Version\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    return version[1].split(" (")[0].replace(" v.", " ") if version else ""


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
    return Resources.from_amounts(amounts.get(resource, 0) for resource in Resource)


def _number(text: str | None, path: Path) -> float:
    plain = (text or "").strip().replace(",", "")
    if plain in ("", "-"):
        return 0.0
    if _AMOUNT.fullmatch(plain) is None:
        raise DataError(f"{plain[:40]!r} is no amount", where=str(path))
    return float(plain)


def _whole(text: str | None, path: Path) -> int:
    return round(_number(text, path))


def _part(text: str | None) -> str:
    """A part string; empty where the text is none."""
    plain = (text or "").strip()
    return plain if _PART.fullmatch(plain) else ""


def _period(text: str | None) -> float | None:
    """A clock period [ns], with or without its unit; None where the text is none."""
    plain = (text or "").strip().removesuffix("ns").strip()
    return float(plain) if _AMOUNT.fullmatch(plain) and float(plain) > 0 else None


def _cycles(text: str | None) -> int | None:
    plain = (text or "").strip()
    return int(plain) if _CYCLES.fullmatch(plain) else None
