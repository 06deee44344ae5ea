"""Writing so that a reader never meets half a file: aside, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from psp_hw.errors import RunError


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Put files into a folder, each replaced in one step; nothing remains of a file that could not be written whole.

    Args:
        folder: made where it is missing.
        files: content by name.

    Returns:
        The paths, in the order given.

    Raises:
        RunError: the disk is full, or the folder cannot be made or written.
    """
    made = not folder.exists()
    aside: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            aside[folder / name] = _write_aside(folder / name, content)
        for path, written in aside.items():
            written.replace(path)
    except OSError as error:
        where = str(folder if len(files) > 1 else folder / next(iter(files)))
        what = f"cannot be written: {error.strerror or error}"
        raise RunError(
            what, where=where, hint="nothing half-written was left; --out names another folder"
        ) from error
    finally:
        for written in aside.values():
            written.unlink(missing_ok=True)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return list(aside)


def _write_aside(path: Path, content: str | bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    written = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        written.chmod(0o666 & ~mask)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    return written
