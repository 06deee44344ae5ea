"""Fit the prices of single operators to published synthesis reports and write them as data of the package.

    python scripts/fit_prices.py PRIMITIVES.jsonl RECORDS.jsonl [--out psp_hw/cost/prices.json]

The inputs are collections of numbers read out of public reports (their README says which). Every constant that comes out
carries its unit, the tools and versions behind it, the number of samples and the mean absolute error of the fit.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

FABRIC = {
    "spartan7": "7-series",
    "artix7": "7-series",
    "kintex7": "7-series",
    "virtex7": "7-series",
    "zynq": "7-series",
    "kintexu": "ultrascale",
    "virtexu": "ultrascale",
    "virtexuplus": "ultrascale+",
    "zynquplus": "ultrascale+",
    "kintexuplus": "ultrascale+",
}
EVERY = "every fabric"
# Multiplications at or below this width are LUTs in every C synthesis report of the collection (10 x 10), above it DSPs.
LUT_PRODUCT_BITS = 10
# A fabric with fewer samples of an operator is priced by the fit over all fabrics.
LEAST_SAMPLES = 30


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One measured constant."""

    name: str
    fabric: str
    value: float
    unit: str
    tools: str
    samples: int
    error: float
    meaning: str


@dataclass
class Samples:
    """Rows (features, truth, count) of one fabric, and the tools that they come from."""

    rows: list[tuple[tuple[float, ...], float, int]]
    tools: set[str]


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.open()]


def gather(primitives: list[dict], pick) -> dict[str, Samples]:
    """Samples by fabric; ``pick`` gives (features, truth) of a primitive or None."""
    found: dict[str, Samples] = defaultdict(lambda: Samples([], set()))
    for entry in primitives:
        fabric = FABRIC.get(entry["family"])
        picked = pick(entry)
        if fabric is None or picked is None:
            continue
        for key in (fabric, EVERY):
            found[key].rows.append((*picked, entry["n"]))
            found[key].tools.add(f"{entry['tool']} {entry['version']}")
    return found


def tools(samples: Samples) -> str:
    """As 'Vivado HLS 2019.1 .. 2020.1, Vitis HLS 2023.1'."""
    by_tool: dict[str, list[str]] = defaultdict(list)
    for text in sorted(samples.tools):
        name, _, version = text.rpartition(" ")
        by_tool[name].append(version)
    parts = [f"{n} {v[0]} .. {v[-1]}" if len(v) > 1 else f"{n} {v[0]}" for n, v in sorted(by_tool.items())]
    return ", ".join(parts)


def linear(samples: Samples) -> tuple[np.ndarray, float, int]:
    """Least absolute deviations of truth on features; (coefficients, mean absolute error, samples).

    A primitive weighs as log2 of how often it occurs. Least absolute deviations, by iterated reweighting, because reports mix
    populations (an adder inside a chain and one beside a multiplexer) and the common one is meant.
    """
    features = np.array([row[0] for row in samples.rows], dtype=float)
    truth = np.array([row[1] for row in samples.rows], dtype=float)
    weight = 1.0 + np.log2([row[2] for row in samples.rows])
    pull = weight.copy()
    found = np.zeros(features.shape[1])
    for _ in range(60):
        root = np.sqrt(pull)[:, None]
        found, *_ = np.linalg.lstsq(features * root, truth * root[:, 0], rcond=None)
        pull = weight / np.maximum(np.abs(features @ found - truth), 0.05)
    error = float(np.average(np.abs(features @ found - truth), weights=weight))
    return found, error, len(truth)


def expression(*ops: str, least: int = 1, most: int = 64):
    def pick(entry: dict):
        if entry["prim"] != "expr" or entry["op"] not in ops or entry["DSP"]:
            return None
        width = max(entry["bits0"] or 0, entry["bits1"] or 0)
        return ((1.0, float(width)), float(entry["LUT"])) if least <= width <= most else None

    return pick


def widths_of(entry: dict) -> tuple[int, int] | None:
    """(larger, smaller) width of the operands of a multiplication, whichever way the report lists it."""
    if entry["prim"] == "expr" and entry["op"] == "*":
        return max(entry["bits0"], entry["bits1"]), min(entry["bits0"], entry["bits1"])
    if entry["prim"] == "core":
        match = re.match(r"mul_(\d+)n?s_(\d+)n?s_\d+_1_", entry["core"])
        if match:
            first, second = int(match[1]), int(match[2])
            return max(first, second), min(first, second)
    return None


def lut_product(entry: dict):
    widths = widths_of(entry)
    if widths is None or entry["DSP"] or not 2 <= widths[0] <= LUT_PRODUCT_BITS:
        return None
    if entry["LUT"] == 62 and widths[0] < LUT_PRODUCT_BITS:
        return None  # a multiplier that the project forced into fabric: priced as 10 x 10 whatever its width
    width = float(widths[0])
    return (1.0, width, width * width), float(entry["LUT"])


