"""``psp-hw simulate --against``, from the command line: the same questions for every back end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from psp_hw.cli import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the command answered: exit code, the JSON document, the error stream."""

    code: int
    made: dict[str, object]
    error: str


def simulate_against(
    what: str, source: Path, capsys: pytest.CaptureFixture[str], *, limit: int | None = None
) -> Said:
    """Run ``simulate SOURCE --against WHAT --json``."""
    options = [] if limit is None else ["--limit", str(limit)]
    code = main.run(["simulate", str(source), "--against", what, "--json", *options])
    captured = capsys.readouterr()
    return Said(code=code, made=json.loads(captured.out), error=captured.err)


def check_whole_split(what: str, design: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every image of the digits' test split agrees."""
    said = simulate_against(what, design, capsys)

    assert said.code == 0, said.error
    assert (said.made["images"], said.made["against"], said.made["mismatches"]) == (355, what, 0)


def check_agrees(what: str, source: Path, capsys: pytest.CaptureFixture[str], *, limit: int) -> None:
    """So many images agree."""
    said = simulate_against(what, source, capsys, limit=limit)

    assert said.code == 0, said.error
    assert (said.made["images"], said.made["mismatches"]) == (limit, 0)


def difference(what: str, design: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a design that computes something else."""
    said = simulate_against(what, design, capsys, limit=10)
    mismatches = said.made["mismatches"]

    assert said.code == 1
    assert isinstance(mismatches, int)
    assert mismatches > 0
    return said.error
