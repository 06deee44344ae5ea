"""Where a training writes: a folder that nobody else has, or the run that waits."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from psp_hw.errors import RunError
from psp_hw.flow.defaults import RUNS
from psp_hw.flow.source import complete_runs, incomplete_runs
from psp_hw.spec.train import TrainSpec


def stem_of(spec: TrainSpec, floats: Path | None) -> str:
    """What a run is named after: the net, the data and the structures, or the run whose floats it takes."""
    if floats is not None:
        return f"{floats.resolve().name}-w{spec.quant.weight_bits}a{spec.quant.act_bits}"
    words = [spec.net.name.replace(":", "-").replace(".", "-"), spec.data.name]
    words += [structure.kind.value for structure in spec.pruning.structures]
    return "-".join(word for i, word in enumerate(words) if word not in words[0] or i == 0)


@contextlib.contextmanager
def new_run(stem: str) -> Iterator[Path]:
    """A new folder in runs/, made here, so that two trainings at once never have the same one.

    It goes again where nothing was written into it.

    Raises:
        RunError: it cannot be made.
    """
    had_runs = RUNS.is_dir()
    path = _claim(stem)
    try:
        yield path
    except BaseException:
        with contextlib.suppress(OSError):  # not empty: somebody has a run in there
            path.rmdir()
            if not had_runs:
                RUNS.rmdir()
        raise


def _claim(stem: str) -> Path:
    """The first of stem, stem-2, stem-3, ... that could be made."""
    number = 1
    try:
        RUNS.mkdir(parents=True, exist_ok=True)
        while True:
            path = RUNS / (stem if number == 1 else f"{stem}-{number}")
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
            number += 1
    except OSError as error:
        where = error.filename or str(RUNS)
        raise RunError(
            f"cannot be made: {error.strerror}", where=str(where), hint="name a folder: --out"
        ) from error


def waiting_run() -> Path:
    """The newest incomplete run in runs/.

    Raises:
        RunError: there is none.
    """
    candidates = incomplete_runs(RUNS)
    if not candidates:
        raise RunError(f"no interrupted run in {RUNS}/", where="--resume", hint="name it: --resume --out RUN")
    return candidates[0]


def as_word(path: Path) -> str:
    """A path as one word of a command line: quoted where it must be, and no option where it begins with a dash."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def as_source(run: Path) -> str:
    """How to name a run on the command line, a space after it; nothing where it is the default SOURCE."""
    newest = complete_runs(RUNS)[:1]
    return "" if newest and newest[0].resolve() == run.resolve() else f"{as_word(run)} "
