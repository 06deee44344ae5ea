"""``psp-hw demo``: the whole way on real data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import Json

if TYPE_CHECKING:
    from psp_hw.flow.demo import DemoSummary


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder for the run and the design.")] = Path(
        "psp-hw-demo"
    ),
    as_json: Json = False,
) -> None:
    """Do the whole job once, on real scans.

    Trains a small residual CNN with shape pruning on the digits of scikit-learn, quantizes it, writes a design, compiles it
    with g++, compares every test image, estimates, and writes the report.
    """
    from psp_hw.flow import demo as flow

    with console.Steps(quiet=as_json) as steps, console.stdout_for_json(as_json):
        result = flow.demo(out, progress=steps, bars=not as_json)
    if as_json:
        console.show_json(flow.document(result))
    else:
        _print(result)
    if result.first_difference is not None:
        console.note(result.first_difference)
    if result.mismatches or not result.hardware.fits:
        raise typer.Exit(1)


def _print(result: DemoSummary) -> None:
    from rich import box
    from rich.columns import Columns
    from rich.table import Table
    from rich.text import Text

    from psp_hw.flow.runs import as_word
    from psp_hw.report.glyphs import text_glyph

    out = console.out()
    planes = ((layer.name, layer.plane) for layer in result.hardware.layers)
    drawn = [
        Text(f"{name}\n{text_glyph(plane)}\n{len(plane.taps)} of {plane.total}\n")
        for name, plane in planes
        if plane is not None
    ]
    taps = Columns(drawn, padding=(0, 3))
    facts = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column()
    for name, value in facts_of(result):
        facts.add_row(Text(name), taps if value is None else Text(value))
    with out.capture() as captured:
        out.print(facts)
    console.show_lines(captured.get())
    console.next_step("simulate the design with pytest", f"pytest {as_word(result.design)}")


def facts_of(result: DemoSummary) -> list[tuple[str, str | None]]:
    """The rows of the closing table; None stands for the drawn taps."""
    hardware = result.hardware
    uses = ", ".join(
        f"{use.name} {use.used:,} of {use.available:,}" for use in hardware.resources if use.available
    )
    return [
        (
            "accuracy",
            f"{result.training.accuracy:.2%} in floats, {result.training.accuracy_quantized:.2%} quantized",
        ),
        ("density", f"{result.training.density:.3f}"),
        ("taps", None),
        (
            "cycles",
            f"{hardware.interval_cycles:,} per frame, {hardware.latency_cycles:,} from first input to last output",
        ),
        ("speed", f"{hardware.fps:,.0f} frames/s at {hardware.clock_ns:g} ns"),
        (hardware.part, uses),
        ("compared", f"{result.images:,} images: trained network = integer graph = compiled C++"),
        ("mismatches", f"{result.mismatches:,}"),
        ("took", f"{result.seconds:.0f} s"),
        ("run", str(result.run)),
        ("design", str(result.design)),
        ("report", str(result.report)),
    ]
