"""From options to a run folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from psp_hw.errors import RunError, SpecError
from psp_hw.flow.defaults import RUNS
from psp_hw.spec.enums import Method, Precision, StructureKind
from psp_hw.spec.load import load_spec
from psp_hw.spec.names import suggestion
from psp_hw.spec.presets import preset, with_bits, with_method, with_steps, with_structures
from psp_hw.spec.train import EngineSpec, PruningSpec, StructureSpec, TrainSpec

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
    resume: bool = False
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSummary:
    """What came of it; accuracies and density in 0 .. 1; `leads`: of several processes, this one reports."""

    accuracy: float
    accuracy_quantized: float
    density: float
    params: int
    macs: int
    run: Path
    leads: bool = True


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a training.

    Args:
        run: where it waits to be resumed.
    """

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run


def train(request: Request, *, progress: bool = True) -> TrainSummary:
    """Train, quantize and export.

    Args:
        request: the options.
        progress: whether to draw progress bars.

    Raises:
        PspHwError: bad options, bad data, training that diverged.
        Interrupted: Ctrl-C.
    """
    if request.resume:
        out = _resumable(request)
        spec = training_spec(request) if _asks(request) else load_spec(out / "spec.yaml")
    else:
        spec = training_spec(request)
        out = request.out or _new_run(spec, request.floats)
    check_names(spec)
    _check_machine(request)
    from psp_hw.training import api
    from psp_hw.training.machine import Accelerator, Machine, is_leader

    machine = Machine(
        accelerator=Accelerator(request.accelerator), devices=request.devices, nodes=request.nodes
    )
    try:
        result = api.train(
            spec,
            out,
            machine=machine,
            resume=request.resume,
            floats=request.floats,
            data_dir=request.data_dir,
            progress=progress,
        )
    except KeyboardInterrupt as stop:
        raise Interrupted(out) from stop
    return TrainSummary(
        accuracy=result.accuracy,
        accuracy_quantized=result.accuracy_quantized,
        density=result.density,
        params=result.params,
        macs=result.macs,
        run=result.run,
        leads=is_leader(),
    )


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


def _check_machine(request: Request) -> None:
    """Refuse what this machine does not have before any time is spent.

    Raises:
        SpecError: says what there is.
    """
    if request.accelerator not in ACCELERATORS:
        hint = suggestion(request.accelerator, ACCELERATORS)
        raise SpecError(f"unknown accelerator '{request.accelerator}'", where="--accelerator", hint=hint)
    for option, count in {"--devices": request.devices, "--nodes": request.nodes}.items():
        if not 1 <= count <= MAX_PROCESSES:
            raise SpecError(f"{count} is outside 1 .. {MAX_PROCESSES}", where=option)
    if request.devices * request.nodes > 1 and request.out is None:
        raise SpecError("several processes write one run", where="--devices", hint="name its folder: --out")
    if request.accelerator == "cuda":
        import torch

        found = torch.cuda.device_count()
        if found < request.devices:
            what = f"{request.devices} CUDA devices were asked for, this machine has {found}"
            raise SpecError(what, where="--accelerator", hint="use --accelerator cpu, or fewer --devices")


def document(result: TrainSummary) -> dict[str, object]:
    """The JSON of ``train --json``."""
    return {
        "accuracy": result.accuracy,
        "accuracy_quantized": result.accuracy_quantized,
        "density": result.density,
        "params": result.params,
        "macs": result.macs,
        "run": str(result.run),
    }


def training_spec(request: Request) -> TrainSpec:
    """The spec that the options ask for: the preset, or the spec file, and the options over it."""
    for option, word in {"--net": request.net, "--data": request.data}.items():
        if word == "":
            raise SpecError("is empty", where=option, hint="give a name, or leave the option out")
    kinds = tuple(dict.fromkeys(_structure(word) for word in request.structures))
    spec = _base(request)
    if kinds:
        spec = with_structures(spec, kinds, paper=request.paper)
    elif request.paper:
        raise SpecError("nothing is pruned", where="--paper", hint="add --shape or --structure")
    spec = replace(spec, pruning=_pruning(spec.pruning, request))
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
        return _named(load_spec(request.spec, base=preset(request.net, request.data)), request)
    return preset(request.net, request.data)


def _named(spec: TrainSpec, request: Request) -> TrainSpec:
    """A net or data set named on the command line wins over the file's."""
    if request.net is not None:
        spec = replace(spec, net=replace(spec.net, name=request.net))
    if request.data is not None:
        spec = replace(spec, data=replace(spec.data, name=request.data))
    return spec


