"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psp_hw.errors import SpecError
from psp_hw.flow.defaults import DEFAULT_CLOCK_NS, DEFAULT_PART
from psp_hw.spec.names import shown

Source = Annotated[
    Path | None,
    typer.Argument(
        help="A run folder, a QONNX file or a design folder. [default: the newest complete run in runs/]",
        show_default=False,
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--part",
        help=f"The FPGA, as `psp-hw parts` lists it. [default: {DEFAULT_PART}; a design's own]",
        show_default=False,
    ),
]


def nanoseconds(text: str) -> float:
    """A clock period; who writes a frequency is told the unit."""
    try:
        return float(text)
    except ValueError:
        what = f"{shown(text)} is not a number of nanoseconds"
        raise SpecError(what, where="--clock", hint="give the period: 3.33 for 300 MHz") from None


ClockNs = Annotated[
    float | None,
    typer.Option(
        "--clock",
        parser=nanoseconds,
        metavar="NS",
        help=f"Clock period [ns]. [default: {DEFAULT_CLOCK_NS:g}; a design's own]",
        show_default=False,
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps", help="The smallest design that reaches this many frames per second.", show_default=False
    ),
]
Board = Annotated[
    str | None,
    typer.Option(
        "--board", help="A board, in place of --part: its part, its usual clock.", show_default=False
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="At most so much of the part, as dsp=120,lut=20000 (dsp, lut, ff, bram18, uram); all that an unknown part has.",
        show_default=False,
        metavar="RESOURCE=N,...",
    ),
]
Dsp = Annotated[int | None, typer.Option("--dsp", help="At most so many DSPs.", show_default=False)]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="The constants of your tools, as `psp-hw calibrate` writes them.",
        show_default=False,
    ),
]
LatencyUs = Annotated[
    float | None,
    typer.Option(
        "--latency-us",
        help="The smallest design that finishes a lone frame in this many microseconds.",
        show_default=False,
    ),
]
PointOption = Annotated[
    int | None,
    typer.Option(
        "--point", help="A point of `psp-hw explore` for the same target, by its number.", show_default=False
    ),
]
MinArea = Annotated[bool, typer.Option("--min-area", help="The smallest design, however slow.")]
Max = Annotated[bool, typer.Option("--max", help="The fastest design that fits the part.")]
FoldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fold",
        help="Folds by hand: LAYER=pe:4,simd:2,taps:3 (a part left out is 1), or LAYER=pe:4,lanes:6 for a connection table, "
        "once per layer, or a .yaml or .json file of {LAYER: {pe: 4, simd: 2, taps: 3}}. Layers not named are chosen around them.",
        show_default=False,
        metavar="LAYER=FOLD|FILE",
    ),
]
LeastFifos = Annotated[
    bool,
    typer.Option(
        "--least-fifos",
        help="FIFOs as shallow as speed allows if pipelines are as deep as estimated; else twice as deep is allowed for.",
    ),
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Refuse a QONNX file that would not be computed exactly.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder that holds fetched data sets. [default: data]", show_default=False
    ),
]
