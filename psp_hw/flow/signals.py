"""Requests of the system to stop: SLURM before it takes a machine away, a terminal that is closed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def stopping_at_signals() -> Iterator[None]:
    """Within this, SIGTERM and SIGHUP do what Ctrl-C does, once; what somebody else handles or ignores (nohup) stays.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if not stopped:  # a second one shall not disturb the clearing up after the first
            stopped = True
            raise KeyboardInterrupt

    ours = [number for number in STOP_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
