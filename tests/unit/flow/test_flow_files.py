"""Writing aside, then renaming."""

from __future__ import annotations

from pathlib import Path

import pytest

from psp_hw.errors import RunError
from psp_hw.flow import files


def test_files_are_written_and_replaced(tmp_path: Path) -> None:
    files.write_files(tmp_path / "new", {"a.txt": "old", "b.bin": b"\0"})
    written = files.write_files(tmp_path / "new", {"a.txt": "new"})

    assert written == [tmp_path / "new" / "a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "new"
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["a.txt", "b.bin"]


def test_a_full_disk_leaves_the_old_files_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_files(tmp_path, {"a": "old a", "b": "old b"})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)

    with pytest.raises(RunError, match="No space"):
        files.write_files(tmp_path, {"a": "new a", "b": "new b"})
    with pytest.raises(RunError, match="No space"):
        files.write_files(tmp_path / "made", {"a": "new a"})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "old a", "b": "old b"}
