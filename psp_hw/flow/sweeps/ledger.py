"""The trials of a sweep in an Optuna storage: who takes the next one, who died over one, what came of it.

Several workers share a storage and nothing else. A trial is given to one worker by Optuna (the change of its state is atomic in
every storage). A trial whose worker died is declared void and queued again under a new number with the same values and the same run
folder, so that training goes on from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from psp_hw.errors import SpecError
from psp_hw.flow.sweeps.storage import errors_named, open_storage, shown_storage
from psp_hw.flow.sweeps.trials import Entry, Note, State, SweepSampler, entry_of, missing
from psp_hw.flow.sweeps.workers import is_dead, this_worker
from psp_hw.spec.space import Axis, Range, Space, Value, applied, identity
from psp_hw.spec.train import TrainSpec

BEAT_S = 20.0  # a worker shows this often that it lives
GRACE_S = 120.0  # where nothing else can be seen of a worker, it is dead after so long a silence
MAX_DEATHS = 3  # a trial over which so many workers died is not tried again
_CHOOSING_S = 5.0
_REQUEST, _WALK = "request", "walk"

Direction = Literal["maximize", "minimize"]


class Taken:
    """A trial that is ours: shows every `BEAT_S` that its worker lives, until it is left.

    Args:
        trial: of Optuna.
        values: of the axes.
        run: name of its run folder.
    """

    def __init__(self, trial: Trial, values: Mapping[str, Value], run: str) -> None:
        self.number = trial.number
        self.values = values
        self.run = run
        self._trial = trial
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"trial {trial.number}", daemon=True)

    def __enter__(self) -> Taken:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _beat(self) -> None:
        for count in itertools.count(1):
            if self._left.wait(BEAT_S):
                return
            with contextlib.suppress(Exception):  # a storage that is away for a moment; the trial goes on
                self._trial.set_user_attr(Note.BEAT.value, count)


class Ledger:
    """The trials of one sweep.

    Args:
        study: of Optuna.
        spec: what is varied.
        space: how.
        where: the storage, for messages; without a password.
        walks: every combination of the space is tried, in order.
        grace_s: silence after which a worker that cannot be seen is dead.
    """

    def __init__(
        self, study: Study, spec: TrainSpec, space: Space, *, where: str, walks: bool, grace_s: float
    ) -> None:
        self._study = study
        self._spec = spec
        self._space = space
        self._where = where
        self._walks = walks
        self._grace_s = grace_s
        self._heard: dict[int, tuple[int, float]] = {}

    def entries(self) -> tuple[Entry, ...]:
        """All trials, by number."""
        with errors_named(self._where):
            return tuple(entry_of(trial) for trial in self._study.get_trials(deepcopy=False))

    def take(self, trials: int) -> Taken | None:
        """The next trial to work on; None where every one of them is done, failed or with another worker.

        Args:
            trials: how many the sweep is to have in all.
        """
        while True:
            self._void_dead()
            entries = self.entries()
            if not self._has_next(entries, trials):
                return None
            with errors_named(self._where):
                taken = self._ask(trials)
            if taken is not None:
                return taken

    def _has_next(self, entries: Sequence[Entry], trials: int) -> bool:
        if any(entry.state is State.WAITING for entry in entries):
            return True
        counted = [entry for entry in entries if entry.counts]
        if self._walks:
            return bool(missing(counted, self._space))
        size = self._space.size
        room = size is None or len(counted) < size or bool(missing(counted, self._space))
        return len(counted) < trials and room

    def _ask(self, trials: int) -> Taken | None:
        """A trial of Optuna, ours from here on; None where other workers were faster and it is one too many."""
        trial = self._study.ask()
        trial.set_user_attr(Note.WORKER.value, this_worker().text)
        values = {axis.name.value: _suggest(trial, axis) for axis in self._space.axes}
        run = trial.user_attrs.get(Note.RUN.value)
        if not isinstance(run, str):
            run = f"{trial.number:04d}"
            trial.set_user_attr(Note.RUN.value, run)
        before = self._before(trial.number)
        doubled = any(entry.values == values for entry in before)
        if doubled if self._walks else len(before) >= trials:
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        return Taken(trial, values, run)

    def _before(self, number: int) -> list[Entry]:
        """The trials before one that count, once their workers have chosen, or had the time to."""
        until = time.monotonic() + _CHOOSING_S
        while True:
            before = [entry for entry in self.entries()[:number] if entry.counts]
            choosing = any(len(entry.values) < len(self._space.axes) for entry in before)
            if not choosing or time.monotonic() > until:
                return before
            time.sleep(0.05)

    def same_as(self, taken: Taken) -> Entry | None:
        """An earlier trial that trained the very same, if there is one: what came of it holds again."""
        wanted = identity(applied(self._spec, taken.values))
        for entry in self.entries()[: taken.number]:
            over = entry.state in (State.DONE, State.FAILED)
            if over and entry.values and identity(applied(self._spec, entry.values)) == wanted:
                return entry
        return None

    def finish(self, taken: Taken, objectives: Sequence[float], *, run: str) -> bool:
        """Say what came of a trial.

        Args:
            objectives: in the order of the study.
            run: name of the run folder that holds it.

        Returns:
            Whether it was still ours; else another worker believed this one dead and has taken the trial up.
        """
        with errors_named(self._where), _lost_quietly() as lost:
            if run != taken.run:
                taken._trial.set_user_attr(Note.RUN.value, run)
            self._study.tell(taken.number, values=list(objectives))
        return not lost

    def fail(self, taken: Taken, why: str) -> None:
        """Say that a trial cannot be trained."""
        with errors_named(self._where), _lost_quietly():
            taken._trial.set_user_attr(Note.ERROR.value, why)
            self._study.tell(taken.number, state=TrialState.FAIL)

    def give_back(self, taken: Taken) -> None:
        """Let another worker, or this command run again, go on with a trial."""
        with errors_named(self._where), _lost_quietly():
            taken._trial.set_user_attr(Note.WORKER.value, "")
            self._requeue(entry_of(self._frozen(taken.number)), deaths=0)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def others(self) -> tuple[Entry, ...]:
        """Trials that run now."""
        return tuple(entry for entry in self.entries() if entry.state is State.RUNNING)

    def _void_dead(self) -> None:
        """Queue the trials of dead workers again."""
        for entry in self.others():
            if self._is_dead(entry):
                with errors_named(self._where), _lost_quietly():
                    self._requeue(entry, deaths=1)

    def _requeue(self, entry: Entry, *, deaths: int) -> None:
        """Make a running trial void and queue another in its place; of several workers, one gets past `tell`."""
        total = entry.deaths + deaths
        self._study.tell(entry.number, state=TrialState.FAIL)
        if len(entry.values) < len(self._space.axes):
            return
        notes = {Note.RUN.value: entry.run or f"{entry.number:04d}", Note.DEATHS.value: total}
        if total < MAX_DEATHS:
            self._study.enqueue_trial(dict(entry.values), user_attrs=notes)
            return
        notes[Note.ERROR.value] = f"{total} workers died over it"
        frozen = self._frozen(entry.number)
        self._study.add_trial(
            create_trial(
                state=TrialState.FAIL,
                params=frozen.params,
                distributions=frozen.distributions,
                user_attrs=notes,
            )
        )

    def _is_dead(self, entry: Entry) -> bool:
        dead = is_dead(entry.worker) if entry.worker else None
        if dead is not None:
            return dead
        now = time.monotonic()
        beat, since = self._heard.get(entry.number, (entry.beat, now))
        self._heard[entry.number] = (entry.beat, since if beat == entry.beat else now)
        return beat == entry.beat and now - since > self._grace_s


def open_ledger(
    storage: str | None,
    folder: Path,
    *,
    name: str,
    spec: TrainSpec,
    space: Space,
    directions: Sequence[Direction],
    trials: int,
    seed: int,
    request: Mapping[str, object],
    grace_s: float = GRACE_S,
) -> Ledger:
    """Begin a sweep, or join it.

    Args:
        storage: URL of a database, or path of a journal; None: a journal in the folder.
        folder: of the sweep.
        name: of the study inside the storage.
        spec, space: what is varied, and how.
        directions: ``maximize`` or ``minimize``, per objective.
        trials: how many there are to be; a space of no more combinations is walked through.
        seed: of the choice of values.
        request: what was asked, as plain values; whoever joins must have asked the same.

    Raises:
        SpecError: the storage cannot be used, or its sweep of this name was asked for something else.
        RunError: the storage is damaged.
    """
    optuna.logging.set_verbosity(logging.ERROR)
    where = shown_storage(storage, folder)
    with errors_named(where):
        held = open_storage(storage, folder, where)
        study = optuna.create_study(
            study_name=name,
            storage=held,
            directions=list(directions),
            load_if_exists=True,
        )
        if _REQUEST not in study.user_attrs:
            study.set_user_attr(_WALK, space.size is not None and space.size <= trials)
            study.set_user_attr(_REQUEST, json.dumps(request))
        started = json.loads(study.user_attrs[_REQUEST])
        walks = study.user_attrs.get(_WALK) is True
    differing = [key for key in dict.fromkeys([*started, *request]) if started.get(key) != request.get(key)]
    if differing:
        raise SpecError(
            f"the sweep '{name}' was started with another request; different: {', '.join(differing)}",
            where=where,
            hint="give the same spec and options, or another --name",
        )
    study.sampler = SweepSampler(space, seed, walk=walks)
    return Ledger(study, spec, space, where=where, walks=walks, grace_s=grace_s)


def _suggest(trial: Trial, axis: Axis) -> Value:
    name, over = axis.name.value, axis.over
    if isinstance(over, Range):
        return trial.suggest_float(name, over.low, over.high, log=over.log)
    return cast(Value, trial.suggest_categorical(name, over))


@contextlib.contextmanager
def _lost_quietly() -> Iterator[list[bool]]:
    """Another worker changed the trial first: a list that holds something afterwards."""
    lost: list[bool] = []
    try:
        yield lost
    except optuna.exceptions.UpdateFinishedTrialError:
        lost.append(True)
    except ValueError as error:
        if not str(error).startswith("Cannot tell a"):
            raise
        lost.append(True)
