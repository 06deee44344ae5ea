"""The first phase: floats, in which weights and structure parameters learn together. Nothing here needs Brevitas."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from psp_hw.data.split import Split
from psp_hw.errors import RunError, SpecError
from psp_hw.nn.count import count
from psp_hw.nn.registry import build_net
from psp_hw.pruning.methods.psp import require_alive
from psp_hw.pruning.methods.reconstruction import reconstruct
from psp_hw.pruning.parametrization import fold
from psp_hw.pruning.select import prune, select_layers, structures_of
from psp_hw.pruning.survey import LayerSurvey, survey_layer
from psp_hw.spec.enums import Criterion, StructureKind
from psp_hw.spec.names import first_line
from psp_hw.spec.train import ScheduleSpec, TrainSpec
from psp_hw.training.arithmetic import whole_float32
from psp_hw.training.batches import Batches, calibration_batches, check_shares
from psp_hw.training.checkpoints import Shelf, check_checkpoint
from psp_hw.training.durable import write_aside
from psp_hw.training.job import FLOAT_PHASE, Job
from psp_hw.training.loop import phase_steps, run_phase
from psp_hw.training.machine import Machine, is_leader
from psp_hw.training.manner import Manner, Note, PhaseRecord
from psp_hw.training.modules import PruningPhase
from psp_hw.training.run import PRUNED
from psp_hw.training.teacher import teacher_of
from psp_hw.training.weights import load_weights

EVAL_BATCH = 500  # images of 32 x 32 pixels; fewer of larger ones
_EVAL_VALUES = EVAL_BATCH * 3 * 32 * 32
CALIBRATION_IMAGES, _CALIBRATION_BATCH = 1024, 256
SMALL_STEP_MACS = 200_000_000  # below this a step takes milliseconds and threads cost more than they save


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """The network after the first phase, alpha folded in.

    Args:
        net: a plain module.
        masks: kept weights of every pruned layer.
        record: of the first phase; None where an earlier version trained it.
    """

    net: nn.Module
    masks: dict[str, Tensor]
    record: PhaseRecord | None


def fresh_net(spec: TrainSpec, split: Split, *, begun: bool = False) -> nn.Module:
    """The network with its initial weights: those that the spec names, or random ones that depend on the seed alone.

    Args:
        spec: the request.
        split: images and classes as the network sees them.
        begun: the weights come from a checkpoint; those that the spec names are not read and may be gone.

    Raises:
        RunError: the named weights are missing, damaged, or of another network.
    """
    torch.manual_seed(spec.seed)
    net = build_net(spec.net, image=split.image_shape, classes=len(split.classes))
    if spec.net.weights and not begun:
        load_weights(net, Path(spec.net.weights))
    return net


def first_layer(net: nn.Module, image: tuple[int, int, int]) -> str:
    """Name of the layer that sees the image."""
    return count(net, image).layers[0].name


def is_small(net: nn.Module, split: Split, schedule: ScheduleSpec) -> bool:
    """Whether one step of training is too little work for several threads."""
    return count(net, split.image_shape).macs * schedule.batch_size < SMALL_STEP_MACS


def check_floats(
    spec: TrainSpec, split: Split, machine: Machine | None = None, *, begun: bool = False
) -> nn.Module:
    """Refuse what could not be pruned, or not on this machine, before any time is spent on training.

    Args:
        spec: the request.
        split: images and classes as the network sees them.
        machine: what it is to run on; None: whatever there is.
        begun: as in `fresh_net`.

    Returns:
        The fresh network, in eval.

    Raises:
        SpecError, ModelError: names the layer and says what is supported; or more GPUs were asked for than there are, or more
            processes than images in a batch.
        RunError: the weights to start from cannot be, or the teacher.
    """
    net = fresh_net(spec, split, begun=begun).eval()
    teacher_of(spec, split)
    if machine is not None:
        machine.check_gpus(small=all(is_small(net, split, phase) for phase in (spec.training, spec.finetune)))
        for name, phase in {"training": spec.training, "finetune": spec.finetune}.items():
            check_shares(
                len(split),
                batch_size=phase.batch_size,
                processes=machine.processes,
                where=f"{name}.batch_size",
            )
    if spec.pruning.criterion is Criterion.RECONSTRUCTION and not spec.net.weights:
        what = "reconstruction chooses in a trained network, and none is named"
        raise SpecError(
            what, where="pruning.criterion", hint="name a run: --weights, or net.weights in the spec"
        )
    select_layers(net, spec.pruning, first=first_layer(net, split.image_shape))
    return net


def float_phase(job: Job) -> Pruned:
    """Train in floats with pruning, then fold alpha into the weights; or take what another run (`job.floats`) did."""
    net = fresh_net(job.spec, job.training, begun=job.begun)
    stored = job.run / PRUNED
    if job.floats is not None:
        theirs = job.floats / PRUNED  # there for every process, before the first has copied it
        return _load_pruned(net, theirs)
    if job.manner.resume and stored.exists():
        known = _stored(net, stored, job.manner.note)
        if known is not None:
            return known
    record = train_structures(net, job.spec, job.training, job.run, job.machine, job.manner, begun=job.begun)
    net.to(memory_format=torch.contiguous_format)
    masks = fold(net)
    state = {"net": net.state_dict(), "masks": masks, "record": record.to_dict()}
    if is_leader():
        write_aside(stored, partial(save_tensors, state))
    return Pruned(net=net, masks=masks, record=record)


def train_structures(
    net: nn.Module,
    spec: TrainSpec,
    split: Split,
    run: Path,
    machine: Machine,
    manner: Manner | None = None,
    *,
    begun: bool = False,
) -> PhaseRecord:
    """Train a fresh network in floats; its structure parameters stay on it.

    Args:
        begun: as in `fresh_net`; what was chosen before the first step is in the checkpoint, too.
    """
    manner = manner or Manner()
    prune(net, spec.pruning, first=first_layer(net, split.image_shape))
    if spec.pruning.criterion is Criterion.RECONSTRUCTION and not begun:
        _reconstruct(net, spec, split, machine, manner.note)
    batches = Batches(split, spec.data, batch_size=spec.training.batch_size, seed=spec.seed)
    steps = phase_steps(spec.training, len(batches))
    phase = PruningPhase(net, spec, steps, teacher_of(spec, split))
    small = is_small(net, split, spec.training)
    record = run_phase(phase, batches, machine, name=FLOAT_PHASE, run=run, manner=manner, small=small)
    require_alive(net)
    net.eval()
    return record


def _reconstruct(net: nn.Module, spec: TrainSpec, split: Split, machine: Machine, note: Note) -> None:
    """Choose structures before the first step, on the device that trains, and say where most is lost by it."""
    device = torch.device("cuda" if machine.on_gpu(small=False) else "cpu")
    with whole_float32():
        lost = reconstruct(net.to(device), calibration_images(spec, split), seed=spec.seed)
    net.to("cpu")
    worst = max(lost, key=lambda name: lost[name])
    note(f"structures are chosen by reconstruction; most is lost in {worst}: {lost[worst]:.1%} of its energy")


def calibration_images(spec: TrainSpec, split: Split) -> list[Tensor]:
    """Some unvaried training images, by which structures and scales are chosen."""
    size = min(_CALIBRATION_BATCH, eval_batch((0, *split.image_shape)))
    return calibration_batches(split, images=CALIBRATION_IMAGES, batch_size=size, seed=spec.seed)


def save_tensors(state: dict[str, Any], path: Path) -> None:
    """Write named tensors. Through memory: a full disk is then an OSError and not one of torch's own."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getvalue())


