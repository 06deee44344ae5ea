from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

from psp_hw.ir.ops import Op
from psp_hw.passes import PASSES

PAGE = (Path(__file__).parents[3] / "docs" / "ir.md").read_text()


def rows(section: str) -> list[list[str]]:
    body = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_op_table_lists_every_op_with_all_of_its_fields():
    written = {row[0].strip("`"): f"{row[1]}, {row[2]}" for row in rows("Ops")}
    actual = {kind.__name__: {f.name for f in dataclasses.fields(kind)} - {"name"} for kind in get_args(Op)}

    assert {name: set(re.findall(r"\w+", text)) for name, text in written.items()} == actual


def test_the_pass_table_lists_the_passes_in_order():
    assert [row[0].strip("`") for row in rows("Passes")] == [step.name for step in PASSES]
