"""Predict published results: stock layers of hls4ml and networks after RTL synthesis with factors fitted on other repositories
only, loop nests without any."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from psp_hw.cost.published.fit import fit
from psp_hw.cost.published.layers import StockLayer, stock_layer
from psp_hw.cost.published.loop_area import area_of_nest
from psp_hw.cost.published.loops import timing_of_nest
from psp_hw.cost.published.muxes import design_of, last_muxes
from psp_hw.cost.published.nests import Nest, nest_of
from psp_hw.cost.published.networks import NEEDED, Design, is_network, predict_networks, reports_of
from psp_hw.cost.published.networks import design_of as network_of
from psp_hw.cost.published.records import Metric, Record, RefusedError, contradicting
from psp_hw.cost.published.stock import expected, features, known
from psp_hw.cost.published.timing import body_of, interval_of, latency_of

# Repositories that a fit must rest on, without the one that is predicted; with fewer, layers of both kinds fit together.
LEAST_REPOSITORIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A metric of a layer as predicted and as published."""

    record: Record
    metric: Metric
    predicted: float
    truth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What came of records.

    Args:
        covered: lines of the records that were predicted.
        refused: reasons for the others, and how many.
    """

    predictions: tuple[Prediction, ...]
    covered: frozenset[int]
    refused: tuple[tuple[str, int], ...]


def predict(records: Sequence[Record]) -> Predicted:
    """Predict every record that is modelled, in every metric that it gives."""
    stock: list[tuple[Record, StockLayer]] = []
    nests: list[tuple[Record, Nest]] = []
    networks: list[Design] = []
    reasons: Counter[str] = Counter()
    muxes, reports = last_muxes(records), reports_of(records)
    doubtful = contradicting(records)
    for record in records:
        try:
            if record.line in doubtful:
                raise RefusedError("the same report stands under different configurations")
            if is_network(record):
                networks.append(network_of(record, reports))
                continue
            match record.framework:
                case "hls4ml":
                    stock.append((record, stock_layer(record, muxes.get(design_of(record), 0))))
                case "handwritten":
                    nests.append((record, nest_of(record)))
                case _:
                    raise RefusedError(f"{record.framework} layers are not modelled")
        except RefusedError as reason:
            reasons[str(reason)] += 1
    found = [one for metric in Metric for one in _predict_stock(stock, metric)]
    found += [one for record, nest in nests for one in _predict_nest(record, nest)]
    found += [
        Prediction(record=record, metric=metric, predicted=predicted, truth=truth)
        for metric in NEEDED
        for record, predicted, truth in predict_networks(networks, metric)
    ]
    covered = [*(record for record, _ in stock), *(record for record, _ in nests)]
    covered += [design.record for design in networks]
    return Predicted(
        predictions=tuple(found),
        covered=frozenset(record.line for record in covered),
        refused=tuple(reasons.most_common()),
    )


def _predict_nest(record: Record, nest: Nest) -> list[Prediction]:
    area, timing = area_of_nest(nest), timing_of_nest(nest)
    values = {
        Metric.DSP: area.dsp,
        Metric.LUT: area.lut,
        Metric.FF: area.ff,
        Metric.BRAM18: area.bram18,
        Metric.LATENCY: timing.latency,
        Metric.II: timing.latency,  # a function that is no pipeline takes the next frame when it is done
    }
    return [
        Prediction(record=record, metric=metric, predicted=float(values[metric]), truth=truth)
        for metric, truth in record.measured.items()
    ]


def _predict_stock(pairs: list[tuple[Record, StockLayer]], metric: Metric) -> list[Prediction]:
    pairs = [pair for pair in pairs if metric in pair[0].measured]
    classes: dict[tuple[str, ...], list[tuple[Record, StockLayer]]] = defaultdict(list)
    for record, layer in pairs:
        classes[_narrow(layer, metric)].append((record, layer))
    found = []
    for name, members in classes.items():
        for repository in sorted({record.repository for record, _ in members}):
            held = [pair for pair in members if pair[0].repository == repository]
            train = _training(pairs, name, repository, metric)
            found += _held_out(train, held, metric)
    return found


def _narrow(layer: StockLayer, metric: Metric) -> tuple[str, ...]:
    """What layers of one fit share, the most telling first: which features they have, then what else the templates decide by."""
    if layer.shared:
        told = ("shared", layer.kind, "stream" if layer.stream else "parallel")
        return (*told, layer.tool.value) if metric in (Metric.LATENCY, Metric.II) else told
    if metric is Metric.LUT:
        return ("unrolled", layer.kind)  # shared multipliers and what steers them are known
    return ("waiting" if layer.reuse > 1 else "unrolled", layer.kind)


def _training(
    pairs: list[tuple[Record, StockLayer]], name: tuple[str, ...], repository: str, metric: Metric
) -> list[tuple[Record, StockLayer]]:
    """Layers of other repositories: as alike as leaves enough repositories to learn from."""
    for alike in range(len(name), 0, -1):
        train = [
            p
            for p in pairs
            if p[0].repository != repository and _narrow(p[1], metric)[:alike] == name[:alike]
        ]
        if len({record.repository for record, _ in train}) >= LEAST_REPOSITORIES:
            return train
    return [p for p in pairs if p[0].repository != repository and _narrow(p[1], metric)[0] == name[0]]


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
        cycles = metric in (Metric.LATENCY, Metric.II)  # a state is a state, however long the loop beside it
        truths = np.maximum(rest, 0.0) if cycles else np.array([truth for _, truth in samples])
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
