"""``psp-hw calibrate``: the constants of your tools, from their reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import Json


def command(
    paths: Annotated[
        list[Path], typer.Argument(help="Designs that were synthesized, or reports inside them (xml or rpt).")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file. [default: calibration.json]", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn from synthesis reports of your own designs.

    Reads csynth reports of Vivado HLS and Vitis HLS and utilization reports of Vivado, shows estimate beside synthesis, and writes a
    file that estimate, emit, explore, sweep and report take with --calibration.
    """
    from psp_hw.cost.resources import Resource
    from psp_hw.flow import calibrate as flow
    from psp_hw.flow.runs import as_word

    found = flow.calibrate_site(paths, out=out)
    if as_json:
        console.show_json(flow.document(found))
        return
    head = ("Module", "Stage", *(resource.value for resource in Resource))
    rows = [
        (
            f"{sample.module} (the whole design)" if sample.whole else sample.module,
            sample.stage.value,
            *(f"{guess:,} / {sample.reported.of(resource):,}" for resource, guess in sample.estimated),
        )
        for sample in found.samples
    ]
    console.show("estimated / reported:")
    console.show_table(head, rows, text_columns=2)
    for line in flow.lines(found):
        console.show(line)
    console.next_step("use it", f"psp-hw estimate SOURCE --calibration {as_word(found.file)}")
