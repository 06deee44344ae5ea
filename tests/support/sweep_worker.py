"""A worker of a sweep that trains nothing: takes trials, waits a moment, and says their values as what came of them.

Usage: python sweep_worker.py STORAGE TRIALS [die N]. Writes the number of every trial it finished. With ``die``, it ends as `kill -9`
does, while it holds its N-th trial.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from psp_hw.flow.sweeps.ledger import GRACE_S, Ledger, open_ledger
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_structures
from psp_hw.spec.space import Axis, AxisName, Range, Space

SPEC = with_structures(preset("digits-cnn"), (StructureKind.SHAPE,))
OPEN = Space(
    axes=(
        Axis(name=AxisName.EPSILON, over=Range(low=0.1, high=0.5)),
        Axis(name=AxisName.BITS, over=("8,8", "4,4")),
    )
)
FINITE = Space(
    axes=(
        Axis(name=AxisName.STRUCTURE, over=("none", "shape", "channel", "column")),
        Axis(name=AxisName.BITS, over=("8,8", "4,4", "2,2")),
    )
)


def ledger(
    storage: str,
    *,
    trials: int,
    space: Space = OPEN,
    seed: int = 1,
    grace_s: float = GRACE_S,
    word: str = "same",
) -> Ledger:
    """Begin or join a sweep named ``test``."""
    return open_ledger(
        storage,
        Path(),
        name="test",
        spec=SPEC,
        space=space,
        directions=["maximize", "minimize"],
        trials=trials,
        seed=seed,
        request={"word": word},
        grace_s=grace_s,
    )


def came_of(values: dict[str, object]) -> list[float]:
    """What a trial is said to have given."""
    return [float(len(str(values))), float(values.get("epsilon", 0.0))]  # type: ignore[arg-type]


def main(storage: str, trials: int, space: Space, fatal: int) -> None:
    book = ledger(storage, trials=trials, space=space)
    done = 0
    while (taken := book.take(trials)) is not None:
        with taken:
            time.sleep(0.02)
            if done == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            book.finish(taken, came_of(dict(taken.values)), run=taken.run)
        done += 1
        sys.stdout.write(f"{taken.number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(sys.argv[2]),
        FINITE if "finite" in sys.argv else OPEN,
        int(sys.argv[sys.argv.index("die") + 1]) if "die" in sys.argv else -1,
    )
