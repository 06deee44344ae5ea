"""Trials as the storage has them, and what the next one is to be."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from psp_hw.flow.sweeps.workers import Worker
from psp_hw.spec.space import Space, Value


class Note(Enum):
    """What is written beside a trial."""

    RUN = "run"
    WORKER = "worker"
    BEAT = "beat"
    DEATHS = "deaths"
    ERROR = "error"


class State(Enum):
    """Where a trial stands. VOID: given back, doubled or lost with its worker; another number stands for it."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    WAITING = "waiting"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A trial as the storage has it.

    Args:
        number: counted from 0.
        state: where it stands.
        values: of the axes; empty while they are being chosen.
        objectives: what came of it; empty before.
        run: name of its run folder.
        worker: who has it; None before anybody does, or after it was given back.
        beat: how often its worker has shown that it lives.
        deaths: workers that died over it.
        error: why it failed; empty otherwise.
    """

    number: int
    state: State
    values: Mapping[str, Value]
    objectives: tuple[float, ...]
    run: str
    worker: Worker | None
    beat: int
    deaths: int
    error: str

    @property
    def counts(self) -> bool:
        """Whether it is one of the trials that were asked for."""
        return self.state is not State.VOID


def entry_of(trial: FrozenTrial) -> Entry:
    """What Optuna has of a trial."""
    attributes = trial.user_attrs
    error = str(attributes.get(Note.ERROR.value, ""))
    match trial.state:
        case TrialState.COMPLETE:
            state = State.DONE
        case TrialState.RUNNING:
            state = State.RUNNING
        case TrialState.WAITING:
            state = State.WAITING
        case _:
            state = State.FAILED if error else State.VOID
    waiting = trial.system_attrs.get("fixed_params", {}) if state is State.WAITING else {}
    return Entry(
        number=trial.number,
        state=state,
        values=dict(trial.params or waiting),
        objectives=tuple(trial.values) if state is State.DONE and trial.values else (),
        run=str(attributes.get(Note.RUN.value, "")),
        worker=Worker.parse(str(attributes.get(Note.WORKER.value, ""))),
        beat=int(attributes.get(Note.BEAT.value, 0)),
        deaths=int(attributes.get(Note.DEATHS.value, 0)),
        error=error if state is State.FAILED else "",
    )


def missing(entries: Sequence[Entry], space: Space) -> list[dict[str, Value]]:
    """The combinations that no trial has."""
    have = [entry.values for entry in entries]
    return [values for values in space.combinations() if values not in have]


class SweepSampler(BaseSampler):
    """Chooses from (seed, how many trials came before, what came of those) alone, whatever worker asks.

    Args:
        space: what is varied.
        seed: of the proposals.
        walk: go through a space without ranges in order; else the tree-structured Parzen estimator of Optuna proposes,
            after ten random trials.
    """

    def __init__(self, space: Space, seed: int, *, walk: bool) -> None:
        self._space = space
        self._walk = walk
        self._seed = seed
        self._walked: Mapping[str, Value] | None = None
        self._proposer = TPESampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        entries = [entry_of(other) for other in study.get_trials(deepcopy=False)[: trial.number]]
        before = [entry for entry in entries if entry.counts]
        self._walked = None
        if self._walk:
            left = missing(before, self._space)
            # Those that have no values yet are about to take the first of those that are left.
            unknown = sum(not entry.values for entry in before)
            self._walked = left[min(unknown, len(left) - 1)] if left else next(self._space.combinations())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # liar's estimates of running trials were experimental before 5.0
            self._proposer = TPESampler(seed=_mixed(self._seed, len(before)), constant_liar=True)
        self._proposer.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._proposer.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {} if self._walked is not None else self._proposer.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Value:
        if self._walked is not None:
            return self._walked[param_name]
        value: Value = self._proposer.sample_independent(study, trial, param_name, param_distribution)
        return value


def _mixed(seed: int, index: int) -> int:
    """A seed for one of many choices, unlike that of its neighbours."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
