"""Price published hls4ml layers with the prices of psp-hw and report how far off they are.

    python scripts/validate_estimate.py RECORDS.jsonl [--out reports/estimate]

The layers are not ours: hls4ml's dense and conv2d, in C synthesis reports (grade A records). What is tested is the price list
and the way from weights and widths to operators: how many multipliers there are and of which kind, what constants cost, how
wide memories are. Nothing was fitted on these totals; single operators inside the same reports are what the price list
was measured on, so this is a consistency check of sums, not an independent test of single prices.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from psp_hw.cost.bill import (
    Add,
    Bill,
    ConstantMultiply,
    Item,
    LoopControl,
    Multiply,
    Mux,
    Register,
    Rom,
    Select,
    bill,
)
from psp_hw.cost.devices import FABRICS, Family
from psp_hw.cost.pipeline import DELAYS, Level, cut
from psp_hw.cost.prices import Stage
from psp_hw.cost.pricing import price_bill, uses_dsp
from psp_hw.cost.resources import Resource
from psp_hw.folding.plan import MemoryKind
from psp_hw.units import Clock

METRICS = {Resource.DSP: "DSP", Resource.LUT: "LUT", Resource.FF: "FF", Resource.BRAM18: "BRAM_18K"}
ROM_LEAST_BLOCK_BITS = 1024  # ROMs of published reports: below, LUTs; above, block RAM
SMALL = 10  # truths below are compared in absolute units


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A published layer: n products per output pixel, by reuse factor and strategy."""

    kind: str
    strategy: str
    reuse: int
    inputs: int
    outputs: int
    entering: int
    weight: int
    acc: int
    count: int
    zeros: int
    powers: int
    digits: int
    pixels: int
    family: Family
    clock: Clock
    forced_dsp: bool


class RefusedError(Exception):
    """A record that cannot be priced, with the reason."""


def width(text: str | None) -> int:
    match = re.match(r"ap_u?(?:fixed|int)<(\d+)", text or "")
    if match is None:
        raise RefusedError(f"type {text!r}")
    return int(match[1])


def layer_of(record: dict) -> Layer:
    """Read a record; refuse what lacks a field."""
    shape, hls, weights = record["shape"], record["hls"], record.get("weights") or {}
    if weights.get("n") is None:
        raise RefusedError("no weight statistics")
    if hls.get("strategy") not in ("latency", "resource") or not hls.get("reuse_factor"):
        raise RefusedError("no strategy or reuse factor")
    precision = record["precision"]
    if record["kind"] == "dense":
        inputs, outputs, pixels = shape["n_in"], shape["n_out"], 1
    else:
        inputs = shape["k_h"] * shape["k_w"] * shape["in_c"]
        outputs, pixels = shape["filters"], shape["in_h"] * shape["in_w"]
    return Layer(
        kind=record["kind"],
        strategy=hls["strategy"],
        reuse=int(hls["reuse_factor"]),
        inputs=inputs,
        outputs=outputs,
        entering=width(precision["input"]),
        weight=width(precision["weight"]),
        acc=width(precision["accum"]),
        count=weights["n"],
        zeros=weights["n_zero_q"],
        powers=weights["n_pow2_q"],
        digits=weights["csd_digits"],
        pixels=pixels,
        family=Family(record["family"]),
        clock=Clock(period_ns=float(record["clk_target_ns"])),
        forced_dsp=any("impl dsp" in line for line in hls.get("tcl") or []),
    )


def layer_bill(layer: Layer) -> Bill:
    """What the layer is made of, by strategy."""
    if layer.strategy == "resource" and layer.reuse > 1:
        return _resource(layer)
    return _latency(layer)


def _latency(layer: Layer) -> Bill:
    """Constant products: zeros vanish, powers of two are wiring, the rest by its signed digits.

    Only totals of the digits are known: constants beyond powers of two are taken to have 2 + Poisson(mean - 2) of them.
    """
    alive = layer.count - layer.zeros
    rich = max(0, alive - layer.powers)
    mean = (layer.digits - layer.powers) / rich if rich else 2.0
    two = round(rich * math.exp(-max(0.0, mean - 2.0)))
    many = rich - two
    if layer.reuse > 1:
        many = min(many, math.ceil(alive / layer.reuse))
    sums = max(0, alive - layer.outputs) + layer.outputs
    pipeline = cut(_path(layer, alive, many), layer.clock)
    # A multiplication that the project forces into a DSP is one of 11 x 5 bits to the price list.
    product = Multiply(max(11, layer.entering), max(5, layer.weight)) if layer.forced_dsp else None
    return bill(
        [
            Item(ConstantMultiply(layer.entering, layer.weight, 2), two),
            Item(product or Multiply(layer.entering, layer.weight), many),
            Item(Add(layer.acc), sums),
            LoopControl(pipeline.depth + 1),
            Register(pipeline.registers),
        ]
    )


def _path(layer: Layer, alive: int, many: int) -> list[Level]:
    """The data path of a latency-strategy layer: products, then a tree per output."""
    delays = DELAYS[FABRICS[layer.family]]
    dsp = uses_dsp(layer.entering, layer.weight) or layer.forced_dsp
    product = min(layer.entering + layer.weight, layer.acc)
    levels = [Level(0.0, layer.inputs * layer.entering)]
    levels.append(Level(delays.dsp_product if dsp else delays.lut_product, alive * product))
    rest = alive / layer.outputs
    while rest > 1:
        rest = math.ceil(rest / 2)
        bits = rest * layer.outputs * layer.acc
        levels.append(Level(delays.add + delays.add_per_bit * layer.acc, bits))
    return levels


