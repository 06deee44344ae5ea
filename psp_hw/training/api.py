"""Train, and read back what a run knows. Everything here returns records and numpy arrays; nothing prints."""

from __future__ import annotations

import copy
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from psp_hw.data.registry import data_info, load
from psp_hw.data.split import Preprocessing, Split
from psp_hw.errors import RunError
from psp_hw.nn.registry import check_name
from psp_hw.pruning.survey import LayerSurvey, density
from psp_hw.quant.convert import trace_values
from psp_hw.spec.names import first_line
from psp_hw.spec.train import TrainSpec
from psp_hw.training.checkpoints import check_checkpoint
from psp_hw.training.durable import errors_of_files, write_aside, write_text
from psp_hw.training.export import export_model
from psp_hw.training.floats import Pruned, eval_batch, float_accuracy, float_phase, predict, save_tensors
from psp_hw.training.job import FLOAT_PHASE, Job, splits_of
from psp_hw.training.log import merged_log
from psp_hw.training.loop import LOGS
from psp_hw.training.machine import Machine, is_leader
from psp_hw.training.manner import Manner
from psp_hw.training.phases import (
    QUANT_PHASE,
    calibrated,
    check_net,
    fine_tune,
    quantized_accuracy,
    rebuild,
    survey,
)
from psp_hw.training.reuse import check_reusable, take_floats
from psp_hw.training.run import (
    INPUT,
    METRICS,
    MODEL,
    PRUNED,
    QUANTIZED,
    Run,
    finish_run,
    is_complete,
    load_run,
    opened,
)
from psp_hw.training.together import Others, together

