"""The last two checkpoints of a phase: written so that one of them is always good, read so that a bad one is noticed.

torch.load does not compare the checksums of the archive that a checkpoint is: a flipped bit in a tensor is read as
another number. So every member is checked first.
"""

from __future__ import annotations

import io
import time
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from psp_hw.errors import RunError, TrainingError
from psp_hw.training.durable import sync, unwritable, write_aside
from psp_hw.training.lightning_names import Checkpoint, LightningModule, TorchCheckpointIO, Trainer
from psp_hw.training.manner import Note, Row
from psp_hw.training.stops import Stops

DAMAGED = ".damaged"
_AGREE_EVERY = 16  # steps between two moments at which several processes ask each other
_BAD = "truncated or corrupt, or holds more than tensors; nothing in it was executed"
_RESTORE = "restore it, or train again; of an interrupted run: delete it to start this phase again"


def check_checkpoint(path: Path) -> dict[str, Any]:
    """Read a file of tensors without executing anything in it, every byte compared with its checksum.

    Raises:
        RunError: truncated, corrupt, or not made of plain tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a member differs from its checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch finds odd ends in the error below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise RunError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except Exception as error:  # damaged bytes make the reader raise anything
        raise RunError(_BAD, where=str(path), hint=_RESTORE) from error
    if not isinstance(loaded, dict):
        raise RunError(f"holds a {type(loaded).__name__}, not named tensors", where=str(path))
    return loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where the checkpoints of a phase lie.

    Args:
        folder: of the checkpoints of a run.
        phase: name of the phase.
    """

    folder: Path
    phase: str

    @property
    def last(self) -> Path:
        """The newest."""
        return self.folder / f"{self.phase}-last.ckpt"

    @property
    def previous(self) -> Path:
        """The one before."""
        return self.folder / f"{self.phase}-previous.ckpt"

    def put(self, content: bytes) -> None:
        """Make this the last one, and the last one the previous: at every moment one of both is whole.

        Raises:
            RunError: the disk is full or the folder cannot be written; the last one stays the last.
        """

        def write(aside: Path) -> None:
            aside.write_bytes(content)
            sync(aside)  # before the last one moves away
            if self.last.exists():
                self.last.replace(self.previous)

        write_aside(self.last, write)

    def newest(self, note: Note, *, leader: bool = True) -> Path | None:
        """The newest good one; a damaged one is said and put out of the way.

        Args:
            note: told about a damaged one.
            leader: whether this process may rename files.

        Returns:
            None where there is none.

        Raises:
            RunError: all that there are are damaged.
        """
        damaged: list[RunError] = []
        there = [path for path in (self.last, self.previous) if path.exists()]
        for path in there:
            try:
                check_checkpoint(path)
            except RunError as error:
                damaged.append(error)
                continue
            for error in damaged:
                note(f"{error.where}: {error.what}; training goes on from the one before, {path.name}")
                if leader and self.last.exists():
                    self.last.replace(self.last.with_name(self.last.name + DAMAGED))
            return path
        if len(damaged) > 1:
            what = f"damaged, and so is the one before, {self.previous.name}: {damaged[0].what}"
            hint = "restore one of them, or delete both to start this phase again"
            raise RunError(what, where=str(self.last), hint=hint) from damaged[0]
        if damaged:
            raise damaged[0]
        return None


class ShelfIO(TorchCheckpointIO):
    """How Lightning writes a checkpoint: through memory, so that a full disk is an OSError and not one of torch's own.

    Args:
        shelf: where it goes.
    """

    def __init__(self, shelf: Shelf) -> None:
        super().__init__()
        self.shelf = shelf

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        self.shelf.put(buffer.getvalue())


class Keeper(Checkpoint):
    """Saves the state after every epoch, and within one where it is long or somebody asks to stop; only while all parameters are numbers.

    The log and the time go with it. What is remembered belongs to the weights beside it: after a resume neither an epoch nor a
    second counts twice, and none is missing.

    Args:
        shelf: where the checkpoints lie.
        every: save within an epoch once so much time has passed since the last checkpoint [s].
        steps: in the whole phase; behind the last one the epoch ends, wherever it is.
    """

    def __init__(self, shelf: Shelf, *, every: float, steps: int) -> None:
        self.shelf = shelf
        self.every = every
        self.steps = steps
        self._saved = time.perf_counter()
        self.rows: list[Row] = []
        self._seconds = 0.0
        self._since: float | None = None
        self._stops = Stops()

    @property
    def seconds(self) -> float:
        """Spent in the epochs that count, up to now [s]."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._seconds + running

    def state_dict(self) -> dict[str, Any]:
        """What Lightning stores in the checkpoint."""
        return {"seconds": self.seconds, "rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a checkpoint remembers."""
        self.rows = [dict(row) for row in state_dict.get("rows", [])]
        self._seconds = float(state_dict.get("seconds", 0.0))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = self._saved = time.perf_counter()
        self._stops.listen()  # in place of Lightning, which would forget the steps since the last checkpoint

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        ends = trainer.is_last_batch or trainer.global_step >= self.steps
        if ends or (trainer.world_size > 1 and trainer.global_step % _AGREE_EVERY):
            return
        due = time.perf_counter() - self._saved >= self.every
        due = _any(trainer, due and trainer.is_global_zero)  # clocks differ: the first process decides
        stop = _any(trainer, self._stops.asked)
        if due or stop:
            self._save(trainer, pl_module)
        if stop:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        facts = {key: repr(float(value)) for key, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": str(trainer.current_epoch), "step": str(trainer.global_step - 1), **facts})
        self._save(trainer, pl_module)
        if _any(trainer, self._stops.asked):
            raise KeyboardInterrupt

    def _save(self, trainer: Trainer, module: LightningModule) -> None:
        with torch.no_grad():
            require_numbers(module, trainer.current_epoch + 1)
        try:
            trainer.save_checkpoint(self.shelf.last)  # by all processes; the first writes
        except OSError as error:
            raise unwritable(self.shelf.last, error) from error
        self._saved = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seconds, self._since = self.seconds, None
        self._stops.give_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stops.give_back()


def _any(trainer: Trainer, mine: bool) -> bool:
    """Whether any of several processes says yes; all of them ask."""
    return bool(trainer.strategy.reduce_boolean_decision(mine, all=False)) if trainer.world_size > 1 else mine


def require_numbers(module: LightningModule, epoch: int) -> None:
    """Refuse parameters that are no longer numbers; one question to the device that trains, not one per parameter.

    Raises:
        TrainingError: names the first of them.
    """
    named = dict(module.named_parameters())
    finite = torch.stack([torch.isfinite(parameter).all() for parameter in named.values()])
    if bool(finite.all()):
        return
    name = next(name for name, good in zip(named, finite.tolist(), strict=True) if not good)
    raise TrainingError(
        f"'{name}' is no longer a number in epoch {epoch}",
        where="training",
        hint="lower the learning rate; the last good checkpoint is kept in checkpoints/",
    )
