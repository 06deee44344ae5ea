"""Our prices beside the cells of yosys, as tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.operators.cases import Case
from benchmarks.operators.engines import Built
from benchmarks.operators.mapping import Cells
from psp_hw.cost.kinds import op_kind
from psp_hw.cost.resources import Resources


def engine_table(engines: Sequence[Built], cells: dict[str, Cells]) -> list[str]:
    """One row per engine: what we say, what yosys takes, and the ratios; their medians by what engines do."""
    lines = [
        "## Whole engines",
        "",
        "| engine | | LUT: ours | yosys | cells | ratio | FF: ours | yosys | ratio | DSP: ours, yosys | BRAM18: ours, yosys |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    ratios: dict[str, list[tuple[float, float]]] = {}
    for engine in engines:
        one, price = cells.get(engine.module.name), engine.price
        if one is None:
            continue
        kind, lut, ff = op_kind(engine.engine), price.lut / one.lut, price.ff / one.ff
        ratios.setdefault(kind, []).append((lut, ff))
        row = (
            kind,
            engine.wanted.text,
            price.lut,
            one.lut,
            one.cells,
            f"{lut:.2f}",
            price.ff,
            one.ff,
            f"{ff:.2f}",
        )
        lines.append(_row(*row, *_blocks(price, one)))
    lines += [
        "",
        "| engines | how many | LUT: median | least .. most | FF: median | least .. most |",
        "|---|---|---|---|---|---|",
    ]
    ratios["all"] = [pair for pairs in ratios.values() for pair in pairs]
    for kind, pairs in ratios.items():
        luts, ffs = ([pair[at] for pair in pairs] for at in (0, 1))
        lines.append(_row(kind, len(pairs), _median(luts), _spread(luts), _median(ffs), _spread(ffs)))
    return lines


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
        ratios = (_median(luts), _spread(luts), _median(ffs))
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


def _spread(ratios: list[float]) -> str:
    return f"{min(ratios):.2f} .. {max(ratios):.2f}" if ratios else "-"


def _blocks(price: Resources, one: Cells) -> tuple[str, str]:
    return f"{price.dsp}, {one.dsp}", f"{price.bram18}, {one.bram18}"


def _row(*values: object) -> str:
    return f"| {' | '.join(map(str, values))} |"