def _resource(layer: Layer) -> Bill:
    """``count / reuse`` multipliers that are fed by a ROM and a multiplexer, and one accumulator each."""
    products = math.ceil(layer.count / layer.reuse)
    window = (
        2 * layer.inputs * layer.entering
    )  # the input, held while it is used, and shifted for the next one
    bits = products * layer.weight
    kind = MemoryKind.BRAM if layer.reuse * bits > ROM_LEAST_BLOCK_BITS else MemoryKind.LUTRAM
    sharing = max(1, layer.inputs // layer.reuse) if layer.reuse <= layer.inputs else 1
    return bill(
        [
            Rom(layer.reuse, bits, kind),
            Item(Multiply(layer.entering, layer.weight), products),
            Item(Mux(min(layer.reuse, layer.inputs), layer.entering), sharing),
            Item(Add(layer.acc), products + layer.outputs),
            Item(Select(layer.acc), layer.outputs),
            Register(window + 2 * layer.outputs * layer.acc + products * layer.acc),
            LoopControl(5),
        ]
    )


def errors(record: dict) -> dict[Resource, tuple[int, int]]:
    """(predicted, truth) per metric."""
    layer = layer_of(record)
    found = price_bill(layer_bill(layer), FABRICS[layer.family], Stage.C_SYNTHESIS)
    return {
        resource: (found.of(resource), int(record["measured"][name]))
        for resource, name in METRICS.items()
        if record["measured"].get(name) is not None
    }


def summarize(pairs: list[tuple[int, int]]) -> dict[str, float | int | None]:
    """Median and 90th percentile of the absolute error [%] of truths of 10 and more, of the rest in units; bias [%]."""
    large = np.array([(p, t) for p, t in pairs if t >= SMALL], dtype=float).reshape(-1, 2)
    small = np.array([(p, t) for p, t in pairs if t < SMALL], dtype=float).reshape(-1, 2)
    share = np.abs(large[:, 0] - large[:, 1]) / large[:, 1] * 100 if len(large) else np.array([])
    bias = (large[:, 0] - large[:, 1]) / large[:, 1] * 100 if len(large) else np.array([])
    return {
        "covered": len(pairs),
        "median_ape": round(float(np.median(share)), 1) if len(share) else None,
        "p90_ape": round(float(np.percentile(share, 90)), 1) if len(share) else None,
        "bias": round(float(np.median(bias)), 1) if len(bias) else None,
        "small": len(small),
        "median_abs_small": float(np.median(np.abs(small[:, 0] - small[:, 1]))) if len(small) else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reports/estimate"))
    args = parser.parse_args()
    groups: dict[tuple[str, str, Resource], list[tuple[int, int]]] = defaultdict(list)
    refused: dict[str, int] = defaultdict(int)
    cycles: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in args.records.read_text().splitlines():
        record = json.loads(line)
        if record["framework"] != "hls4ml" or record["kind"] not in ("dense", "conv2d"):
            continue
        if record["stage"] != "hls_estimate" or record["grade"] != "A":
            continue
        try:
            found = errors(record)
        except RefusedError as reason:
            refused[str(reason)] += 1
            continue
        layer = layer_of(record)
        for resource, pair in found.items():
            groups[layer.kind, layer.strategy, resource].append(pair)
    rows = [
        {"kind": kind, "strategy": strategy, "metric": resource.value, **summarize(pairs)}
        for (kind, strategy, resource), pairs in sorted(groups.items(), key=lambda item: str(item[0]))
    ]
    for line in args.records.read_text().splitlines():
        record = json.loads(line)
        loops = record.get("loops") or []
        if record["stage"] == "hls_estimate" and len(loops) == 1 and loops[0].get("ii") == 1:
            iteration = str(loops[0].get("iter_lat"))
            if iteration.isdigit() and record["kind"] in ("relu", "pool2d", "linear", "leaky_relu", "conv2d"):
                truth = record["measured"]["lat_max"]
                cycles[record["kind"]].append((loops[0]["trip"] + int(iteration), truth))
    write(args.out, rows, dict(refused), {kind: exact(pairs) for kind, pairs in cycles.items()})


def exact(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    """(how many agree, how many there are)."""
    return sum(predicted == truth for predicted, truth in pairs), len(pairs)


def write(out: Path, rows: list[dict], refused: dict[str, int], cycles: dict[str, tuple[int, int]]) -> None:
    """The table as Markdown and JSON."""
    out.mkdir(parents=True, exist_ok=True)
    document = {"groups": rows, "refused": refused, "one_loop_latency_exact": cycles}
    (out / "result.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# The price list against published C synthesis reports",
        "",
        "Layers of hls4ml (not ours), grade A. `python scripts/validate_estimate.py RECORDS.jsonl` writes this page. Errors are of",
        "truths of 10 and more; smaller ones are compared in units. The multiplier of a resource-strategy layer is fed by a",
        "multiplexer whose size the report does not follow from its shape alone, hence its LUT error.",
        "",
        "| kind | strategy | metric | records | median error | 90th percentile | bias | below 10: records | median |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["kind"], row["strategy"], row["metric"], row["covered"]]
        cells += [
            f"{row[key]} %" if row[key] is not None else "-" for key in ("median_ape", "p90_ape", "bias")
        ]
        cells += [row["small"], "-" if row["median_abs_small"] is None else f"{row['median_abs_small']:g}"]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", f"Refused: {refused if refused else 'none'}.", ""]
    lines += [
        "Latency of a layer that is one pipelined loop, trips + iteration latency, equal to the report:",
        "",
    ]
    lines += [f"- {kind}: {good} of {count}" for kind, (good, count) in sorted(cycles.items())]
    (out / "report.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
