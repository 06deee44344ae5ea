"""What the processes of one training tell each other beside gradients: what the first one refuses, and that one of them failed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from psp_hw.errors import PspHwError
from psp_hw.training.machine import Machine


class Others(Protocol):
    """The other processes of a training, as one of them sees them."""

    def lead(self, work: Callable[[], object]) -> None:
        """Let the first process do something while the others wait, for as long as it takes.

        Raises:
            PspHwError: what it refused, in all processes; or the first process is gone.
        """


class Nobody:
    """Where there is one process."""

    def lead(self, work: Callable[[], object]) -> None:
        """Do it."""
        work()


@contextlib.contextmanager
def together(machine: Machine) -> Iterator[Others]:
    """Meet the other processes; within this, a failure of one ends all of them, each with a sentence.

    Raises:
        RunError: the others did not come in time, or one of them failed.
    """
    if machine.processes == 1:
        yield Nobody()
        return
    from psp_hw.training.meeting import Meeting  # a torch without its distributed part has one process

    meeting = Meeting(machine)
    try:
        meeting.join()
        yield meeting
    except BaseException as error:
        known = meeting.leave(error)
        if known is None or isinstance(error, PspHwError | KeyboardInterrupt):
            raise
        raise known from error
    else:
        meeting.leave(None)
