"""The first phase of a training alone: pruned floats, in a run that waits to be quantized, here or on another machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from psp_hw.errors import SpecError
from psp_hw.flow.runs import new_run, stem_of
from psp_hw.flow.signals import stopping_at_signals
from psp_hw.flow.train import Interrupted, Request, check_machine, check_names, machine_of, what_and_where
from psp_hw.training.launch import check_launch

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
    spec, out = what_and_where(request)
    check_names(spec)
    check_machine(request)
    check_launch(request.devices, request.nodes, os.environ)
    with stopping_at_signals(), nullcontext(out) if out is not None else new_run(stem_of(spec, None)) as run:
        from psp_hw.training.first_phase import train_floats as train
        from psp_hw.training.machine import is_leader
        from psp_hw.training.manner import manner_of

        manner = manner_of(
            resume=request.resume,
            progress=progress,
            tensorboard=request.tensorboard,
            checkpoint_minutes=request.checkpoint_minutes,
            note=note if is_leader() else None,
        )
        try:
            return train(spec, run, machine=machine_of(request), manner=manner, data_dir=request.data_dir)
        except KeyboardInterrupt as stop:
            if not (run / "manifest.json").is_file():
                raise  # before there was anything to go on with
            raise Interrupted(run) from stop


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
