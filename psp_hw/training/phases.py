"""The way from a spec to a quantized network: prune, fold, quantize, fine-tune."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from psp_hw.data.split import Split
from psp_hw.errors import RunError
from psp_hw.nn.count import count
from psp_hw.nn.registry import build_net
from psp_hw.pruning.methods.psp import require_alive
from psp_hw.pruning.parametrization import fold
from psp_hw.pruning.select import prune, select_layers, structures_of
from psp_hw.pruning.survey import LayerSurvey, survey_layer, surviving
from psp_hw.quant.calibrate import calibrate_activations, calibrate_weights
from psp_hw.quant.convert import quantize, weighted_layers
from psp_hw.quant.exact import exact_in_float32
from psp_hw.quant.fold import fold_batch_norm
from psp_hw.quant.quantizers import integer_weight
from psp_hw.quant.steps import trace_steps
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.names import first_line
from psp_hw.spec.train import ScheduleSpec, TrainSpec
from psp_hw.training.batches import Batches, calibration_batches
from psp_hw.training.checkpoints import Shelf, check_checkpoint
from psp_hw.training.durable import write_aside
from psp_hw.training.loop import phase_steps, run_phase
from psp_hw.training.machine import Machine, is_leader
from psp_hw.training.manner import Manner, Note, PhaseRecord
from psp_hw.training.modules import PruningPhase, QuantizedPhase, apply_masks
from psp_hw.training.run import PRUNED

FLOAT_PHASE, QUANT_PHASE = "train", "finetune"
CALIBRATION_IMAGES, CALIBRATION_BATCH = 1024, 256
EVAL_BATCH = 500  # images of 32 x 32 pixels; fewer of larger ones
_EVAL_VALUES = EVAL_BATCH * 3 * 32 * 32
PROBE_IMAGES = 32
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


def fresh_net(spec: TrainSpec, split: Split) -> nn.Module:
    """The network with its initial weights: those that the spec names, or random ones that depend on the seed alone.

    Raises:
        RunError: the named weights are missing, damaged, or of another network.
    """
    torch.manual_seed(spec.seed)
    net = build_net(spec.net, image=split.image_shape, classes=len(split.classes))
    if spec.net.weights:
        _load_start(net, Path(spec.net.weights))
    return net


def _load_start(net: nn.Module, source: Path) -> None:
    """Load the floats of a run, or a ``state_dict``, alone or under that name."""
    path = source / PRUNED if source.is_dir() else source
    if not path.is_file():
        what = "the run has no floats" if source.is_dir() else "the file is missing"
        raise RunError(what, where=str(path), hint="name a run with its checkpoints, or a saved state_dict")
    state = check_checkpoint(path)
    for key in ("net", "state_dict"):
        state = state[key] if isinstance(state.get(key), dict) else state
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        what = f"does not fit the network of the spec: {lines[1] if len(lines) > 1 else lines[0]}"
        raise RunError(what, where=str(path)) from error


def first_layer(net: nn.Module, image: tuple[int, int, int]) -> str:
    """Name of the layer that sees the image."""
    return count(net, image).layers[0].name


def is_small(net: nn.Module, split: Split, schedule: ScheduleSpec) -> bool:
    """Whether one step of training is too little work for several threads."""
    return count(net, split.image_shape).macs * schedule.batch_size < SMALL_STEP_MACS


def check_net(spec: TrainSpec, split: Split) -> None:
    """Refuse what could not be pruned or quantized before any time is spent on training.

    Raises:
        SpecError, ModelError: names the layer and says what is supported.
    """
    net = fresh_net(spec, split).eval()
    select_layers(net, spec.pruning, first=first_layer(net, split.image_shape))
    quantize(fold_batch_norm(trace_steps(net)), spec.quant)


def float_phase(
    spec: TrainSpec,
    split: Split,
    run: Path,
    machine: Machine,
    manner: Manner,
    *,
    floats: Path | None = None,
) -> Pruned:
    """Train in floats with pruning, then fold alpha into the weights; or take what another run (`floats`) did."""
    net = fresh_net(spec, split)
    stored = run / PRUNED
    if floats is not None:
        return _load_pruned(net, floats / PRUNED)  # there for every process, before the first has copied it
    if manner.resume and stored.exists():
        known = _stored(net, stored, manner.note)
        if known is not None:
            return known
    record = train_structures(net, spec, split, run, machine, manner)
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
) -> PhaseRecord:
    """Train a fresh network in floats; its structure parameters stay on it."""
    prune(net, spec.pruning, first=first_layer(net, split.image_shape))
    batches = Batches(split, spec.data, batch_size=spec.training.batch_size, seed=spec.seed)
    steps = phase_steps(spec.training, len(batches))
    phase = PruningPhase(net, spec.training, steps, spec.pruning, spec.engine)
    small = is_small(net, split, spec.training)
    record = run_phase(phase, batches, machine, name=FLOAT_PHASE, run=run, manner=manner, small=small)
    require_alive(net)
    net.eval()
    return record


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


def calibrated(spec: TrainSpec, split: Split, pruned: Pruned) -> fx.GraphModule:
    """Fold BN, quantize, choose the scales: quantization without any training."""
    model = quantize(fold_batch_norm(trace_steps(pruned.net)), spec.quant)
    calibrate_weights(model, spec.quant)
    size = min(CALIBRATION_BATCH, eval_batch((0, *split.image_shape)))
    calibrate_activations(
        model, calibration_batches(split, images=CALIBRATION_IMAGES, batch_size=size, seed=spec.seed)
    )
    return model.eval()


def fine_tune(
    model: fx.GraphModule,
    spec: TrainSpec,
    split: Split,
    pruned: Pruned,
    run: Path,
    machine: Machine,
    manner: Manner,
) -> PhaseRecord:
    """Train a calibrated network, in place, with scales and structures fixed."""
    batches = Batches(split, spec.data, batch_size=spec.finetune.batch_size, seed=spec.seed + 1)
    steps = phase_steps(spec.finetune, len(batches))
    phase = QuantizedPhase(model, spec.finetune, steps, pruned.masks, spec.engine)
    small = is_small(pruned.net, split, spec.finetune)
    record = run_phase(phase, batches, machine, name=QUANT_PHASE, run=run, manner=manner, small=small)
    model.to(memory_format=torch.contiguous_format)
    apply_masks(model, pruned.masks)
    _drop_dead(model, spec, pruned)
    model.eval()
    return record


def _drop_dead(model: nn.Module, spec: TrainSpec, pruned: Pruned) -> None:
    """A structure whose integers are all zero is gone: make its float weights zero too."""
    layers = weighted_layers(model)
    masks = {name: surviving(integer_weight(layers[name]), _kinds(name, spec)) for name in pruned.masks}
    apply_masks(model, masks)


def _kinds(name: str, spec: TrainSpec) -> tuple[StructureKind, ...]:
    """The structures that were pruned in a layer."""
    return tuple(structure.kind for structure in structures_of(name, spec.pruning))


def rebuild(
    spec: TrainSpec, state: dict[str, Tensor], *, image: tuple[int, int, int], classes: int
) -> nn.Module:
    """The quantized network of a run, from its spec and its state.

    Args:
        spec: of the run.
        state: ``quantized.pt``.
        image: channels, height and width.
        classes: number of classes.
    """
    net = build_net(spec.net, image=image, classes=classes).eval()
    model = quantize(fold_batch_norm(trace_steps(net)), spec.quant)
    model.load_state_dict(state)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def eval_batch(shape: tuple[int, ...]) -> int:
    """How many images [N, C, H, W] of a shape are evaluated at once."""
    return max(1, min(EVAL_BATCH, _EVAL_VALUES // math.prod(shape[1:])))


@torch.no_grad()
def predict(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Logits [N, classes] in the precision of the model."""
    kind = next(model.parameters()).dtype
    model.eval()
    size = eval_batch(images.shape)
    parts = [model(torch.from_numpy(images[i : i + size]).to(kind)) for i in range(0, len(images), size)]
    return torch.cat(parts).numpy()


def accuracy(model: nn.Module, split: Split) -> float:
    """Share of the images of a split whose largest logit is their class."""
    return float((predict(model, split.images).argmax(axis=1) == split.labels).mean())


def quantized_accuracy(model: fx.GraphModule, split: Split) -> float:
    """Accuracy of a quantized network from exact values: in float32 where that is exact, else in float64."""
    if not exact_in_float32(model, torch.from_numpy(split.images[:PROBE_IMAGES])):
        model.double()
    return accuracy(model, split)


def survey(
    spec: TrainSpec, model: nn.Module, pruned: Pruned, image: tuple[int, int, int]
) -> tuple[LayerSurvey, ...]:
    """What survives in every layer, read off the integers of the weights."""
    layers = weighted_layers(model)
    positions = {layer.name: layer.positions for layer in count(pruned.net, image).layers}
    return tuple(
        survey_layer(
            name,
            integer_weight(layer),
            _kinds(name, spec) if name in pruned.masks else (),
            positions=positions[name],
            prunable=name in pruned.masks,
        )
        for name, layer in layers.items()
    )
