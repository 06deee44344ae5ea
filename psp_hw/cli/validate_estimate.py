"""``psp-hw validate-estimate``: the estimator against published results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import Json

if TYPE_CHECKING:
    from psp_hw.cost.published.score import Group, Validation


def command(
    records: Annotated[Path, typer.Argument(help="Published results, one JSON object per line.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for report.md, result.json and pictures.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold the estimator to synthesis results that others published.

    Every layer is predicted with factors fitted on other repositories only. Records that are not modelled are counted with the
    reason, lines that hold no record are named.
    """
    from psp_hw.cost.published.score import to_json
    from psp_hw.flow.validate import validate_estimate

    result = validate_estimate(records, out=out)
    if as_json:
        console.show_json(dict(to_json(result.validation)))
    else:
        _print(result.validation)
        for path in result.files:
            console.show(str(path))


def _print(found: Validation) -> None:
    from psp_hw.cost.published.score import GOALS
    from psp_hw.flow.validate import worst_group

    head = (
        "Kind",
        "Framework",
        "Strategy",
        "Metric",
        "Covered",
        "Refused",
        "Median",
        "p90",
        "Bias",
        "Below 10",
    )
    rows = [_row(group) for group in found.groups if group.covered]
    console.show_table(head, rows, text_columns=4)
    for reason, count in found.refused:
        console.show(f"refused: {count} x {reason}")
    for one in found.skipped:
        console.show(f"skipped: line {one.line}: {one.reason}")
    for group in found.after_rtl:
        console.show(
            f"{group.designs} networks after RTL synthesis: {group.metric.value} {_ratio(group.ratio)} of C synthesis "
            f"({_ratio(group.ratio_p10)} .. {_ratio(group.ratio_p90)}), predicted within {_percent(group.median_ape)} (median), "
            f"{_percent(group.p90_ape)} (90th percentile)"
        )
    overall = ", ".join(
        f"{metric.value} {_percent(value)} (goal {GOALS[metric]:g} %)" for metric, value in found.overall
    )
    console.show(f"conv2d and dense of grade A: {found.coverage:.0%} covered; median error: {overall}")
    tails = ", ".join(f"{metric.value} {_percent(value)}" for metric, value in found.tails)
    console.show(f"90th percentile: {tails}")
    for worst in found.worst:
        console.show(f"worst group in {worst.metric.value}: {worst_group(worst)}")


def _row(group: Group) -> tuple[str, ...]:
    errors = (_percent(value) for value in (group.median_ape, group.p90_ape, group.bias))
    small = "" if group.median_abs is None else f"{group.median_abs:g}"
    names = (group.kind, group.framework, group.strategy, group.metric.value)
    return (*names, str(group.covered), str(group.refused), *errors, small)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} %"
