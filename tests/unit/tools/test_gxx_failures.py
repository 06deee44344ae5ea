"""Compilers that are broken, killed or never end: one sentence, and nothing left running."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from psp_hw.errors import ToolError
from psp_hw.tools.gxx import compile_design

MANIFEST = (
    '{"top": "net", "input": {"shape": [1, 1, 1], "format": "u8.0"}, "output": {"shape": [1, 1, 1], "format": "u8.0"}, '
    '"streams": {}}'
)


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the manifest of a design; no real compiler is asked for more."""
    folder = tmp_path / "design"
    folder.mkdir()
    (folder / "design.json").write_text(MANIFEST)
    monkeypatch.setenv("CXX", str(tmp_path / "cxx"))
    return folder


def compiler(folder: Path, script: str) -> Path:
    path = folder / "cxx"
    path.write_text(script)
    path.chmod(0o755)
    return path


def test_a_file_that_is_no_program_is_said(design: Path, tmp_path: Path) -> None:
    compiler(tmp_path, "\x7fgarbage")

    with pytest.raises(ToolError, match=r"cxx: cannot be started: Exec format error"):
        compile_design(design)


def test_a_killed_compiler_is_no_bug_of_the_design(design: Path, tmp_path: Path) -> None:
    compiler(tmp_path, "#!/bin/sh\nkill -9 $$\n")

    with pytest.raises(ToolError, match=r"g\+\+ was ended by SIGKILL \(is there too little memory\?\)"):
        compile_design(design)


def test_a_killed_worker_of_the_compiler_is_no_bug_of_the_design(design: Path, tmp_path: Path) -> None:
    said = "g++: fatal error: Killed signal terminated program cc1plus"
    compiler(tmp_path, f"#!/bin/sh\necho '{said}' >&2; exit 1\n")

    with pytest.raises(ToolError, match=r"its cc1plus was killed \(is there too little memory\?\)"):
        compile_design(design)


def test_an_error_in_no_encoding_is_said(design: Path, tmp_path: Path) -> None:
    compiler(tmp_path, "#!/bin/sh\nprintf 'a.h:1:1: error: \\377\\n' >&2; exit 1\n")

    with pytest.raises(ToolError, match=r"a\.h:1:1: error: \ufffd"):
        compile_design(design)


def test_the_compiler_is_asked_to_speak_english(
    design: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    compiler(tmp_path, '#!/bin/sh\necho "error: $LC_ALL" >&2; exit 1\n')

    with pytest.raises(ToolError, match=r"g\+\+ failed: error: C "):
        compile_design(design)


def test_a_compiler_that_never_ends_ends_with_us(design: Path, tmp_path: Path) -> None:
    compiler(tmp_path, '#!/bin/sh\necho $$ >> "$(dirname "$0")/pids"\nsleep 1000 & wait\n')
    program = "import sys; from psp_hw.flow.signals import stopping_at_signals\n"
    program += "from pathlib import Path; from psp_hw.tools.gxx import compile_design\n"
    program += "with stopping_at_signals(): compile_design(Path(sys.argv[1]))"
    ours = subprocess.Popen([sys.executable, "-c", program, str(design)], stderr=subprocess.DEVNULL)
    pids = tmp_path / "pids"
    until = time.monotonic() + 60
    while not (pids.exists() and len(pids.read_text().split()) == 2) and time.monotonic() < until:
        time.sleep(0.05)

    ours.send_signal(signal.SIGTERM)

    assert ours.wait(timeout=60) != 0
    assert not running({int(pid) for pid in pids.read_text().split()})


def running(groups: set[int]) -> list[int]:
    """Processes of these groups that are more than an entry in a table (a zombie)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            state, _, group, *_ = path.read_text().rpartition(")")[2].split()
            if int(group) in groups and state != "Z":
                found.append(int(path.parent.name))
    return found
