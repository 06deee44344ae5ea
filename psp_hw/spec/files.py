"""Reading files that somebody else wrote: never more of them than makes sense."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def read_bounded(path: Path, most: int, *, pipes: bool = False) -> bytes:
    """Content of a file.

    A device or a pipe tells no size before it is read, and may have no end; one within a folder may wait for ever.

    Args:
        most: bytes that it may have.
        pipes: whether it may be no regular file, as ``<(command)`` on a command line.

    Raises:
        OSError: it is of another kind, larger, or cannot be read; ``strerror`` says so.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, a file was expected", str(path))
    if not (pipes or stat.S_ISREG(status.st_mode)):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    with path.open("rb") as file:  # files of /proc are regular, of size 0, and may be long
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"is larger than {most} bytes", str(path))
    return content


def read_text_bounded(path: Path, most: int, *, pipes: bool = False) -> str:
    """The same as text in UTF-8.

    Raises:
        OSError: as ``read_bounded``.
        UnicodeDecodeError: it is no text in UTF-8.
    """
    return read_bounded(path, most, pipes=pipes).decode("utf-8")
