"""Fetching: resumed, checked, unpacked whole or not at all. The server is on the loopback."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from psp_hw.data.fetch import fetch_cifar10
from psp_hw.errors import DataError

pytestmark = pytest.mark.slow  # waits of a server on the loopback address

FOLDER = "cifar-10-batches-bin"
FILES = {"data_batch_1.bin": bytes(range(256)) * 700, "test_batch.bin": b"test" * 5000}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


FILE_MD5 = {name: _md5(content) for name, content in FILES.items()}


def _archive(files: dict[str, bytes], extra: dict[str, bytes] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        members = {f"{FOLDER}/{name}": content for name, content in files.items()} | (extra or {})
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


class _Server(BaseHTTPRequestHandler):
    """Serves one body; may stop early, may ignore ranges."""

    body: ClassVar[bytes] = b""
    stop_after: ClassVar[int | None] = None
    ranges: ClassVar[bool] = True
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start >= len(self.body):
            self.send_error(416)
            return
        rest = self.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest if self.stop_after is None else rest[: self.stop_after])

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[tuple[type[_Server], str]]:
    handler = type("Handler", (_Server,), {"asked": [], "body": _archive(FILES)})
    with HTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield handler, f"http://127.0.0.1:{httpd.server_port}/cifar-10-binary.tar.gz"
        httpd.shutdown()
        thread.join()


def _names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


WHOLE = sorted([FOLDER, *(f"{FOLDER}/{name}" for name in FILES)])


def test_a_fetch_leaves_the_files_and_nothing_else(tmp_path: Path, server: tuple[type[_Server], str]) -> None:
    handler, url = server
    told: list[tuple[int, int | None]] = []

    folder = fetch_cifar10(
        tmp_path / "data",
        url=url,
        md5=_md5(handler.body),
        file_md5=FILE_MD5,
        progress=lambda done, total: told.append((done, total)),
    )

    assert WHOLE == _names(tmp_path / "data")
    assert FILES == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert (len(handler.body), len(handler.body)) == told[-1]


def test_what_is_there_is_not_fetched_again(tmp_path: Path, server: tuple[type[_Server], str]) -> None:
    handler, url = server
    for _ in range(2):
        fetch_cifar10(tmp_path, url=url, md5=_md5(handler.body), file_md5=FILE_MD5)
    assert 1 == len(handler.asked)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_continues(
    tmp_path: Path, server: tuple[type[_Server], str], ranges: bool
) -> None:
    handler, url = server
    handler.ranges = ranges
    handler.stop_after = 300
    with pytest.raises(DataError, match=r"300 of \d+ bytes arrived.*it continues"):
        fetch_cifar10(tmp_path, url=url, md5=_md5(handler.body), file_md5=FILE_MD5)
    assert ["cifar-10-binary.tar.gz.part"] == _names(tmp_path)

    handler.stop_after = None
    fetch_cifar10(tmp_path, url=url, md5=_md5(handler.body), file_md5=FILE_MD5)

    assert [None, "bytes=300-"] == handler.asked
    assert WHOLE == _names(tmp_path)


def test_a_download_that_was_already_whole_is_used(tmp_path: Path, server: tuple[type[_Server], str]) -> None:
    handler, url = server
    (tmp_path / "cifar-10-binary.tar.gz.part").write_bytes(handler.body)

    fetch_cifar10(tmp_path, url=url, md5=_md5(handler.body), file_md5=FILE_MD5)

    assert WHOLE == _names(tmp_path)


def test_another_archive_is_refused_and_removed(tmp_path: Path, server: tuple[type[_Server], str]) -> None:
    _, url = server
    with pytest.raises(DataError, match="not the published archive: md5"):
        fetch_cifar10(tmp_path, url=url, md5="0" * 32, file_md5=FILE_MD5)
    assert [] == _names(tmp_path)


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        (_archive({"test_batch.bin": FILES["test_batch.bin"]}), "the archive lacks a file"),
        (_archive(FILES | {"test_batch.bin": b"changed"}), "not the published file"),
        (b"not a tar file at all", "not a readable archive"),
    ],
)
def test_a_bad_archive_leaves_no_folder(
    tmp_path: Path, server: tuple[type[_Server], str], body: bytes, fragment: str
) -> None:
    handler, url = server
    handler.body = body
    with pytest.raises(DataError, match=fragment):
        fetch_cifar10(tmp_path, url=url, md5=_md5(body), file_md5=FILE_MD5)
    assert not (tmp_path / FOLDER).exists()


def test_members_outside_of_the_folder_are_not_written(
    tmp_path: Path, server: tuple[type[_Server], str]
) -> None:
    handler, url = server
    handler.body = _archive(FILES, {"../escaped": b"x", f"{FOLDER}/../../escaped": b"x"})

    fetch_cifar10(tmp_path / "in", url=url, md5=_md5(handler.body), file_md5=FILE_MD5)

    assert ["in", *(f"in/{name}" for name in WHOLE)] == _names(tmp_path)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, server: tuple[type[_Server], str]) -> None:
    handler, url = server
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"the file is missing.*move"):
        fetch_cifar10(tmp_path, url=url, md5=_md5(handler.body), file_md5=FILE_MD5)
    assert [] == handler.asked
    assert "mine" == (tmp_path / FOLDER / "mine.txt").read_text()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the download stopped"):
        fetch_cifar10(tmp_path, url="http://127.0.0.1:9/x.tar.gz", md5="0" * 32, file_md5=FILE_MD5)
