"""What a person sees of a phase while it runs: one moving line on a terminal, a line now and then in a log file."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from psp_hw.training.lightning_names import Callback, LightningModule, Trainer
from psp_hw.training.means import WATCHED
from psp_hw.training.modules import Phase

_WIDE = 100  # columns from which there is room for a bar
_NARROW = 80  # columns below which facts have short names
_SHORT = {"accuracy": "acc", "density": "dens", "epsilon": "eps"}
_MOVE_EVERY = 0.5  # [s] on a terminal; reading a value of an accelerator waits for it
_LINE_EVERY = 30.0  # [s] in a log file


class _Facts(ProgressColumn):
    """Facts on one line: what gives way where the terminal is narrow, so that epoch and time left stay."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=False, overflow="ellipsis"))

    def render(self, task: Task) -> Text:
        return Text(task.fields["facts"], no_wrap=True, overflow="ellipsis")


class PhaseProgress(Callback):
    """Epoch, loss, accuracy, density, epsilon and the time left, on stderr.

    Args:
        name: of the phase.
        steps: in the whole phase.
        console: where to; None: stderr.
    """

    def __init__(self, name: str, steps: int, console: Console | None = None) -> None:
        self.name = name
        self.steps = steps
        self.console = console or Console(stderr=True, highlight=False)
        self.every = _MOVE_EVERY if self.console.is_terminal else _LINE_EVERY
        self.told = self.begun = time.perf_counter()
        self.first_step = 0
        self.bar: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.told = self.begun = time.perf_counter()
        self.first_step = trainer.global_step
        if self.console.is_terminal:
            bar = [BarColumn(bar_width=20)] if self.console.width >= _WIDE else []
            words = TextColumn("{task.description}")
            left = TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True))
            self.bar = Progress(words, *bar, _Facts(), left, console=self.console, refresh_per_second=4)
            self.bar.add_task(self.name, total=self.steps, completed=trainer.global_step, facts="")
            self.bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = trainer.global_step >= self.steps
        if not done and time.perf_counter() - self.told < self.every:
            return
        self.told = time.perf_counter()
        assert isinstance(pl_module, Phase)
        epochs = min(pl_module.schedule.epochs, -(-self.steps // max(1, int(trainer.num_training_batches))))
        title = f"{self.name} {trainer.current_epoch + 1}/{epochs}"
        facts = facts_of(pl_module, short=self.console.is_terminal and self.console.width < _NARROW)
        if self.bar is not None:
            task = self.bar.task_ids[0]
            self.bar.update(task, description=title, completed=trainer.global_step, facts=facts)
        else:
            self.console.out(f"{title}  {facts}  {self._left(trainer.global_step)}", highlight=False)

    def _left(self, step: int) -> str:
        """The time that the rest of the phase takes at the speed so far."""
        if step >= self.steps:
            return "done"
        share = (self.steps - step) / max(1, step - self.first_step)
        return f"{timedelta(seconds=round(share * (time.perf_counter() - self.begun)))} left"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def facts_of(phase: Phase, *, short: bool = False) -> str:
    """Loss and accuracy, smoothed over the last steps; density and epsilon, as they are now.

    Args:
        phase: that trains.
        short: whether names are abbreviated.
    """
    recent = phase.means.recent
    known = {} if recent is None else dict(zip(WATCHED, recent.tolist(), strict=True))
    facts = [f"{name} {value:{'.1%' if name == 'accuracy' else '.3f'}}" for name, value in known.items()]
    facts += [f"{name} {value:.3f}" for name, value in phase.pruning_facts().items()]
    for name, brief in _SHORT.items() if short else ():
        facts = [fact.replace(f"{name} ", f"{brief} ") for fact in facts]
    return " ".join(facts)
