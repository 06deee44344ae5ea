"""What one training is: asked for what, on which images, into which folder, on what and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.spec.train import TrainSpec
from psp_hw.training.checkpoints import Shelf
from psp_hw.training.machine import Machine
from psp_hw.training.manner import Manner
from psp_hw.training.run import PRUNED

FLOAT_PHASE = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training.

    Args:
        spec: the request.
        training: the images that are learnt.
        testing: those that measure, with the same preprocessing.
        run: the run folder.
        machine: what it runs on.
        manner: how it goes on and shows itself.
        floats: a run whose pruned floats are taken; None: they are trained.
    """

    spec: TrainSpec
    training: Split
    testing: Split
    run: Path
    machine: Machine
    manner: Manner
    floats: Path | None = None

    @property
    def begun(self) -> bool:
        """Whether the first weights come from a file: of another run, or of this one, which was moved, perhaps, without the
        weights it started from."""
        return self.floats is not None or (self.manner.resume and _has_begun(self.run))


def splits_of(spec: TrainSpec, data_dir: Path | None) -> tuple[Split, Split]:
    """The training and the test split of a spec; how the first was preprocessed, the second is.

    Raises:
        DataError: the data set is missing or damaged.
    """
    training = load(spec.data.name, data_dir, "train")
    return training, load(spec.data.name, data_dir, "test", preprocessing=training.preprocessing)


def _has_begun(run: Path) -> bool:
    shelf = Shelf(folder=(run / PRUNED).parent, phase=FLOAT_PHASE)
    return any(path.exists() for path in (run / PRUNED, shelf.last, shelf.previous))
