"""How close the estimator comes to published results: numbers, a page, pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from psp_hw.cost.published.networks import is_network
from psp_hw.cost.published.predict import Prediction
from psp_hw.cost.published.records import Metric, read_records
from psp_hw.cost.published.score import GOALS, Group, Validation, to_json, validate
from psp_hw.flow.files import write_files
from psp_hw.report.scatter import Series, scatter

MOST_SKIPPED = 10  # lines named on the page


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSummary:
    """A validation and the files that were written of it."""

    validation: Validation
    files: tuple[Path, ...]


def validate_estimate(records: Path, *, out: Path | None) -> ValidationSummary:
    """Validate the estimator on a file of published results.

    Args:
        out: where report.md, result.json and a picture per metric go; None writes nothing.

    Raises:
        PspHwError: the file cannot be read or holds no record; the folder cannot be written.
    """
    found = validate(*read_records(records))
    written: list[Path] = []
    if out is not None:
        pictures = {f"{metric.value.lower()}.png": _picture(found, metric) for metric in Metric}
        texts = {"report.md": page(found), "result.json": json.dumps(to_json(found), indent=1) + "\n"}
        written = write_files(out, {**texts, **{name: data for name, data in pictures.items() if data}})
    return ValidationSummary(validation=found, files=tuple(written))


def _picture(found: Validation, metric: Metric) -> bytes:
    """Predicted over published, by kind and strategy; empty where nothing was predicted."""
    points: dict[str, list[tuple[float, float]]] = {}
    for one in found.predictions:
        if one.metric is metric and one.truth > 0 and one.predicted > 0 and not is_network(one.record):
            points.setdefault(_series(one), []).append((float(one.truth), one.predicted))
    if not points:
        return b""
    series = [Series(name=name, points=tuple(points[name])) for name in sorted(points)]
    title = f"{metric.value}: layers of repositories that the fit has not seen"
    return scatter(series, title=title, x="published", y="predicted")


def _series(one: Prediction) -> str:
    return f"{one.record.kind}, {one.record.strategy}"


def page(found: Validation) -> str:
    """The validation as Markdown."""
    lines = [
        "# The estimator against published synthesis reports",
        "",
        "`psp-hw validate-estimate RECORDS.jsonl --out DIR` writes this page. Layers of hls4ml are predicted with factors that were fitted",
        "on other repositories only; loop nests (handwritten) without any factor, by rules. Errors in percent are of truths of 10 and more;",
        "smaller ones are compared in units. The goals are medians over all layers; a group by itself may be far from them.",
        "",
        f"conv2d and dense of grade A: {found.coverage:.0%} covered (goal: 90 %).",
        "",
        *_goals(found),
        *_after_rtl(found),
        "",
        "## Every group",
        "",
        "| kind | framework | strategy | stage | metric | covered | refused | median error | 90th percentile | bias | below 10: median |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(group) for group in found.groups if group.covered),
        "",
        "Refused, with the reason:",
        "",
        *(f"- {count} x {reason}" for reason, count in found.refused),
        "",
        f"Skipped lines: {len(found.skipped)}.",
        *(f"- line {one.line}: {one.reason}" for one in found.skipped[:MOST_SKIPPED]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _after_rtl(found: Validation) -> list[str]:
    """Networks after RTL synthesis, as parts hold them."""
    if not found.after_rtl:
        return []
    lines = [
        "",
        "## After RTL synthesis",
        "",
        "Whole networks whose C synthesis report and RTL synthesis report were both published. What is left is predicted from the former, with",
        "factors that were fitted on other repositories (`psp_hw/cost/published/networks.py` has the rules).",
        "",
        "| metric | networks | RTL / C synthesis: median | 10th .. 90th percentile | error of the prediction: median | 90th percentile |",
        "|---|---|---|---|---|---|",
    ]
    for one in found.after_rtl:
        spread = f"{_ratio(one.ratio_p10)} .. {_ratio(one.ratio_p90)}"
        errors = f"{_percent(one.median_ape)} | {_percent(one.p90_ape)}"
        lines.append(f"| {one.metric.value} | {one.designs} | {_ratio(one.ratio)} | {spread} | {errors} |")
    return lines


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _goals(found: Validation) -> list[str]:
    """Median errors beside their goals, over all layers and of each framework, and where they are worst."""
    names = [name for name, _ in found.frameworks]
    tails, worst = dict(found.tails), {group.metric: group for group in found.worst}
    lines = [
        f"| metric | median error | goal | reached | 90th percentile | {' | '.join(names)} | worst group |",
        f"|---|---|---|---|---|{'---|' * len(names)}---|",
    ]
    for index, (metric, value) in enumerate(found.overall):
        reached = "-" if value is None else ("yes" if value <= GOALS[metric] else "no")
        each = [_percent(overall[index][1]) for _, overall in found.frameworks]
        cells = [
            metric.value,
            _percent(value),
            f"{GOALS[metric]:g} %",
            reached,
            _percent(tails[metric]),
            *each,
        ]
        lines.append(f"| {' | '.join(cells)} | {worst_group(worst.get(metric))} |")
    return lines


def worst_group(group: Group | None) -> str:
    """A group by its name, with its errors."""
    if group is None:
        return "-"
    name = " ".join((group.framework, group.kind, *([] if group.strategy == "none" else [group.strategy])))
    return f"{name}: {_percent(group.median_ape)} (90th percentile {_percent(group.p90_ape)})"


def _row(group: Group) -> str:
    cells = [group.kind, group.framework, group.strategy, group.stage, group.metric.value]
    cells += [str(group.covered), str(group.refused)]
    cells += [_percent(value) for value in (group.median_ape, group.p90_ape, group.bias)]
    cells.append("-" if group.median_abs is None else f"{group.median_abs:g}")
    return "| " + " | ".join(cells) + " |"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"
