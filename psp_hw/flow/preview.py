"""``psp-hw train --dry-run``: what would be trained, in words and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from psp_hw.errors import SpecError
from psp_hw.flow.defaults import RUNS
from psp_hw.flow.floats import check_floats_only
from psp_hw.flow.runs import stem_of
from psp_hw.flow.signals import stopping_at_signals
from psp_hw.flow.train import (
    Request,
    check_machine,
    check_names,
    machine_of,
    require_brevitas,
    training_spec,
)
from psp_hw.spec.enums import AlphaInit, Criterion, Penalty
from psp_hw.spec.load import spec_to_dict
from psp_hw.spec.train import DistillSpec, PruningSpec, ScheduleSpec, StructureSpec, TrainSpec

if TYPE_CHECKING:
    from psp_hw.training.preview import PhasePreview, Preview

Fact = tuple[str, str]


def preview(request: Request, *, floats_only: bool = False) -> tuple[TrainSpec, Preview]:
    """What a request asks for, and what it would take; nothing is written.

    Args:
        request: the options.
        floats_only: whether the first phase is all that is asked for; Brevitas need not be installed.

    Raises:
        PspHwError: bad options or bad data, as the training would say.
    """
    if request.resume:
        hint = "leave one of them out; psp-hw train --resume goes on with what the run was started with"
        raise SpecError("--dry-run and --resume exclude each other", where="train", hint=hint)
    if floats_only:
        check_floats_only(request)
    spec = training_spec(request)
    check_names(spec)
    check_machine(request)
    if not floats_only:
        require_brevitas()  # a few steps of fine-tuning are done, too
    with stopping_at_signals():
        from psp_hw.training import preview as training

        found = training.preview(
            spec,
            machine=machine_of(request),
            floats=request.floats,
            floats_only=floats_only,
            data_dir=request.data_dir,
        )
    return spec, found


def document(request: Request, spec: TrainSpec, found: Preview) -> dict[str, object]:
    """The JSON of ``train --dry-run --json``; times in seconds, memory in bytes."""
    return {
        "dry_run": True,
        "spec": spec_to_dict(spec),
        "images": {"training": found.images[0], "test": found.images[1], "shape": list(found.image)},
        "params": found.params,
        "macs": found.macs,
        "alphas": found.alphas,
        "pruned_layers": list(found.pruned),
        "floats": None if found.floats is None else _phase_document(found.floats),
        "finetune": None if found.finetune is None else _phase_document(found.finetune),
        "other_seconds": found.other_seconds,
        "seconds": found.seconds,
        "memory": found.memory,
        "memory_device": found.memory_device,
        "device": found.device,
        "processes": request.devices * request.nodes,
        "run": str(request.out or RUNS / stem_of(spec, request.floats)),
    }


def _phase_document(phase: PhasePreview) -> dict[str, object]:
    return {
        "epochs": phase.epochs,
        "steps": phase.steps,
        "seconds_per_step": phase.seconds_per_step,
        "seconds": phase.seconds,
        "steps_measured": phase.measured,
    }


def facts(request: Request, spec: TrainSpec, found: Preview, duration: Callable[[float], str]) -> list[Fact]:
    """The spec in full words, and what it would take.

    Args:
        request: the options.
        spec: what they ask for.
        found: what a few steps told.
        duration: how a time is written.
    """
    quant = spec.quant
    scale = "output channel" if quant.weight_scale.value == "channel" else "tensor"
    return [
        (
            "network",
            f"{spec.net.name}{_stages(spec)}: {found.params:,} parameters, {found.macs:,} MACs per image, dense",
        ),
        ("data", _data(spec, found)),
        *_pruning(spec.pruning, found),
        ("floats", _floats(spec, found.floats, request)),
        *_teacher(spec.distill),
        (
            "bits",
            f"weights {quant.weight_bits}, activations {quant.act_bits}; first and last layer at least {quant.edge_bits}, "
            f"input {quant.input_bits}, branches {quant.branch_bits}, behind pooling {quant.pool_bits}, "
            f"gains {quant.affine_bits}; one power-of-two scale per weight {scale}",
        ),
        ("fine-tuning", _finetuning(spec.finetune, found.finetune)),
        ("seed", str(spec.seed)),
        ("device", _device(request, found)),
        ("memory", _memory(found)),
        ("time", _time(found, duration)),
        ("would write", f"{request.out or RUNS / stem_of(spec, request.floats)}; nothing was written"),
    ]


def _teacher(distill: DistillSpec) -> list[Fact]:
    if not distill.teacher:
        return []
    how = f"{distill.share:.0%} of the loss at temperature {distill.temperature:g}"
    return [("teacher", f"{distill.teacher}, {how}")]


def _stages(spec: TrainSpec) -> str:
    parts = [
        f"{name} {list(given)}"
        for name, given in (("widths", spec.net.widths), ("blocks", spec.net.blocks))
        if given
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _data(spec: TrainSpec, found: Preview) -> str:
    shape = " x ".join(str(n) for n in found.image)
    varied = [f"shifted up to {spec.data.pad} pixels"] if spec.data.pad else []
    varied += ["half of them mirrored"] if spec.data.flip else []
    return (
        f"{spec.data.name}: {found.images[0]:,} images to train on ({', '.join(varied) or 'as they are'}), "
        f"{found.images[1]:,} to test, {shape}"
    )


def _pruning(pruning: PruningSpec, found: Preview) -> list[Fact]:
    """What is pruned, by what, when, and where."""
    if not pruning.every_structure:
        return [("pruning", "none")]
    criterion = pruning.criterion
    lines = [("pruning", "; ".join(_structure(s, criterion) for s in pruning.structures) or "by layer")]
    for override in pruning.overrides:
        what = "; ".join(_structure(s, criterion) for s in override.structures) or "nothing"
        lines.append(("", f"layers {override.layers}: {what}"))
    if criterion is Criterion.ALPHA:
        start = "N(0, 0.1)" if pruning.init is AlphaInit.PAPER else "1"
        pull = {Penalty.DECAY: "weight decay lambda", Penalty.L1: "l1 lambda", Penalty.NONE: "no penalty"}
        lines.append(
            ("", f"alpha starts at {start}; {pull[pruning.penalty]}; gradient {pruning.gradient.value}")
        )
    lines.append(("", _when(pruning)))
    return [*lines, ("", f"{len(found.pruned)} layers, {found.alphas:,} structures: {_names(found.pruned)}")]


def _when(pruning: PruningSpec) -> str:
    """When structures go."""
    if pruning.criterion is Criterion.RECONSTRUCTION:
        return "chosen before the first step, weights by least squares; that takes time beside what is said below"
    rises = pruning.warmup + pruning.ramp > 0
    how = (
        f"the threshold rises from {pruning.warmup:.0%} to {pruning.warmup + pruning.ramp:.0%} of the steps"
        if rises
        else "the threshold always applies in full"
    )
    return how + (f", the choice stays for the last {pruning.settle:.0%}" if pruning.settle else "")


_BY = {
    Criterion.ALPHA: "|alpha|",
    Criterion.L1_NORM: "l1 norm",
    Criterion.RECONSTRUCTION: "reconstruction of its results",
}


def _structure(structure: StructureSpec, criterion: Criterion) -> str:
    """One structure in words."""
    name, by = structure.kind.value, _BY[criterion]
    pull = f", lambda {structure.strength:g}" if criterion is Criterion.ALPHA else ""
    if structure.density is not None:
        return f"{name}: exactly {structure.density:.0%} of each layer, by {by}{pull}"
    bounds = [f"at least {structure.at_least:.0%}"] if structure.at_least is not None else []
    bounds += [f"at most {structure.at_most:.0%}"] if structure.at_most is not None else []
    kept = f", {' and '.join(bounds)} of each layer kept" if bounds else ""
    return f"{name}: dropped where {by} < {structure.epsilon:g}{kept}{pull}"


def _names(names: tuple[str, ...], most: int = 4) -> str:
    """Layers by name; of many, the first and the last."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])}, ..., {names[-1]}"


