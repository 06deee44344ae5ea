"""What the commands share when they print: tables and progress for people, JSON for programs."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from psp_hw.report.model import HardwareSummary

PIPE_WIDTH = 140  # columns, where stdout is no terminal


def out() -> Console:
    """The console of results, stdout."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def plain(text: str) -> str:
    """Text whose control characters are shown as spaces, so that a terminal does not obey them.

    A byte of a file name that is no text in the locale's encoding is shown as ``\\xff``.
    """
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # PEP 383
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter if letter.isprintable() else " "


# What our own texts say where an encoding lacks the character; anything else is shown as an escape.
_PLAIN_LETTERS = {"×": "x", "·": ".", "→": "->", "─": "-", "µ": "u", "█": "#", "░": ".", "…": "..."}
_ERRORS = "psp-hw-plain"


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """A handler of encoding errors: the nearest ASCII of one character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    escape = letter.encode("ascii", "backslashreplace").decode("ascii")
    return _PLAIN_LETTERS.get(letter, escape), error.start + 1


codecs.register_error(_ERRORS, _replaced)


def show(text: str) -> None:
    """A line of text on stdout; no markup is read from it."""
    _write(sys.stdout, plain(text))


def note(sentence: str, *, after_a_bar: bool = False) -> None:
    """A sentence on stderr about what needs no stop; on a line of its own where a bar or ^C may stand on this one."""
    start = "\n" if after_a_bar else ""
    _write(sys.stderr, f"{start}psp-hw: {plain(sentence)}")


def tell(line: str) -> None:
    """A line on stderr: how far something is."""
    _write(sys.stderr, plain(line))


def _write(stream: TextIO, text: str) -> None:
    """Text and a line feed, at once, in the stream's own encoding."""
    stream.write(f"{text}\n")
    stream.flush()


# Whether the one document of the command that runs was printed; an error then adds no second one.
_DOCUMENT_SHOWN: ContextVar[bool] = ContextVar("_DOCUMENT_SHOWN", default=False)


def show_json(document: Mapping[str, object]) -> None:
    """The one JSON document of ``--json`` on stdout."""
    _write(sys.stdout, json.dumps(document, indent=2, allow_nan=False, default=_plain))
    _DOCUMENT_SHOWN.set(True)


def begin() -> None:
    """A command begins: it has shown nothing, and names that are not text in the locale's encoding can be shown."""
    _DOCUMENT_SHOWN.set(False)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 stays open
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


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
    _write(sys.stdout, f"\nNext, {sentence}:\n  {plain(command)}")


def say_rounding(source: Path | None, inputs: Path | None = None) -> None:
    """On stderr, where a QONNX file is not computed exactly: which nodes are rounded, and how far off the outputs are."""
    if source is None or source.suffix.lower() != ".onnx":
        return
    from psp_hw.flow.check import rounding

    for sentence in rounding(source, inputs=inputs):
        note(sentence)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> None:
    """A table on stdout, laid out for the width that there is; see ``Fitted``."""
    from psp_hw.cli.tables import Fitted

    made = out()
    with made.capture() as captured:
        made.print(Fitted(head=head, rows=rows, text_columns=text_columns))
    show_lines(captured.get())


def show_cautions(hardware: HardwareSummary) -> None:
    """Which resources may turn out too few, if the estimate is as wrong as it may be."""
    for use in hardware.resources:
        if use.caution:
            show(use.caution)


def show_lines(drawn: str) -> None:
    """What rich has drawn, without the spaces that it fills lines with."""
    _write(sys.stdout, "\n".join(line.rstrip() for line in drawn.splitlines()))


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
