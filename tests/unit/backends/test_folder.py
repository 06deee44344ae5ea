"""A folder that is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from psp_hw.backends import folder as subject
from psp_hw.backends.base import DESIGN_KIND
from psp_hw.backends.folder import check_replaceable, kept_as, strangers, write_folder
from psp_hw.errors import RunError


def design(header: bytes) -> dict[str, bytes]:
    manifest = {"kind": DESIGN_KIND, "files": {"src/a.h": hashlib.sha256(header).hexdigest()}}
    return {"design.json": json.dumps(manifest).encode(), "src/a.h": header}


DESIGN = design(b"a")


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
        write_folder(tmp_path / "design", design(b"b"))

    assert [path.name for path in tmp_path.iterdir()] == ["design"]
    assert (tmp_path / "design/src/a.h").read_bytes() == b"a"


def test_a_link_to_a_design_still_points_at_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "real", DESIGN)
    (tmp_path / "link").symlink_to("real")

    write_folder(tmp_path / "link", design(b"b"))

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
        write_folder(tmp_path / "design", design(b"b"))

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
            write_folder(tmp_path / "design", design(b"theirs"))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", overtaking)
    write_folder(tmp_path / "design", design(b"ours"))

    assert overtaken
    assert [path.name for path in tmp_path.iterdir()] == ["design"]
    assert (tmp_path / "design/src/a.h").read_bytes() == b"ours"


REPORT = "resnet8_prj/solution1/syn/report/resnet8_csynth.xml"


def put(folder: Path, name: str, text: str = "theirs") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [REPORT, "notes.txt", "src/mine.h", "other/build/x.o", "src/a.h"])
def test_a_design_with_anything_of_somebody_elses_is_kept_whole(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path / "d", DESIGN)
    put(tmp_path / "d", name)

    assert (name,) == strangers(tmp_path / "d")
    write_folder(tmp_path / "d", design(b"b"))

    kept = tmp_path / "d.before"
    assert "theirs" == (kept / name).read_text()
    assert DESIGN["design.json"] == (kept / "design.json").read_bytes()
    assert () == strangers(tmp_path / "d")
    assert b"b" == (tmp_path / "d/src/a.h").read_bytes()


def test_every_design_is_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    for number in range(3):
        write_folder(tmp_path / "d", DESIGN)
        put(tmp_path / "d", REPORT, str(number))
    write_folder(tmp_path / "d", DESIGN)

    found = {path.name: (path / REPORT).read_text() for path in tmp_path.glob("d.before*")}
    assert {"d.before": "0", "d.before-2": "1", "d.before-3": "2"} == found
    assert tmp_path / "d.before-4" == kept_as(tmp_path / "d")


def test_what_psp_hw_writes_later_and_what_tests_leave_is_nobody_elses(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", DESIGN)
    for name in ("report.html", "checks.json", "build/a.o", "build/widths/testbench", ".pytest_cache/v/x"):
        put(tmp_path / "d", name)
    put(tmp_path / "d", "__pycache__/conftest.cpython-311.pyc")

    assert () == strangers(tmp_path / "d")
    write_folder(tmp_path / "d", DESIGN)

    assert ["d"] == [path.name for path in tmp_path.iterdir()]


def test_a_link_in_a_design_is_somebody_elses(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", DESIGN)
    (tmp_path / "big").mkdir()
    put(tmp_path / "big", "years", "of work")
    (tmp_path / "d" / "link").symlink_to("../big")

    assert ("link",) == strangers(tmp_path / "d")


def test_a_full_disk_leaves_a_design_with_reports_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "d", DESIGN)
    put(tmp_path / "d", REPORT)
    rename = Path.replace

    def full(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match="No space left on device"):
        write_folder(tmp_path / "d", design(b"b"))

    assert ["d"] == [path.name for path in tmp_path.iterdir()]
    assert "theirs" == (tmp_path / "d" / REPORT).read_text()
