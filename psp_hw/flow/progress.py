"""How a long step says how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how far a step is; ``pause`` and ``resume`` frame a library that draws a bar of its own."""

    def step(self, what: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` (None: unknown) of ``what``."""

    def pause(self) -> None:
        """Somebody else draws."""

    def resume(self) -> None:
        """Nobody else draws any more."""


class Silent:
    """Says nothing."""

    def step(self, what: str, done: int, total: int | None) -> None:
        """Ignored."""

    def pause(self) -> None:
        """Ignored."""

    def resume(self) -> None:
        """Ignored."""


class Counter:
    """Adds up chunks."""

    def __init__(self, what: str, total: int, progress: Progress) -> None:
        self._what, self._total, self._progress, self._done = what, total, progress, 0

    def __call__(self, frames: int) -> None:
        self._done += frames
        self._progress.step(self._what, self._done, self._total)
