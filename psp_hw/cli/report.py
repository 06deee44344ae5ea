"""``psp-hw report``: one HTML page, Markdown and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import Board, Budget, CalibrationFile, ClockNs, Dsp, Json, Part, Source


def command(
    source: Source = None,
    part: Part = None,
    board: Board = None,
    budget: Budget = None,
    dsp: Dsp = None,
    calibration: CalibrationFile = None,
    clock: ClockNs = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for the three files. [default: the run or design itself]",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the report of a run or design.

    Three files: report.html (one page, no network), report.md, report.json.
    For a design, part, budget and clock are the design's own.
    """
    from psp_hw.flow import report as flow
    from psp_hw.flow.device import DeviceRequest

    with console.stdout_for_json(as_json):
        files = flow.write_report(
            source,
            part=part,
            clock_ns=clock,
            out=out,
            device=DeviceRequest(board=board, budget=budget, dsp=dsp, calibration=calibration),
            note=console.note,
        )
    if as_json:
        console.show_json({"report": str(files[0].parent), "files": [file.name for file in files]})
        return
    for file in files:
        console.show(str(file))
