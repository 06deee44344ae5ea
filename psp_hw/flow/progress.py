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