def dsp_product(entry: dict):
    widths = widths_of(entry)
    if widths is None or entry["DSP"] != 1 or widths[0] > 18:
        return None
    return (1.0,), float(entry["LUT"])


def lut_rom(entry: dict):
    if entry["prim"] != "memory" or entry["BRAM_18K"] or entry["banks"] != 1 or not entry["FF"]:
        return None
    if entry["FF"] != entry["bits"] or entry["words"] < 8:
        return None  # two-port line buffers are registered at 32 bits and belong to another kind
    return (entry["words"] * entry["bits"] / 64.0,), float(entry["LUT"])


def block_fifo(entry: dict):
    if (
        entry["prim"] != "fifo"
        or not entry["BRAM_18K"]
        or entry["bits"] > 64
        or entry["FF"] > 2 * entry["bits"] + 60
    ):
        return None
    return (1.0, float(entry["bits"])), float(entry["FF"])


def shallow_fifos(records: list[dict]) -> dict[str, Samples]:
    """LUTs of designs whose FIFOs are all shift registers: one sample per design, features per FIFO."""
    found: dict[str, Samples] = defaultdict(lambda: Samples([], set()))
    seen = set()
    for record in records:
        fifos, total = record.get("fifos"), ((record.get("breakdown") or {}).get("FIFO") or {}).get("LUT")
        if record["kind"] != "network" or not fifos or not total or record["tool"] != "Vivado HLS":
            continue
        if any(f.get("BRAM_18K") or f.get("depth", 0) > 2 or f["bits"] > 64 for f in fifos):
            continue
        key = (record["version"], total, len(fifos))
        if key in seen:
            continue
        seen.add(key)
        count = len(fifos)
        row = ((1.0, sum(f["bits"] for f in fifos) / count), total / count, 1)
        for fabric in (FABRIC[record["family"]], EVERY):
            found[fabric].rows.append(row)
            found[fabric].tools.add(f"{record['tool']} {record['version']}")
    return found


def emit(name: str, units: tuple[str, ...], meaning: str, found: dict[str, Samples]) -> list[Constant]:
    """Constants ``name`` (offset), ``name_per_bit`` ... per fabric with at least LEAST_SAMPLES, else of all fabrics together."""
    constants = []
    suffixes = {1: ("",), 2: ("", "_per_bit"), 3: ("", "_per_bit", "_per_bit2")}[len(units)]
    for fabric in ("7-series", "ultrascale", "ultrascale+"):
        own = found.get(fabric)
        samples = own if own is not None and len(own.rows) >= LEAST_SAMPLES else found[EVERY]
        values, error, count = linear(samples)
        for suffix, unit, value in zip(suffixes, units, values, strict=True):
            constants.append(
                Constant(
                    name=name + suffix,
                    fabric=fabric,
                    value=round(float(value), 4),
                    unit=unit,
                    tools=tools(samples) + ("" if samples is own else " (all fabrics)"),
                    samples=count,
                    error=round(error, 2),
                    meaning=meaning,
                )
            )
    return constants


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("primitives", type=Path)
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", type=Path, default=Path("psp_hw/cost/prices.json"))
    args = parser.parse_args()
    primitives, records = read(args.primitives), read(args.records)
    per_bit = ("LUT", "LUT/bit")
    constants = [
        *emit(
            "add",
            per_bit,
            "adder or subtractor, by result width",
            gather(primitives, expression("+", "-", least=4)),
        ),
        *emit("select", per_bit, "2:1 multiplexer", gather(primitives, expression("select", least=2))),
        *emit("compare", per_bit, "comparator", gather(primitives, expression("icmp", most=32))),
        *emit("gate", per_bit, "and / or / xor", gather(primitives, expression("and", "or", "xor"))),
        *emit(
            "lut_product",
            ("LUT", "LUT/bit", "LUT/bit^2"),
            "multiplier of two variables in LUTs, by the wider operand",
            gather(primitives, lut_product),
        ),
        *emit("dsp_product", ("LUT",), "LUTs beside one DSP", gather(primitives, dsp_product)),
        *emit("lut_rom", ("LUT per 64 bits",), "ROM in LUTs", gather(primitives, lut_rom)),
        *emit(
            "block_fifo_ff",
            ("FF", "FF/bit"),
            "flip-flops of a FIFO in block RAM",
            gather(primitives, block_fifo),
        ),
        *emit("fifo_lut", per_bit, "FIFO in shift registers, depth 2", shallow_fifos(records)),
    ]
    text = json.dumps([asdict(constant) for constant in constants], indent=1)
    args.out.write_text(text + "\n")
    for c in constants:
        print(
            f"{c.name:22} {c.fabric:12} {c.value:9.3f} {c.unit:16} n={c.samples:5} error={c.error:6.2f}  {c.tools}"
        )


if __name__ == "__main__":
    main()
