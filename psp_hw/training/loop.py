"""One phase on the Lightning Trainer: progress bar, CSV log, atomic checkpoints, resume, Ctrl-C."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from psp_hw.errors import RunError, TrainingError
from psp_hw.spec.enums import Precision
from psp_hw.spec.names import first_line
from psp_hw.spec.train import ScheduleSpec
from psp_hw.training.batches import Batches
from psp_hw.training.machine import Machine, is_leader
from psp_hw.training.modules import Phase


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
    resume: bool,
    progress: bool,
    small: bool = False,
) -> None:
    """Train a phase to its end.

    Args:
        phase: what learns; changed in place.
        batches: the training images.
        machine: what it runs on.
        name: of the phase, in files and in the progress bar.
        run: the run folder.
        resume: continue from the last checkpoint of this phase, where there is one.
        progress: show a progress bar.
        small: a step is too little work to share among threads or to send to an accelerator; one thread is then
            faster, and the result does not depend on the number of cores.

    Raises:
        TrainingError: the loss is not a number, or all structures of a layer are gone.
        RunError: the checkpoint is corrupt or belongs to another network.
        KeyboardInterrupt: Ctrl-C; the checkpoint of the last whole epoch is in place.
    """
    checkpoint = run / "checkpoints" / f"{name}-last.ckpt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    start = checkpoint if resume and checkpoint.exists() else None
    if start is not None:
        check_checkpoint(start)
    callbacks: list[Callback] = [AtomicCheckpoint(checkpoint), HoldImages(batches)]
    if progress and is_leader():
        callbacks.append(PhaseProgress(name, phase.steps))
    with _quiet(), _threads(1 if small else torch.get_num_threads()):
        trainer = Trainer(
            accelerator="gpu" if machine.on_gpu(small=small) else "cpu",
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy="ddp" if machine.processes > 1 else "auto",
            precision="bf16-mixed" if phase.engine.precision is Precision.BFLOAT16 else "32-true",
            use_distributed_sampler=False,
            max_epochs=phase.schedule.epochs,
            logger=CSVLogger(run / "logs", name="", version=_free_version(run / "logs", name)),
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        _fit(trainer, phase, batches, start)


def _fit(trainer: Trainer, phase: Phase, batches: Batches, start: Path | None) -> None:
    """`Trainer.fit`, with Ctrl-C as KeyboardInterrupt and a bad checkpoint as RunError."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(phase, train_dataloaders=batches, ckpt_path=start, weights_only=True)
    except SystemExit as error:
        if trainer.interrupted or isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    except (RuntimeError, KeyError) as error:
        if start is not None and trainer.global_step == 0:
            what = f"the checkpoint does not fit this network: {first_line(error)}"
            raise RunError(what, where=str(start), hint="start again into a new folder") from error
        raise
    finally:
        if handler is not None and signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)


def check_checkpoint(path: Path) -> dict[str, Any]:
    """Read a file of tensors without executing anything in it.

    Raises:
        RunError: truncated, corrupt, or not made of plain tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch finds odd ends in the error below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the reader raise anything
        reason = "truncated or corrupt, or holds more than tensors; nothing in it was executed"
        hint = "restore it, or train again; of an interrupted run: delete it to start this phase again"
        raise RunError(reason, where=str(path), hint=hint) from error
    if not isinstance(loaded, dict):
        raise RunError(f"holds a {type(loaded).__name__}, not named tensors", where=str(path))
    return loaded


class AtomicCheckpoint(Callback):
    """Writes the state after every epoch, aside and then renamed, only while all parameters are numbers.

    Args:
        path: of the checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, parameter in pl_module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise TrainingError(
                    f"'{name}' is no longer a number in epoch {trainer.current_epoch + 1}",
                    where="training",
                    hint="lower the learning rate; the last good checkpoint is kept in checkpoints/",
                )
        aside = self.path.with_suffix(".tmp")
        try:
            trainer.save_checkpoint(aside)  # by all processes; the first writes
            if trainer.is_global_zero:
                aside.replace(self.path)
        finally:
            if trainer.is_global_zero:
                aside.unlink(missing_ok=True)


class HoldImages(Callback):
    """Lets the batches of an accelerator lie on it.

    Args:
        batches: the training images.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.batches.hold_on(pl_module.device)


class PhaseProgress(Callback):
    """One line on stderr: bar, epoch, loss, accuracy, density.

    Args:
        name: of the phase.
        steps: in the whole phase.
    """

    def __init__(self, name: str, steps: int) -> None:
        columns = (
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=4)
        self.task = self.bar.add_task(name, total=steps, facts="")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.bar.update(self.task, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics
        facts = [f"epoch {trainer.current_epoch + 1}"]
        facts += [
            f"{key} {float(metrics[key]):.3f}" for key in ("loss", "accuracy", "density") if key in metrics
        ]
        self.bar.update(self.task, facts="  ".join(facts))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.bar.stop()


def _free_version(folder: Path, name: str) -> str:
    """A log folder of its own for every start, so that no log is overwritten."""
    taken = len(list(folder.glob(f"{name}-*"))) if folder.is_dir() else 0
    return f"{name}-{taken + 1}"


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
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric", "lightning")]
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
