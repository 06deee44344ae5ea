"""``psp-hw explore``: what could be built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import Board, Budget, CalibrationFile, ClockNs, Dsp, Json, Part, Source
from psp_hw.flow.defaults import DEFAULT_TARGET

if TYPE_CHECKING:
    from psp_hw.flow.explore import Exploration


def command(
    source: Source = None,
    part: Part = None,
    board: Board = None,
    clock: ClockNs = None,
    budget: Budget = None,
    dsp: Dsp = None,
    calibration: CalibrationFile = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help=f"The tool that `emit --point N` writes for: vivado, vitis or hls4ml. [default: {DEFAULT_TARGET}; a design's own]",
            show_default=False,
        ),
    ] = None,
    densities: Annotated[
        bool,
        typer.Option("--densities", help="Also as the network would be at other tap counts, dense included."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the files. [default: beside the source]", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the front of speed against resources.

    Every point is the cheapest design for its speed; the knee is marked; `psp-hw emit --point N` builds one. Writes
    front.png, front.md and front.json.
    """
    from psp_hw.flow import explore as flow
    from psp_hw.flow.device import DeviceRequest

    with console.Steps(quiet=as_json) as steps, console.stdout_for_json(as_json):
        found = flow.explore_source(
            source,
            part=part,
            clock_ns=clock,
            device=DeviceRequest(board=board, budget=budget, dsp=dsp, calibration=calibration),
            target=target,
            densities=densities,
            out=out,
            progress=steps,
        )
    for sentence in found.settings.notes:
        console.note(sentence)
    if as_json:
        console.show_json(flow.document(found))
    else:
        _print(found)


def _print(found: Exploration) -> None:
    from psp_hw.flow.explore import ACCURACY, HEAD, expected_error, left_to_save, row

    for front in (found.front, *found.densities):
        console.show(f"{front.name}:")
        rows = [row(found, front, index) for index in range(len(front.points))]
        console.show_table(HEAD, rows)
    if found.densities:
        console.show(ACCURACY)
    console.show(left_to_save(found))
    console.show(expected_error(found.settings))
    for path in found.files:
        console.show(str(path))
    console.next_step("build the knee, or with another --point another", found.emit_command())
