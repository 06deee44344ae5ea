"""Requests to stop while steps are done: remembered, and obeyed behind the step, so that it is not lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stops:
    """Ctrl-C, SIGTERM and SIGHUP, between `listen` and `give_back`. A second one does not wait for the step."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object]] = {}

    def listen(self) -> None:
        """Take the place of those who handle these signals; what is ignored (nohup) or left to the system stays."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._before[number] = handler
                signal.signal(number, self._hear)

    def give_back(self) -> None:
        """Let them handle their signals again."""
        while self._before:
            number, handler = self._before.popitem()
            if signal.getsignal(number) == self._hear:
                signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
