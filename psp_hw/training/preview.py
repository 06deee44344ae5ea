"""What a training would be, from a few real steps of both phases on this machine. Nothing is written."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from psp_hw.data.split import Split
from psp_hw.nn.count import count
from psp_hw.nn.registry import check_name
from psp_hw.pruning.parametrization import fold, parameters_of, pruned_layers
from psp_hw.pruning.select import prune
from psp_hw.spec.train import ScheduleSpec, TrainSpec
from psp_hw.training.batches import Batches
from psp_hw.training.first_phase import check_request
from psp_hw.training.floats import (
    CALIBRATION_IMAGES,
    Pruned,
    eval_batch,
    first_layer,
    fresh_net,
    is_small,
    predict,
)
from psp_hw.training.job import splits_of
from psp_hw.training.lightning_names import Callback, LightningModule, Trainer
from psp_hw.training.loop import HoldImages, engine_options, one_phase, phase_steps
from psp_hw.training.machine import Machine
from psp_hw.training.modules import Phase, PruningPhase, QuantizedPhase
from psp_hw.training.reuse import check_reusable
from psp_hw.training.teacher import Teacher, teacher_of

_WARM = 2  # steps that are not counted: memory is found, kernels are chosen or compiled
_FEWEST, _MOST = 5, 40  # counted steps
_LONG_ENOUGH = 3.0  # [s] of counted steps
_FEW_IMAGES = 128  # for the calibration that is timed


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePreview:
    """A phase that would be trained.

    Args:
        epochs: passes over the training split; the last may be cut short by `steps`.
        steps: in the whole phase.
        seconds_per_step: median of those that were measured [s].
        measured: how many were.
    """

    epochs: int
    steps: int
    seconds_per_step: float
    measured: int

    @property
    def seconds(self) -> float:
        """Of the whole phase [s]."""
        return self.steps * self.seconds_per_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a training would be.

    Args:
        image: channels, height and width.
        images: of the training and of the test split.
        params: trainable parameters of the dense network.
        macs: multiply-accumulates per image of the dense network.
        alphas: structure parameters.
        pruned: layers that may be pruned.
        floats: the first phase; None where its result is taken from another run.
        finetune: the second phase; None where only floats are asked for.
        other_seconds: calibration and evaluation on the test split [s].
        memory: most memory of this process during the steps [bytes], and of a GPU where one is used.
        device: where the steps ran, in words.
    """

    image: tuple[int, int, int]
    images: tuple[int, int]
    params: int
    macs: int
    alphas: int
    pruned: tuple[str, ...]
    floats: PhasePreview | None
    finetune: PhasePreview | None
    other_seconds: float
    memory: int
    memory_device: int | None
    device: str

    @property
    def seconds(self) -> float:
        """Of the whole training [s]."""
        phases = (self.floats, self.finetune)
        return sum(phase.seconds for phase in phases if phase is not None) + self.other_seconds


def preview(
    spec: TrainSpec,
    *,
    machine: Machine,
    floats: Path | None = None,
    floats_only: bool = False,
    data_dir: Path | None = None,
) -> Preview:
    """Do a few steps of each phase, with one process, and say what the whole would take.

    Args:
        spec: the request.
        machine: what it runs on.
        floats: a run whose pruned floats would be taken.
        floats_only: whether the first phase is all that is asked for; Brevitas need not be installed.
        data_dir: where fetched data sets are.

    Raises:
        SpecError, DataError, ModelError, RunError: as `api.train` would.
    """
    if not spec.net.is_custom:
        check_name(spec.net)
    training, testing = splits_of(spec, data_dir)
    check_request(spec, training, machine, begun=floats is not None)
    if floats is not None:
        check_reusable(floats, spec)
    alone = replace(machine, devices=1, nodes=1)
    net = fresh_net(spec, training, begun=floats is not None)
    size = count(net, training.image_shape)
    small = is_small(net, training, spec.training)
    prune(net, spec.pruning, first=first_layer(net, training.image_shape))
    layers = pruned_layers(net)
    alphas = sum(p.alpha.numel() for layer in layers.values() for p in parameters_of(layer))
    teacher = teacher_of(spec, training)
    first = PruningPhase(net, spec, 10**9, teacher)
    step_times = (
        [] if floats is not None else _timed(first, _batches(spec, training, spec.training), alone, small)
    )
    net.to("cpu", memory_format=torch.contiguous_format).eval()
    pruned = Pruned(net=net, masks=fold(net), record=None)
    if floats_only:
        other, finetune = _evaluation(pruned.net, testing), None
    else:
        other, finetune_times = _second(spec, training, testing, pruned, teacher, alone, small)
        finetune = _phase(spec.finetune, training, finetune_times)
    return Preview(
        image=training.image_shape,
        images=(len(training), len(testing)),
        params=size.params,
        macs=size.macs,
        alphas=alphas,
        pruned=tuple(layers),
        floats=None if floats is not None else _phase(spec.training, training, step_times),
        finetune=finetune,
        other_seconds=other,
        memory=_most_memory(),
        memory_device=torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None,
        device=_device(alone, small=small),
    )


