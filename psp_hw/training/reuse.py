"""A run that begins with the pruned floats of another: other bits, another fine-tuning, the same first phase.

Floats depend on the spec without its sections ``quant`` and ``finetune`` alone, so a run that took them from
another gives the same files as one that trained them itself.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from psp_hw.errors import RunError, SpecError
from psp_hw.spec.load import spec_to_dict
from psp_hw.spec.train import TrainSpec
from psp_hw.training.durable import write_aside
from psp_hw.training.run import (
    PRUNED,
    checked_floats,
    differences,
    read_manifest,
    same_floats,
    started_with,
)

OPTION = "--from"
_AFTER_THE_FLOATS = ("quant", "finetune")
_LOG = "metrics.csv"


def check_reusable(source: Path, spec: TrainSpec) -> None:
    """Refuse a run whose pruned floats are not those that a spec asks for.

    Args:
        source: the run that has them; it need not be complete.
        spec: the request.

    Raises:
        RunError: not a run, its first phase is not done, or its file was changed.
        SpecError: its floats were trained with another request; names the keys.
    """
    manifest = read_manifest(source)
    found = differences(_of_floats(started_with(source, manifest)), _of_floats(spec))
    if found:
        raise SpecError(
            f"the floats of {source} were trained with another request; different: {', '.join(found)}",
            where=OPTION,
            hint="only bits and fine-tuning may differ: --bits, --finetune-epochs, or quant: and finetune: in --spec",
        )
    pruned = source / PRUNED
    if not pruned.is_file():
        gone = manifest.get("complete") is True
        beside = same_floats(source) if gone else None
        what = "the run has no pruned network " + ("any more" if gone else "yet")
        hint = "train again" if gone else f"finish its first phase: psp-hw train --resume --out {source}"
        raise RunError(
            f"the file is missing: {what}",
            where=str(pruned),
            hint=hint if beside is None else f"{beside} has the same: --from {beside}",
        )
    checked_floats(source)


def take_floats(source: Path, out: Path) -> None:
    """Copy the pruned network and the log of its training into a run that was opened; the network last, whole."""
    for log in sorted((source / "logs").glob(f"train-*/{_LOG}")):
        copy = out / "logs" / log.parent.name / _LOG
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_aside(copy, lambda aside, log=log: shutil.copyfile(log, aside))
    (out / PRUNED).parent.mkdir(exist_ok=True)
    write_aside(out / PRUNED, lambda aside: shutil.copyfile(source / PRUNED, aside))


def _of_floats(spec: TrainSpec) -> dict[str, Any]:
    """What the first phase depends on."""
    return {key: value for key, value in spec_to_dict(spec).items() if key not in _AFTER_THE_FLOATS}
