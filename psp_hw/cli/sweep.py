"""``psp-hw sweep``: many trainings, the fronts of accuracy against cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import Board, Budget, CalibrationFile, ClockNs, DataDir, Dsp, Json, Part

if TYPE_CHECKING:
    from psp_hw.flow.sweeps.results import SweepResult


def command(
    spec: Annotated[
        Path,
        typer.Argument(help="The YAML spec of what is varied, or a folder that has one: a run, models/NAME."),
    ],
    epsilon: Annotated[
        list[str] | None,
        typer.Option(
            help="Thresholds: 0.1:0.5 (a range) or 0.1,0.2,0.3.", metavar="LOW:HIGH|N,...", show_default=False
        ),
    ] = None,
    strength: Annotated[
        list[str] | None,
        typer.Option(
            "--lambda",
            help="Factors of the penalty on alpha: 1e-4:1e-2 (a range, even in its logarithm) or a list.",
            metavar="LOW:HIGH|N,...",
            show_default=False,
        ),
    ] = None,
    density: Annotated[
        list[str] | None,
        typer.Option(
            help="Exact shares of the structures kept, instead of --epsilon: 0.2:1 or a list.",
            metavar="LOW:HIGH|N,...",
            show_default=False,
        ),
    ] = None,
    structure: Annotated[
        list[str] | None,
        typer.Option(
            help="What to prune; once per choice: --structure shape --structure shape,channel --structure none.",
            metavar="NAME,...",
            show_default=False,
        ),
    ] = None,
    bits: Annotated[
        list[str] | None,
        typer.Option(
            help="Width of weights and activations; once per choice: --bits 8,8 --bits 4,4.",
            metavar="W,A",
            show_default=False,
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with these axes; options win over it. [default: sweep.yaml beside SPEC, if there]",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str, typer.Option(help="What accuracy is weighed against.", metavar="COST,...")
    ] = "macs,params,cycles",
    trials: Annotated[
        int | None,
        typer.Option(
            help="Trainings in all, over all workers. [default: every combination of up to 64, else 20]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of values.")] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where workers meet: a database as postgresql://..., mysql://..., sqlite:///FILE, or the path of a journal. "
            "[default: study.journal in the folder]",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Of the sweep inside the storage. [default: that of the folder]", show_default=False
        ),
    ] = None,
    part: Part = None,
    board: Board = None,
    clock: ClockNs = None,
    budget: Budget = None,
    dsp: Dsp = None,
    calibration: CalibrationFile = None,
    data_dir: DataDir = None,
    accelerator: Annotated[
        str,
        typer.Option(
            help="auto, cpu or cuda, of the trials of this worker; several GPUs: a worker each, CUDA_VISIBLE_DEVICES says which."
        ),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The folder. [default: sweeps/ and the name of the spec]", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train many variants of a spec; show which ones no other beats.

    Run the same command again to go on after an interruption, and at the same time, here or on other machines, to share the work.
    Every trial is an ordinary run that `psp-hw emit` takes. Writes front.png, front.md and front.json.
    """
    from psp_hw.flow import sweep as flow
    from psp_hw.flow.device import DeviceRequest
    from psp_hw.flow.sweeps.plan import SweepRequest
    from psp_hw.flow.sweeps.results import document, files_of
    from psp_hw.spec.space import AxisName, parse_axis

    given = {
        AxisName.STRUCTURE: structure,
        AxisName.BITS: bits,
        AxisName.EPSILON: epsilon,
        AxisName.DENSITY: density,
        AxisName.STRENGTH: strength,
    }
    request = SweepRequest(
        spec=spec,
        axes=tuple(parse_axis(axis, texts) for axis, texts in given.items() if texts),
        space=space,
        against=tuple(word.strip() for word in against.split(",")),
        trials=trials,
        seed=seed,
        storage=storage,
        name=name,
        out=out,
        part=part,
        clock_ns=clock,
        device=DeviceRequest(board=board, budget=budget, dsp=dsp, calibration=calibration),
        data_dir=data_dir,
        accelerator=accelerator,
    )
    try:
        with console.stdout_for_json(as_json):
            result = flow.sweep(request, told=console.tell, progress=not as_json)
    except flow.Interrupted:
        console.note("the sweep waits; the same command goes on", after_a_bar=True)
        raise
    if as_json:
        console.show_json(document(result) | {"files": files_of(result)})
    else:
        _print(result)


def _print(result: SweepResult) -> None:
    from psp_hw.flow.runs import as_word
    from psp_hw.flow.sweeps.front import head, row
    from psp_hw.flow.sweeps.results import trust

    plan, found = result.plan, result.fronts
    rows = [row(found, index, plan.axes) for index in found.best]
    words = 2 + len(plan.axes)
    console.show_table(head(plan.axes, plan.costs), rows, text_columns=words)
    failed = f", {len(result.failed)} failed" if result.failed else ""
    console.show(
        f"{len(rows)} of {len(found.trained)} trials are beaten by no other in everything{failed}; cycles on {plan.part}"
    )
    console.show(trust(plan))
    for path in result.files:
        console.show(str(path))
    best = found.trained[found.best[0]]
    console.next_step("build a trial", f"psp-hw emit {as_word(plan.runs / best.run)}")
