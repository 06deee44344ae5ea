"""``psp-hw train``: prune, quantize, export."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp_hw.cli import console, summary
from psp_hw.cli.options import DataDir, Json

if TYPE_CHECKING:
    from psp_hw.flow.train import Request


def command(
    shape: Annotated[
        bool,
        typer.Option("--shape", help="Prune kernel positions of whole layers (short for --structure shape)."),
    ] = False,
    structure: Annotated[
        str | None,
        typer.Option(
            help="What to prune, several separated by commas: shape, column, channel, ...", show_default=False
        ),
    ] = None,
    net: Annotated[
        str | None,
        typer.Option(
            help="A network of `psp-hw nets`, or your own as package.module:function. [default: digits-cnn]",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A data set of `psp-hw data`. [default: the one the network is made for]", show_default=False
        ),
    ] = None,
    data_dir: DataDir = None,
    spec: Annotated[
        Path | None, typer.Option(help="A YAML spec; the options given beside it win.", show_default=False)
    ] = None,
    floats: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A run whose pruned floats are quantized again, with other --bits or --finetune-epochs.",
            metavar="RUN",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Prune a trained network: a run, whose floats training starts from, or a saved state_dict.",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Learn a trained network's answers beside the labels: a run, such as the dense one.",
            metavar="RUN",
            show_default=False,
        ),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option(
            help="Width of weights and activations, each 2 to 8. [default: 8,8]",
            metavar="W,A",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="What drives pruning: decay (PSP Eq. 6), l1 (Eq. 7), fixed (exact density, no penalty), l1-norm, or "
            "reconstruction (of a trained network, by least squares; needs --weights). "
            "[default: decay]",
            show_default=False,
        ),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="Alpha as in PSP Sec. 4, for hundreds of epochs.")
    ] = False,
    epsilon: Annotated[
        str | None,
        typer.Option(
            help="Structures with |alpha| below this are dropped; one number, or layer=0.1,channel=0.2.",
            show_default=False,
        ),
    ] = None,
    strength: Annotated[
        str | None,
        typer.Option(
            "--lambda",
            help="Factor of the penalty on alpha; one number, or one per structure.",
            show_default=False,
        ),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            help="Keep exactly this share of the structures of every layer, instead of --epsilon.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the first phase; 0: none.", show_default=False)
    ] = None,
    finetune_epochs: Annotated[
        int | None, typer.Option(help="Epochs of fine-tuning with quantization; 0: none.", show_default=False)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Stop each phase after so many steps.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random. [default: 1]", show_default=False)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Of the first phase: float32, or bfloat16 (AMP). [default: float32]", show_default=False
        ),
    ] = None,
    channels_last: Annotated[
        bool | None,
        typer.Option(
            "--channels-last/--no-channels-last",
            help="Keep tensors as NHWC in memory: faster convolutions.",
            show_default=False,
        ),
    ] = None,
    compile_net: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Let torch.compile fuse the first phase.", show_default=False
        ),
    ] = None,
    accelerator: Annotated[
        str, typer.Option(help="auto, cpu or cuda; auto takes a GPU where the network is worth it.")
    ] = "auto",
    devices: Annotated[
        int, typer.Option(help="GPUs (or processes on a CPU) of each machine that train together (DDP).")
    ] = 1,
    nodes: Annotated[
        int, typer.Option(help="Machines that train together, started by torchrun or SLURM.")
    ] = 1,
    tensorboard: Annotated[
        bool | None,
        typer.Option(
            "--tensorboard/--no-tensorboard",
            help="Write event files to RUN/tensorboard. [default: where TensorBoard is installed]",
            show_default=False,
        ),
    ] = None,
    checkpoint_minutes: Annotated[
        float | None,
        typer.Option(
            help="Save within an epoch, too, once the last checkpoint is so old. [default: 10]",
            metavar="MINUTES",
            show_default=False,
        ),
    ] = None,
    floats_only: Annotated[
        bool,
        typer.Option(
            "--floats-only",
            help="Stop before quantization (Brevitas need not be installed); --resume goes on, here or elsewhere.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with an interrupted run; with what to train beside it, begin where none is.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what would be trained, its size, memory and time; write nothing."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The run folder. [default: a new one in runs/]", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train, prune, quantize and export.

    Writes a run folder: the spec, metrics, checkpoints, and model.onnx (QONNX).
    """
    from psp_hw.flow import train as flow
    from psp_hw.flow.runs import as_source

    request = flow.Request(
        structures=tuple(_words(structure)) + (("shape",) if shape else ()),
        net=net,
        data=data,
        data_dir=data_dir,
        spec=spec,
        floats=floats,
        weights=weights,
        teacher=teacher,
        bits=bits,
        method=method,
        paper=paper,
        epsilon=epsilon,
        strength=strength,
        density=density,
        epochs=epochs,
        finetune_epochs=finetune_epochs,
        steps=steps,
        seed=seed,
        precision=precision,
        channels_last=channels_last,
        compile=compile_net,
        accelerator=accelerator,
        devices=devices,
        nodes=nodes,
        tensorboard=tensorboard,
        checkpoint_minutes=checkpoint_minutes,
        resume=resume,
        out=out,
    )
    if dry_run:
        _preview(request, floats_only=floats_only, as_json=as_json)
        return
    if floats_only:
        _floats(request, as_json=as_json)
        return
    try:
        with console.stdout_for_json(as_json):
            result = flow.train(request, progress=not as_json, note=console.note)
    except flow.Interrupted as stop:
        _say_how_to_go_on(flow.resume_command(request, stop.run), request.nodes)
        raise
    if not result.leads:
        return  # the first of several processes speaks
    if as_json:
        console.show_json(flow.document(result))
        return
    for line in summary.summary(result, summary.screen()):
        console.show(line)
    console.next_step("generate the hardware", f"psp-hw emit {as_source(result.run)}--target vivado")


