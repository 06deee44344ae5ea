"""The errors that a user can meet. Everything else is a bug of psp-hw and keeps its traceback."""

from __future__ import annotations

from typing import ClassVar


class PspHwError(Exception):
    """Something the user can act on: where it is, what is wrong, what to do next.

    Args:
        what: one clear sentence: the fact, with both values where two disagree.
        where: the place: an option, a key of the spec, a file, a node.
        hint: what to do next.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.what}{advice}"


class SpecError(PspHwError):
    """The request is wrong: an unknown name, a value out of range, a fold that does not divide."""


class DataError(PspHwError):
    """A data set is missing, truncated or not the published one."""


class ModelError(PspHwError):
    """A model file cannot be used: corrupt, not QONNX, an unsupported node."""


class RunError(PspHwError):
    """A run or design folder is missing, incomplete, corrupt or not ours."""


class TrainingError(PspHwError):
    """Training cannot go on: the loss is not a number, or layers of which nothing is left cut the network."""


class ToolError(PspHwError):
    """An external program is missing or failed."""


class DoesNotFitError(PspHwError):
    """The design needs more than the part has."""

    exit_code: ClassVar[int] = 1


def reason(error: Exception) -> str:
    """Why a file could not be read, without what the message around it says already: the path, numbers of the system."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
