"""A table that stays readable in a narrow terminal: whole, tight, or its rows one below the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

_SHORT = 12  # columns: text up to here is never broken, longer text keeps at least this much
_WIDE_GAP, _TIGHT_GAP = 3, 1
_EDGE = 1  # column that the box leaves free on either side
_NOTHING = ("", "0")
_INDENT = "  "
_BREAK_AFTER = re.compile(r"(?<=[_./])")  # where a name may be broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A table, laid out for the width that it is printed in; no markup is read from the cells.

    Numbers are never broken. Where the table is too wide, its gaps shrink, columns of zeros alone go, and text is broken
    into lines; where that is not enough either, every row becomes a paragraph that names its values.

    Args:
        head: titles of the columns.
        rows: cells, as many per row.
        text_columns: so many columns at the left are text, the others are numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Text | Padding]:
        widths = self._widths()
        every = range(len(self.head))
        if _total(widths, _WIDE_GAP) <= options.max_width:
            yield self._table(every, widths, padding=1)
            return
        told = [
            column for column in every if column == 0 or any(self._says(row, column) for row in self.rows)
        ]
        room = self._shrunk({column: widths[column] for column in told}, options.max_width)
        if room is not None:
            yield self._table(told, room, padding=0)
            return
        yield from self._paragraphs(told, options.max_width)

    def _says(self, row: Sequence[str], column: int) -> bool:
        return row[column].strip() not in _NOTHING

    def _widths(self) -> dict[int, int]:
        from rich.cells import cell_len

        return {
            column: max(cell_len(text) for text in (title, *(row[column] for row in self.rows)))
            for column, title in enumerate(self.head)
        }

    def _shrunk(self, widths: dict[int, int], most: int) -> dict[int, int] | None:
        """Widths that fit: the widest text gives way first, down to what is short; None where they cannot."""
        room = dict(widths)
        while (over := _total(room, _TIGHT_GAP) - most) > 0:
            text = {column: width for column, width in room.items() if column < self.text_columns}
            widest = max(text, key=lambda column: text[column])
            if room[widest] <= _SHORT:
                return None
            second = max((width for column, width in text.items() if column != widest), default=0)
            room[widest] = max(_SHORT, min(room[widest] - 1, max(second, room[widest] - over)))
        return room

    def _table(self, columns: Sequence[int], widths: dict[int, int], *, padding: int) -> Table:
        from rich import box
        from rich.table import Table

        made = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, padding))
        for column in columns:
            made.add_column(
                self.head[column],
                justify="left" if column < self.text_columns else "right",
                width=widths[column],
                overflow="fold",
            )
        for row in self.rows:
            made.add_row(*(_broken(row[column], widths[column]) for column in columns))
        return made

    def _paragraphs(self, told: Sequence[int], width: int) -> Iterator[Text | Padding]:
        from rich.cells import cell_len
        from rich.padding import Padding
        from rich.text import Text

        for row in self.rows:
            yield Text(row[0].strip(), style="bold", overflow="fold")
            facts = [
                f"{self.head[column].strip()} {row[column].strip()}"
                for column in told[1:]
                if row[column].strip()
            ]
            lines = [""]
            for fact in facts:
                start = f"{lines[-1]}; {fact}" if lines[-1] else fact
                if lines[-1] and cell_len(start) > width - len(_INDENT) - 1:  # a semicolon ends the line
                    lines[-1] += ";"
                    lines.append(fact)
                else:
                    lines[-1] = start
            if facts:
                yield Padding(Text("\n".join(lines), overflow="fold"), (0, 0, 0, len(_INDENT)))


def _total(widths: dict[int, int], gap: int) -> int:
    return sum(widths.values()) + gap * (len(widths) - 1) + 2 * _EDGE


def _broken(text: str, width: int) -> Text:
    """The text, a name in it that is too long broken after an underscore, a dot or a slash where it has one."""
    from rich.cells import cell_len
    from rich.text import Text

    words: list[str] = []
    for word in text.split(" "):
        lines = [""]
        for piece in _BREAK_AFTER.split(word):
            if lines[-1] and cell_len(word) > width and cell_len(lines[-1] + piece) > width:
                lines.append("")
            lines[-1] += piece
        words.append("\n".join(lines))
    return Text(" ".join(words))
