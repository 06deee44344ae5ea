"""Train, and read back what a run knows. Everything here returns records and numpy arrays; nothing prints."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
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
from psp_hw.training.export import export_model
from psp_hw.training.loop import check_checkpoint
from psp_hw.training.machine import Machine, is_leader, wait_for_all
from psp_hw.training.phases import (
    EVAL_BATCH,
    Pruned,
    accuracy,
    check_net,
    float_phase,
    predict,
    quant_phase,
    quantized_accuracy,
    rebuild,
    save_tensors,
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
    load_run,
    open_run,
    unwritable,
    write_aside,
    write_text,
)

Note = Callable[[str], None]
_VERSIONED = ("torch", "brevitas", "lightning", "onnx", "numpy", "scikit-learn")
_LOG_COLUMNS = ("phase", "epoch", "step", "loss", "accuracy", "density")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training gave.

    Args:
        accuracy: of the pruned float network on the test split, 0 .. 1.
        accuracy_quantized: of the quantized network on the test split, 0 .. 1.
        density: kept weights per weight over the prunable layers.
        params: weights in surviving structures, and biases, with BN folded.
        macs: multiply-accumulates per image of the surviving structures.
        run: the run folder.
        layers: what survives in each layer.
    """

    accuracy: float
    accuracy_quantized: float
    density: float
    params: int
    macs: int
    run: Path
    layers: tuple[LayerSurvey, ...]


def train(
    spec: TrainSpec,
    out: Path,
    *,
    machine: Machine | None = None,
    resume: bool = False,
    floats: Path | None = None,
    data_dir: Path | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train, prune, quantize, export.

    Args:
        spec: the request.
        out: the run folder; must not exist or be empty, unless `resume`. Several processes share it.
        machine: what it runs on; None: one device, a GPU where there is one.
        resume: continue an unfinished run of the same spec.
        floats: a run whose pruned floats are taken, so that only quantization and fine-tuning are done; its spec may
            differ in those alone.
        data_dir: where fetched data sets are.
        progress: show a progress bar on stderr.

    Raises:
        SpecError, DataError, ModelError: bad request; nothing was written.
        RunError: the folder is not ours or cannot be written.
        TrainingError: the loss is not a number, or all structures of a layer are gone; the run can be inspected.
        KeyboardInterrupt: Ctrl-C; the run continues with `resume`.
    """
    if not spec.net.is_custom:
        check_name(spec.net)  # before the data: a wrong name should not send anyone to fetch a data set
    training = load(spec.data.name, data_dir, "train")
    testing = load(spec.data.name, data_dir, "test", preprocessing=training.preprocessing)
    return train_on(
        spec,
        training,
        testing,
        out,
        machine=machine or Machine(),
        resume=resume,
        floats=floats,
        progress=progress,
    )


def train_on(
    spec: TrainSpec,
    training: Split,
    testing: Split,
    out: Path,
    *,
    machine: Machine,
    resume: bool = False,
    floats: Path | None = None,
    progress: bool = True,
) -> TrainResult:
    """As `train`, on splits that are in memory already; both with the same preprocessing."""
    check_net(spec, training)
    if floats is not None:
        check_reusable(floats, spec)
    if is_leader() and open_run(out, spec, resume=resume):
        return result_of(load_run(out))
    try:
        if floats is not None and is_leader() and not (out / PRUNED).exists():
            take_floats(floats, out)
        pruned = float_phase(spec, training, out, machine, resume=resume, floats=floats, progress=progress)
        model = quant_phase(spec, training, pruned, out, machine, resume=resume, progress=progress)
        if not is_leader():
            wait_for_all()
            return result_of(load_run(out))
        _write(out, model, training, spec.net.name.rpartition(":")[2])
        metrics = _measure(spec, pruned, model, testing)
        finish_run(out, spec, versions={name: version(name) for name in _VERSIONED}, metrics=metrics)
        wait_for_all()
    except OSError as error:
        raise unwritable(out, error) from error
    return result_of(load_run(out))


def _write(out: Path, model: Any, split: Split, name: str) -> None:
    """Everything but the manifest."""
    write_aside(out / INPUT, split.preprocessing.save)
    write_aside(out / QUANTIZED, partial(save_tensors, model.state_dict()))
    write_aside(out / MODEL, partial(export_model, model, split.image_shape, name=name))
    write_text(out / METRICS, _merged_log(out / "logs"))


def _measure(spec: TrainSpec, pruned: Pruned, model: fx.GraphModule, testing: Split) -> dict[str, Any]:
    """The metrics of the manifest."""
    layers = survey(spec, model, pruned, testing.image_shape)
    biases = sum(layer.channels[1] for layer in layers)
    float_accuracy = accuracy(pruned.net, testing)
    return {
        "accuracy": float_accuracy,
        "accuracy_quantized": quantized_accuracy(model, testing),
        "density": density(layers),
        "params": sum(layer.kept for layer in layers) + biases,
        "macs": sum(layer.macs for layer in layers),
        "layers": [asdict(layer) | {"density": layer.density} for layer in layers],
    }


def _merged_log(logs: Path) -> str:
    """The logs of both phases as one table; after a resume, the later line of an epoch holds."""
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for folder in sorted(logs.iterdir(), key=_log_order):
        phase = folder.name.rpartition("-")[0]
        file = folder / "metrics.csv"
        if not file.is_file():
            continue
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                rows.setdefault((phase, int(row["epoch"])), {}).update({k: v for k, v in row.items() if v})
    text = io.StringIO()
    writer = csv.DictWriter(text, _LOG_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for (phase, _), row in rows.items():
        writer.writerow({"phase": phase, **row})
    return text.getvalue()


def _log_order(folder: Path) -> tuple[bool, int]:
    phase, _, number = folder.name.rpartition("-")
    return phase != "train", int(number) if number.isdigit() else 0


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
    return TrainResult(**metrics, run=run.path, layers=layers)


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
        model = rebuild(run.spec, state, image=info.image, classes=len(info.classes))
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
    parts = [
        trace_values(model, torch.from_numpy(pixels[i : i + EVAL_BATCH]).double())
        for i in range(0, len(pixels), EVAL_BATCH)
    ]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}
