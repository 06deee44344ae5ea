"""From pruned floats to a quantized network: fold, quantize, calibrate, fine-tune. Brevitas works here and below."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from psp_hw.data.split import Split
from psp_hw.nn.count import count
from psp_hw.nn.registry import build_net
from psp_hw.pruning.survey import LayerSurvey, survey_layer, surviving
from psp_hw.quant.calibrate import calibrate_activations, calibrate_weights
from psp_hw.quant.convert import quantize, weighted_layers
from psp_hw.quant.exact import exact_in_float32
from psp_hw.quant.fold import fold_batch_norm
from psp_hw.quant.quantizers import integer_weight
from psp_hw.quant.steps import trace_steps
from psp_hw.spec.train import TrainSpec
from psp_hw.training.batches import Batches
from psp_hw.training.floats import Pruned, accuracy, calibration_images, check_floats, is_small, kinds_of
from psp_hw.training.job import Job
from psp_hw.training.loop import phase_steps, run_phase
from psp_hw.training.machine import Machine
from psp_hw.training.manner import PhaseRecord
from psp_hw.training.modules import QuantizedPhase, apply_masks
from psp_hw.training.teacher import teacher_of

QUANT_PHASE = "finetune"
PROBE_IMAGES = 32


def check_net(spec: TrainSpec, split: Split, machine: Machine | None = None, *, begun: bool = False) -> None:
    """Refuse what could not be pruned or quantized, or not on this machine, before any time is spent on training.

    Args:
        spec: the request.
        split: images and classes as the network sees them.
        machine: as in `psp_hw.training.floats.check_floats`.
        begun: as in `psp_hw.training.floats.fresh_net`.

    Raises:
        SpecError, ModelError: names the layer and says what is supported.
        RunError: the weights to start from cannot be, or the teacher.
    """
    quantize(fold_batch_norm(trace_steps(check_floats(spec, split, machine, begun=begun))), spec.quant)


def calibrated(spec: TrainSpec, split: Split, pruned: Pruned) -> fx.GraphModule:
    """Fold BN, quantize, choose the scales: quantization without any training."""
    model = quantize(fold_batch_norm(trace_steps(pruned.net)), spec.quant)
    calibrate_weights(model, spec.quant)
    calibrate_activations(model, calibration_images(spec, split))
    return model.eval()


def fine_tune(model: fx.GraphModule, job: Job, pruned: Pruned) -> PhaseRecord:
    """Train a calibrated network, in place, with scales and structures fixed."""
    spec = job.spec
    batches = Batches(job.training, spec.data, batch_size=spec.finetune.batch_size, seed=spec.seed + 1)
    steps = phase_steps(spec.finetune, len(batches))
    phase = QuantizedPhase(model, spec, steps, pruned.masks, teacher_of(spec, job.training))
    record = run_phase(
        phase,
        batches,
        job.machine,
        name=QUANT_PHASE,
        run=job.run,
        manner=job.manner,
        small=is_small(pruned.net, job.training, spec.finetune),
    )
    model.to(memory_format=torch.contiguous_format)
    apply_masks(model, pruned.masks)
    _drop_dead(model, spec, pruned)
    model.eval()
    return record


def _drop_dead(model: nn.Module, spec: TrainSpec, pruned: Pruned) -> None:
    """A structure whose integers are all zero is gone: make its float weights zero too."""
    layers = weighted_layers(model)
    masks = {name: surviving(integer_weight(layers[name]), kinds_of(name, spec)) for name in pruned.masks}
    apply_masks(model, masks)


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
            kinds_of(name, spec) if name in pruned.masks else (),
            positions=positions[name],
            prunable=name in pruned.masks,
        )
        for name, layer in layers.items()
    )
