"""How far off predictions of published layers are, by kind, framework, strategy and stage, and over all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np

from psp_hw.cost.published.fit import SMALL
from psp_hw.cost.published.networks import NEEDED, design_name, is_network, reports_of
from psp_hw.cost.published.predict import Prediction, predict
from psp_hw.cost.published.records import Metric, Record, Skipped

# What the goals are about.
GOAL_KINDS = ("conv2d", "dense")
GOAL_STAGE = "hls_estimate"

# A group of fewer layers says little.
FEW = 10

# Median errors to reach on conv2d and dense of grade A [%].
GOALS = {
    Metric.DSP: 5.0,
    Metric.LUT: 15.0,
    Metric.FF: 15.0,
    Metric.BRAM18: 10.0,
    Metric.LATENCY: 3.0,
    Metric.II: 2.0,
}


Overall = tuple[tuple[Metric, float | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Records of one kind, framework, strategy and stage, in one metric.

    Args:
        covered, refused: records that were predicted, and that were not.
        median_ape, p90_ape: of the absolute error where the truth is 10 or more [%]; None where there is none.
        median_abs: of the absolute error where the truth is less [units]; None where there is none.
        bias: median of the error with its sign where the truth is 10 or more [%].
    """

    kind: str
    framework: str
    strategy: str
    stage: str
    metric: Metric
    covered: int
    refused: int
    median_ape: float | None
    p90_ape: float | None
    median_abs: float | None
    bias: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterRtl:
    """What RTL synthesis leaves of networks, in one metric, and how well that is predicted from their C synthesis reports.

    Args:
        designs: networks that are predicted.
        ratio, ratio_p10, ratio_p90: RTL synthesis / C synthesis, the median and where the middle eight tenths lie.
        median_ape, p90_ape: of the absolute error of the prediction [%].
    """

    metric: Metric
    designs: int
    ratio: float | None
    ratio_p10: float | None
    ratio_p90: float | None
    median_ape: float | None
    p90_ape: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """How close the estimator comes to published results.

    Args:
        overall: per metric, the median error over conv2d and dense of grade A [%].
        tails: the 90th percentile of the same [%].
        worst: per metric, the group of conv2d or dense with the largest median error, of those of ten layers and more.
        frameworks: the same, for each framework by itself.
        coverage: share of conv2d and dense of grade A that is covered.
        after_rtl: networks after RTL synthesis, per metric.
    """

    groups: tuple[Group, ...]
    predictions: tuple[Prediction, ...]
    refused: tuple[tuple[str, int], ...]
    skipped: tuple[Skipped, ...]
    overall: Overall
    tails: Overall
    worst: tuple[Group, ...]
    frameworks: tuple[tuple[str, Overall], ...]
    coverage: float
    after_rtl: tuple[AfterRtl, ...]


def validate(records: Sequence[Record], skipped: Sequence[Skipped] = ()) -> Validation:
    """Score an estimator that never saw the repository it predicts."""
    found = predict(records)
    goal = [r for r in records if r.grade == "A" and r.kind in GOAL_KINDS and r.stage == GOAL_STAGE]
    layers = [one for one in found.predictions if not is_network(one.record)]
    frameworks = sorted({one.record.framework for one in layers})
    groups = tuple(_groups(records, found.predictions))
    return Validation(
        groups=groups,
        predictions=found.predictions,
        refused=found.refused,
        skipped=tuple(skipped),
        overall=_overall(layers),
        tails=_overall(layers, percentile=90),
        worst=tuple(_worst(groups)),
        frameworks=tuple(
            (name, _overall([one for one in layers if one.record.framework == name])) for name in frameworks
        ),
        coverage=sum(record.line in found.covered for record in goal) / len(goal) if goal else 0.0,
        after_rtl=tuple(_after_rtl(records, found.predictions)),
    )


def _after_rtl(records: Sequence[Record], predictions: Sequence[Prediction]) -> Iterator[AfterRtl]:
    reports = {name: found[0].measured for name, found in reports_of(records).items()}
    for metric in NEEDED:
        some = [one for one in predictions if one.metric is metric and is_network(one.record)]
        if some:
            befores = [(reports[design_name(one.record)][metric], one.truth) for one in some]
            ratios = [after / before for before, after in befores if before >= SMALL]
            errors = [abs(error) for error in _relative(some)]
            yield AfterRtl(
                metric=metric,
                designs=len(some),
                ratio=_percentile(ratios, 50),
                ratio_p10=_percentile(ratios, 10),
                ratio_p90=_percentile(ratios, 90),
                median_ape=_median(errors),
                p90_ape=_percentile(errors, 90),
            )