_VERSIONED = ("torch", "brevitas", "lightning", "pytorch-lightning", "onnx", "numpy", "scikit-learn")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training gave.

    Args:
        accuracy: of the pruned float network on the test split, 0 .. 1.
        accuracy_calibrated: of the network on the test split after quantization, before fine-tuning; None in runs of
            earlier versions.
        accuracy_quantized: of the quantized network on the test split, 0 .. 1.
        density: kept weights per weight over the prunable layers.
        params: weights in surviving structures, and biases, with BN folded.
        macs: multiply-accumulates per image of the surviving structures.
        run: the run folder.
        layers: what survives in each layer.
        seconds: spent in the steps of each phase, over all starts [s]; empty in runs of earlier versions.
    """

    accuracy: float
    accuracy_quantized: float
    accuracy_calibrated: float | None = None
    density: float
    params: int
    macs: int
    run: Path
    layers: tuple[LayerSurvey, ...]
    seconds: tuple[tuple[str, float], ...] = field(default=(), compare=False)


def train(
    spec: TrainSpec,
    out: Path,
    *,
    machine: Machine | None = None,
    manner: Manner | None = None,
    floats: Path | None = None,
    data_dir: Path | None = None,
) -> TrainResult:
    """Train, prune, quantize, export.

    Args:
        spec: the request.
        out: the run folder; must not exist or be empty, unless the manner is to resume. Several processes share it.
        machine: what it runs on; None: one device, a GPU where there is one.
        manner: how it goes on and shows itself; None: from the start, in silence.
        floats: a run whose pruned floats are taken, so that only quantization and fine-tuning are done; its spec may
            differ in those alone.
        data_dir: where fetched data sets are.

    Raises:
        SpecError, DataError, ModelError: bad request; nothing was written.
        RunError: the folder is not ours, another process trains into it, or it cannot be written.
        TrainingError: the loss is not a number, or the layers of which nothing is left cut the network
            (`psp_hw.pruning.paths.cutting_layers`); the run can be inspected.
        KeyboardInterrupt: Ctrl-C; the run continues with a manner that resumes.
    """
    if not spec.net.is_custom:
        check_name(spec.net)  # before the data: a wrong name should not send anyone to fetch a data set
    machine, manner = machine or Machine(), manner or Manner()
    with together(machine) as others:
        training, testing = splits_of(spec, data_dir)
        job = Job(
            spec=spec,
            training=training,
            testing=testing,
            run=out,
            machine=machine,
            manner=manner,
            floats=floats,
        )
        return _carry_out(job, others)


def carry_out(job: Job) -> TrainResult:
    """As `train`, on splits that are in memory already."""
    with together(job.machine) as others:
        return _carry_out(job, others)


def _carry_out(job: Job, others: Others) -> TrainResult:
    """As `carry_out`, with the other processes."""
    check_net(job.spec, job.training, job.machine, begun=job.begun)
    if job.floats is not None:
        check_reusable(job.floats, job.spec)
    with ExitStack() as held:
        others.lead(lambda: held.enter_context(opened(job.run, job.spec, resume=job.manner.resume)))
        if not is_complete(job.run):
            _train_and_write(job, others)
    return result_of(load_run(job.run))


def _train_and_write(job: Job, others: Others) -> None:
    """Both phases, then the files; of several processes, the first writes and measures while the others wait."""
    with errors_of_files(job.run):
        if job.floats is not None and is_leader() and not (job.run / PRUNED).exists():
            take_floats(job.floats, job.run)
        pruned = float_phase(job)
        model = calibrated(job.spec, job.training, pruned)
        before = copy.deepcopy(model) if is_leader() else model
        record = fine_tune(model, job, pruned)

        def write() -> None:
            records = {FLOAT_PHASE: pruned.record, QUANT_PHASE: record}
            _write(job, model, merged_log(records, job.run / LOGS))
            finish_run(
                job.run,
                job.spec,
                versions=_versions(),
                metrics=_measure(job, pruned, model, before),
                seconds={name: round(known.seconds, 1) for name, known in records.items() if known},
            )

        others.lead(write)


def _versions() -> dict[str, str]:
    """Of what decides the bits of a run; Lightning is there under either of its names."""
    known = {}
    for name in _VERSIONED:
        with suppress(PackageNotFoundError):
            known[name] = version(name)
    return known


def _write(job: Job, model: Any, log: str) -> None:
    """Everything but the manifest."""
    name = job.spec.net.name.rpartition(":")[2]
    write_aside(job.run / INPUT, job.training.preprocessing.save)
    write_aside(job.run / QUANTIZED, partial(save_tensors, model.state_dict()))
    write_aside(job.run / MODEL, partial(export_model, model, job.training.image_shape, name=name))
    write_text(job.run / METRICS, log)


def _measure(job: Job, pruned: Pruned, model: fx.GraphModule, before: fx.GraphModule) -> dict[str, Any]:
    """The metrics of the manifest. Integers are measured on the CPU, where convolutions of exact values are known to be exact."""
    testing = job.testing
    layers = survey(job.spec, model, pruned, testing.image_shape)
    biases = sum(layer.channels[1] for layer in layers)
    return {
        "accuracy": float_accuracy(pruned.net, testing, job.machine),
        "accuracy_calibrated": quantized_accuracy(before, testing),
        "accuracy_quantized": quantized_accuracy(model, testing),
        "density": density(layers),
        "params": sum(layer.kept for layer in layers) + biases,
        "macs": sum(layer.macs for layer in layers),
        "layers": [asdict(layer) | {"density": layer.density} for layer in layers],
    }


def result_of(run: Run) -> TrainResult:
    """The result of a complete run."""
    metrics = dict(run.metrics)
    layers = tuple(
        LayerSurvey(
            name=layer["name"],
            kernel=tuple(layer["kernel"]),
            channels=tuple(layer["channels"]),
            taps=tuple((r, s) for r, s in layer["taps"]),
            kept=layer["kept"],
            total=layer["total"],
            macs=layer["macs"],
            prunable=layer["prunable"],
        )
        for layer in metrics.pop("layers")
    )
    seconds = tuple((name, float(spent)) for name, spent in run.manifest.get("seconds", {}).items())
    return TrainResult(**metrics, run=run.path, layers=layers, seconds=seconds)


def load_quantized(run: Path) -> nn.Module:
    """The Brevitas network of a run in eval, float64: its results are exact multiples of the scales.

    Raises:
        RunError: the run is not complete, was changed, or its state does not fit.
    """
    return quantized_of(load_run(run))


def quantized_of(run: Run) -> nn.Module:
    """As `load_quantized`, for a run that was loaded."""
    info = data_info(run.spec.data.name)
    path = run.path / QUANTIZED
    state = check_checkpoint(path)
    try:
        classes = len(info.classes) or run.metrics["layers"][-1]["channels"][1]
        model = rebuild(run.spec, state, image=info.image, classes=classes)
    except RuntimeError as error:
        what = f"does not fit the network of the spec: {_misfit(error)}"
        raise RunError(what, where=str(path)) from error
    return model.double()


def _misfit(error: RuntimeError) -> str:
    """The first tensor that does not fit; torch names it in the second line."""
    lines = str(error).splitlines()
    return lines[1].strip() if len(lines) > 1 else first_line(error)


def load_split(run: Path, split: str, *, data_dir: Path | None = None) -> Split:
    """A split of the data set of a run, preprocessed exactly as in its training."""
    loaded = load_run(run)
    return load(loaded.spec.data.name, data_dir, split, preprocessing=Preprocessing.read(loaded.input))


def reference_outputs(run: Path, images: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """What the quantized network of a run computes, in float64.

    Args:
        run: the run folder.
        images: preprocessed [N, C, H, W].

    Returns:
        Accumulators of the last layer as real values [N, classes], exact.
    """
    return predict(load_quantized(run), np.asarray(images)).astype(np.float64)


def reference_trace(run: Path, images: NDArray[np.floating[Any]]) -> dict[str, NDArray[np.float64]]:
    """The real values behind every step of the quantized network, in the order of execution.

    Args:
        run: the run folder.
        images: preprocessed [N, C, H, W].

    Returns:
        By the name of the step, which is also the name of the value in model.onnx: [N, C, H, W] or [N, F].
    """
    model = load_quantized(run)
    pixels = np.asarray(images)
    size = eval_batch(pixels.shape)
    parts = [
        trace_values(model, torch.from_numpy(pixels[i : i + size]).double())
        for i in range(0, len(pixels), size)
    ]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}
