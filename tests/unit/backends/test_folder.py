"""A folder that is written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psp_hw.backends import folder as subject
from psp_hw.backends.base import DESIGN_KIND
from psp_hw.backends.folder import check_replaceable, write_folder
from psp_hw.errors import RunError

DESIGN = {"design.json": json.dumps({"kind": DESIGN_KIND}).encode(), "src/a.h": b"a"}


def full_disk(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content[: len(content) // 2])
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_nothing_not_even_the_folders_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_write", full_disk)

    with pytest.raises(RunError, match=r"No space left on device \(nothing half-written was left; --out "):
        write_folder(tmp_path / "a/b/design", DESIGN)

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_design_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "design", DESIGN)
    monkeypatch.setattr(subject, "_write", full_disk)

    with pytest.raises(RunError, match="No space left on device"):
        write_folder(tmp_path / "design", {**DESIGN, "src/a.h": b"b"})

    assert [path.name for path in tmp_path.iterdir()] == ["design"]
    assert (tmp_path / "design/src/a.h").read_bytes() == b"a"


def test_a_link_to_a_design_still_points_at_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "real", DESIGN)
    (tmp_path / "link").symlink_to("real")

    write_folder(tmp_path / "link", {**DESIGN, "src/a.h": b"b"})

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/src/a.h").read_bytes() == b"b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")

    with pytest.raises(RunError, match="is a link to nothing"):
        check_replaceable(tmp_path / "link")


def test_an_interruption_between_the_two_renames_leaves_the_design_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "design", DESIGN)
    rename = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "design", {**DESIGN, "src/a.h": b"b"})

    assert [path.name for path in tmp_path.iterdir()] == ["design"]
    assert (tmp_path / "design/src/a.h").read_bytes() == b"a"


def test_of_two_that_write_one_folder_at_the_same_time_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "design", DESIGN)
    rename = Path.replace
    overtaken: list[Path] = []

    def overtaking(self: Path, target: Path) -> Path:
        if self.name == "new" and not overtaken:
            overtaken.append(self)
            write_folder(tmp_path / "design", {**DESIGN, "src/a.h": b"theirs"})
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", overtaking)
    write_folder(tmp_path / "design", {**DESIGN, "src/a.h": b"ours"})

    assert overtaken
    assert [path.name for path in tmp_path.iterdir()] == ["design"]
    assert (tmp_path / "design/src/a.h").read_bytes() == b"ours"