def _say_how_to_go_on(command: list[str], nodes: int) -> None:
    where = " on every machine, launched as before" if nodes > 1 else ""
    console.note(f"the run waits; go on{where} with: {shlex.join(command)}", after_a_bar=True)


def _floats(request: Request, *, as_json: bool) -> None:
    """The first phase alone."""
    from psp_hw.flow import floats as flow
    from psp_hw.flow.train import Interrupted, resume_command

    try:
        with console.stdout_for_json(as_json):
            result = flow.train_floats(request, progress=not as_json, note=console.note)
    except Interrupted as stop:
        _say_how_to_go_on([*resume_command(request, stop.run), "--floats-only"], request.nodes)
        raise
    if result is None:
        return  # the first of several processes speaks
    if as_json:
        console.show_json(flow.document(result))
        return
    facts = f"{result.accuracy:.2%} in floats, density {result.density:.3f}"
    console.show(f"{facts}, {result.params:,} parameters, {result.macs:,} MACs per image")
    command = shlex.join(resume_command(request, result.run))
    console.next_step("quantize it, here or where Brevitas is installed", command)


def _preview(request: Request, *, floats_only: bool, as_json: bool) -> None:
    """What would be trained."""
    from psp_hw.flow import preview as flow

    with console.stdout_for_json(as_json):
        spec, found = flow.preview(request, floats_only=floats_only)
    if as_json:
        console.show_json(flow.document(request, spec, found))
        return
    for name, fact in flow.facts(request, spec, found, summary.duration):
        lines = textwrap.wrap(fact, summary.screen().width - 12, break_on_hyphens=False)
        for number, line in enumerate(lines or [""]):
            console.show(f"{name if number == 0 else '':<12}{line}")


def _words(text: str | None) -> list[str]:
    """What stands between the commas; a word that is missing there is an unknown structure."""
    return [] if text is None else [word.strip() for word in text.split(",")]
