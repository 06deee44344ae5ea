"""Fetch an archive: resumable, checked, unpacked aside and then renamed."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from psp_hw.data.cifar10 import FILE_MD5, FOLDER
from psp_hw.errors import DataError

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_CHUNK = 1 << 16
_TIMEOUT_S = 30

Progress = Callable[[int, int | None], None]
"""Called with bytes so far and bytes in total (None where the server does not say)."""


def fetch_cifar10(
    data_dir: Path,
    *,
    url: str = CIFAR10_URL,
    md5: str = CIFAR10_MD5,
    file_md5: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Put CIFAR-10 below a folder, unless the published files are already there.

    Args:
        data_dir: receives ``cifar-10-batches-bin``.
        url: of the archive.
        md5: of the archive.
        file_md5: of each file in it; None: the published ones.
        progress: is told how far the download is.

    Returns:
        The folder ``data_dir/cifar-10-batches-bin``.

    Raises:
        DataError: the server cannot be reached, the archive is not the published one, the disk is full, or a
            folder of that name holds other files.
    """
    wanted = FILE_MD5 if file_md5 is None else file_md5
    folder = data_dir / FOLDER
    if folder.exists():
        _require_files(folder, wanted)
        return folder
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        archive = download(url, data_dir / url.rsplit("/", 1)[-1], md5=md5, progress=progress)
        unpack(archive, folder, wanted)
        archive.unlink()
    except OSError as error:
        what = f"cannot write: {error.strerror or error}"
        raise DataError(what, where=str(data_dir), hint="is the disk full? The next try continues") from error
    return folder


def download(url: str, target: Path, *, md5: str, progress: Progress | None = None) -> Path:
    """Download one file; an interrupted download continues where it stopped (HTTP Range).

    Args:
        url: of the file.
        target: where it goes; until it is whole and checked it is called ``<target>.part``.
        md5: of the whole file.
        progress: is told how far it is.

    Raises:
        DataError: the server cannot be reached, or what it sent is another file.
    """
    part = target.with_name(target.name + ".part")
    if not target.exists():
        try:
            _receive(url, part, progress)
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            hint = "check the connection and run the same command again: it continues"
            raise DataError(f"the download stopped: {reason}", where=url, hint=hint) from error
        part.replace(target)
    found = _md5_of(target)
    if found != md5:
        target.unlink()
        what = f"not the published archive: md5 {found}, expected {md5}"
        raise DataError(what, where=url, hint="the download was deleted; run the same command again")
    return target


def _receive(url: str, part: Path, progress: Progress | None) -> None:
    """Append what is missing to the part file."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310, the address is a constant or the caller's
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310, as above
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing
            return
        raise
    with response:
        resumed = response.status == 206
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                start += len(chunk)
                if progress:
                    progress(start, total)
    if total is not None and start != total:
        raise ConnectionError(f"{start} of {total} bytes arrived")


def unpack(archive: Path, folder: Path, file_md5: dict[str, str]) -> None:
    """Unpack the named files of a tar archive into a new folder; no other member is written.

    Args:
        archive: a ``.tar.gz`` that holds ``<folder name>/<file>``.
        folder: must not exist; appears whole or not at all.
        file_md5: md5 of each file.

    Raises:
        DataError: not an archive, a file is missing, or not the published one.
    """
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with tarfile.open(archive) as tar:
            for name in file_md5:
                member = tar.extractfile(f"{folder.name}/{name}")
                if member is None:
                    raise DataError(f"'{name}' is not a plain file", where=str(archive))
                with member, (aside / name).open("wb") as file:
                    shutil.copyfileobj(member, file)
        _require_files(aside, file_md5)
        aside.chmod(0o755)
        aside.replace(folder)
    except KeyError as error:
        raise DataError(f"the archive lacks a file: {error.args[0]}", where=str(archive)) from error
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"not a readable archive: {error}", where=str(archive)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _require_files(folder: Path, file_md5: dict[str, str]) -> None:
    """Raise unless every file is there with its md5."""
    for name, md5 in file_md5.items():
        path = folder / name
        if not path.is_file():
            raise DataError(
                "the file is missing", where=str(path), hint=f"move '{folder}' away and run again"
            )
        found = _md5_of(path)
        if found != md5:
            what = f"not the published file: md5 {found}, expected {md5}"
            raise DataError(what, where=str(path), hint=f"move '{folder}' away and run again")


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
