"""From options to a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from psp_hw.errors import RunError, SpecError, ToolError
from psp_hw.flow.pruning_options import pruning_of, structure_of
from psp_hw.flow.runs import new_run, stem_of, waiting_run
from psp_hw.flow.signals import stopping_at_signals
from psp_hw.spec.enums import Precision
from psp_hw.spec.load import load_spec
from psp_hw.spec.names import suggestion
from psp_hw.spec.presets import preset, with_bits, with_steps, with_structures
from psp_hw.spec.train import EngineSpec, TrainSpec
from psp_hw.training.launch import check_launch

if TYPE_CHECKING:
    from psp_hw.pruning.survey import LayerSurvey
    from psp_hw.training.api import TrainResult
    from psp_hw.training.machine import Machine
    from psp_hw.training.manner import Manner, Note

MAX_PROCESSES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What ``psp-hw train`` was asked; None means not asked."""

    structures: tuple[str, ...] = ()
    net: str | None = None
    data: str | None = None
    data_dir: Path | None = None
    spec: Path | None = None
    floats: Path | None = None
    weights: Path | None = None
    teacher: Path | None = None
    bits: str | None = None
    method: str | None = None
    paper: bool = False
    epsilon: str | None = None
    strength: str | None = None
    density: float | None = None
    epochs: int | None = None
    finetune_epochs: int | None = None
    steps: int | None = None
    seed: int | None = None
    precision: str | None = None
    channels_last: bool | None = None
    compile: bool | None = None
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    tensorboard: bool | None = None
    checkpoint_minutes: float | None = None
    resume: bool = False
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSummary:
    """What came of it.

    Args:
        accuracy: of the pruned network in floats on the test split, 0 .. 1.
        accuracy_calibrated: quantized, before fine-tuning; None in runs of earlier versions.
        accuracy_quantized: quantized and fine-tuned.
        density: kept weights per weight of the layers that may be pruned.
        params: weights in surviving structures, and biases.
        macs: multiply-accumulates per image of the surviving structures.
        run: the folder.
        spec: what was asked.
        layers: what survives in each layer.
        seconds: spent in the steps of each phase, over all starts [s].
        leads: of several processes, this one reports.
    """

    accuracy: float
    accuracy_calibrated: float | None
    accuracy_quantized: float
    density: float
    params: int
    macs: int
    run: Path
    spec: TrainSpec
    layers: tuple[LayerSurvey, ...]
    seconds: tuple[tuple[str, float], ...] = field(default=(), compare=False)
    leads: bool = True


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a request of the system to stop, during a training.

    Args:
        run: where it waits to be resumed.
    """

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run


def train(request: Request, *, progress: bool = True, note: Note | None = None) -> TrainSummary:
    """Train, quantize and export.

    Args:
        request: the options.
        progress: whether to draw progress bars.
        note: told in a sentence about what needs no stop.

    Raises:
        PspHwError: bad options, bad data, training that diverged.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP.
    """
    with interruptible_run(request) as (spec, run):
        require_brevitas()
        from psp_hw.training import api

        result = api.train(
            spec,
            run,
            machine=machine_of(request),
            manner=manner_for(request, progress=progress, note=note),
            floats=request.floats,
            data_dir=request.data_dir,
        )
    return _summary(spec, result)


@contextmanager
def interruptible_run(request: Request) -> Iterator[tuple[TrainSpec, Path]]:
    """What is trained, and the folder: the one that was asked for, or a new one, which is gone again if nothing was begun.

    Raises:
        PspHwError: bad options.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP, once there is something to go on with; KeyboardInterrupt before.
    """
    spec, out = what_and_where(request)
    check_names(spec)
    check_machine(request)
    check_launch(request.devices, request.nodes, os.environ)
    with (
        stopping_at_signals(),
        nullcontext(out) if out is not None else new_run(stem_of(spec, request.floats)) as run,
    ):
        try:
            yield spec, run
        except KeyboardInterrupt as stop:
            if not (run / "manifest.json").is_file():
                raise
            raise Interrupted(run) from stop


def manner_for(request: Request, *, progress: bool, note: Note | None) -> Manner:
    """How a training shall go on and show itself; of several processes, the first one speaks. torch is loaded."""
    from psp_hw.training.machine import is_leader
    from psp_hw.training.manner import manner_of

    return manner_of(
        resume=request.resume,
        progress=progress,
        tensorboard=request.tensorboard,
        checkpoint_minutes=request.checkpoint_minutes,
        note=note if is_leader() else None,
    )


def _summary(spec: TrainSpec, result: TrainResult) -> TrainSummary:
    from psp_hw.training.machine import is_leader

    return TrainSummary(
        accuracy=result.accuracy,
        accuracy_calibrated=result.accuracy_calibrated,
        accuracy_quantized=result.accuracy_quantized,
        density=result.density,
        params=result.params,
        macs=result.macs,
        run=result.run,
        spec=spec,
        layers=result.layers,
        seconds=result.seconds,
        leads=is_leader(),
    )


def require_brevitas() -> None:
    """Refuse to begin what could not be ended.

    Raises:
        ToolError: it is not installed.
    """
    if find_spec("brevitas") is None:
        hint = "--floats-only prunes here; psp-hw train --resume --out RUN quantizes it where Brevitas is"
        raise ToolError("Brevitas is not installed: nothing can be quantized", where="train", hint=hint)


def what_and_where(request: Request) -> tuple[TrainSpec, Path | None]:
    """The spec and the folder; None for a new one. A resumed run knows what it was started with.

    ``--resume`` with a whole request beside it begins where nothing is yet, so that a job that is started again and
    again needs one command line.
    """
    if not request.resume:
        return training_spec(request), request.out
    from psp_hw.training.run import read_manifest, started_with

    out = request.out or waiting_run()
    if _asks(request):
        return training_spec(request), out
    if not (out / "manifest.json").is_file():
        raise RunError("there is no run to resume", where=str(out), hint="train without --resume")
    return started_with(out, read_manifest(out)), out


def machine_of(request: Request) -> Machine:
    """What a training would run on; torch is loaded."""
    return machine(request.accelerator, request.devices, request.nodes)


def machine(accelerator: str, devices: int = 1, nodes: int = 1) -> Machine:
    """As `machine_of`, of words that were checked."""
    from psp_hw.training.machine import Accelerator, Machine

    return Machine(accelerator=Accelerator(accelerator), devices=devices, nodes=nodes)


def check_names(spec: TrainSpec) -> None:
    """Refuse an unknown network or data set before torch is loaded.

    Raises:
        SpecError: names the nearest.
    """
    from psp_hw.data.registry import data_info
    from psp_hw.nn.catalog import NETS

    if not spec.net.is_custom and spec.net.name not in NETS:
        hint = f"{suggestion(spec.net.name, NETS)}, or your own as package.module:function"
        raise SpecError(f"unknown network '{spec.net.name}'", where="net", hint=hint)
    data_info(spec.data.name)


ACCELERATORS = ("auto", "cpu", "cuda")


def check_accelerator(word: str) -> None:
    """Refuse an unknown word.

    Raises:
        SpecError: names the nearest.
    """
    if word not in ACCELERATORS:
        hint = suggestion(word, ACCELERATORS)
        raise SpecError(f"unknown accelerator '{word}'", where="--accelerator", hint=hint)


def check_gpus(accelerator: str, devices: int = 1, nodes: int = 1) -> None:
    """Refuse GPUs that are not there, where they were asked for by name; with auto the network decides, once it is there
    (`psp_hw.training.floats.check_floats`).

    Raises:
        SpecError: says how many there are.
    """
    if accelerator == "cuda":
        machine(accelerator, devices, nodes).check_gpus(small=False)


def check_machine(request: Request) -> None:
    """Refuse what this machine does not have before any time is spent.

    Raises:
        SpecError: says what there is.
    """
    check_accelerator(request.accelerator)
    for option, count in {"--devices": request.devices, "--nodes": request.nodes}.items():
        if not 1 <= count <= MAX_PROCESSES:
            raise SpecError(f"{count} is outside 1 .. {MAX_PROCESSES}", where=option)
    minutes = request.checkpoint_minutes
    if minutes is not None and not minutes >= 0:
        what, hint = f"{minutes} is not a time", "give minutes, 0 for a checkpoint after every step"
        raise SpecError(what, where="--checkpoint-minutes", hint=hint)
    if request.devices * request.nodes > 1 and request.out is None:
        raise SpecError("several processes write one run", where="--devices", hint="name its folder: --out")
    check_gpus(request.accelerator, request.devices, request.nodes)


def document(result: TrainSummary) -> dict[str, object]:
    """The JSON of ``train --json``."""
    return {
        "accuracy": result.accuracy,
        "accuracy_calibrated": result.accuracy_calibrated,
        "accuracy_quantized": result.accuracy_quantized,
        "density": result.density,
        "params": result.params,
        "macs": result.macs,
        "seconds": dict(result.seconds),
        "run": str(result.run),
    }


def training_spec(request: Request) -> TrainSpec:
    """The spec that the options ask for: the preset, or the spec file, and the options over it."""
    for option, word in {"--net": request.net, "--data": request.data}.items():
        if word == "":
            raise SpecError("is empty", where=option, hint="give a name, or leave the option out")
    kinds = tuple(dict.fromkeys(structure_of(word) for word in request.structures))
    spec = _base(request)
    if kinds:
        spec = with_structures(spec, kinds, paper=request.paper)
    elif request.paper:
        raise SpecError("nothing is pruned", where="--paper", hint="add --shape or --structure")
    spec = replace(spec, pruning=pruning_of(spec.pruning, request))
    if request.bits is not None:
        spec = with_bits(spec, request.bits)
    spec = replace(spec, engine=_engine(spec.engine, request))
    if request.epochs is not None:
        spec = replace(spec, training=replace(spec.training, epochs=request.epochs))
    if request.finetune_epochs is not None:
        spec = replace(spec, finetune=replace(spec.finetune, epochs=request.finetune_epochs))
    if request.steps is not None:
        spec = with_steps(spec, request.steps, floats=request.floats is None)
    if request.seed is not None:
        spec = replace(spec, seed=request.seed)
    return spec


def _engine(engine: EngineSpec, request: Request) -> EngineSpec:
    """The options of the engine over the spec's."""
    if request.precision is not None:
        known = [precision.value for precision in Precision]
        if request.precision not in known:
            hint = suggestion(request.precision, known)
            raise SpecError(f"unknown precision '{request.precision}'", where="--precision", hint=hint)
        engine = replace(engine, precision=Precision(request.precision))
    if request.channels_last is not None:
        engine = replace(engine, channels_last=request.channels_last)
    if request.compile is not None:
        engine = replace(engine, compile=request.compile)
    return engine


