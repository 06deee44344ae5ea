"""Where a sweep keeps its trials: a journal in its folder, or any database that Optuna can use."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.engine
import sqlalchemy.exc
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from psp_hw.errors import RunError, SpecError
from psp_hw.spec.names import first_line

JOURNAL = "study.journal"
LOCK_GRACE_S = 15  # a lock on the journal that is held this long was left by a worker that died
_SQLITE_WAIT_S = 60
_OPEN_TRIES = 5
_WHOLE = "the runs below trials/ are whole"
_TAKEN_UP = f"{_WHOLE}; the same command takes them up"


@contextlib.contextmanager
def errors_named(where: str) -> Iterator[None]:
    """What a storage raises, as an error of ours; one whose file was deleted is said to be gone, whatever a library makes of it.

    Args:
        where: as `shown_storage` gives it.
    """
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        file = _file_of(where)
        if file is not None and not file.exists():
            word = "database" if "://" in where else "journal"
            raise RunError(f"the {word} is gone", where=where, hint=_TAKEN_UP) from error
        what = f"the storage cannot be used: {_reason(error)}"
        raise RunError(what, where=where, hint="the same command goes on once it can") from error
    except json.JSONDecodeError as error:
        hint = f"{_WHOLE}; begin again with another --out"
        raise RunError(f"the storage is damaged: {error}", where=where, hint=hint) from error


def _file_of(where: str) -> Path | None:
    """The one file that a storage is; None for a server."""
    if "://" not in where:
        return Path(where)
    url = sqlalchemy.engine.make_url(where)
    lies = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if lies else None


def _reason(error: Exception) -> str:
    """What the system or the database said, below what libraries make of it."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    told = getattr(deepest, "orig", None) or deepest  # of sqlalchemy: what the driver raised
    if isinstance(told, OSError) and told.strerror:
        return told.strerror
    return first_line(told)


def shown_storage(storage: str | None, folder: Path) -> str:
    """A storage for messages: the path of the journal, or the URL without its password."""
    if storage is None:
        return str(folder / JOURNAL)
    if "://" not in storage:
        return storage
    try:
        return sqlalchemy.engine.make_url(storage).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        what = "is not the URL of a database"
        raise SpecError(
            what, where="--storage", hint="such as sqlite:///sweep.db or postgresql://..."
        ) from error


def open_storage(storage: str | None, folder: Path, where: str) -> BaseStorage:
    if storage is None or "://" not in storage:
        return JournalStorage(Journal(Path(storage) if storage else folder / JOURNAL))
    lite = storage.startswith("sqlite")
    kwargs = {"connect_args": {"timeout": _SQLITE_WAIT_S}} if lite else {"pool_pre_ping": True}
    for left in reversed(range(_OPEN_TRIES)):
        try:
            return RDBStorage(storage, engine_kwargs=kwargs)
        except ImportError as error:
            hint = "install the driver of that database"
            raise SpecError(f"cannot be opened: {first_line(error)}", where=where, hint=hint) from error
        except Exception as error:
            at_once = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
            if not left or not at_once:  # else another worker made the tables at the same time
                raise SpecError(f"cannot be opened: {first_line(error)}", where=where) from error
            time.sleep(0.2)
    raise AssertionError


class Journal(JournalFileBackend):
    """Optuna's journal: a file of JSON lines, behind a lock that also holds on network file systems (O_EXCL, NFSv3 and later).

    A full disk or a crash in the middle of a line leaves no torn line behind: a later line would make the file unreadable.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._own = JournalFileOpenLock(str(self.path), grace_period=LOCK_GRACE_S)
            super().__init__(str(self.path), lock_obj=self._own)
            self._begun = self.path.stat().st_ino
        except OSError as error:
            raise RunError(f"cannot be written: {error.strerror}", where=str(self.path)) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines, all or none."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._own.acquire()
        try:
            with self.path.open("r+b") as file:
                # Lines of ours would name trials that another journal does not have.
                if os.fstat(file.fileno()).st_ino != self._begun:
                    raise RunError(
                        "the journal was replaced by another", where=str(self.path), hint=_TAKEN_UP
                    )
                end = _whole_lines(file.seek(0, os.SEEK_END), self.path)
                file.truncate(end)
                file.seek(end)
                try:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError as error:
                    os.ftruncate(file.fileno(), end)
                    hint = "free some space; the same command goes on"
                    raise RunError(
                        f"cannot be written: {error.strerror}", where=str(self.path), hint=hint
                    ) from error
        finally:
            self._own.release()


def _whole_lines(size: int, path: Path) -> int:
    """The bytes of a file up to the end of its last whole line."""
    with path.open("rb") as file:
        while size:
            start = max(0, size - 4096)
            file.seek(start)
            found = file.read(size - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            size = start
    return 0
