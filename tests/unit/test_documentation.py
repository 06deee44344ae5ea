"""Files, functions and names that the documentation speaks of exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
FOLDERS = (
    "psp_hw",
    "hls_templates",
    "tests",
    "docs",
    "benchmarks",
    "scripts",
    "examples",
    "models",
    "reports",
)
# Where a path in the text may begin.
STARTS = ("", "docs", "psp_hw", "hls_templates", "hls_templates/include")
SOURCES = {".py", ".h", ".jinja", ".toml", ".cpp"}
FILE_ENDINGS = "py|h|md|yaml|json|jsonl|jinja|toml|cpp|tcl|csv"

PATH = re.compile(rf"(?<![\w./-])((?:[\w.-]+/)+[\w.-]+\.(?:{FILE_ENDINGS}))\b")
QUOTED = re.compile(r"`([^`]+)`")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(\(\))?")
FUNCTION = re.compile(r"[A-Za-z_]\w*\(\)")
NAME = re.compile(r"[a-z]+_[a-z_]+|[A-Z][a-z]+[A-Z]\w+")
FILE = re.compile(r"[\w-]+\.(py|h|jinja)")
# Of a file that a command makes or a library has: its ending is no attribute.
OTHER_ENDING = re.compile(rf"\.({FILE_ENDINGS}|bin|cfg|ckpt|db|exe|html|log|npz|onnx|pt|png|so|txt|xml|zip)$")
# In other projects, or made by a command.
ELSEWHERE = {
    "backends/plugin_loader.py",
    "runs/digits-cnn-shape-vivado/test_design.py",
    "test_design.py",
    "post_synth_res.py",
}
PLACEHOLDER = re.compile(r"(^|/)[A-Z]+/")


@cache
def files() -> frozenset[str]:
    paths = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file())
    return frozenset(path.relative_to(ROOT).as_posix() for path in paths)


@cache
def words() -> frozenset[str]:
    texts = [(ROOT / name).read_text(errors="ignore") for name in files() if Path(name).suffix in SOURCES]
    texts += [(ROOT / name).read_text() for name in ("Makefile", "pyproject.toml")]
    own = Path(__file__).read_text()
    return frozenset(word for text in texts if text != own for word in re.findall(r"[A-Za-z_]\w*", text))


def missing_paths(text: str, page: Path) -> Iterator[str]:
    for path in PATH.findall(text):
        if path in ELSEWHERE or PLACEHOLDER.search(path):
            continue
        beside = (page.parent / path).resolve()
        if not beside.is_file() and not any(f"{start}/{path}".lstrip("/") in files() for start in STARTS):
            yield path


def missing_names(text: str) -> Iterator[str]:
    known = {Path(name).name for name in files()} | ELSEWHERE
    for quoted in QUOTED.findall(text):
        if FILE.fullmatch(quoted):
            there = quoted in known
        elif OTHER_ENDING.search(quoted):
            continue
        elif DOTTED.fullmatch(quoted) or FUNCTION.fullmatch(quoted) or NAME.fullmatch(quoted):
            there = set(quoted.removesuffix("()").split(".")) <= words()
        else:
            continue
        if not there:
            yield quoted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()

    assert [] == [*missing_paths(text, page), *missing_names(text)]


@pytest.mark.parametrize(
    "text",
    [
        "(`tests/unit/test_nothing_like_it.py`)",
        "lowering/rescaled_nowhere.py",
        "`" + "build_the_" + "unbuilt()`",
        "`Simulator." + "run_" + "backwards`",
        "`no_such_header.h`",
    ],
)
def test_what_does_not_exist_is_found(text: str) -> None:
    assert 1 == len([*missing_paths(text, ROOT / "README.md"), *missing_names(text)])
