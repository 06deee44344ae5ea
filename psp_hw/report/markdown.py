"""A report as Markdown: for a pull request, an issue, a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from psp_hw.report.model import HardwareSummary, LayerRow, Report, ResourceUse, TapPlane, TrainingSummary
from psp_hw.units import microseconds

STILL = (
    "Simulated, frames following each other: the most tokens that a FIFO ever held; cycles of a frame in which its writer and its "
    "reader stand still between their first and their last token, for want of room behind them or of tokens before them."
)
_NUMBER = re.compile(r"[0-9.,/% ]*")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def escape(text: str) -> str:
    """Text as Markdown shows it literally; a line feed becomes a space."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def to_markdown(report: Report) -> str:
    """The report as one Markdown document."""
    lines = [f"# {escape(report.title)}", ""]
    if report.hardware is not None:
        lines += _summary(report.hardware)
    if report.training is not None:
        lines += _training(report.training)
    lines += _checks(report)
    if report.hardware is not None:
        lines += _layers(report.hardware)
        lines += _fifos(report.hardware)
        lines += _synthesis(report)
        lines += ["## How far to trust the estimate", "", escape(report.hardware.statement), ""]
    lines += ["## How it was made", ""]
    lines += [f"- {escape(key)}: {escape(value)}" for key, value in report.provenance]
    lines += [f"- psp-hw: {escape(report.version)}", f"- source: `{report.source_hash}`", ""]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; columns of numbers stand to the right."""
    rows = list(rows)
    numbers = [all(_NUMBER.fullmatch(row[place]) for row in rows) for place in range(len(head))]
    rule = ["---:" if right else "---" for right in numbers]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)] + [""]


def percent(fraction: float) -> str:
    """A share of something that may be missing altogether."""
    return "none there" if fraction == float("inf") else f"{fraction:.1%}"


def _summary(hardware: HardwareSummary) -> list[str]:
    verdict = "fits" if hardware.fits else "does **not** fit"
    lines = [
        f"The design {verdict} on {escape(hardware.part)} at {hardware.clock_ns:g} ns: "
        f"{hardware.interval_cycles:,} cycles per frame ({hardware.fps:,.0f} frames/s), "
        f"latency {hardware.latency_cycles:,} cycles ({microseconds(hardware.latency_us)}).",
        "",
    ]
    lines += [f"- {escape(shortage)}" for shortage in hardware.shortages]
    lines += ["", escape(hardware.advice), ""] if hardware.shortages else []
    if hardware.slowest is not None:
        lines += [_pace(hardware, hardware.slowest), ""]
    lines += [escape(hardware.optimality), ""] if hardware.optimality else []
    for use in hardware.resources:
        lines += [escape(use.caution), ""] if use.caution else []
    head = ["Resource", "Estimated", "At worst", "Available", "Share", "C synthesis report"]
    return lines + _table(head, [_use(use) for use in hardware.resources])


def _pace(hardware: HardwareSummary, slowest: LayerRow) -> str:
    """What sets the interval, and how well the multipliers are used."""
    said = f"The bottleneck is {escape(slowest.name)}: {slowest.cycles:,} of {hardware.interval_cycles:,} cycles."
    if hardware.multipliers:
        said += f" The {hardware.multipliers:,} multipliers are busy {hardware.busy:.1%} of the time."
    return said


def _synthesis(report: Report) -> list[str]:
    if not report.synthesis:
        return []
    head = ["Module", "Stage", *(name for name, _, _ in report.synthesis[0].amounts)]
    rows = [
        [escape(row.module), row.stage, *(f"{guess:,} / {truth:,}" for _, guess, truth in row.amounts)]
        for row in report.synthesis
    ]
    return ["## Estimated / reported by synthesis", "", *_table(head, rows)]


def _use(use: ResourceUse) -> list[str]:
    in_c = "" if use.c_synthesis is None else f"{use.c_synthesis:,}"
    return [use.name, f"{use.used:,}", f"{use.at_worst:,}", f"{use.available:,}", percent(use.fraction), in_c]


def _training(training: TrainingSummary) -> list[str]:
    rows = [
        ["Network", escape(training.net)],
        ["Data", escape(training.data)],
        ["Structures", escape(", ".join(training.structures) or "none")],
        ["Bits (weights, activations)", f"{training.bits_weight}, {training.bits_activation}"],
        ["Accuracy, float", f"{training.accuracy:.2%}"],
        *_calibrated(training),
        ["Accuracy, quantized", f"{training.accuracy_quantized:.2%}"],
        ["Density", f"{training.density:.3f}"],
        ["Parameters", f"{training.params:,}"],
        ["Multiplications per frame", f"{training.macs:,}"],
        ["Seed", str(training.seed)],
    ]
    return ["## Training", "", *_table(["", "Value"], rows)]


def _calibrated(training: TrainingSummary) -> list[list[str]]:
    """The step between floats and fine-tuning, where it was measured."""
    if training.accuracy_calibrated is None:
        return []
    return [["Accuracy, quantized before fine-tuning", f"{training.accuracy_calibrated:.2%}"]]


def _checks(report: Report) -> list[str]:
    if not report.checks:
        return []
    head = ["Compared with", "Images", "Mismatches", "Accuracy", "Images/s"]
    rows = [
        [
            escape(check.counterpart),
            f"{check.images:,}",
            f"{check.mismatches:,}",
            "" if check.accuracy is None else f"{check.accuracy:.2%}",
            f"{check.images_per_second:,.0f}",
        ]
        for check in report.checks
    ]
    return ["## Exactly equal?", "", *_table(head, rows)]


def _layers(hardware: HardwareSummary) -> list[str]:
    names = [use.name for use in hardware.resources]
    head = ["Layer", "Op", "Taps", "Pattern", "Connections", "Fold", "Cycles", *names]
    rows = [_layer(layer, bottleneck=layer.name == hardware.bottleneck) for layer in hardware.layers]
    rows.append(
        ["AXI4-Lite control", "", "", "", "", "", "", *(f"{amount:,}" for _, amount in hardware.control)]
    )
    rows.append(["Total", "", "", "", "", "", "", *(f"{use.used:,}" for use in hardware.resources)])
    return ["## Layers", "", "The bottleneck is in bold.", "", *_table(head, rows)]


def _layer(layer: LayerRow, *, bottleneck: bool) -> list[str]:
    name = f"**{escape(layer.name)}**" if bottleneck else escape(layer.name)
    return [
        name,
        escape(layer.op),
        "" if layer.plane is None else f"{layer.taps} of {layer.plane.total}",
        "" if layer.plane is None else _pattern(layer.plane),
        f"{layer.connections:,} of {layer.connections_dense:,}" if layer.connections_dense else "",
        escape(layer.fold),
        f"{layer.cycles:,}",
        *(f"{amount:,}" for _, amount in layer.resources),
    ]


def _pattern(plane: TapPlane) -> str:
    """The plane in one line: rows apart by a space, a full or an open square per position."""
    rows = ["".join("□" if heat is None else "■" for heat in row) for row in plane.rows]
    return " ".join(rows)


def _fifos(hardware: HardwareSummary) -> list[str]:
    if not hardware.fifos:
        return []
    known = ["Most held", "Writer still [cycles]", "Reader still [cycles]"] if hardware.simulated else []
    rows = []
    for fifo in hardware.fifos:
        counts = (fifo.held, hardware.stalls(fifo.source), hardware.stalls(fifo.target))
        words = ["" if count is None else f"{count:,}" for count in counts] if known else []
        stream = f"{escape(fifo.source)} to {escape(fifo.target)}"
        rows.append([stream, f"{fifo.depth:,}", *words, str(fifo.width), escape(fifo.memory)])
    said = [escape(hardware.waiting), "", STILL, ""] if hardware.waiting else []
    head = ["Stream", "Depth [tokens]", *known, "Width [bits]", "Kept in"]
    return ["## Streams", "", *said, *_table(head, rows)]
