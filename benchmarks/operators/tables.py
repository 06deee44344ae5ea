"""Our prices beside the cells of yosys, as tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.operators.cases import Case
from benchmarks.operators.engines import Built
from benchmarks.operators.mapping import Cells
from psp_hw.cost.resources import Resources


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
        lines.append(_row(*row, *_blocks(price, one)))
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
        ratios = (_median(luts), spread, _median(ffs))
        lines.append(_row(group, len(found), *ratios, f"{equal} of {len(found)}"))
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
            lines.append(_row(*row, *_blocks(price, one)))
    return lines


def _median(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def _blocks(price: Resources, one: Cells) -> tuple[str, str]:
    return f"{price.dsp}, {one.dsp}", f"{price.bram18}, {one.bram18}"


def _row(*values: object) -> str:
    return f"| {' | '.join(map(str, values))} |"
