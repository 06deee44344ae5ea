"""``psp-hw emit``: the design folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import CLOCK_DEFAULT, PART_DEFAULT, ClockNs, FoldOption, Fps, Json, Max, Part, Source
from psp_hw.flow.defaults import DEFAULT_TARGET


def command(
    source: Source = None,
    target: Annotated[
        str, typer.Option("--target", help="vivado (Vivado HLS 2019.2+) or vitis (Vitis HLS 2021.1+).")
    ] = (DEFAULT_TARGET),
    part: Part = PART_DEFAULT,
    clock: ClockNs = CLOCK_DEFAULT,
    fps: Fps = None,
    fastest: Max = False,
    fold: FoldOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The design folder. [default: beside the source]", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write the files even if the design does not fit.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a design folder.

    It is whole: C++, weights, testbench with golden vectors, Makefile for g++, Tcl for the vendor tool, report, README and
    test_design.py. Without --fps or --max the design is as fast as fits in 70 % of the part.
    Exit code 1 if the design does not fit the part.
    """
    from psp_hw.flow import emit as flow
    from psp_hw.flow.goal import GoalRequest

    with console.Steps(quiet=as_json) as steps, console.stdout_for_json(as_json):
        result = flow.emit(
            flow.Request(
                source=source,
                target=target,
                part=part,
                clock_ns=clock,
                goal=GoalRequest(fps=fps, max=fastest, fold=tuple(fold or ())),
                out=out,
                force=force,
            ),
            progress=steps,
        )
    if as_json:
        console.show_json(flow.document(result))
    else:
        console.show(
            f"{result.interval_cycles:,} cycles per frame: {result.fps:,.0f} frames/s at {result.clock_ns:g} ns "
            f"on {result.part}"
        )
        console.show("; ".join(f"{use.name} {use.used:,} of {use.available:,}" for use in result.resources))
        for shortage in result.shortages:
            console.show(f"does not fit: {shortage}")
        console.show(
            f"design: {result.design} ({len(result.files)} files; start with README.md and report.html)"
        )
        console.next_step(
            "compile it with g++ and compare it with the trained network", f"pytest {result.design}"
        )
    if not result.fits:
        raise typer.Exit(1)
