"""Writing so that a reader never meets half a file: aside, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Put files into a folder, each replaced in one step; nothing remains of a file that could not be written whole.

    Args:
        folder: made where it is missing.
        files: content by name.

    Returns:
        The paths, in the order given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside: dict[Path, Path] = {}
    try:
        for name, content in files.items():
            aside[folder / name] = _write_aside(folder / name, content)
        for path, written in aside.items():
            written.replace(path)
    finally:
        for written in aside.values():
            written.unlink(missing_ok=True)
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
