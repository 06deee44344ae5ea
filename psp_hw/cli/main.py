"""``psp-hw``: the commands, and what an error looks like.

Exit codes: 0 done, 1 a check failed (a mismatch, does not fit), 2 bad use or input, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import typer

from psp_hw import __version__
from psp_hw.cli import (
    calibrate,
    check,
    console,
    data,
    demo,
    emit,
    estimate,
    explore,
    figures,
    nets,
    parts,
    report,
    simulate,
    sweep,
    train,
    validate_estimate,
)
from psp_hw.errors import PspHwError
from psp_hw.flow.signals import stopping_at_signals

app = typer.Typer(
    name="psp-hw",
    help="Train CNNs with Parameterized Structured Pruning; generate FPGA designs of the surviving taps only.",
    epilog="Shortest use: psp-hw train --shape, then psp-hw emit, then pytest on the design.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _module in (
    demo,
    train,
    sweep,
    emit,
    estimate,
    explore,
    simulate,
    check,
    report,
    figures,
    parts,
    nets,
    data,
    validate_estimate,
    calibrate,
):
    app.command(_module.__name__.rpartition(".")[2].replace("_", "-"))(_module.command)

INTERRUPTED = 130  # what typer leaves with after Ctrl-C, as shells do

_HOME = re.compile(r"--[a-z0-9-]+=~(/|$)")

# What the machine around us may do to a write or a read; anything else is our bug and keeps its traceback.
_ENVIRONMENT = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "is a folder, a file was expected",
    errno.ENOTDIR: "is not a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many open files",
}


def _version(asked: bool) -> None:
    if asked:
        console.show(f"psp-hw {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    """Options before the command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: as on the command line after ``psp-hw``; None: those of this process.

    Returns:
        The exit code.
    """
    # An option of Brevitas that nobody here uses.
    warnings.filterwarnings("ignore", message="fast_hadamard_transform", category=UserWarning)
    words = [_at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    console.begin()
    code, sentence = _outcome(words)
    if sentence is not None:
        _say(sentence)
    if code and "--json" in words:
        try:
            console.show_json_error(sentence or "the command line was not understood", code)
        except OSError:  # nobody reads stdout; stderr has said it
            return code
    return code


def _at_home(word: str) -> str:
    """``--out=~/x`` as ``--out ~/x``, which the shell expands: nobody wants a folder called ``~``."""
    option, _, value = word.partition("=")
    return f"{option}={Path(value).expanduser()}" if _HOME.match(word) else word


def _outcome(words: list[str]) -> tuple[int, str | None]:
    """Run one command: its exit code, and what is left to say about it."""
    try:
        with stopping_at_signals():
            app(args=words, prog_name="psp-hw")
    except PspHwError as error:
        return error.exit_code, str(error)
    except OSError as error:
        if error.errno not in _ENVIRONMENT:
            raise
        place = f"{error.filename}: " if error.filename else ""
        return 2, f"{place}{_ENVIRONMENT[error.errno]}; nothing half-written was left"
    except ImportError as error:
        if not isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise
        return INTERRUPTED, "interrupted"  # Ctrl-C while a library was loading itself
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
        return code, "interrupted" if code == INTERRUPTED else None
    return 0, None


def _say(sentence: str) -> None:
    """One sentence on stderr: no markup is read from it, control characters are shown, not obeyed."""
    with contextlib.suppress(OSError):  # nobody reads stderr; the exit code says it
        sys.stderr.write(f"psp-hw: {console.plain(sentence)}\n")
        sys.stderr.flush()
