"""Many trainings over epsilon, lambda, density, structures and bits; the fronts of accuracy against what the hardware costs.

SWEEP/study.journal    the trials (Optuna), unless another storage is named
SWEEP/trials/0007/     an ordinary run: ``psp-hw emit SWEEP/trials/0007``
SWEEP/front.json       every trial and the fronts; front.md and front.png the same for people
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from psp_hw.data.registry import load
from psp_hw.errors import DoesNotFitError, ModelError, RunError, SpecError, TrainingError
from psp_hw.flow.estimate import estimate
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.signals import stopping_at_signals
from psp_hw.flow.sweeps.front import UNITS, Cost
from psp_hw.flow.sweeps.ledger import Direction, Ledger, Taken, open_ledger
from psp_hw.flow.sweeps.plan import Plan, SweepRequest, planned, record
from psp_hw.flow.sweeps.results import SweepResult, write
from psp_hw.flow.sweeps.trials import State
from psp_hw.flow.train import machine
from psp_hw.spec.space import AxisName, applied, identity
from psp_hw.spec.train import QuantSpec, TrainSpec

if TYPE_CHECKING:
    from psp_hw.training.api import TrainResult

_POLL_S = 2.0
_FOLDERS = 9
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")

Told = Callable[[str], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep; the trial waits for whoever goes on."""


def sweep(request: SweepRequest, *, told: Told = lambda line: None, progress: bool = True) -> SweepResult:
    """Work on a sweep until every trial is done: begin it, join it, or go on with one that was interrupted.

    Args:
        request: the options.
        told: one line per trial.
        progress: whether to draw the progress bars of the trainings.

    Raises:
        PspHwError: a bad spec, space, storage or part; no trial could be trained.
        Interrupted: Ctrl-C.
    """
    plan = planned(request)
    load(plan.spec.data.name, request.data_dir, "test")  # what is missing is said before a trial is taken
    directions: list[Direction] = ["maximize"]
    directions += ["minimize" for _ in plan.costs]
    ledger = open_ledger(
        request.storage,
        plan.folder,
        name=plan.name,
        spec=plan.spec,
        space=plan.space,
        directions=directions,
        trials=plan.trials,
        seed=request.seed,
        request=record(plan),
        grace_s=request.grace_s,
    )
    try:
        with _alone(), stopping_at_signals():
            _work_through(plan, ledger, told, progress)
    except KeyboardInterrupt as stop:
        raise Interrupted from stop
    result = write(plan, ledger.entries())
    if not result.fronts.trained:
        first = result.failed[0]
        what = f"none of the {len(result.failed)} trials could be trained; trial {first.run}: {first.error}"
        raise TrainingError(what, where=str(plan.folder), hint="look at the ranges of the sweep")
    return result


