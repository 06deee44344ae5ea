"""``psp-hw emit``: the design folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import (
    Board,
    Budget,
    CalibrationFile,
    ClockNs,
    Dsp,
    Exact,
    FoldOption,
    Fps,
    Json,
    LatencyUs,
    LeastFifos,
    Max,
    MinArea,
    Part,
    PointOption,
    Source,
)
from psp_hw.errors import DoesNotFitError
from psp_hw.flow.defaults import DEFAULT_TARGET

if TYPE_CHECKING:
    from psp_hw.flow.emit import EmitSummary


def command(
    source: Source = None,
    target: Annotated[
        str,
        typer.Option(
            "--target", help="vivado (Vivado HLS 2019.2+), vitis (Vitis HLS 2021.1+) or hls4ml (1.3)."
        ),
    ] = DEFAULT_TARGET,
    part: Part = None,
    board: Board = None,
    clock: ClockNs = None,
    fps: Fps = None,
    latency_us: LatencyUs = None,
    fastest: Max = False,
    min_area: MinArea = False,
    point: PointOption = None,
    budget: Budget = None,
    dsp: Dsp = None,
    calibration: CalibrationFile = None,
    fold: FoldOption = None,
    least_fifos: LeastFifos = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The design folder. [default: beside the source]", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write the files even if the design does not fit.")
    ] = False,
    backend: Annotated[
        str | None,
        typer.Option("--backend", help="Of hls4ml: vitis or vivado. [default: vitis]", show_default=False),
    ] = None,
    io_type: Annotated[
        str | None,
        typer.Option(
            "--io-type", help="Of hls4ml: io_stream or io_parallel. [default: io_stream]", show_default=False
        ),
    ] = None,
    exact: Exact = False,
    as_json: Json = False,
) -> None:
    """Write a design folder.

    It is whole: C++, weights, testbench with golden vectors, Makefile for g++, Tcl for the vendor tool, report, README and
    test_design.py. Without --fps or --max the design is as fast as fits in 70 % of the part.
    Exit code 1 if the design does not fit the part.
    """
    from psp_hw.flow import emit as flow
    from psp_hw.flow.device import DeviceRequest
    from psp_hw.flow.goal import GoalRequest

    request = flow.Request(
        source=source,
        target=target,
        part=part,
        clock_ns=clock,
        goal=GoalRequest(
            fps=fps,
            max=fastest,
            fold=tuple(fold or ()),
            latency_us=latency_us,
            min_area=min_area,
            point=point,
            least_fifos=least_fifos,
        ),
        device=DeviceRequest(board=board, budget=budget, dsp=dsp, calibration=calibration),
        out=out,
        force=force,
        hls4ml_backend=backend,
        io_type=io_type,
        exact=exact,
    )
    try:
        with console.Steps(quiet=as_json) as steps, console.stdout_for_json(as_json):
            result = flow.emit(request, progress=steps)
    except DoesNotFitError:
        if as_json:
            console.show_json(flow.refusal(request))
        raise
    for sentence in result.notes:
        console.note(sentence)
    console.say_rounding(source)
    if as_json:
        console.show_json(flow.document(result))
    else:
        _print(result)
    if not result.fits:
        raise typer.Exit(1)


def _print(result: EmitSummary) -> None:
    from psp_hw.flow.runs import as_word

    hardware = result.hardware
    console.show(
        f"{hardware.interval_cycles:,} cycles per frame: {hardware.fps:,.0f} frames/s "
        f"at {result.clock_ns:g} ns on {result.part}"
    )
    uses = (f"{use.name} {use.used:,} of {use.available:,}" for use in hardware.resources if use.available)
    console.show("; ".join(uses))
    if hardware.optimality:
        console.show(hardware.optimality)
    console.show_cautions(hardware)
    for shortage in hardware.shortages:
        console.show(f"does not fit: {shortage}")
    console.show(f"design: {result.design} ({len(result.files)} files; start with README.md and report.html)")
    what = "compile it with g++ and compare it with the trained network"
    console.next_step(what, f"pytest {as_word(result.design)}")
