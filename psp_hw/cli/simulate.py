"""``psp-hw simulate``: exact integers, and compared with ==."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import DataDir, Exact, Json, Source


def command(
    source: Source = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Run on this data set's test split. [default: the one it was trained on]", show_default=False
        ),
    ] = None,
    data_dir: DataDir = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with brevitas (the trained network), csim (the compiled C++) or hls4ml (its project, "
            "compiled by hls4ml).",
            show_default=False,
        ),
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option(
            help="Of csim: compute in machine words, or in words of exactly the width that synthesis gives every counter, "
            "operand, product and constant (synthesis; several times slower). [default: machine]",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="The first so many images only.", show_default=False)
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="Your own images instead: X.npy, floats [N, C, H, W], as the network was trained on.",
            show_default=False,
        ),
    ] = None,
    outputs: Annotated[
        Path | None,
        typer.Option(
            help="Write the outputs to Y.npy: the values that the integers stand for, float64 [N, classes].",
            show_default=False,
        ),
    ] = None,
    exact: Exact = False,
    as_json: Json = False,
) -> None:
    """Run exact integers; compare with ==.

    Runs a test split, or your own images, and compares each output integer where --against asks for it. Exit code 1 if
    anything differs; the first layer and position that differs is named.
    """
    from psp_hw.flow import simulate as flow

    with console.Steps(quiet=as_json) as steps, console.stdout_for_json(as_json):
        result = flow.simulate(
            flow.Request(
                source=source,
                data=data,
                data_dir=data_dir,
                against=against,
                widths=widths,
                limit=limit,
                inputs=inputs,
                outputs=outputs,
                exact=exact,
            ),
            progress=steps,
        )
    console.say_rounding(source, inputs)
    if as_json:
        console.show_json(flow.document(result))
    else:
        accuracy = "" if result.accuracy is None else f", accuracy {result.accuracy:.2%}"
        console.show(f"{result.images:,} images{accuracy}, {result.images_per_second:,.0f} images/s")
        if result.check is not None:
            console.show(f"against {result.check.counterpart}: {result.check.mismatches:,} mismatches")
        if outputs is not None:
            console.show(f"outputs: {outputs}")
    if result.first_difference is not None:
        console.note(result.first_difference)
        raise typer.Exit(1)
    if not as_json:
        console.next_step(*flow.what_next(result))
