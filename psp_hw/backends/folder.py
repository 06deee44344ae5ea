"""Writing a whole folder so that a reader never meets half of it: aside, then renamed.

A design that is replaced goes, unless it holds anything that psp-hw did not write or that was changed since: a project of the vendor's
tool and its reports, notes, edited sources. Then the whole of it is kept under another name, so that reports stay beside the design
that they are of.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from psp_hw.backends.base import DESIGN_KIND
from psp_hw.errors import RunError
from psp_hw.spec.files import read_text_bounded

MANIFEST = "design.json"
MAX_MANIFEST_BYTES = 16 << 20
# What psp-hw writes into a design later, and what compiling and testing leave in it.
_WRITTEN_LATER = ("report.html", "report.md", "report.json", "checks.json")
_DERIVED = (
    "build/*.o",
    "build/testbench",
    "build/widths/testbench",
    "firmware/*.so",
    "__pycache__/*.pyc",
    ".pytest_cache/*",
)
_ATTEMPTS = 100  # that many others would have to write the same folder in the same microseconds


def is_design(folder: Path) -> bool:
    """The folder holds a design of ours."""
    try:
        manifest = json.loads(read_text_bounded(folder / MANIFEST, MAX_MANIFEST_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == DESIGN_KIND


def strangers(folder: Path) -> tuple[str, ...]:
    """What a design holds that psp-hw did not write, or that was changed since: paths relative to it, sorted."""
    try:
        written = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        written = {}
    known = written if isinstance(written, dict) else {}
    return tuple(sorted(name for name in _names(folder) if not _is_ours(folder, name, known)))


def _names(folder: Path) -> Iterator[str]:
    """Every file and link in a folder, by its path relative to it."""
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        yield from ((Path(place) / name).relative_to(folder).as_posix() for name in (*files, *links))


def _is_ours(folder: Path, name: str, known: Mapping[str, object]) -> bool:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        return False
    if (
        name == MANIFEST
        or name in _WRITTEN_LATER
        or any(fnmatch.fnmatchcase(name, derived) for derived in _DERIVED)
    ):
        return True
    return name in known and hashlib.sha256(path.read_bytes()).hexdigest() == known[name]


def kept_as(folder: Path) -> Path:
    """The name under which a design would be kept that another takes the place of: the first that is free."""
    place = folder.resolve()
    names = itertools.chain(
        [f"{place.name}.before"], (f"{place.name}.before-{n}" for n in itertools.count(2))
    )
    return next(path for path in map(place.with_name, names) if not os.path.lexists(path))


def check_replaceable(folder: Path) -> None:
    """The folder is not there, is empty, or holds a design of ours.

    Raises:
        RunError: it holds something else.
    """
    if folder.is_symlink() and not folder.exists():
        raise RunError("is a link to nothing", where=str(folder), hint="choose another --out")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError("is a file, not a folder", where=str(folder), hint="choose another --out")
    if not is_design(folder) and _holds_something(folder):
        raise RunError("exists and is no design of psp-hw", where=str(folder), hint="choose another --out")


def _holds_something(folder: Path) -> bool:
    """There is a file in it that is not just now taken away to make room for another design."""
    try:
        return any(folder.iterdir()) and not is_design(folder)
    except FileNotFoundError:
        return False


def write_folder(folder: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write files into a folder that takes the place of the one before, if there was one, in one step.

    One before that holds anything of somebody else's is kept as ``kept_as`` says.

    Args:
        folder: where they go.
        files: content by path relative to the folder.

    Returns:
        The paths of the files, sorted.

    Raises:
        RunError: the folder holds something that is not ours, or cannot be written; the place is then as it was.
    """
    check_replaceable(folder)
    place = folder.resolve()  # a link to a design keeps pointing at it
    made = [parent for parent in place.parents if not parent.exists()]
    aside: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        new = aside / "new"
        for name in sorted(files):
            _write(new / name, files[name])
        _take_place(new, place, aside)
    except OSError as error:
        what, hint = (
            f"cannot be written: {error.strerror or error}",
            "nothing half-written was left; --out names another folder",
        )
        raise RunError(what, where=str(folder), hint=hint) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        if not place.exists():
            _remove_empty(made)
    return tuple(folder / name for name in sorted(files))


def _take_place(new: Path, place: Path, aside: Path) -> None:
    """Put a folder where another may be; where somebody else puts one there at the same time, the last one stays.

    Raises:
        OSError: it cannot be put there; the one before is.
    """
    for attempt in range(_ATTEMPTS):
        old = aside / f"old{attempt}"
        try:
            with contextlib.suppress(FileNotFoundError):
                place.replace(old)
            if old.exists() and strangers(old):
                kept = kept_as(place)
                old.replace(kept)
                old = kept
            new.replace(place)
            return
        except BaseException as error:
            others = isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            if others and attempt + 1 < _ATTEMPTS:
                continue
            if old.exists() and not place.exists():
                old.replace(place)
            raise


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, until one holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            if folder.exists():
                folder.rmdir()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if content.startswith(b"#!"):
        path.chmod(0o755)
