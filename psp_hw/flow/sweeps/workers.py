"""Who works on a trial, and whether that process still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START = 0, 19  # fields of /proc/PID/stat behind the name (proc(5): fields 3 and 22)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process, named so that no other one ever has the same name.

    Args:
        host: name of the machine, for people.
        place: the boot and the process namespace that the process id belongs to; empty where the system does not say.
        pid: process id there.
        start: when it started, in clock ticks since boot; 0 where the system does not say.
    """

    host: str
    place: str
    pid: int
    start: int

    @property
    def text(self) -> str:
        """As one word, for a storage."""
        return f"{self.host}/{self.place}/{self.pid}/{self.start}"

    @staticmethod
    def parse(text: str) -> Worker | None:
        """What `text` gave; None for anything else."""
        parts = text.rsplit("/", 3)
        if len(parts) != 4 or not (parts[2].isdecimal() and parts[3].isdecimal()):
            return None
        return Worker(host=parts[0], place=parts[1], pid=int(parts[2]), start=int(parts[3]))


@cache
def _place() -> str:
    """Boot and process namespace; empty where there is no /proc."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def this_worker() -> Worker:
    """The process that asks."""
    pid = os.getpid()
    found = _stat(pid)
    return Worker(
        host=socket.gethostname().replace("/", "-"), place=_place(), pid=pid, start=found[1] if found else 0
    )


def is_dead(worker: Worker) -> bool | None:
    """Whether a worker is gone; None where that cannot be seen from here (another machine, another container)."""
    if not worker.place or worker.place != _place():
        return None
    found = _stat(worker.pid)
    return found is None or found[1] != worker.start or found[0] in "ZX"


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start of a process; None where there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[_STATE], int(fields[_START])
