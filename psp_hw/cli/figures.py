"""``psp-hw figures``: the figures of the paper, trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import DataDir, Json


def command(
    which: Annotated[
        str, typer.Argument(help="alpha (PSP Fig. 2) or density (PSP Fig. 3).", metavar="FIGURE")
    ],
    structure: Annotated[str, typer.Option(help="What to prune, several separated by commas.")] = "shape",
    net: Annotated[
        str | None,
        typer.Option(
            help="A network of `psp-hw nets`, or your own. [default: digits-cnn]", show_default=False
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="A data set. [default: the one the network is made for]", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    points: Annotated[int, typer.Option(help="Trainings per method of `density`.")] = 4,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each training.", show_default=False)] = None,
    steps: Annotated[
        int | None, typer.Option(help="Stop each training after so many steps.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random. [default: 1]", show_default=False)
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="Alpha as in PSP Sec. 4, for hundreds of epochs.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The folder. [default: figures]", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Train again what is behind a figure of the paper, and draw it.

    Writes FIGURE.png and FIGURE.json, the numbers behind it. Floats only, nothing is quantized.
    """
    from psp_hw.flow import figures as flow
    from psp_hw.flow.train import Request

    request = Request(
        structures=tuple(word.strip() for word in structure.split(",") if word.strip()),
        net=net,
        data=data,
        data_dir=data_dir,
        epochs=epochs,
        steps=steps,
        seed=seed,
        paper=paper,
    )
    with console.stdout_for_json(as_json), console.Steps(quiet=as_json) as progress:
        made = flow.figure(which, request, out=out, points=points, progress=progress)
    if as_json:
        console.show_json({**made.document, "png": made.png, "numbers": made.numbers})
        return
    console.show(f"picture: {made.png}")
    console.show(f"numbers: {made.numbers}")