def _second(
    spec: TrainSpec,
    training: Split,
    testing: Split,
    pruned: Pruned,
    teacher: Teacher | None,
    machine: Machine,
    small: bool,
) -> tuple[float, list[float]]:
    """Seconds of calibration and evaluation together, and of the steps of fine-tuning."""
    from psp_hw.training.phases import calibrated

    fewest, few = _first(training, _FEW_IMAGES // 4), _first(training, _FEW_IMAGES)
    once = _seconds_of(lambda: calibrated(spec, fewest, pruned))
    start = time.perf_counter()
    model = calibrated(spec, few, pruned)
    per_image = max(0.0, time.perf_counter() - start - once) / max(1, len(few) - len(fewest))
    seconds = once + per_image * min(CALIBRATION_IMAGES, len(training))
    seconds += _evaluation(pruned.net, testing) + 2 * _evaluation(model, testing)
    phase = QuantizedPhase(model, spec, 10**9, pruned.masks, teacher)
    return seconds, _timed(phase, _batches(spec, training, spec.finetune), machine, small)


def _evaluation(net: nn.Module, testing: Split) -> float:
    """Seconds that the whole test split takes, from one batch of it."""
    images = testing.images[: eval_batch(testing.images.shape)]
    predict(net, images[:8])  # finds its memory
    return len(testing) / len(images) * _seconds_of(lambda: predict(net, images))


def _first(split: Split, images: int) -> Split:
    return replace(split, images=split.images[:images], labels=split.labels[:images])


def _seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _batches(spec: TrainSpec, split: Split, schedule: ScheduleSpec) -> Batches:
    return Batches(split, spec.data, batch_size=schedule.batch_size, seed=spec.seed)


def _phase(schedule: ScheduleSpec, split: Split, seconds: list[float]) -> PhasePreview:
    per_epoch = -(-len(split) // schedule.batch_size)
    steps = phase_steps(schedule, per_epoch)
    return PhasePreview(
        epochs=-(-steps // per_epoch),
        steps=steps,
        seconds_per_step=float(np.median(seconds)),
        measured=len(seconds),
    )


def _timed(phase: Phase, batches: Batches, machine: Machine, small: bool) -> list[float]:
    """Seconds of some real steps, as the training does them; the module is changed by them."""
    watch = _Stopwatch()
    with one_phase(small=small):
        trainer = Trainer(
            **engine_options(phase, machine, small=small),
            max_epochs=1000,
            logger=False,
            enable_checkpointing=False,
            callbacks=[HoldImages(batches), watch],
        )
        trainer.fit(phase, train_dataloaders=batches)
    return watch.seconds


class _Stopwatch(Callback):
    """Times steps from end to end, the batch that a step waits for included, and stops when it has enough."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    @property
    def seconds(self) -> list[float]:
        """Of each counted step [s]."""
        return [
            after - before for before, after in zip(self.ends[_WARM - 1 :], self.ends[_WARM:], strict=False)
        ]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        known = self.seconds
        if len(known) >= _MOST or (len(known) >= _FEWEST and sum(known) >= _LONG_ENOUGH):
            trainer.should_stop = True


def _most_memory() -> int:
    """The most that this process ever had [bytes]; Linux counts KiB, macOS bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _device(machine: Machine, *, small: bool) -> str:
    if machine.on_gpu(small=small):
        return str(torch.cuda.get_device_name())
    threads = 1 if small else torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
