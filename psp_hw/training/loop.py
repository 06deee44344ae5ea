"""One phase on the Lightning Trainer: logs, checkpoints, resume, Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from psp_hw.errors import RunError, TrainingError
from psp_hw.spec.enums import Precision
from psp_hw.spec.names import first_line
from psp_hw.spec.train import ScheduleSpec
from psp_hw.training.arithmetic import whole_float32
from psp_hw.training.batches import Batches
from psp_hw.training.checkpoints import Keeper, Shelf, ShelfIO, check_checkpoint
from psp_hw.training.launch import Launcher, launcher
from psp_hw.training.lightning_names import (
    SPEAKERS,
    Callback,
    CSVLogger,
    CUDAAccelerator,
    LightningEnvironment,
    LightningModule,
    Logger,
    SLURMEnvironment,
    TensorBoardLogger,
    Trainer,
)
from psp_hw.training.machine import Machine, is_leader
from psp_hw.training.manner import Manner, PhaseRecord
from psp_hw.training.modules import Phase
from psp_hw.training.progress import PhaseProgress

_NEVER = 10**12  # steps
LOGS, CHECKPOINTS, TENSORBOARD = "logs", "checkpoints", "tensorboard"

__all__ = ["check_checkpoint", "phase_steps", "run_phase"]


def phase_steps(schedule: ScheduleSpec, batches_per_epoch: int) -> int:
    """Number of steps in a phase."""
    steps = schedule.epochs * batches_per_epoch
    return steps if schedule.max_steps is None else min(steps, schedule.max_steps)


def run_phase(
    phase: Phase,
    batches: Batches,
    machine: Machine,
    *,
    name: str,
    run: Path,
    manner: Manner | None = None,
    small: bool = False,
) -> PhaseRecord:
    """Train a phase to its end.

    Args:
        phase: what learns; changed in place.
        batches: the training images.
        machine: what it runs on.
        name: of the phase, in files and in the progress bar.
        run: the run folder.
        manner: whether to resume, and what to show; None: neither.
        small: a step is too little work to share among threads or to send to an accelerator; one thread is then
            faster, and the result does not depend on the number of cores.

    Returns:
        What its log says and how long it took, the starts before this one included.

    Raises:
        TrainingError: the loss is not a number, or the layers of which nothing is left cut the network
            (`psp_hw.pruning.paths.cutting_layers`).
        RunError: both checkpoints are damaged or belong to another network, or the disk is full.
        KeyboardInterrupt: Ctrl-C; the last checkpoint is in place.
    """
    manner = manner or Manner()
    shelf = Shelf(folder=run / CHECKPOINTS, phase=name)
    if is_leader():  # others would make the folder before the first process has looked whether it is free
        shelf.folder.mkdir(parents=True, exist_ok=True)
    if phase.steps == 0:
        return PhaseRecord(seconds=0.0, rows=())
    start = shelf.newest(manner.note, leader=is_leader()) if manner.resume else None
    keeper = Keeper(shelf, every=manner.checkpoint_seconds, steps=phase.steps)
    callbacks: list[Callback] = [HoldImages(batches), keeper]
    if manner.progress and is_leader():
        callbacks.append(PhaseProgress(name, phase.steps))
    with one_phase(small=small):
        trainer = Trainer(
            **engine_options(phase, machine, small=small),
            max_epochs=phase.schedule.epochs,
            logger=_loggers(run, name, tensorboard=manner.tensorboard, start=start),
            callbacks=callbacks,
            plugins=[ShelfIO(shelf), *_cluster(machine)],
            default_root_dir=shelf.folder,
            log_every_n_steps=_NEVER,  # a step logs nothing, an epoch does
        )
        _fit(trainer, phase, batches, start)
    return PhaseRecord(seconds=keeper.seconds, rows=tuple(keeper.rows))


def engine_options(phase: Phase, machine: Machine, *, small: bool) -> dict[str, Any]:
    """What a Trainer is told about the machine and the arithmetic of a phase."""
    on_gpu = machine.on_gpu(small=small)
    return {
        "accelerator": _gpu(machine) if on_gpu else "cpu",
        "benchmark": on_gpu,  # let cuDNN try its convolutions: there are two batch sizes, and 50,000 steps
        "devices": machine.devices,
        "num_nodes": machine.nodes,
        "strategy": "ddp" if machine.processes > 1 else "auto",
        "precision": "bf16-mixed" if phase.engine.precision is Precision.BFLOAT16 else "32-true",
        "use_distributed_sampler": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


def _gpu(machine: Machine) -> str | CUDAAccelerator:
    """What a Trainer is told of GPUs: their kind, or that each process sees its own alone."""
    return OneGpuPerTask() if machine.one_gpu_per_task else "gpu"


class OneGpuPerTask(CUDAAccelerator):
    """Of several processes of a node, each sees its own GPU as number 0: Lightning counts what one process sees."""

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        """Of every process, the first that it sees."""
        assert isinstance(devices, int)
        return [0] * devices


def _loggers(run: Path, name: str, *, tensorboard: bool, start: Path | None) -> list[Logger]:
    """CSV always, a file per start; TensorBoard in one folder per phase, where a resume hides what it does again."""
    folder = run / LOGS
    found: list[Logger] = [
        CSVLogger(folder, name="", version=_free_version(folder, name), flush_logs_every_n_steps=1)
    ]
    if tensorboard:
        again = None if start is None else int(check_checkpoint(start)["global_step"])
        found.append(
            TensorBoardLogger(
                run / TENSORBOARD, name="", version=name, default_hp_metric=False, purge_step=again
            )
        )
    return found


def _cluster(machine: Machine) -> list[Any]:
    """Who numbers the processes, where Lightning would take SLURM: one process alone is no task of it, torchrun inside of it counts.

    psp-hw resumes by itself from its own checkpoints: Lightning shall not requeue the job.
    """
    if not SLURMEnvironment.detect():
        return []
    match launcher(machine.processes, os.environ):
        case Launcher.SLURM:
            return [SLURMEnvironment(auto_requeue=False)]
        case Launcher.TORCHRUN:
            return []
        case Launcher.NONE:
            return [LightningEnvironment()]


def _fit(trainer: Trainer, phase: Phase, batches: Batches, start: Path | None) -> None:
    """`Trainer.fit`, with Ctrl-C as KeyboardInterrupt and a bad checkpoint as RunError."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(phase, train_dataloaders=batches, ckpt_path=start, weights_only=True)
    except SystemExit as error:
        if trainer.interrupted or isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    except torch.OutOfMemoryError as error:
        hint = (
            "leave it more memory and go on with --resume, or train with smaller batches into another folder"
        )
        raise TrainingError(
            f"the memory of the GPU is full: {first_line(error)}", where="training", hint=hint
        ) from error
    except (RuntimeError, KeyError) as error:
        if start is not None and _is_of_loading(error):
            what = f"the checkpoint does not fit this network: {first_line(error)}"
            raise RunError(what, where=str(start), hint="start again into a new folder") from error
        raise
    finally:
        if handler is not None and signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)


def _is_of_loading(error: RuntimeError | KeyError) -> bool:
    """Whether an error says that a state does not fit, and not that a device or another process failed at the first step."""
    return isinstance(error, KeyError) or "loading state_dict" in str(error)


class HoldImages(Callback):
    """Lets the batches of an accelerator lie on it.

    Args:
        batches: the training images.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        layout = pl_module.layout if isinstance(pl_module, Phase) else torch.contiguous_format
        self.batches.hold_on(pl_module.device, layout)


def _free_version(folder: Path, name: str) -> str:
    """A log folder of its own for every start, so that no log is overwritten."""
    taken = len(list(folder.glob(f"{name}-*"))) if folder.is_dir() else 0
    return f"{name}-{taken + 1}"


@contextmanager
def one_phase(*, small: bool) -> Iterator[None]:
    """What surrounds a Trainer: no chatter, float32 without TF32, and one thread for small steps."""
    with _quiet(), whole_float32(), _threads(1 if small else torch.get_num_threads()):
        yield


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's greetings and hints off the terminal; errors still come as exceptions."""
    loggers = [logging.getLogger(name) for name in SPEAKERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
