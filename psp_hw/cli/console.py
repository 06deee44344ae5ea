"""What the commands share when they print: tables and progress for people, JSON for programs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

PIPE_WIDTH = 140  # columns, where stdout is no terminal


def out() -> Console:
    """The console of results, stdout."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def plain(text: str) -> str:
    """Text whose control characters are shown as spaces, so that a terminal does not obey them."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def show(text: str) -> None:
    """A line of text on stdout; no markup is read from it."""
    typer.echo(plain(text))


def note(sentence: str) -> None:
    """A sentence on stderr about what needs no stop."""
    typer.echo(f"psp-hw: {plain(sentence)}", err=True)


# Whether the one document of the command that runs was printed; an error then adds no second one.
_DOCUMENT_SHOWN: ContextVar[bool] = ContextVar("_DOCUMENT_SHOWN", default=False)


def show_json(document: Mapping[str, object]) -> None:
    """The one JSON document of ``--json`` on stdout."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False, default=_plain))
    _DOCUMENT_SHOWN.set(True)


def begin() -> None:
    """A command begins: it has shown nothing, and names that are not text in the locale's encoding can be shown."""
    _DOCUMENT_SHOWN.set(False)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 stays open
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show_json_error(sentence: str, exit_code: int) -> None:
    """The document of a command that failed, unless it showed one itself."""
    if not _DOCUMENT_SHOWN.get():
        show_json({"error": sentence, "exit_code": exit_code})


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not for JSON")


@contextlib.contextmanager
def stdout_for_json(asked: bool) -> Iterator[None]:
    """While working under ``--json``, whatever a library prints goes to stderr: stdout holds the document alone."""
    if not asked:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def next_step(sentence: str, command: str) -> None:
    """Name the command that usually follows."""
    typer.echo(f"\nNext, {sentence}:\n  {command}")


def say_rounding(source: Path | None, inputs: Path | None = None) -> None:
    """On stderr, where a QONNX file is not computed exactly: which nodes are rounded, and how far off the outputs are."""
    if source is None or source.suffix.lower() != ".onnx":
        return
    from psp_hw.flow.check import rounding

    for sentence in rounding(source, inputs=inputs):
        typer.echo(f"psp-hw: {sentence}", err=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> Table:
    """A table whose first columns are text and whose others are numbers; no markup is read from the cells."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for index, title in enumerate(head):
        made.add_column(title, justify="left" if index < text_columns else "right", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


class Steps:
    """A progress bar on stderr for what takes more than a moment; silent where nobody watches.

    Use as a context manager, and pass the object itself to the flow: it is the flow's ``Progress``.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet or not sys.stderr.isatty()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Steps:
        if not self._quiet:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def pause(self) -> None:
        """Make room on the terminal for somebody else's bar."""
        if self._bar is not None:
            self._bar.stop()

    def resume(self) -> None:
        """Show the bar again."""
        if self._bar is not None:
            self._bar.start()

    def step(self, what: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` (None: unknown) of ``what``."""
        if self._bar is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)
