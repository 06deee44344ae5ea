"""Files that are whole or not there, also after a crash or a power cut; one process at a time in a run folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from psp_hw.errors import RunError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What some network file systems say.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EBADF, errno.EINVAL)
_LEFTOVERS = (".*.tmp", ".*.tmp.*", "*-last.tmp")  # what a killed process was writing


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then rename it: it is whole or not there, and then it is on the disk.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        write(aside)
        sync(aside)
        aside.replace(path)
        sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_aside` of a text."""
    write_aside(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def sync(path: Path) -> None:
    """Have the system put a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unwritable(path: Path, error: OSError) -> RunError:
    """The error for a file or folder that the system refuses to write."""
    hint = "check the permissions of the folder"
    if error.errno in _NO_SPACE:
        hint = "free some space, then continue with --resume"
    return RunError(f"cannot be written: {error.strerror or error}", where=str(path), hint=hint)


@contextlib.contextmanager
def errors_of_files(run: Path) -> Iterator[None]:
    """What the system says of a file of a run becomes a RunError; what it says of another file, of the data, stays."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str) and run.resolve() not in Path(error.filename).resolve().parents:
            raise
        raise unwritable(run, error) from error


def tidy(run: Path) -> None:
    """Remove what a killed process had begun to write in a run folder."""
    for pattern in _LEFTOVERS:
        for file in run.rglob(pattern):
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Hold a run folder; the system lets go of it when the process ends, however it ends.

    Raises:
        RunError: another process trains into it.
    """
    handle = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "wait until it is done, or choose another --out"
            raise RunError("another process trains into this run", where=str(run), hint=hint) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)