def _work_through(plan: Plan, ledger: Ledger, told: Told, progress: bool) -> None:
    """Take trials until there are none, then wait for those of the other workers, in case one of them dies."""
    waiting = False
    while True:
        taken = ledger.take(plan.trials)
        if taken is not None:
            _work(plan, ledger, taken, told, progress)
            write(plan, ledger.entries())
        elif others := ledger.others():
            if not waiting:
                told(f"waiting for {len(others)} of other workers; Ctrl-C leaves them alone")
            waiting = True
            time.sleep(_POLL_S)
        else:
            return


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hide what torchrun and SLURM say of ranks: each worker of a sweep trains alone, however many were started at once."""
    hidden = {
        name: value for name, value in os.environ.items() if name.startswith("SLURM_") or name in _RANKS
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _work(plan: Plan, ledger: Ledger, taken: Taken, told: Told, progress: bool) -> None:
    """One trial: train it, estimate it, write down what came of it."""
    told(f"trial {taken.run}: {_words(plan, taken)}")
    with taken:
        known = ledger.same_as(taken)
        try:
            if known is None:
                result, name = _train(plan, ledger, taken, told, progress)
                objectives = (result.accuracy_quantized, *(_cost(plan, result, cost) for cost in plan.costs))
                ledger.finish(taken, objectives, run=name)
            elif known.state is State.DONE:
                objectives = known.objectives
                ledger.finish(taken, objectives, run=known.run)
            else:
                raise TrainingError(known.error)
        except (TrainingError, SpecError, ModelError) as error:
            ledger.fail(taken, str(error))
            told(f"trial {taken.run} failed: {error}")
            return
        except BaseException:
            ledger.give_back(taken)
            raise
    costs = ", ".join(_said(cost, amount) for cost, amount in zip(plan.costs, objectives[1:], strict=True))
    told(f"trial {taken.run}: accuracy {objectives[0]:.2%}, {costs}")


def _words(plan: Plan, taken: Taken) -> str:
    values = (taken.values[axis] for axis in plan.axes)
    shown = (value if isinstance(value, str) else f"{value:.4g}" for value in values)
    return ", ".join(f"{axis} {value}" for axis, value in zip(plan.axes, shown, strict=True))


def _said(cost: Cost, amount: float) -> str:
    return f"{amount:,.0f} {UNITS[cost]}" if math.isfinite(amount) else "does not fit the part"


def _train(plan: Plan, ledger: Ledger, taken: Taken, told: Told, progress: bool) -> tuple[TrainResult, str]:
    """Train into the folder of the trial, going on where a dead worker left it; into another one where it cannot be used."""
    from psp_hw.training import api
    from psp_hw.training.manner import Manner

    spec = applied(plan.spec, taken.values)
    floats = _floats(plan, ledger, taken, spec)
    for number in range(1, _FOLDERS + 1):
        name = taken.run if number == 1 else f"{taken.run}-{number}"
        folder = plan.runs / name
        with _claimed(folder) as ours:
            if not ours:
                continue
            begun = folder.exists()
            try:
                result = api.train(
                    spec,
                    folder,
                    machine=machine(plan.request.accelerator),
                    manner=Manner(resume=begun, progress=progress, note=told),
                    floats=None if begun else floats,
                    data_dir=plan.request.data_dir,
                )
            except RunError as error:
                if not begun or isinstance(error.__cause__, OSError):
                    raise
                told(f"{error}; trial {taken.run} begins again")
                continue
            return result, name
    raise RunError(f"{_FOLDERS} folders cannot be used", where=str(plan.runs / taken.run))


def _floats(plan: Plan, ledger: Ledger, taken: Taken, spec: TrainSpec) -> Path | None:
    """A run of this sweep whose pruned floats are those of the trial: it differs in its bits alone."""
    if AxisName.BITS.value not in taken.values:
        return None
    wanted = identity(replace(spec, quant=QuantSpec()))
    for entry in ledger.entries():
        if entry.state is not State.DONE or entry.number == taken.number:
            continue
        other = replace(applied(plan.spec, entry.values), quant=QuantSpec())
        folder = plan.runs / entry.run
        if identity(other) == wanted and (folder / "checkpoints").is_dir():
            return folder
    return None


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Whether no other process of this machine trains into a folder; the system gives the claim up when we end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # a file system without locks
            pass
        yield True


def _cost(plan: Plan, result: TrainResult, cost: Cost) -> float:
    match cost:
        case Cost.MACS:
            return float(result.macs)
        case Cost.PARAMS:
            return float(result.params)
        case Cost.CYCLES:
            return _cycles(plan, result.run)


def _cycles(plan: Plan, run: Path) -> float:
    """Cycles between images of the design that `psp-hw emit` would write; infinite where none fits."""
    try:
        found = estimate(
            run,
            part=plan.part if plan.request.device.board is None else None,
            clock_ns=plan.clock_ns,
            goal=GoalRequest(),
            device=plan.request.device,
        )
    except DoesNotFitError:
        return math.inf
    return float(found.planned.estimate.interval) if found.fits else math.inf
