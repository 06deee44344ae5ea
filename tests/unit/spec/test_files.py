"""Files of others are read no further than makes sense."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from psp_hw.backends.plan_file import load_plan
from psp_hw.errors import ModelError, PspHwError, RunError, SpecError
from psp_hw.flow.goal import parse_folds
from psp_hw.flow.source import read_json
from psp_hw.folding.plan import Fold
from psp_hw.ir import store
from psp_hw.spec.files import read_bounded, read_text_bounded
from psp_hw.spec.load import read_mapping

ENDLESS = Path("/dev/zero")


def test_content_up_to_the_limit_is_read(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"12345")

    assert b"12345" == read_bounded(file, 5)
    with pytest.raises(OSError, match="is larger than 4 bytes"):
        read_bounded(file, 4)


def test_what_is_no_regular_file_is_refused_unless_it_may_be_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # opening it would wait for ever

    with pytest.raises(OSError, match="is no regular file"):
        read_bounded(tmp_path / "fifo", 5)
    with pytest.raises(IsADirectoryError):
        read_bounded(tmp_path, 5, pipes=True)


def test_what_is_no_utf_8_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xff")

    with pytest.raises(UnicodeDecodeError):
        read_text_bounded(tmp_path / "f", 5)


@pytest.mark.skipif(not ENDLESS.exists(), reason="no /dev/zero")
def test_files_without_an_end_are_refused() -> None:
    with pytest.raises(SpecError, match="/dev/zero: is larger than 1048576 bytes"):
        parse_folds([str(ENDLESS)])
    with pytest.raises(SpecError, match="is larger than 1048576 bytes"):
        read_mapping(ENDLESS)


@pytest.mark.skipif(not ENDLESS.exists(), reason="no /dev/zero")
@pytest.mark.parametrize("name", ["plan.json", "graph.txt", "graph.npz"])
def test_a_file_of_a_design_that_has_no_end_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "graph.txt").write_text("graph net\n")
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to(ENDLESS)

    with pytest.raises(RunError, match="is no regular file"):
        load_plan(tmp_path / name) if name == "plan.json" else store.load(tmp_path)


@pytest.mark.skipif(not ENDLESS.exists(), reason="no /dev/zero")
def test_a_model_or_manifest_that_has_no_end_is_refused() -> None:
    onnx_file = pytest.importorskip("psp_hw.lowering.onnx_file")

    with pytest.raises(ModelError, match="is no regular file"):
        onnx_file.parse(ENDLESS)
    with pytest.raises(PspHwError, match="is no regular file"):
        read_json(ENDLESS)


def test_folds_may_come_from_a_pipe() -> None:
    source, sink = os.pipe()
    os.write(sink, b"conv1: {pe: 2}\n")
    os.close(sink)

    assert {"conv1": Fold(pe=2)} == parse_folds([f"/dev/fd/{source}"])
    os.close(source)