def _structure(word: str) -> StructureKind:
    known = [kind.value for kind in StructureKind]
    if word not in known:
        raise SpecError(f"unknown structure '{word}'", where="--structure", hint=suggestion(word, known))
    return StructureKind(word)


def _pruning(pruning: PruningSpec, request: Request) -> PruningSpec:
    """Method, epsilon, lambda and density over the structures."""
    options = {
        "--epsilon": request.epsilon,
        "--density": request.density,
        "--lambda": request.strength,
        "--method": request.method,
    }
    given = [option for option, value in options.items() if value is not None]
    if not given:
        return pruning
    if request.epsilon is not None and request.density is not None:
        raise SpecError("--epsilon and --density exclude each other", where="train", hint="give one of them")
    if not pruning.structures:
        raise SpecError(
            "nothing is pruned that it could apply to", where=given[0], hint="add --shape or --structure"
        )
    structures = pruning.structures
    if request.epsilon is not None:
        # An epsilon that was asked for decides alone, as in PSP Eq. 3: without the bounds of the recipe.
        epsilons = _per_structure(request.epsilon, "--epsilon", structures)
        structures = tuple(
            replace(s, epsilon=epsilons[s.kind], density=None, at_least=None, at_most=None)
            if s.kind in epsilons
            else s
            for s in structures
        )
    if request.strength is not None:
        strengths = _per_structure(request.strength, "--lambda", structures)
        structures = tuple(replace(s, strength=strengths.get(s.kind, s.strength)) for s in structures)
    if request.density is not None:
        # a layer is one structure: beside others, it keeps its epsilon
        alone = all(s.kind is StructureKind.LAYER for s in structures)
        structures = tuple(
            replace(s, density=request.density) if alone or s.kind is not StructureKind.LAYER else s
            for s in structures
        )
    pruning = replace(pruning, structures=structures)
    if request.method is not None:
        pruning = with_method(pruning, _method(request.method), density=request.density)
    return pruning


def _method(word: str) -> Method:
    known = [method.value for method in Method]
    if word not in known:
        raise SpecError(f"unknown method '{word}'", where="--method", hint=suggestion(word, known))
    return Method(word)


def _per_structure(
    text: str, option: str, structures: tuple[StructureSpec, ...]
) -> dict[StructureKind, float]:
    """``0.2`` for all structures, or ``layer=0.1,channel=0.2`` for some."""
    values: dict[StructureKind, float] = {}
    for part in text.split(","):
        word, equals, number = part.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            hint = "give a number, or one per structure: layer=0.1,channel=0.2"
            raise SpecError(f"'{part.strip()}' is not a number", where=option, hint=hint) from None
        kinds = [_structure(word.strip())] if equals else [s.kind for s in structures]
        for kind in kinds:
            if kind not in {s.kind for s in structures}:
                raise SpecError(f"'{kind.value}' is not pruned here", where=option)
            values[kind] = value
    return values


def _new_run(spec: TrainSpec, floats: Path | None) -> Path:
    """A folder in runs/ that is not there yet, named after the net, the data and the structures, or after another run."""
    words = [spec.net.name.replace(":", "-").replace(".", "-"), spec.data.name]
    words += [structure.kind.value for structure in spec.pruning.structures]
    words = [word for i, word in enumerate(words) if word not in words[0] or i == 0]
    if floats is not None:
        words = [floats.resolve().name, f"w{spec.quant.weight_bits}a{spec.quant.act_bits}"]
    stem = "-".join(words)
    number = 1
    while (path := RUNS / (stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return path


def _asks(request: Request) -> bool:
    """Whether any option says what to train; ``--resume`` alone goes on with what the run was started with."""
    return request != Request(data_dir=request.data_dir, resume=request.resume, out=request.out)


def _resumable(request: Request) -> Path:
    """The run to go on with: the one named, else the newest incomplete one in runs/."""
    from psp_hw.flow.source import incomplete_runs

    if request.out is not None:
        if not (request.out / "spec.yaml").is_file():
            raise RunError("there is no run to resume", where=str(request.out), hint="train without --resume")
        return request.out
    candidates = incomplete_runs(RUNS)
    if not candidates:
        raise RunError(f"no interrupted run in {RUNS}/", where="--resume", hint="name it: --resume --out RUN")
    return candidates[0]


def as_source(run: Path) -> str:
    """How to name a run on the command line, a space after it; nothing where it is the default SOURCE."""
    from psp_hw.flow.source import complete_runs

    newest = complete_runs(RUNS)[:1]
    return "" if newest and newest[0].resolve() == run.resolve() else f"{shlex.quote(str(run))} "
