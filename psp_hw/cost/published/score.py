"""Predict published layers, each with factors fitted on other repositories only, and say how far off that is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from psp_hw.cost.published.fit import SMALL, fit
from psp_hw.cost.published.layers import StockLayer, stock_layer
from psp_hw.cost.published.records import Metric, Record, RefusedError, Skipped
from psp_hw.cost.published.stock import expected, features, known
from psp_hw.cost.published.timing import body_of, interval_of, latency_of

# Repositories that a fit must rest on, without the one that is predicted; with fewer, layers of both kinds fit together.
LEAST_REPOSITORIES = 2

# Median errors to reach on conv2d and dense of grade A [%].
GOALS = {
    Metric.DSP: 5.0,
    Metric.LUT: 15.0,
    Metric.FF: 15.0,
    Metric.BRAM18: 10.0,
    Metric.LATENCY: 3.0,
    Metric.II: 2.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A metric of a layer as predicted and as published."""

    record: Record
    metric: Metric
    predicted: float
    truth: int


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
class Validation:
    """How close the estimator comes to published results.

    Args:
        overall: per metric, the median error over conv2d and dense of grade A [%], and the share of them that is covered.
    """

    groups: tuple[Group, ...]
    predictions: tuple[Prediction, ...]
    refused: tuple[tuple[str, int], ...]
    skipped: tuple[Skipped, ...]
    overall: tuple[tuple[Metric, float | None], ...]
    coverage: float


def validate(records: Sequence[Record], skipped: Sequence[Skipped] = ()) -> Validation:
    """Score an estimator that never saw the repository it predicts."""
    layers: dict[int, StockLayer] = {}
    reasons: Counter[str] = Counter()
    for record in records:
        try:
            layers[record.line] = stock_layer(record)
        except RefusedError as reason:
            reasons[str(reason)] += 1
    pairs = [(record, layers[record.line]) for record in records if record.line in layers]
    predictions = [found for metric in Metric for found in _predict(pairs, metric)]
    goal = [
        r for r in records if r.grade == "A" and r.kind in ("conv2d", "dense") and r.stage == "hls_estimate"
    ]
    return Validation(
        groups=tuple(_groups(records, predictions)),
        predictions=tuple(predictions),
        refused=tuple(reasons.most_common()),
        skipped=tuple(skipped),
        overall=tuple((metric, _overall(predictions, metric)) for metric in Metric),
        coverage=sum(record.line in layers for record in goal) / len(goal) if goal else 0.0,
    )


def _predict(pairs: list[tuple[Record, StockLayer]], metric: Metric) -> list[Prediction]:
    pairs = [pair for pair in pairs if metric in pair[0].measured]
    classes: dict[tuple[str, ...], list[tuple[Record, StockLayer]]] = defaultdict(list)
    for record, layer in pairs:
        classes[_narrow(layer)].append((record, layer))
    found = []
    for name, members in classes.items():
        for repository in sorted({record.repository for record, _ in members}):
            held = [pair for pair in members if pair[0].repository == repository]
            train = _training(pairs, name, repository)
            found += _held_out(train, held, metric)
    return found


def _narrow(layer: StockLayer) -> tuple[str, ...]:
    """What layers of one fit share, the most telling first: the strategy that it comes down to decides the features."""
    way = "shared" if layer.shared else "waiting" if layer.reuse > 1 else "unrolled"
    return (way, layer.kind, "stream" if layer.stream else "parallel")


def _training(
    pairs: list[tuple[Record, StockLayer]], name: tuple[str, ...], repository: str
) -> list[tuple[Record, StockLayer]]:
    """Layers of other repositories: as alike as leaves enough repositories to learn from."""
    for alike in range(len(name), 0, -1):
        train = [p for p in pairs if p[0].repository != repository and _narrow(p[1])[:alike] == name[:alike]]
        if len({record.repository for record, _ in train}) >= LEAST_REPOSITORIES:
            return train
    return [p for p in pairs if p[0].repository != repository and _narrow(p[1])[0] == name[0]]


