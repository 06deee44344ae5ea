"""Trainings that are killed with SIGKILL at a chosen moment, in real processes.

Run as a program: it loads the libraries once, then forks a process per training. One JSON object per line comes in,
``{"asked": keyword arguments of Request, "die_at": n}``, and one goes out, ``{"status": wait status, "moments": n}``.

A moment is any of: a file is opened for writing, half of its content is written, a file is renamed or removed, a
folder is made, a step of training begins. ``die_at`` 0 never dies, so ``moments`` is how many there are.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR
_FILE_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


class _Fate:
    """Counts the moments of this process and ends it at the chosen one."""

    def __init__(self, folder: str, die_at: int) -> None:
        self.folder = folder
        self.die_at = die_at
        self.moments = 0

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook of the interpreter."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING and self._is_ours(path):
                self.moment()
        elif event in _FILE_EVENTS and self._is_ours(arguments[0]):
            self.moment()

    def _is_ours(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.folder)  # type: ignore[arg-type]


def _cut_writes(fate: _Fate) -> None:
    """Between the two halves of what is written to a file, there is a moment."""

    def write_bytes(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            fate.moment()
            file.write(content[len(content) // 2 :])
        return len(content)

    def write_text(path: Path, text: str, encoding: str = "utf-8") -> int:
        return write_bytes(path, text.encode(encoding))

    Path.write_bytes = write_bytes  # type: ignore[method-assign,assignment]
    Path.write_text = write_text  # type: ignore[method-assign,assignment]


def _cut_steps(fate: _Fate) -> None:
    """Before every step of training there is a moment."""
    from psp_hw.training.modules import Phase

    step = Phase.training_step

    def cut(self: Phase, *arguments: Any) -> Any:
        fate.moment()
        return step(self, *arguments)

    Phase.training_step = cut  # type: ignore[method-assign]


def _train(asked: dict[str, Any], die_at: int, tell: int) -> None:
    """In a process of its own: train, tell how many moments there were."""
    from psp_hw.flow.train import Request, train

    out = Path(asked.pop("out"))
    fate = _Fate(str(out), die_at)
    _cut_writes(fate)
    _cut_steps(fate)
    sys.addaudithook(fate.hear)
    asked["structures"] = tuple(asked.get("structures", ()))
    train(Request(**asked, out=out), progress=False)
    os.write(tell, json.dumps(fate.moments).encode())


def _fork(asked: dict[str, Any], die_at: int) -> dict[str, object]:
    ear, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _train(asked, die_at, tell)
            code = 0
        except BaseException:  # noqa: BLE001 -- said on stderr, and in the exit code
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(tell)
    with os.fdopen(ear, "rb") as heard:
        moments = heard.read()
    _, status = os.waitpid(child, 0)
    return {"status": status, "moments": json.loads(moments) if moments else None}


def main() -> None:
    """Answer requests until there are no more."""
    import psp_hw.training.api  # noqa: F401 -- loaded once, for every process that is forked

    for line in sys.stdin:
        wanted = json.loads(line)
        sys.stdout.write(json.dumps(_fork(wanted["asked"], wanted["die_at"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
