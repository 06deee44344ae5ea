"""The tables of a comparison, as Markdown."""

from __future__ import annotations

import benchmarks.hls4ml_compare as package
from benchmarks.hls4ml_compare.timing import STANDALONE, Total
from benchmarks.hls4ml_compare.ways import Pace, Row, Way


def report(found: list[Row], speed: list[Total], images: int, *, kept: bool) -> str:
    """The tables as Markdown; kept where they are of an earlier run than the comparison of times."""
    lines = [
        "# Shape pruning through hls4ml",
        "",
        f"{(package.__doc__ or '').split(chr(10) * 2)[1]}",
        "",
        "Computed from the generated project: multipliers, weight bits, line buffer bits, cycles. Measured, in processor time of",
        f"one core: g++ as hls4ml's `compile()` calls it, images per second of its `predict()` over {images} frames; and frames",
        "that differ from the integer network. No vendor tool was run: what synthesis makes of a constant zero is not seen here.",
        "",
    ]
    for pace in Pace:
        lines += [
            f"## {pace.value[:1].upper()}{pace.value[1:]}",
            "",
            *_table([row for row in found if row.pace == pace.value]),
            "",
        ]
    if speed:
        lines += _times(speed, kept=kept)
    return "\n".join(lines)


def _times(speed: list[Total], *, kept: bool) -> list[str]:
    """Compiling and simulating, beside each other, and the two ratios."""
    ours = next(total for total in speed if total.way == Way.OURS.value)
    alone = {total.network: total for total in speed if total.way == STANDALONE}
    stocks = [total for total in speed if total.way not in (Way.OURS.value, STANDALONE)]
    stock = min(stocks, key=lambda total: total.seconds)
    fastest = max(stocks, key=lambda total: total.images_per_second).images_per_second
    return [
        f"## Compile, then simulate {ours.images} frames",
        "",
        "All ways in one run, one after the other, at the same II, in processor time of one core"
        + (" (a later run than that of the tables above)." if kept else "."),
        "",
        "| | compile [s] | simulate [s] | both [s] | images/s |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| {t.way}, {t.network} | {t.compile_seconds:.1f} | {t.run_seconds:.1f} | {t.seconds:.1f} "
            f"| {t.images_per_second:.1f} |"
            for t in speed
        ),
        "",
        f"Compiling and simulating, ours inside hls4ml takes {ours.seconds / stock.seconds:.2f} of the time of the faster "
        "stock strategy.",
        f"The C++ alone simulates {alone['dense'].images_per_second / fastest:.1f} times the images/s of stock hls4ml with "
        f"the dense network, {alone['4 of 9 taps'].images_per_second / fastest:.1f} times with 4 of 9 taps.",
        "",
    ]


def _table(found: list[Row]) -> list[str]:
    head = (
        "network | through | multipliers | weights [bits] | line buffers [bits] | cycles per pixel | cycles per frame | "
        "compile [s] | images/s | differ"
    )
    lines = [f"| {head} |", "|---|---|" + "--:|" * 8]
    for row in found:
        seconds = "" if row.compile_seconds is None else f"{row.compile_seconds:.1f}"
        if row.gave_up_after_seconds is not None:
            seconds = f"> {row.gave_up_after_seconds:.0f}"
        speed = "" if row.images_per_second is None else f"{row.images_per_second:.1f}"
        differ = "" if row.mismatches is None else str(row.mismatches)
        lines.append(
            f"| {row.network} | {row.way} | {row.multipliers:,} | {row.weight_bits:,} | {row.line_buffer_bits:,} | "
            f"{row.cycles_per_pixel} | {row.cycles_per_frame:,} | {seconds} | {speed} | {differ} |"
        )
    return lines