def _base(request: Request) -> TrainSpec:
    """What the options change: the recipe, the spec file over it, or the spec of the run whose floats are taken."""
    if request.floats is not None:
        from psp_hw.training.run import read_manifest, started_with

        spec = started_with(request.floats, read_manifest(request.floats))
        return _named(spec if request.spec is None else load_spec(request.spec, base=spec), request)
    if request.spec is not None:
        asked = request.net is not None or request.data is not None
        base = preset(request.net, request.data) if asked else None  # else that of what the file names
        return _named(load_spec(request.spec, base=base), request)
    return _named(preset(request.net, request.data), request)


def _named(spec: TrainSpec, request: Request) -> TrainSpec:
    """A net or data set named on the command line wins over the file's."""
    if request.net is not None:
        spec = replace(spec, net=replace(spec.net, name=request.net))
    if request.data is not None:
        spec = replace(spec, data=replace(spec.data, name=request.data))
    if request.weights is not None:
        spec = replace(spec, net=replace(spec.net, weights=str(request.weights)))
    if request.teacher is not None:
        spec = replace(spec, distill=replace(spec.distill, teacher=str(request.teacher)))
    return spec


def resume_command(request: Request, run: Path) -> list[str]:
    """How a run goes on: what it is comes from its folder, what it runs on and where its data are from the options."""
    words = ["psp-hw", "train", "--resume", "--out", str(run)]
    for name in ("data_dir", "accelerator", "devices", "nodes", "checkpoint_minutes"):
        value = getattr(request, name)
        if value != getattr(Request(), name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _asks(request: Request) -> bool:
    """Whether any option says what to train; ``--resume`` alone goes on with what the run was started with."""
    how = (
        "data_dir",
        "resume",
        "out",
        "accelerator",
        "devices",
        "nodes",
        "tensorboard",
        "checkpoint_minutes",
    )
    return request != Request(**{name: getattr(request, name) for name in how})
