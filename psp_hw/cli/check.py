"""``psp-hw check``: what will happen to every node of a QONNX file, and why something is not supported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import Json
from psp_hw.errors import SpecError


def command(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="A QONNX file, or a run. [default: the newest complete run in runs/]", show_default=False
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Count what is not computed exactly as unsupported.")
    ] = False,
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="Calibration images: X.npy, floats [N, C, H, W]. [default: random ones]", show_default=False
        ),
    ] = None,
    quantize_input: Annotated[
        str | None,
        typer.Option(
            help="Of a file whose input is not quantized (QKeras): write one beside it whose input is. s8.5 is signed, 8 bits, 5 of "
            "them behind the point.",
            metavar="FORMAT",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file that --quantize-input writes.", show_default=False),
    ] = None,
    images: Annotated[int, typer.Option(help="How many images to compare with qonnx's executor on.")] = 4,
    as_json: Json = False,
) -> None:
    """Say what happens to every node of a QONNX file.

    Names what is exact, what is rounded and how far it is off, what is not supported and why; compares with qonnx's
    executor. Exit code 2 if the model cannot be used.
    """
    from psp_hw.flow import check as flow
    from psp_hw.flow.runs import as_word

    if out is not None and quantize_input is None:
        raise SpecError("nothing is written without --quantize-input", where="--out", hint="leave it out")
    with console.Steps(quiet=as_json) as steps, console.stdout_for_json(as_json):
        if quantize_input is not None:
            model = flow.quantize_input(model, quantize_input, out)
        result = flow.check(model, exact=exact, inputs=inputs, images=images, progress=steps)
    if as_json:
        console.show_json(flow.document(result))
    else:
        rows = [(node.name, node.op, node.outcome.value, node.text) for node in result.nodes]
        console.show_table(("Node", "Op", "", "What happens"), rows, text_columns=4)
        if result.problem is None:
            how = "Every node is computed exactly" if result.exact else "Some nodes are rounded"
            measured = result.deviation or result.unmeasured
            console.show(f"{how}; {measured}." if measured else f"{how}.")
    if result.problem is not None:
        raise result.problem
    if not as_json:
        console.next_step("see what it costs", f"psp-hw estimate {as_word(result.path)}")
