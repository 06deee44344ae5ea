"""The first phase alone: pruned floats, and a run that waits to be quantized. Brevitas need not be installed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from psp_hw.data.split import Split
from psp_hw.errors import RunError
from psp_hw.nn.registry import check_name
from psp_hw.pruning.survey import LayerSurvey, density
from psp_hw.spec.train import TrainSpec
from psp_hw.training.durable import errors_of_files
from psp_hw.training.floats import Pruned, check_floats, float_accuracy, float_phase, survey_floats
from psp_hw.training.job import Job, splits_of
from psp_hw.training.machine import Machine, is_leader
from psp_hw.training.manner import Manner
from psp_hw.training.run import PRUNED, is_complete, opened
from psp_hw.training.together import together


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatResult:
    """What the first phase gave.

    Args:
        accuracy: of the pruned float network on the test split, 0 .. 1.
        density: kept weights per weight over the prunable layers.
        params: weights in surviving structures, and biases, with BN folded.
        macs: multiply-accumulates per image of the surviving structures.
        run: the run folder; it waits before its second phase.
        layers: what survives in each layer.
        seconds: spent in the steps, over all starts [s]; None where an earlier version trained.
    """

    accuracy: float
    density: float
    params: int
    macs: int
    run: Path
    layers: tuple[LayerSurvey, ...]
    seconds: float | None


def train_floats(
    spec: TrainSpec, out: Path, *, machine: Machine, manner: Manner, data_dir: Path | None = None
) -> FloatResult | None:
    """Train and prune in floats, and stop before quantization; `psp_hw.training.api.train` with a manner that resumes goes on, here
    or elsewhere.

    Args:
        spec: the request.
        out: the run folder; must not exist or be empty, unless the manner is to resume.
        machine: what it runs on.
        manner: how it goes on and shows itself.
        data_dir: where fetched data sets are.

    Returns:
        None for all but the first of several processes.

    Raises:
        SpecError, DataError, ModelError: bad request; nothing was written.
        RunError: the folder is not ours, another process trains into it, it cannot be written, or it is complete and without floats.
        TrainingError: the loss is not a number, or the layers of which nothing is left cut the network
            (`psp_hw.pruning.paths.cutting_layers`); the run can be inspected.
        KeyboardInterrupt: Ctrl-C; the run continues with a manner that resumes.
    """
    if not spec.net.is_custom:
        check_name(spec.net)
    with together(machine) as others, ExitStack() as held:
        training, testing = splits_of(spec, data_dir)
        job = Job(spec=spec, training=training, testing=testing, run=out, machine=machine, manner=manner)
        check_request(spec, training, machine, begun=job.begun)
        others.lead(lambda: held.enter_context(opened(out, spec, resume=manner.resume)))
        if is_complete(out) and not (out / PRUNED).exists():
            what = "the run is complete and its floats were removed"
            raise RunError(what, where=str(out / PRUNED), hint="train them into another folder: --out")
        with errors_of_files(out):
            pruned = float_phase(job)
    return _result(job, pruned) if is_leader() else None


def check_request(spec: TrainSpec, training: Split, machine: Machine, *, begun: bool) -> None:
    """Refuse what could not be pruned; and what could not be quantized, where that can be told: Brevitas is installed."""
    if find_spec("brevitas") is None:
        check_floats(spec, training, machine, begun=begun)
        return
    from psp_hw.training.phases import check_net

    check_net(spec, training, machine, begun=begun)


def _result(job: Job, pruned: Pruned) -> FloatResult:
    layers = survey_floats(job.spec, pruned, job.testing.image_shape)
    return FloatResult(
        accuracy=float_accuracy(pruned.net, job.testing, job.machine),
        density=density(layers),
        params=sum(layer.kept + layer.channels[1] for layer in layers),
        macs=sum(layer.macs for layer in layers),
        run=job.run,
        layers=layers,
        seconds=None if pruned.record is None else pruned.record.seconds,
    )
