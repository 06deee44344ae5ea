"""What a sweep varies: epsilon, lambda, density, structures and bits, each over a range or a list, on top of a spec.

A sweep file is YAML::

    epsilon: {low: 0.1, high: 0.5}
    lambda: {low: 1e-4, high: 1e-2, log: true}
    structure: [none, shape, "shape,channel"]
    bits: ["8,8", "6,6", "4,4"]
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from psp_hw.errors import SpecError
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.load import read_mapping, spec_to_dict
from psp_hw.spec.names import shown, suggestion
from psp_hw.spec.presets import with_bits, with_structures
from psp_hw.spec.train import PruningSpec, StructureSpec, TrainSpec, parse_bits

NO_STRUCTURE = "none"
MAX_CHOICES = 1000

Value = float | str
Values = Mapping[str, Value]
"""One value per axis, by the word of the axis."""


class AxisName(Enum):
    """What can be varied; the word in a sweep file and, with two dashes, on the command line."""

    EPSILON = "epsilon"
    STRENGTH = "lambda"
    DENSITY = "density"
    STRUCTURE = "structure"
    BITS = "bits"


_NUMBERS = (AxisName.EPSILON, AxisName.STRENGTH, AxisName.DENSITY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Every number between two, evenly or (`log`) evenly in its logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SpecError(
                f"{self.low:g} .. {self.high:g} is no range", hint="give the smaller number first"
            )
        if self.log and self.low <= 0:
            raise SpecError(f"a logarithmic range cannot begin at {self.low:g}", hint="begin above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that is varied.

    Args:
        name: what.
        over: a range of numbers, or the values themselves: numbers, ``W,A`` for bits, structures separated by commas.
    """

    name: AxisName
    over: Range | tuple[Value, ...]

    def __post_init__(self) -> None:
        if isinstance(self.over, Range):
            return
        if not 1 <= len(self.over) <= MAX_CHOICES:
            what = f"{len(self.over)} values" if self.over else "no value is given"
            raise SpecError(what, where=self.name.value, hint=f"give 1 to {MAX_CHOICES}")
        twice = [value for index, value in enumerate(self.over) if value in self.over[:index]]
        if twice:
            raise SpecError(f"{shown(twice[0])} is given twice", where=self.name.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """All that a sweep varies.

    Args:
        axes: at least one; each name once.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        names = {axis.name for axis in self.axes}
        if not names:
            words = ", ".join(f"--{name.value}" for name in AxisName)
            raise SpecError(
                "nothing is varied", where="sweep", hint=f"give {words}, or a sweep.yaml beside the spec"
            )
        if {AxisName.EPSILON, AxisName.DENSITY} <= names:
            raise SpecError("epsilon and density exclude each other", where="sweep", hint="vary one of them")

    @property
    def size(self) -> int | None:
        """How many combinations there are; None: no end of them."""
        size = 1
        for axis in self.axes:
            if isinstance(axis.over, Range):
                return None
            size *= len(axis.over)
        return size

    def combinations(self) -> Iterator[dict[str, Value]]:
        """All of them, the last axis fastest; of a space without ranges."""
        words = [axis.name.value for axis in self.axes]
        lists = [axis.over for axis in self.axes if not isinstance(axis.over, Range)]
        assert len(lists) == len(words)
        for values in itertools.product(*lists):
            yield dict(zip(words, values, strict=True))


def load_space(path: Path) -> Space:
    """Read a sweep file.

    Raises:
        SpecError: unreadable, or an axis that is unknown or has no legal values.
    """
    return Space(axes=tuple(axes_from_dict(read_mapping(path), where=path.name)))


def axes_from_dict(values: Mapping[str, object], *, where: str) -> list[Axis]:
    """The axes of plain values, as YAML or JSON gives them; see `load_space`."""
    words = [name.value for name in AxisName]
    axes = []
    for word, value in values.items():
        if word not in words:
            hint = suggestion(str(word), words)
            raise SpecError(f"unknown key {shown(word)}", where=where, hint=hint)
        try:
            axes.append(_axis(AxisName(word), value))
        except SpecError as error:
            raise SpecError(error.what, where=f"{where}: {word}", hint=error.hint) from error
    return axes


def _axis(name: AxisName, value: object) -> Axis:
    if isinstance(value, Mapping):
        if name not in _NUMBERS:
            raise SpecError("has no range", hint="give a list of values")
        return Axis(name=name, over=_range(name, value))
    items = value if isinstance(value, list) else [value]
    return Axis(name=name, over=tuple(_value(name, item) for item in items))


def _range(name: AxisName, value: Mapping[object, object]) -> Range:
    for key in value:
        if key not in ("low", "high", "log"):
            raise SpecError(f"unknown key {shown(key)}", hint=suggestion(str(key), ("low", "high", "log")))
    if not {"low", "high"} <= set(value):
        raise SpecError("a range has low and high", hint="{low: 0.1, high: 0.5}")
    log = value.get("log", name is AxisName.STRENGTH)
    if not isinstance(log, bool):
        raise SpecError(f"log: {shown(log)} is neither true nor false")
    return Range(low=_number(value["low"]), high=_number(value["high"]), log=log)


def _value(name: AxisName, item: object) -> Value:
    if name in _NUMBERS:
        return _number(item)
    if name is AxisName.BITS:
        if isinstance(item, list):
            item = ",".join(map(str, item))
        weights, acts = parse_bits(item if isinstance(item, str) else shown(item))
        return f"{weights},{acts}"
    return _structures(item)


def _structures(item: object) -> str:
    """Structures separated by commas, each once; ``none`` (and YAML's null) for a dense network."""
    if item is None or item == NO_STRUCTURE:
        return NO_STRUCTURE
    words = [word.strip() for word in item.split(",")] if isinstance(item, str) else [shown(item)]
    known = [kind.value for kind in StructureKind]
    for word in words:
        if word not in known:
            hint = suggestion(word, [*known, NO_STRUCTURE])
            raise SpecError(f"unknown structure {shown(word)}", hint=hint)
    return ",".join(dict.fromkeys(words))


def _number(item: object) -> float:
    if isinstance(item, str):
        try:
            item = float(item)  # YAML 1.1 reads 1e-4 as text
        except ValueError:
            raise SpecError(f"{shown(item)} is not a number") from None
    if isinstance(item, bool) or not isinstance(item, (int, float)) or not math.isfinite(item):
        raise SpecError(f"{shown(item)} is not a number")
    return float(item)


_RANGE = re.compile(r"([^:,]+):([^:,]+)")


def parse_axis(name: AxisName, texts: Sequence[str]) -> Axis:
    """An axis from its option: ``0.1:0.5`` a range, ``0.1,0.2`` some numbers; bits and structures one per option.

    Args:
        name: of the axis.
        texts: what was given, once per time that the option was.

    Raises:
        SpecError: names the option.
    """
    try:
        if name not in _NUMBERS:
            return _axis(name, list(texts))
        match = _RANGE.fullmatch(texts[0].strip()) if len(texts) == 1 else None
        if match:
            return _axis(name, {"low": match[1].strip(), "high": match[2].strip()})
        return _axis(name, [word.strip() for text in texts for word in text.split(",")])
    except SpecError as error:
        raise SpecError(error.what, where=f"--{name.value}", hint=error.hint) from error


def space_to_dict(space: Space) -> dict[str, object]:
    """A space as plain values that `axes_from_dict` reads back."""
    found: dict[str, object] = {}
    for axis in space.axes:
        over = axis.over
        found[axis.name.value] = (
            {"low": over.low, "high": over.high, "log": over.log} if isinstance(over, Range) else list(over)
        )
    return found


def applied(spec: TrainSpec, values: Values) -> TrainSpec:
    """A spec with the values of one trial.

    An epsilon decides alone, as in ``psp-hw train --epsilon`` and PSP Eq. 3: without the bounds of the recipe. Overrides for
    some layers stay as they are, unless the structure itself is varied: then they go.

    Raises:
        SpecError: a value is not legal, or applies to nothing.
    """
    if AxisName.STRUCTURE.value in values:
        spec = _with_kinds(spec, str(values[AxisName.STRUCTURE.value]))
    elif not spec.pruning.structures and any(axis.value in values for axis in _NUMBERS):
        raise SpecError(
            "the spec prunes nothing that it could apply to",
            where=next(axis.value for axis in _NUMBERS if axis.value in values),
            hint="vary the structure too, or name one in the spec",
        )
    spec = replace(spec, pruning=_with_numbers(spec.pruning, values))
    return with_bits(spec, str(values[AxisName.BITS.value])) if AxisName.BITS.value in values else spec


def _with_kinds(spec: TrainSpec, words: str) -> TrainSpec:
    """Other structures, pruned by the recipe of the spec; a kind that it has keeps its own values."""
    pruning = spec.pruning
    if words == NO_STRUCTURE:
        return replace(spec, pruning=replace(pruning, structures=(), overrides=()))
    kinds = tuple(StructureKind(word) for word in words.split(","))
    if not pruning.structures:
        return with_structures(spec, kinds)
    have = {structure.kind: structure for structure in pruning.structures}
    pattern = next(
        (s for s in pruning.structures if s.kind is not StructureKind.LAYER), pruning.structures[0]
    )
    structures = tuple(have.get(kind) or _like(pattern, kind) for kind in kinds)
    overrides = pruning.overrides if set(kinds) == set(have) else ()
    return replace(spec, pruning=replace(pruning, structures=structures, overrides=overrides))


def _like(structure: StructureSpec, kind: StructureKind) -> StructureSpec:
    """The same for another structure. No share of a layer can be kept, so epsilon decides alone there."""
    if kind is StructureKind.LAYER:
        return replace(structure, kind=kind, density=None, at_least=None, at_most=None)
    return replace(structure, kind=kind)


def _with_numbers(pruning: PruningSpec, values: Values) -> PruningSpec:
    def changed(structure: StructureSpec) -> StructureSpec:
        if (epsilon := values.get(AxisName.EPSILON.value)) is not None:
            structure = replace(structure, epsilon=float(epsilon), density=None, at_least=None, at_most=None)
        if (strength := values.get(AxisName.STRENGTH.value)) is not None:
            structure = replace(structure, strength=float(strength))
        density = values.get(AxisName.DENSITY.value)
        if density is not None and structure.kind is not StructureKind.LAYER:
            structure = replace(structure, density=float(density))
        return structure

    return replace(pruning, structures=tuple(changed(structure) for structure in pruning.structures))


def check_space(spec: TrainSpec, space: Space) -> None:
    """Build the spec at every value of every axis, so that what is illegal is said before anything is trained.

    Raises:
        SpecError: names the axis and what is wrong with its value.
    """
    first = {axis.name.value: _ends(axis)[0] for axis in space.axes}
    for axis in space.axes:
        for value in _ends(axis):
            try:
                applied(spec, first | {axis.name.value: value})
            except SpecError as error:
                raise SpecError(error.what, where=f"sweep: {axis.name.value}", hint=error.hint) from error


def _ends(axis: Axis) -> tuple[Value, ...]:
    return (axis.over.low, axis.over.high) if isinstance(axis.over, Range) else axis.over


def identity(spec: TrainSpec) -> str:
    """Equal for two specs exactly if they train the same."""
    return json.dumps(spec_to_dict(spec), sort_keys=True)