def _held_out(
    train: list[tuple[Record, StockLayer]], held: list[tuple[Record, StockLayer]], metric: Metric
) -> list[Prediction]:
    rows = np.array([features(layer, metric) for _, layer in held], dtype=np.float64)
    values = np.array([known(layer, metric) for _, layer in held], dtype=np.float64)
    if rows.shape[1]:
        samples = [
            (layer, truth) for record, layer in train if (truth := _truth(record, layer, metric)) is not None
        ]
        if not samples:
            return []
        others = np.array([features(layer, metric) for layer, _ in samples], dtype=np.float64)
        rest = np.array([truth - known(layer, metric) for layer, truth in samples])
        truths = np.array([truth for _, truth in samples], dtype=np.float64)
        values = values + rows @ fit(
            others, np.maximum(rest, 0.0), truths, np.array(expected(held[0][1], metric))
        )
    return [
        Prediction(
            record=record,
            metric=metric,
            predicted=_whole(layer, metric, value),
            truth=record.measured[metric],
        )
        for (record, layer), value in zip(held, values.tolist(), strict=True)
    ]


def _truth(record: Record, layer: StockLayer, metric: Metric) -> float | None:
    """What a fit has to explain; of cycles, the body."""
    if metric in (Metric.LATENCY, Metric.II):
        latency = record.measured.get(Metric.LATENCY)
        return None if latency is None else body_of(layer, latency)
    return float(record.measured[metric])


def _whole(layer: StockLayer, metric: Metric, value: float) -> float:
    """The metric that follows from what was fitted."""
    match metric:
        case Metric.LATENCY:
            return float(latency_of(layer, round(value)))
        case Metric.II:
            return float(interval_of(layer, round(value)))
        case _:
            return value


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
        p90_ape=round(float(np.percentile(np.abs(errors), 90)), 2) if errors else None,
        median_abs=_median(small),
        bias=_median(errors),
    )


def _relative(found: Sequence[Prediction]) -> list[float]:
    return [(one.predicted - one.truth) / one.truth * 100.0 for one in found if one.truth >= SMALL]


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 2) if values else None


def _overall(predictions: Sequence[Prediction], metric: Metric) -> float | None:
    graded = [one for one in predictions if one.metric is metric and one.record.grade == "A"]
    return _median([abs(error) for error in _relative(graded)])


class GroupJson(TypedDict):
    """A group as a program reads it."""

    kind: str
    framework: str
    strategy: str
    stage: str
    metric: str
    covered: int
    refused: int
    median_ape: float | None
    p90_ape: float | None
    median_abs: float | None
    bias: float | None


class ValidationJson(TypedDict):
    """A validation as a program reads it."""

    groups: list[GroupJson]
    refused: list[dict[str, str | int]]
    skipped: list[dict[str, str | int]]
    coverage: float
    overall: dict[str, float | None]
    goals: dict[str, float]


def to_json(found: Validation) -> ValidationJson:
    """Plain values, for ``--json`` and result.json."""
    return ValidationJson(
        groups=[
            GroupJson(
                kind=group.kind,
                framework=group.framework,
                strategy=group.strategy,
                stage=group.stage,
                metric=group.metric.value,
                covered=group.covered,
                refused=group.refused,
                median_ape=group.median_ape,
                p90_ape=group.p90_ape,
                median_abs=group.median_abs,
                bias=group.bias,
            )
            for group in found.groups
        ],
        refused=[{"reason": reason, "records": count} for reason, count in found.refused],
        skipped=[{"line": one.line, "reason": one.reason} for one in found.skipped],
        coverage=round(found.coverage, 4),
        overall={metric.value: value for metric, value in found.overall},
        goals={metric.value: goal for metric, goal in GOALS.items()},
    )
