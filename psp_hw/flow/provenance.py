"""Where a source comes from: how it was trained, what was compared, how to make it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from psp_hw.errors import RunError
from psp_hw.flow.files import write_files
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.source import Source, SourceKind, number_at, read_json, text_at
from psp_hw.report.model import CheckSummary, TrainingSummary

CHECKS_NAME = "checks.json"
CHECKS_KIND = "psp-hw checks"


def training_of(source: Source) -> TrainingSummary | None:
    """How the network was trained; None where nobody knows."""
    if source.kind is SourceKind.RUN:
        return _from_run(source.manifest)
    if source.kind is SourceKind.DESIGN and (source.path / "report.json").is_file():
        return _from_report(read_json(source.path / "report.json"))
    return None


def title_of(source: Source, training: TrainingSummary | None) -> str:
    """What a report is headed."""
    return source.title if training is None else f"{training.net} on {training.data}"


def _from_run(manifest: Mapping[str, object]) -> TrainingSummary:
    def number(*keys: str) -> float:
        found = number_at(manifest, *keys)
        if found is None:
            raise RunError(f"{'.'.join(keys)} is missing", where="manifest.json", hint="train again")
        return found

    return TrainingSummary(
        net=text_at(manifest, "spec", "net", "name") or "",
        data=text_at(manifest, "spec", "data", "name") or "",
        seed=int(number("spec", "seed")),
        bits_weight=int(number("spec", "quant", "weight_bits")),
        bits_activation=int(number("spec", "quant", "act_bits")),
        structures=_structures(manifest),
        accuracy=number("metrics", "accuracy"),
        accuracy_quantized=number("metrics", "accuracy_quantized"),
        density=number("metrics", "density"),
        params=int(number("metrics", "params")),
        macs=int(number("metrics", "macs")),
        accuracy_calibrated=number_at(manifest, "metrics", "accuracy_calibrated"),
    )


def _structures(manifest: Mapping[str, object]) -> tuple[str, ...]:
    found: object = manifest
    for key in ("spec", "pruning", "structures"):
        found = found.get(key) if isinstance(found, Mapping) else None
    entries = found if isinstance(found, list) else []
    return tuple(str(entry["kind"]) for entry in entries if isinstance(entry, Mapping) and "kind" in entry)


def _from_report(report: Mapping[str, object]) -> TrainingSummary | None:
    """What an earlier report said; None where it said nothing or is damaged."""
    found = report.get("training")
    if not isinstance(found, Mapping):
        return None
    try:
        weight, activation = found["bits"]
        return TrainingSummary(
            net=str(found["net"]),
            data=str(found["data"]),
            seed=int(found["seed"]),
            bits_weight=int(weight),
            bits_activation=int(activation),
            structures=tuple(str(word) for word in found["structures"]),
            accuracy=float(found["accuracy"]),
            accuracy_quantized=float(found["accuracy_quantized"]),
            density=float(found["density"]),
            params=int(found["params"]),
            macs=int(found["macs"]),
            accuracy_calibrated=number_at(found, "accuracy_calibrated"),
        )
    except (KeyError, TypeError, ValueError):
        return None


def checks_of(folder: Path) -> tuple[CheckSummary, ...]:
    """The comparisons that were made of a run or design, one per counterpart and widths, the latest of each.

    Raises:
        RunError: the file is not ours or damaged.
    """
    path = folder / CHECKS_NAME
    if not path.is_file():
        return ()
    found = read_json(path)
    entries = found.get("checks")
    if found.get("kind") != CHECKS_KIND or not isinstance(entries, list):
        raise RunError("is not a record of comparisons", where=str(path), hint="delete it")
    try:
        return tuple(
            CheckSummary(
                against=str(entry["against"]),
                images=int(entry["images"]),
                mismatches=int(entry["mismatches"]),
                accuracy=None if entry["accuracy"] is None else float(entry["accuracy"]),
                images_per_second=float(entry["images_per_second"]),
                widths=None if entry.get("widths") is None else str(entry["widths"]),
            )
            for entry in entries
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError("is not a record of comparisons", where=str(path), hint="delete it") from error


def record_check(folder: Path, check: CheckSummary) -> None:
    """Remember a comparison beside what was compared; it takes the place of an earlier one with the same counterpart."""
    kept = [one for one in checks_of(folder) if one.counterpart != check.counterpart]
    entries = [
        {
            "against": one.against,
            "widths": one.widths,
            "images": one.images,
            "mismatches": one.mismatches,
            "accuracy": one.accuracy,
            "images_per_second": round(one.images_per_second, 1),
        }
        for one in sorted([*kept, check], key=lambda one: one.counterpart)
    ]
    write_files(folder, {CHECKS_NAME: json.dumps({"kind": CHECKS_KIND, "checks": entries}, indent=2) + "\n"})


def provenance(source: Source, goal: GoalRequest) -> tuple[tuple[str, str], ...]:
    """How a report's subject was made, without paths: a design remembers it from its first report."""
    if source.kind is SourceKind.DESIGN and (source.path / "report.json").is_file():
        remembered = read_json(source.path / "report.json").get("provenance")
        if isinstance(remembered, Mapping):
            return tuple((str(key), str(value)) for key, value in remembered.items())
    return (("made from", f"{source.kind.value} {source.title}"), ("asked for", goal.words))
