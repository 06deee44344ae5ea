"""Unknown names: one sentence with the nearest legal one."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable


def shown(value: object) -> str:
    """A value of a file for a message: short and shallow, however large it is; aliases make a page of YAML huge."""
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxdict, short.maxstring, short.maxother = 2, 3, 3, 80, 80
    return short.repr(value)


def first_line(error: BaseException) -> str:
    """What an exception of a library says, in one line; its type where it says nothing."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def suggestion(name: str, known: Iterable[str]) -> str:
    """The hint for an unknown name: the nearest known one, else the list of all.

    Args:
        name: what was given.
        known: the legal names.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'? Known: {', '.join(names)}"
    return f"use one of: {', '.join(names)}"
