"""Whole networks after RTL synthesis, from the C synthesis report of the same design.

What a C synthesis report counts and RTL synthesis does not leave, as far as totals tell it:

- **Multiplexers of shared multipliers.** The report counts one per multiplier, made for its ways and not for its width; multipliers
  that read the same values then share one. So the LUTs of a design whose multipliers are shared say little of what is left, and its
  flip-flops, which hold what the data path works on, say more. LUTs of other designs are left in a steady part.
- **FIFOs of few bits.** The report puts a FIFO of more than 512 bits into block RAM; one of up to 1024 bits comes out in LUTs, and
  the others in the best shape of a RAMB18 (published designs of three repositories).
- **ROMs of few words.** Weights of a multiplier that is used fewer than 16 times come out in LUTs.
- **DSPs** stay, as many as the part has.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from psp_hw.cost.memories import blocks18
from psp_hw.cost.parts import find_part
from psp_hw.cost.published.fit import fit
from psp_hw.cost.published.records import MOST, Metric, Record, RefusedError
from psp_hw.errors import PspHwError

STAGE = "rtl_synth"
NEEDED = (Metric.DSP, Metric.LUT, Metric.FF, Metric.BRAM18)
# Bits of the largest FIFO, and words of the deepest ROM less one, that RTL synthesis keeps in LUTs though C synthesis said block RAM.
LUT_FIFO_BITS = 1024
LEAST_ROM_WORDS = 16
LEAST_REPOSITORIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A design after RTL synthesis, and its C synthesis report.

    Args:
        record: after RTL synthesis.
        c_synthesis: what the C synthesis report says.
        shared: whether its multipliers are shared (resource strategy, a reuse factor above one).
        reuse: largest reuse factor of its layers.
        fifo_blocks: RAMB18 of its FIFOs in the C synthesis report.
        fifos: of those, (depth, bits) of each; None where the record does not list them.
        dsps: of the part; None where it is not known.
    """

    record: Record
    c_synthesis: Mapping[Metric, int]
    shared: bool
    reuse: int
    fifo_blocks: int
    fifos: tuple[tuple[int, int], ...] | None
    dsps: int | None


def is_network(record: Record) -> bool:
    """Whether a record is predicted here."""
    return record.kind == "network" and record.stage == STAGE


def reports_of(records: Sequence[Record]) -> dict[str, list[Record]]:
    """C synthesis reports of networks, by design."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.kind == "network" and record.stage == "hls_estimate":
            found[design_name(record)].append(record)
    return found


def design_name(record: Record) -> str:
    """What records of one design have in common: their id without the stage; empty where there is none."""
    name = record.fields.get("id")
    return name.split("#")[0] if isinstance(name, str) else ""


def design_of(record: Record, reports: Mapping[str, Sequence[Record]]) -> Design:
    """A record after RTL synthesis with the C synthesis report of its design.

    Raises:
        RefusedError: there is no such report, or not exactly one, or it lacks a total.
    """
    name = design_name(record)
    known = reports.get(name, ()) if name else ()
    if len(known) != 1:
        raise RefusedError(f"{'no' if not known else 'more than one'} C synthesis report of the network")
    report = known[0]
    missing = [metric.value for metric in NEEDED if metric not in report.measured]
    if missing:
        raise RefusedError(f"the C synthesis report of the network lacks {', '.join(missing)}")
    layers = _objects(report.fields.get("layers"))
    reuse = max([1, *(_whole(layer.get("rf")) for layer in layers)])
    return Design(
        record=record,
        c_synthesis=report.measured,
        shared=reuse > 1 and any(layer.get("strategy") == "resource" for layer in layers),
        reuse=reuse,
        fifo_blocks=_fifo_blocks(report.fields),
        fifos=_fifos(report.fields.get("fifos")),
        dsps=_dsps(report.fields.get("part")),
    )


def known(design: Design, metric: Metric) -> float | None:
    """What follows without any factor; None where the record does not tell it."""
    match metric:
        case Metric.DSP:
            return float(min(design.c_synthesis[metric], design.dsps or design.c_synthesis[metric]))
        case Metric.BRAM18:
            if design.fifo_blocks and design.fifos is None:
                return None
            inside = design.c_synthesis[metric] - design.fifo_blocks
            deep = [(depth, bits) for depth, bits in design.fifos or () if depth * bits > LUT_FIFO_BITS]
            fifos = sum(blocks18(depth, bits) for depth, bits in deep) if design.fifo_blocks else 0
            return float(fifos + (0 if design.shared else inside))
        case _:
            return 0.0


def features(design: Design, metric: Metric) -> tuple[float, ...]:
    """What factors multiply."""
    report = design.c_synthesis
    match metric:
        case Metric.LUT:
            return (report[Metric.FF], 0.0) if design.shared else (0.0, report[Metric.LUT])
        case Metric.FF:
            return (report[Metric.FF],)
        case Metric.BRAM18:
            inside = report[metric] - design.fifo_blocks
            return (inside if design.shared and design.reuse >= LEAST_ROM_WORDS else 0.0,)
        case _:
            return ()


def predict_networks(designs: Sequence[Design], metric: Metric) -> list[tuple[Record, float, int]]:
    """(record, predicted, truth) of every design whose metric can be told, with factors fitted on other repositories."""
    found = []
    some = [(design, start) for design in designs if (start := known(design, metric)) is not None]
    some = [(design, start) for design, start in some if metric in design.record.measured]
    for repository in sorted({design.record.repository for design, _ in some}):
        held = [pair for pair in some if pair[0].record.repository == repository]
        factors = _factors([pair for pair in some if pair[0].record.repository != repository], metric)
        if factors is None:
            continue
        for design, start in held:
            value = start + float(np.dot(features(design, metric), factors))
            found.append((design.record, value, design.record.measured[metric]))
    return found


def _factors(others: Sequence[tuple[Design, float]], metric: Metric) -> list[float] | None:
    """Factors that fit other repositories; None where there are too few of them."""
    if metric is Metric.DSP:
        return []
    if len({design.record.repository for design, _ in others}) < LEAST_REPOSITORIES:
        return None
    rows = np.array([features(design, metric) for design, _ in others], dtype=np.float64)
    truth = np.array([design.record.measured[metric] for design, _ in others], dtype=np.float64)
    rest = np.maximum(truth - np.array([start for _, start in others]), 0.0)
    return [float(factor) for factor in fit(rows, rest, truth)]


def _objects(value: object) -> list[Mapping[str, object]]:
    """A list of objects, which some records hold as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST else 0


def _fifo_blocks(fields: Mapping[str, object]) -> int:
    breakdown = fields.get("breakdown")
    fifo = breakdown.get("FIFO") if isinstance(breakdown, dict) else None
    return _whole(fifo.get("BRAM_18K")) if isinstance(fifo, dict) else 0


def _fifos(value: object) -> tuple[tuple[int, int], ...] | None:
    """(depth, bits) of the FIFOs that C synthesis put into block RAM; None where none is listed."""
    listed = [fifo for fifo in _objects(value) if _whole(fifo.get("BRAM_18K"))]
    sizes = tuple((_whole(fifo.get("depth")), _whole(fifo.get("bits"))) for fifo in listed)
    return sizes if sizes and all(depth and bits for depth, bits in sizes) else None


def _dsps(part: object) -> int | None:
    if not isinstance(part, str):
        return None
    try:
        return find_part(part).resources.dsp
    except PspHwError:
        return None
