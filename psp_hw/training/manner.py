"""How a training goes on and shows itself. Nothing in here changes a weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from psp_hw.errors import ToolError

CHECKPOINT_SECONDS = 600.0  # an epoch of ImageNet takes hours; what is lost is at most so much
Note = Callable[[str], None]
Row = dict[str, str]


def _unheard(_: str) -> None:
    """Where nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a training goes on and shows itself.

    Args:
        resume: continue from the last checkpoint, where there is one.
        progress: show a progress bar on stderr.
        tensorboard: write event files beside the CSV log.
        checkpoint_seconds: save within an epoch, too, once so much time has passed since the last checkpoint [s].
        note: told in a sentence what a person should know and no result says.
    """

    resume: bool = False
    progress: bool = False
    tensorboard: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    note: Note = _unheard


def manner_of(
    *,
    resume: bool,
    progress: bool,
    tensorboard: bool | None,
    checkpoint_minutes: float | None,
    note: Note | None,
) -> Manner:
    """A manner from what was asked for; None: as it is by default."""
    return Manner(
        resume=resume,
        progress=progress,
        tensorboard=want_tensorboard(tensorboard),
        checkpoint_seconds=CHECKPOINT_SECONDS if checkpoint_minutes is None else 60 * checkpoint_minutes,
        note=_unheard if note is None else note,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRecord:
    """What is remembered of a phase.

    Args:
        seconds: spent in its steps and checkpoints, over all starts [s].
        rows: its log, a row per epoch.
    """

    seconds: float
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, to be stored beside tensors."""
        return {"seconds": self.seconds, "rows": [dict(row) for row in self.rows]}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> PhaseRecord:
        """What `to_dict` gave."""
        return PhaseRecord(seconds=float(values["seconds"]), rows=tuple(dict(row) for row in values["rows"]))


def has_tensorboard() -> bool:
    """Whether event files can be written; nothing is imported."""
    return find_spec("tensorboard") is not None


def want_tensorboard(asked: bool | None) -> bool:
    """Whether to write event files: as asked, else where TensorBoard is installed.

    Raises:
        ToolError: it was asked for and is not installed.
    """
    if asked and not has_tensorboard():
        hint = "pip install 'psp-hw[tensorboard]'; metrics.csv is written in any case"
        raise ToolError("TensorBoard is not installed", where="--tensorboard", hint=hint)
    return has_tensorboard() if asked is None else asked
