"""A report as JSON: every number of the page, under stable names."""

from __future__ import annotations

import json
from typing import TypeAlias

from psp_hw.report.model import CheckSummary, HardwareSummary, LayerRow, Report, TrainingSummary

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def to_json(report: Report) -> str:
    """The report as an indented JSON document that ends with a line feed; unknown parts are null."""
    document: dict[str, Json] = {
        "kind": "psp-hw report",
        "version": report.version,
        "title": report.title,
        "source_hash": report.source_hash,
        "training": None if report.training is None else _training(report.training),
        "hardware": None if report.hardware is None else _hardware(report.hardware),
        "checks": [_check(check) for check in report.checks],
        "mismatches": report.mismatches,
        "synthesis": [
            {
                "module": row.module,
                "stage": row.stage,
                "estimated": {name: guess for name, guess, _ in row.amounts},
                "reported": {name: truth for name, _, truth in row.amounts},
            }
            for row in report.synthesis
        ],
        "provenance": dict(report.provenance),
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _training(training: TrainingSummary) -> Json:
    return {
        "net": training.net,
        "data": training.data,
        "seed": training.seed,
        "bits": [training.bits_weight, training.bits_activation],
        "structures": list(training.structures),
        "accuracy": training.accuracy,
        "accuracy_calibrated": training.accuracy_calibrated,
        "accuracy_quantized": training.accuracy_quantized,
        "density": training.density,
        "params": training.params,
        "macs": training.macs,
    }


def _hardware(hardware: HardwareSummary) -> Json:
    return {
        "target": hardware.target,
        "part": hardware.part,
        "clock_ns": hardware.clock_ns,
        "cycles": {"latency": hardware.latency_cycles, "interval": hardware.interval_cycles},
        "fps": hardware.fps,
        "bottleneck": hardware.bottleneck,
        "fits": hardware.fits,
        "shortages": list(hardware.shortages),
        "advice": hardware.advice,
        "resources": {use.name: use.used for use in hardware.resources},
        "c_synthesis": {use.name: use.c_synthesis for use in hardware.resources},
        "available": {use.name: use.available for use in hardware.resources},
        "at_worst": {use.name: use.at_worst for use in hardware.resources},
        "utilization": {use.name: utilization(use.used, use.available) for use in hardware.resources},
        "macs": hardware.macs,
        "macs_dense": hardware.macs_dense,
        "multipliers": {"at_once": hardware.multipliers, "busy": hardware.busy},
        "control": dict(hardware.control),
        "layers": [_layer(layer) for layer in hardware.layers],
        "fifos": [
            {
                "from": fifo.source,
                "to": fifo.target,
                "depth": fifo.depth,
                "most_held": fifo.held,
                "width": fifo.width,
                "memory": fifo.memory,
            }
            for fifo in hardware.fifos
        ],
        "optimality": hardware.optimality,
        "statement": hardware.statement,
    }


def utilization(used: int, available: int) -> float | None:
    """used / available; null where the part has none of it and some is needed."""
    if available:
        return used / available
    return None if used else 0.0


def _layer(layer: LayerRow) -> Json:
    plane = layer.plane
    return {
        "name": layer.name,
        "op": layer.op,
        "in": list(layer.shape_in),
        "out": list(layer.shape_out),
        "bits": {"in": layer.bits_in, "weight": layer.bits_weight, "out": layer.bits_out},
        "kernel": None if plane is None else list(plane.kernel),
        "taps": layer.taps,
        "positions": None if plane is None else [list(tap) for tap in plane.taps],
        "heat": None if plane is None else [round(heat, 6) for heat in plane.heat],
        "macs": layer.macs,
        "macs_dense": layer.macs_dense,
        "connections": layer.connections,
        "connections_dense": layer.connections_dense,
        "multipliers": layer.multipliers,
        "fold": layer.fold,
        "memory": layer.memory,
        "cycles": layer.cycles,
        "stalls": layer.stalls,
        "resources": dict(layer.resources),
    }


def _check(check: CheckSummary) -> Json:
    return {
        "against": check.against,
        "widths": check.widths,
        "images": check.images,
        "mismatches": check.mismatches,
        "accuracy": check.accuracy,
        "images_per_second": check.images_per_second,
    }