def _floats(spec: TrainSpec, phase: PhasePreview | None, request: Request) -> str:
    words = f"taken from {request.floats}" if phase is None else _schedule(spec.training, phase)
    return words + _engine(spec)


def _finetuning(schedule: ScheduleSpec, phase: PhasePreview | None) -> str:
    return "later, with psp-hw train --resume" if phase is None else _schedule(schedule, phase)


def _schedule(schedule: ScheduleSpec, phase: PhasePreview) -> str:
    if phase.steps == 0:
        return "no step"
    return (
        f"{phase.epochs} epochs, {phase.steps:,} steps of {schedule.batch_size} images; SGD, {schedule.shape.value} rate "
        f"up to {schedule.rate:g}, momentum {schedule.momentum:g}, weight decay {schedule.weight_decay:g}"
    )


def _engine(spec: TrainSpec) -> str:
    words = [spec.engine.precision.value]
    words += ["channels last"] if spec.engine.channels_last else []
    words += ["torch.compile"] if spec.engine.compile else []
    return f"; {', '.join(words)}"


def _device(request: Request, found: Preview) -> str:
    processes = request.devices * request.nodes
    more = f"; {processes} processes were asked for, the times are those of one" if processes > 1 else ""
    return found.device + more


def _memory(found: Preview) -> str:
    gpu = "" if found.memory_device is None else f", {found.memory_device / 2**30:.2f} GiB on the GPU"
    return f"{found.memory / 2**30:.2f} GiB at the peak of this process{gpu}; measured during the steps below"


def _time(found: Preview, duration: Callable[[float], str]) -> str:
    """The whole, its parts, and where the numbers come from."""
    phases = [("floats", found.floats), ("fine-tuning", found.finetune)]
    known = [(name, phase) for name, phase in phases if phase is not None]
    parts = [
        f"{name} {duration(p.seconds)} ({1000 * p.seconds_per_step:.1f} ms per step)" for name, p in known
    ]
    other = "tests" if found.finetune is None else "calibration and tests"
    parts.append(f"{other} {duration(found.other_seconds)}")
    steps = " and ".join(str(p.measured) for _, p in known)
    return (
        f"about {duration(found.seconds)}: {', '.join(parts)}; extrapolated from {steps} real steps on this machine, "
        "now, with whatever else runs on it"
    )
