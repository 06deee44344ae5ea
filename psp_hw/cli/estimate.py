"""``psp-hw estimate``: cycles and resources, no files."""

from __future__ import annotations

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
from psp_hw.flow.defaults import DEFAULT_TARGET

if TYPE_CHECKING:
    from psp_hw.report.model import HardwareSummary


def command(
    source: Source = None,
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
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help=f"The tool of the design: vivado, vitis or hls4ml. [default: {DEFAULT_TARGET}; a design's own]",
            show_default=False,
        ),
    ] = None,
    exact: Exact = False,
    as_json: Json = False,
) -> None:
    """Say what a design costs; write nothing.

    Cycles, and DSP, LUT, FF, BRAM18 and URAM against the part. Exit code 1 if the design does not fit.
    """
    from psp_hw.flow import estimate as flow
    from psp_hw.flow.device import DeviceRequest
    from psp_hw.flow.goal import GoalRequest

    with console.Steps(quiet=as_json) as steps, console.stdout_for_json(as_json):
        result = flow.estimate(
            source,
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
            exact=exact,
            target=target,
            progress=steps,
        )
    for sentence in result.notes:
        console.note(sentence)
    console.say_rounding(source)
    if as_json:
        console.show_json(flow.document(result))
    else:
        _print(result.hardware)
    if not result.fits:
        raise typer.Exit(1)


def _print(result: HardwareSummary) -> None:
    from psp_hw.units import microseconds

    names = [use.name for use in result.resources]
    rows = [
        (
            layer.name,
            layer.op,
            f"{layer.taps} of {layer.plane.total}" if layer.plane else "",
            layer.fold,
            f"{layer.cycles:,}" + (" *" if layer.name == result.bottleneck else "  "),
            *(f"{amount:,}" for _, amount in layer.resources),
        )
        for layer in result.layers
    ]
    rows.append(("(control)", "axi4-lite", "", "", "  ", *(f"{amount:,}" for _, amount in result.control)))
    console.show_table(("Layer", "Op", "Taps", "Fold", "Cycles  ", *names), rows, text_columns=4)
    totals = [
        (
            use.name,
            f"{use.used:,}",
            f"{'budget ' if use.limited else ''}{use.available:,}",
            f"{use.fraction:.1%}" if use.available else "",
            "" if use.c_synthesis is None else f"{use.c_synthesis:,}",
        )
        for use in result.resources
    ]
    console.show_table(
        ("Resource", "Used", f"On {result.part}", "Share", "In the C synthesis report"), totals
    )
    console.show(
        f"{result.interval_cycles:,} cycles per frame (* sets it), latency {result.latency_cycles:,}: "
        f"{result.fps:,.0f} frames/s and {microseconds(result.latency_us)} at {result.clock_ns:g} ns"
    )
    for shortage in result.shortages:
        console.show(f"does not fit: {shortage}")
    if result.advice:
        console.show(result.advice)
    if result.optimality:
        console.show(result.optimality)
    console.show_cautions(result)
    console.show(result.statement)
