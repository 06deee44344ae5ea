"""Tables in terminals of any width and any encoding: numbers whole, names whole, no line wider than the terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import pytest
from rich.console import Console

from psp_hw.cli import console
from psp_hw.cli.tables import Fitted

HEAD = ("Layer", "Op", "Fold", "Cycles", "LUT", "URAM")
ROWS = (
    ("stage1_block1_shortcut_conv", "conv2d", "2 × 16 × 6", "1,234,567", "16,256", "0"),
    ("fc", "conv2d", "", "245", "249", "0"),
)


def drawn(width: int, rows: Sequence[Sequence[str]] = ROWS) -> list[str]:
    terminal = Console(file=io.StringIO(), width=width, highlight=False)
    with terminal.capture() as captured:
        terminal.print(Fitted(head=HEAD, rows=rows, text_columns=3))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", [200, 80, 64, 60, 56, 48, 40, 32])
def test_no_number_is_broken_and_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = drawn(width)

    assert max(len(line) for line in lines) <= width
    for number in ("1,234,567", "16,256", "245", "249", "2 × 16 × 6"):
        assert any(number in line for line in lines), number


def test_a_wide_terminal_shows_every_column_and_one_line_per_row() -> None:
    head, _, first, second = drawn(200)[1:5]

    assert [*HEAD] == head.split()
    assert first.split()[0] == "stage1_block1_shortcut_conv"
    assert first.endswith(" 0")
    assert second.split() == ["fc", "conv2d", "245", "249", "0"]


def test_a_narrower_one_breaks_names_after_an_underscore_and_drops_a_column_of_zeros() -> None:
    lines = drawn(58)

    assert "URAM" not in lines[1]
    assert lines[3].startswith(" stage1_block1_ ")
    assert lines[4].strip() == "shortcut_conv"


def test_a_still_narrower_one_names_every_value_of_a_row() -> None:
    assert drawn(40)[:4] == [
        "stage1_block1_shortcut_conv",
        "  Op conv2d; Fold 2 × 16 × 6;",
        "  Cycles 1,234,567; LUT 16,256",
        "fc",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert drawn(80, rows=())[1].split() == [*HEAD]


def test_markup_in_a_name_is_text() -> None:
    row = ("[red]a[/red]", "conv2d", "", "1", "2", "0")

    assert any("[red]a[/red]" in line for line in drawn(200, rows=(row,)))
    assert any("[red]a[/red]" in line for line in drawn(30, rows=(row,)))


def test_a_pipe_gets_no_spaces_at_the_ends_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table(HEAD, ROWS, text_columns=3)

    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == lines
    assert len(lines) >= 4


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_our_signs_gets_the_nearest_ones(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    console.begin()

    console.show("6 × 8 → ██░ 日 \udcff")
    stream.flush()

    times = "x" if encoding == "ascii" else "×"
    assert raw.getvalue().decode(encoding) == f"6 {times} 8 -> ##. \\u65e5 \\xff\n"
