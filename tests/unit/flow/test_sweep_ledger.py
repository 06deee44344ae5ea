"""Who takes which trial: several workers, dead ones, damaged storages."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sweep_worker
from sweep_worker import FINITE, OPEN, came_of, ledger

from psp_hw.errors import RunError, SpecError
from psp_hw.flow.sweeps import ledger as module
from psp_hw.flow.sweeps.ledger import Ledger, Taken
from psp_hw.flow.sweeps.storage import Journal, open_storage, shown_storage
from psp_hw.flow.sweeps.trials import Entry, State
from psp_hw.flow.sweeps.workers import Worker, is_dead, this_worker


def worker(storage: str, trials: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, sweep_worker.__file__, storage, str(trials), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> list[int]:
    out, _ = process.communicate(timeout=120)
    return [int(line) for line in out.split()]


def run_all(book: Ledger, trials: int) -> list[dict[str, object]]:
    """Finish every trial; the values of each, in order."""
    while (taken := book.take(trials)) is not None:
        with taken:
            book.finish(taken, came_of(dict(taken.values)), run=taken.run)
    return [dict(entry.values) for entry in book.entries() if entry.counts]


@pytest.fixture(params=["journal", pytest.param("sqlite", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / "study"
    return str(path) if request.param == "journal" else f"sqlite:///{path}.db"


@pytest.mark.slow
def test_workers_at_once_do_every_trial_exactly_once(storage: str) -> None:
    trials = 12
    workers = [worker(storage, trials) for _ in range(3)]
    shares = [finished(one) for one in workers]

    book = ledger(storage, trials=trials)
    entries = [entry for entry in book.entries() if entry.counts]
    assert [one.returncode for one in workers] == [0, 0, 0]
    assert sorted(number for share in shares for number in share) == [entry.number for entry in entries]
    assert len(entries) == trials
    assert {entry.state for entry in entries} == {State.DONE}
    assert len({entry.values["epsilon"] for entry in entries}) == trials  # no two workers chose alike
    for entry in entries:
        assert entry.objectives == tuple(came_of(dict(entry.values)))


@pytest.mark.slow
def test_workers_at_once_walk_through_a_finite_space(storage: str) -> None:
    workers = [worker(storage, 12, "finite") for _ in range(3)]
    shares = [finished(one) for one in workers]

    entries = [entry for entry in ledger(storage, trials=12, space=FINITE).entries() if entry.counts]
    found = sorted(str(entry.values) for entry in entries)
    assert found == sorted(str(values) for values in FINITE.combinations())
    assert sum(map(len, shares)) == 12


def test_a_finite_space_is_done_when_it_is_walked_through_however_many_trials_are_asked_for(
    storage: str,
) -> None:
    assert len(run_all(ledger(storage, trials=500, space=FINITE), 500)) == FINITE.size


def test_a_part_of_a_finite_space_is_proposed_and_more_trials_may_follow(storage: str) -> None:
    assert len(run_all(ledger(storage, trials=5, space=FINITE), 5)) == 5
    assert len(run_all(ledger(storage, trials=8, space=FINITE), 8)) == 8


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trials_however_often_it_was_interrupted(tmp_path: Path) -> None:
    trials = 15  # more than the ten that are drawn blindly
    whole = run_all(ledger(str(tmp_path / "whole"), trials=trials), trials)

    halting = str(tmp_path / "halting")
    for kill_at in (2, 0, 3):
        died = worker(halting, trials, "die", str(kill_at))
        finished(died)
        assert died.returncode == -signal.SIGKILL

    assert run_all(ledger(halting, trials=trials), trials) == whole
    assert run_all(ledger(str(tmp_path / "other"), trials=trials, seed=2), trials) != whole


@pytest.mark.slow
def test_the_trial_of_a_dead_worker_is_taken_up_in_its_own_folder(storage: str) -> None:
    finished(worker(storage, 4, "die", "1"))
    book = ledger(storage, trials=4)
    *_, left = book.entries()
    assert left.state is State.RUNNING

    taken = book.take(4)

    assert taken is not None
    assert (taken.run, dict(taken.values)) == (left.run, dict(left.values))
    assert book.entries()[left.number].state is State.VOID
    assert [entry.deaths for entry in book.entries()] == [0, 0, 1]


@pytest.mark.slow
def test_a_trial_over_which_three_workers_died_is_given_up(storage: str) -> None:
    for _ in range(3):
        finished(worker(storage, 3, "die", "0"))

    book = ledger(storage, trials=3)
    run_all(book, 3)

    counted = [entry for entry in book.entries() if entry.counts]
    assert sorted((entry.state.value, entry.error) for entry in counted) == [
        ("done", ""),
        ("done", ""),
        ("failed", "3 workers died over it"),
    ]


def take(book: Ledger, trials: int) -> Taken:
    taken = book.take(trials)
    assert taken is not None
    return taken


def entry(book: Ledger, number: int) -> Entry:
    return book.entries()[number]


def test_a_living_worker_keeps_its_trial(storage: str) -> None:
    first, second = ledger(storage, trials=1), ledger(storage, trials=1, grace_s=0.0)
    taken = take(first, 1)

    assert second.take(1) is None
    assert second.take(1) is None
    assert [one.number for one in second.others()] == [taken.number]


def test_a_worker_that_cannot_be_seen_is_dead_after_a_silence(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = Worker(host="far", place="another-boot:1", pid=1, start=1)
    monkeypatch.setattr(module, "this_worker", lambda: far)
    theirs = ledger(storage, trials=1)
    taken = take(theirs, 1)
    monkeypatch.undo()
    clock = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    ours = ledger(storage, trials=1, grace_s=100.0)

    assert ours.take(1) is None  # heard of it for the first time
    clock[0] += 99.0
    taken._trial.set_user_attr("beat", 1)
    assert ours.take(1) is None  # it lives
    clock[0] += 100.0
    assert ours.take(1) is None  # silent, not long enough
    clock[0] += 1.0
    again = take(ours, 1)

    assert again.values == taken.values
    assert not theirs.finish(taken, [1.0, 1.0], run=taken.run)  # it was alive after all: too late
    assert ours.finish(again, [2.0, 2.0], run=again.run)
    assert [one.objectives for one in ours.entries() if one.counts] == [(2.0, 2.0)]


def test_a_worker_shows_that_it_lives(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    book = ledger(storage, trials=1)
    with take(book, 1) as taken:
        watcher = ledger(storage, trials=1)
        while entry(watcher, taken.number).beat < 3:
            pass
        book.finish(taken, [1.0, 1.0], run=taken.run)


def test_a_trial_that_was_given_back_goes_on_at_once(storage: str) -> None:
    book = ledger(storage, trials=1)
    taken = take(book, 1)
    book.give_back(taken)

    again = take(ledger(storage, trials=1), 1)

    assert (again.run, again.values) == (taken.run, taken.values)
    assert entry(book, again.number).deaths == 0


def test_a_failed_trial_counts_and_keeps_its_reason(storage: str) -> None:
    book = ledger(storage, trials=2)
    book.fail(take(book, 2), "the loss is nan")
    run_all(book, 2)

    assert [(one.state, one.error) for one in book.entries()] == [
        (State.FAILED, "the loss is nan"),
        (State.DONE, ""),
    ]


def test_a_request_that_differs_is_refused_with_its_keys(storage: str) -> None:
    ledger(storage, trials=1)

    with pytest.raises(SpecError, match=r"started with another request; different: word \(give the same"):
        ledger(storage, trials=1, word="another")


def test_a_torn_line_is_cut_off_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "study"
    book = ledger(str(path), trials=3)
    run_all(book, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":5,"worker')  # a crash in the middle of a line

    again = ledger(str(path), trials=3)
    assert len(again.entries()) == 2
    run_all(again, 3)

    assert path.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert len(ledger(str(path), trials=3).entries()) == 3


def test_a_full_disk_leaves_the_journal_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study"
    journal = Journal(path)
    journal.append_logs([{"op_code": 2, "a": 1}])
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"cannot be written: No space left on device \(free some space"):
        journal.append_logs([{"op_code": 2, "b": "x" * 10_000}])

    assert path.read_bytes() == before
    assert not (tmp_path / "study.lock").exists()


@pytest.mark.parametrize(("storage", "word"), [("study", "journal"), ("sqlite:///{}/s.db", "database")])
def test_a_storage_that_was_deleted_is_gone_and_the_runs_are_not(
    storage: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = storage.format(tmp_path)
    one = ledger(storage, trials=2)
    taken = one.take(2)
    assert taken is not None
    (file,) = (path for path in tmp_path.iterdir() if path.is_file())
    file.unlink()

    told = rf"{re.escape(storage)}: the {word} is gone \(the runs below trials/ are whole; the same command takes them up\)"
    with pytest.raises(RunError, match=told):
        one.finish(taken, (0.9, 1.0), run=taken.run)
    with pytest.raises(RunError, match=told):
        one.give_back(taken)
    if word == "journal":  # what is deleted can still be read through a connection that is open
        with pytest.raises(RunError, match=told):
            one.entries()


def test_a_journal_that_another_worker_began_anew_is_not_written_into(tmp_path: Path) -> None:
    path = tmp_path / "study"
    journal = Journal(path)
    journal.append_logs([{"op_code": 2}])
    aside = tmp_path / "kept"
    path.rename(aside)
    Journal(path)

    with pytest.raises(RunError, match="the journal was replaced by another"):
        journal.append_logs([{"op_code": 3}])
    assert "" == path.read_text()
    assert not (tmp_path / "study.lock").exists()


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study"
    run_all(ledger(str(path), trials=2), 2)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "no line of ours\n", *lines[3:]]))

    with pytest.raises(RunError, match="study: the storage is damaged"):
        ledger(str(path), trials=2)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nothing://host/db", "cannot be opened"),
        ("sqlite:////nowhere/at/all.db", "cannot be opened"),
        ("postgresql://user:secret@host:port/db", "is not the URL of a database"),
        ("redis://localhost", "cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_said(url: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        open_storage(url, tmp_path, shown_storage(url, tmp_path))

    assert sentence in str(error.value)
    assert "secret" not in str(error.value)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    assert shown_storage("postgresql://me:secret@host/db", tmp_path) == "postgresql://me:***@host/db"


def test_two_studies_share_a_storage(storage: str) -> None:
    run_all(ledger(storage, trials=2), 2)
    other = module.open_ledger(
        storage,
        Path(),
        name="another",
        spec=sweep_worker.SPEC,
        space=OPEN,
        directions=["maximize"],
        trials=1,
        seed=1,
        request={},
    )

    assert other.entries() == ()


def test_processes_are_told_apart() -> None:
    own = this_worker()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = module.is_dead(Worker(host="h", place=own.place, pid=child.pid, start=own.start))
    child.kill()  # not waited for: a zombie is dead as well
    stat = Path(f"/proc/{child.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "Z":
        pass
    zombie = is_dead(
        Worker(host="h", place=own.place, pid=child.pid, start=int(stat.read_text().split()[21]))
    )
    child.communicate()

    assert is_dead(own) is False
    assert started is True  # the process id is taken, by a process that started at another time
    assert zombie is True
    assert is_dead(Worker(host="far", place="another:1", pid=own.pid, start=own.start)) is None
    assert is_dead(Worker(host="far", place="", pid=own.pid, start=own.start)) is None
    assert Worker.parse(own.text) == own
    assert Worker.parse("") is None
    assert Worker.parse("a/b/c/d") is None
