"""The first phase of a training alone: pruned floats, in a run that waits to be quantized, here or on another machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from psp_hw.errors import SpecError
from psp_hw.flow.train import Request, interruptible_run, machine_of, manner_for

if TYPE_CHECKING:
    from psp_hw.training.first_phase import FloatResult


def train_floats(
    request: Request, *, progress: bool = True, note: Callable[[str], None] | None = None
) -> FloatResult | None:
    """Train and prune in floats; Brevitas need not be installed.

    Args:
        request: the options.
        progress: whether to draw progress bars.
        note: told in a sentence about what needs no stop.

    Returns:
        None for all but the first of several processes.

    Raises:
        PspHwError: bad options, bad data, training that diverged.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP.
    """
    check_floats_only(request)
    with interruptible_run(request) as (spec, run):
        from psp_hw.training.first_phase import train_floats as train

        manner = manner_for(request, progress=progress, note=note)
        return train(spec, run, machine=machine_of(request), manner=manner, data_dir=request.data_dir)


def check_floats_only(request: Request) -> None:
    """Refuse floats that are trained already.

    Raises:
        SpecError: ``--from`` is beside ``--floats-only``.
    """
    if request.floats is not None:
        hint = "leave one of them out"
        raise SpecError("--from takes floats that are trained already", where="--floats-only", hint=hint)


def document(result: FloatResult) -> dict[str, object]:
    """The JSON of ``train --floats-only --json``."""
    return {
        "accuracy": result.accuracy,
        "density": result.density,
        "params": result.params,
        "macs": result.macs,
        "seconds": {} if result.seconds is None else {"train": round(result.seconds, 1)},
        "run": str(result.run),
    }