def _stored(net: nn.Module, stored: Path, note: Note) -> Pruned | None:
    """What the first phase left; None where that is damaged and the checkpoint behind it is still there."""
    try:
        check_checkpoint(stored)
    except RunError as error:
        if not Shelf(folder=stored.parent, phase=FLOAT_PHASE).last.exists():
            raise
        note(f"{stored}: {error.what}; it is made again from the last checkpoint of its phase")
        return None
    return _load_pruned(net, stored)


def _load_pruned(net: nn.Module, path: Path) -> Pruned:
    state = check_checkpoint(path)
    try:
        net.load_state_dict(state["net"])
        masks = dict(state["masks"])
        record = PhaseRecord.from_dict(state["record"]) if "record" in state else None
    except (KeyError, RuntimeError, TypeError) as error:
        what = f"does not fit this network: {first_line(error)}"
        raise RunError(what, where=str(path), hint="delete the file to train again") from error
    return Pruned(net=net.eval(), masks=masks, record=record)


def eval_batch(shape: tuple[int, ...]) -> int:
    """How many images [N, C, H, W] of a shape are evaluated at once."""
    return max(1, min(EVAL_BATCH, _EVAL_VALUES // math.prod(shape[1:])))


@torch.no_grad()
def predict(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Logits [N, classes] in the precision of the model, on the device where it is."""
    example = next(model.parameters())
    model.eval()
    size = eval_batch(images.shape)
    with whole_float32():
        parts = [
            model(torch.from_numpy(images[i : i + size]).to(example)) for i in range(0, len(images), size)
        ]
    return torch.cat(parts).cpu().numpy()


def accuracy(model: nn.Module, split: Split) -> float:
    """Share of the images of a split whose largest logit is their class."""
    return float((predict(model, split.images).argmax(axis=1) == split.labels).mean())


def float_accuracy(net: nn.Module, split: Split, machine: Machine) -> float:
    """`accuracy` of floats, on a GPU where one may be used, however small the network; it is back on the CPU afterwards."""
    device = torch.device("cuda" if machine.on_gpu(small=False) else "cpu")
    try:
        return accuracy(net.to(device), split)
    finally:
        net.to("cpu")


def kinds_of(name: str, spec: TrainSpec) -> tuple[StructureKind, ...]:
    """The structures that were pruned in a layer."""
    return tuple(structure.kind for structure in structures_of(name, spec.pruning))


def survey_floats(spec: TrainSpec, pruned: Pruned, image: tuple[int, int, int]) -> tuple[LayerSurvey, ...]:
    """What survives in every layer of the pruned floats: what the masks keep, whatever bits would do to it."""
    surveys = []
    for layer in count(pruned.net, image).layers:
        weight = pruned.net.get_submodule(layer.name).weight
        assert isinstance(weight, Tensor)
        kept = pruned.masks.get(layer.name)
        surveys.append(
            survey_layer(
                layer.name,
                weight.detach() if kept is None else kept.to(weight.dtype),
                kinds_of(layer.name, spec) if kept is not None else (),
                positions=layer.positions,
                prunable=kept is not None,
            )
        )
    return tuple(surveys)