def _groups(records: Sequence[Record], predictions: Sequence[Prediction]) -> list[Group]:
    keys: dict[tuple[str, str, str, str, Metric], int] = defaultdict(int)
    for record in records:
        for metric in record.measured:
            keys[record.kind, record.framework, record.strategy, record.stage, metric] += 1
    found: dict[tuple[str, str, str, str, Metric], list[Prediction]] = defaultdict(list)
    for one in predictions:
        record = one.record
        found[record.kind, record.framework, record.strategy, record.stage, one.metric].append(one)
    order = sorted(keys, key=lambda key: (*key[:4], list(Metric).index(key[4])))
    return [_group(key, keys[key], found[key]) for key in order]


def _group(key: tuple[str, str, str, str, Metric], total: int, found: list[Prediction]) -> Group:
    errors = _relative(found)
    small = [abs(one.predicted - one.truth) for one in found if one.truth < SMALL]
    return Group(
        kind=key[0],
        framework=key[1],
        strategy=key[2],
        stage=key[3],
        metric=key[4],
        covered=len(found),
        refused=total - len(found),
        median_ape=_median([abs(error) for error in errors]),
        p90_ape=_percentile([abs(error) for error in errors], 90),
        median_abs=_median(small),
        bias=_median(errors),
    )


def _relative(found: Sequence[Prediction]) -> list[float]:
    return [(one.predicted - one.truth) / one.truth * 100.0 for one in found if one.truth >= SMALL]


def _median(values: list[float]) -> float | None:
    return _percentile(values, 50)


def _percentile(values: list[float], share: int) -> float | None:
    return round(float(np.percentile(values, share)), 2) if values else None


def _overall(predictions: Sequence[Prediction], *, percentile: int = 50) -> Overall:
    """A percentile of the errors on layers of grade A, per metric."""
    graded = [one for one in predictions if one.record.grade == "A"]
    errors = {metric: _relative([one for one in graded if one.metric is metric]) for metric in Metric}
    return tuple(
        (metric, _percentile([abs(error) for error in found], percentile)) for metric, found in errors.items()
    )


def _worst(groups: Sequence[Group]) -> Iterator[Group]:
    """The group that each metric is predicted worst in."""
    for metric in Metric:
        some = [
            group
            for group in groups
            if group.metric is metric
            and group.kind in GOAL_KINDS
            and group.stage == GOAL_STAGE
            and group.covered >= FEW
        ]
        known = [(group.median_ape, group) for group in some if group.median_ape is not None]
        if known:
            yield max(known, key=lambda one: one[0])[1]


class ValidationJson(TypedDict):
    """A validation as a program reads it."""

    groups: list[dict[str, Any]]
    refused: list[dict[str, str | int]]
    skipped: list[dict[str, str | int]]
    coverage: float
    overall: dict[str, float | None]
    overall_p90: dict[str, float | None]
    worst: list[dict[str, Any]]
    frameworks: dict[str, dict[str, float | None]]
    goals: dict[str, float]
    after_rtl: list[dict[str, Any]]


def to_json(found: Validation) -> ValidationJson:
    """Plain values, for ``--json`` and result.json."""
    return ValidationJson(
        groups=[_plain(group) for group in found.groups],
        refused=[{"reason": reason, "records": count} for reason, count in found.refused],
        skipped=[{"line": one.line, "reason": one.reason} for one in found.skipped],
        coverage=round(found.coverage, 4),
        overall={metric.value: value for metric, value in found.overall},
        overall_p90={metric.value: value for metric, value in found.tails},
        worst=[_plain(group) for group in found.worst],
        frameworks={
            name: {metric.value: value for metric, value in overall} for name, overall in found.frameworks
        },
        goals={metric.value: goal for metric, goal in GOALS.items()},
        after_rtl=[_plain(one) for one in found.after_rtl],
    )


def _plain(one: Group | AfterRtl) -> dict[str, Any]:
    return asdict(one) | {"metric": one.metric.value}
