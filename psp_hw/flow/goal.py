"""How fast and how large: the options --fps, --max and --fold as one goal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from psp_hw.errors import SpecError
from psp_hw.folding.plan import Fold
from psp_hw.spec.files import read_text_bounded
from psp_hw.spec.names import shown
from psp_hw.spec.target import DEFAULT_GOAL, Fps, Goal, Latency, MaxThroughput, MinArea

MAX_FOLD_FILE_BYTES = 1 << 20
_PARTS = ("pe", "simd", "taps", "lanes")
_ITEM = re.compile(r"\s*(pe|simd|taps|lanes)\s*:\s*([0-9]{1,9})\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalRequest:
    """What was asked: at most one goal; folds go with any, the other layers are chosen around them.

    Args:
        least_fifos: whether FIFOs are made as shallow as the estimated pipelines allow, once the folds are chosen.
    """

    fps: float | None = None
    max: bool = False
    fold: tuple[str, ...] = ()
    latency_us: float | None = None
    min_area: bool = False
    point: int | None = None
    least_fifos: bool = False

    def __post_init__(self) -> None:
        given = {
            "--fps": self.fps is not None,
            "--max": self.max,
            "--latency-us": self.latency_us is not None,
            "--min-area": self.min_area,
            "--point": self.point is not None,
        }
        asked = [option for option, is_given in given.items() if is_given]
        if len(asked) > 1:
            raise SpecError(
                f"{' and '.join(asked)} exclude each other", where="options", hint="give one of them"
            )
        if self.point is not None and self.fold:
            raise SpecError(
                "--point and --fold exclude each other", where="options", hint="a point has folds of its own"
            )

    @property
    def goal(self) -> Goal:
        """The goal of the search."""
        if self.fps is not None:
            return Fps(frames_per_second=self.fps)
        if self.latency_us is not None:
            return Latency(microseconds=self.latency_us)
        if self.min_area:
            return MinArea()
        return MaxThroughput() if self.max else DEFAULT_GOAL

    @property
    def asked(self) -> bool:
        """Whether any folds were asked for; a design keeps its own else."""
        goals = (
            self.fps is not None,
            self.max,
            self.latency_us is not None,
            self.min_area,
            self.point is not None,
        )
        return any(goals) or bool(self.fold)

    @property
    def words(self) -> str:
        """What was asked, as on the command line."""
        if self.fps is not None:
            speed = f"--fps {self.fps:g}"
        elif self.latency_us is not None:
            speed = f"--latency-us {self.latency_us:g}"
        elif self.min_area:
            speed = "--min-area"
        elif self.point is not None:
            speed = f"--point {self.point}"
        else:
            speed = "--max" if self.max else f"as fast as fits in {DEFAULT_GOAL.share:.0%} of the part"
        fifos = ["--least-fifos"] if self.least_fifos else []
        return " ".join([speed, *(f"--fold {fold}" for fold in self.fold), *fifos])


def parse_folds(texts: Sequence[str]) -> Mapping[str, Fold]:
    """Read every ``--fold``: ``LAYER=pe:4,simd:2,taps:3`` or a file of them.

    Raises:
        SpecError: not of that form, or a layer named twice.
    """
    folds: dict[str, Fold] = {}
    for text in texts:
        found = [_parse_one(text)] if "=" in text else list(_read_file(Path(text)).items())
        for layer, fold in found:
            if layer in folds:
                raise SpecError(f"layer {layer!r} is folded twice", where="--fold")
            folds[layer] = fold
    return folds


def _parse_one(text: str) -> tuple[str, Fold]:
    layer, _, items = text.partition("=")
    values: dict[str, int] = {}
    for item in items.split(","):
        match = _ITEM.fullmatch(item)
        if match is None or match[1] in values:
            raise SpecError(f"{text!r} is no fold", where="--fold", hint="write LAYER=pe:4,simd:2,taps:3")
        values[match[1]] = int(match[2])
    return layer.strip(), _made(values, f"--fold {layer.strip()}")


def _read_file(path: Path) -> Mapping[str, Fold]:
    """Folds from a YAML or JSON file: {layer: {pe: 4, simd: 2, taps: 3}}, or a design's plan.json."""
    try:
        text = read_text_bounded(path, MAX_FOLD_FILE_BYTES, pipes=True)
        found = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(
            f"{reason}", where=f"--fold {path}", hint="write LAYER=pe:4,simd:2 or name a file"
        ) from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise SpecError("is neither YAML nor JSON", where=f"--fold {path}") from error
    if isinstance(found, dict) and isinstance(found.get("nodes"), dict):
        found = found["nodes"]
    if not isinstance(found, dict):
        raise SpecError("is not a mapping of layers", where=f"--fold {path}")
    return {str(layer): _fold(layer, value, path) for layer, value in found.items()}


def _fold(layer: object, value: object, path: Path) -> Fold:
    where = f"--fold {path}: {layer}"
    if isinstance(value, dict) and isinstance(value.get("fold"), dict):
        value = value["fold"]
    if not isinstance(value, dict):
        raise SpecError(f"{shown(value)} is no fold", where=where, hint="write {pe: 4, simd: 2, taps: 3}")
    unknown = sorted(set(map(str, value)) - set(_PARTS))
    if unknown:
        raise SpecError(
            f"unknown part {unknown[0]!r}", where=where, hint="a fold has pe, simd and taps, or pe and lanes"
        )
    wrong = [key for key, number in value.items() if isinstance(number, bool) or not isinstance(number, int)]
    if wrong:
        raise SpecError(f"{wrong[0]}={shown(value[wrong[0]])} is not a whole number", where=where)
    return _made({str(key): number for key, number in value.items()}, where)


def _made(values: Mapping[str, int], where: str) -> Fold:
    """A fold; what is wrong with it is said with its layer."""
    try:
        return Fold(**values)
    except SpecError as error:
        raise SpecError(error.what, where=where, hint=error.hint) from error
