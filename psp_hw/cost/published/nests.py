"""Layers written as a nest of loops over arrays, with the directives that a project gives them.

What a nest does is in its loops: those outside make outputs, those inside add up products. What a record must give for a bill of
it: the loops with their trips, the directives, whether arrays are divided.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from psp_hw.cost.devices import Fabric
from psp_hw.cost.published.layers import (
    Fixed,
    Tool,
    Weights,
    clock_of,
    fabric_of,
    fixed_of,
    tool_of,
    weights_of,
)
from psp_hw.cost.published.records import Record, RefusedError, check_modelled, count_of, object_of, text_of
from psp_hw.units import Clock

FLOAT_BITS = 32
MOST_LOOPS = 12
MOST_COPIES = MOST_TRIPS = 1 << 24
MOST_BOUND = 80  # characters

_BOUND = re.compile(r"\w+\s*<\s*([\d\s()*/+\-]+)")
_TOKEN = re.compile(r"\d+|[()*/+\-]")


class Division(Enum):
    """How array_partition deals elements to banks; the value is its ``-type``."""

    CYCLIC = "cyclic"
    BLOCK = "block"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Banks:
    """Banks along one dimension of an array."""

    division: Division
    count: int

    def share(self, span: int, size: int) -> int:
        """Most elements in one bank, of ``span`` neighbours among ``size``."""
        match self.division:
            case Division.COMPLETE:
                return 1
            case Division.CYCLIC:
                return -(-span // self.count)
            case Division.BLOCK:
                return min(span, -(-size // self.count))


WHOLE = Banks(Division.CYCLIC, 1)


class Axis(Enum):
    """What a loop that adds up products goes over."""

    ROW = "rows of the kernel"
    COLUMN = "columns of the kernel"
    CHANNEL = "channels"


class Arithmetic(Enum):
    """What values are."""

    FIXED = "fixed point"
    FLOAT = "binary32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop of a nest.

    Args:
        trips: as the source says.
        copies: of its body, by unrolling.
        pipelined: the directive stands at this loop.
        flatten: a directive says so (True), forbids it (False), or there is none (None).
    """

    trips: int
    copies: int
    pipelined: bool
    flatten: bool | None

    @property
    def turns(self) -> int:
        """Trips that are left after unrolling."""
        return -(-self.trips // self.copies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """A convolution or dense layer as loops, the outermost first.

    Args:
        outer: how many of the loops make outputs; those inside of them add up products.
        axes: what each of the other loops goes over, in a convolution; empty in a dense layer.
        channels: of the picture; 0 in a dense layer.
        size: input pixels of a row; without a window, the inputs.
        arithmetic, number: of the values; ``number`` is None for binary32.
        saturates: whether sums are clipped whenever they are stored.
        weights: how many constants there are.
        constants: their values in sum; None for binary32.
        banks_in, banks_out: of the input and output array per dimension, by array_partition.
    """

    kind: str
    loops: tuple[Loop, ...]
    outer: int
    axes: tuple[Axis, ...]
    channels: int
    size: int
    arithmetic: Arithmetic
    number: Fixed | None
    saturates: bool
    weights: int
    constants: Weights | None
    banks_in: tuple[Banks, ...]
    banks_out: tuple[Banks, ...]
    tool: Tool
    fabric: Fabric
    clock: Clock

    @property
    def dense(self) -> bool:
        """Whether there is no picture that a window slides over."""
        return not self.axes

    @property
    def bits(self) -> int:
        """Width of a value [bits]."""
        return FLOAT_BITS if self.number is None else self.number.bits

    @property
    def weight_bits(self) -> int:
        """Width of the table of constants [bits]: what the widest of them needs."""
        return FLOAT_BITS if self.constants is None else self.constants.magnitude + 1

    @property
    def pipelined(self) -> int | None:
        """Which loop is a pipeline; loops inside of it are unrolled."""
        return next((index for index, loop in enumerate(self.loops) if loop.pipelined), None)


def nest_of(record: Record) -> Nest:
    """The nest of a record.

    Raises:
        RefusedError: it is not modelled, or lacks what the model needs.
    """
    check_modelled(record)
    hls = object_of(record.fields, "hls")
    if not hls.get("loop_nest"):
        raise RefusedError("handwritten layers without their loops are not modelled")
    try:
        return _nest(record, hls)
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _nest(record: Record, hls: Mapping[str, object]) -> Nest:
    fields = record.fields
    shape = object_of(fields, "shape")
    names, trips = _nest_trips(hls.get("loop_nest"))
    directives = _lines(hls, "directives")
    loops = tuple(
        _loop(name, count, directives, innermost=index == len(names) - 1)
        for index, (name, count) in enumerate(zip(names, trips, strict=True))
    )
    if record.kind == "dense":
        outputs, channels, size = count_of(shape, "n_out"), 0, count_of(shape, "n_in")
        axes: tuple[Axis, ...] = ()
        outer = _outer(trips, outputs)
    else:
        rows, columns = count_of(shape, "out_h"), count_of(shape, "out_w")
        outputs, size = rows * columns * count_of(shape, "filters"), count_of(shape, "in_w")
        channels, outer = count_of(shape, "in_c"), _outer(trips, outputs)
        axes = _axes(trips[outer:], count_of(shape, "k_h"), count_of(shape, "k_w"), channels)
    precision, weights = object_of(fields, "precision"), object_of(fields, "weights")
    floats = precision.get("input") == "float"
    label = text_of(fields, "layer_label") if "layer_label" in fields else ""
    partitions = directives + _lines(hls, "top_directives")
    return Nest(
        kind=record.kind,
        loops=loops,
        outer=outer,
        axes=axes,
        channels=channels,
        size=size,
        arithmetic=Arithmetic.FLOAT if floats else Arithmetic.FIXED,
        number=None if floats else fixed_of(precision, "input"),
        saturates="AP_SAT" in str(precision.get("input")),
        weights=count_of(weights, "n"),
        constants=None if floats else weights_of(weights),
        banks_in=_banks(partitions, _inputs(label)),
        banks_out=_banks(partitions, {"output", f"{label}_out"}),
        tool=tool_of(fields),
        fabric=fabric_of(fields),
        clock=clock_of(fields),
    )


def _lines(hls: Mapping[str, object], name: str) -> list[str]:
    found = hls.get(name)
    return [str(line) for line in found] if isinstance(found, list) else []


def _nest_trips(found: object) -> tuple[list[str], list[int]]:
    names: list[str] = []
    trips: list[int] = []
    if not isinstance(found, list) or not 0 < len(found) <= MOST_LOOPS:
        raise ValueError("loop_nest is no list of loops")
    for entry in found:
        if not isinstance(entry, list) or len(entry) != 2:
            raise ValueError("loop_nest holds no pairs of name and bound")
        match = _BOUND.fullmatch(str(entry[1])[: MOST_BOUND + 1].strip())
        if match is None or len(str(entry[1])) > MOST_BOUND:
            raise ValueError(f"bound {str(entry[1])[:40]!r} of a loop is no number")
        names.append(str(entry[0]))
        trips.append(_value(match[1]))
        if not 0 < trips[-1] <= MOST_TRIPS:
            raise ValueError(f"a loop of {trips[-1]} trips")
    return names, trips


def _value(text: str) -> int:
    """A constant expression of C over whole numbers: + - * / and brackets."""
    tokens = _TOKEN.findall(text)

    def term() -> int:
        found = factor()
        while tokens and tokens[0] in "*/":
            if tokens.pop(0) == "*":
                found *= factor()
            elif divisor := factor():
                found //= divisor
            else:
                raise ValueError(f"bound {text[:40]!r} divides by 0")
        return found

    def total() -> int:
        found = term()
        while tokens and tokens[0] in "+-":
            found = found + term() if tokens.pop(0) == "+" else found - term()
        return found

    def factor() -> int:
        first = tokens.pop(0) if tokens else ""
        if first.isdigit():
            return int(first)
        if first != "(":
            raise ValueError(f"bound {text[:40]!r} of a loop is no number")
        found = total()
        if not tokens or tokens.pop(0) != ")":
            raise ValueError(f"bound {text[:40]!r} of a loop is no number")
        return found

    found = total()
    if tokens:
        raise ValueError(f"bound {text[:40]!r} of a loop is no number")
    return found


def _loop(name: str, trips: int, directives: Iterable[str], *, innermost: bool) -> Loop:
    copies, pipelined, flatten = 1, False, None
    for line in directives:
        words = line.replace('"', " ").split()
        if not words or not any(word.rpartition("/")[2] == name for word in words if "/" in word):
            continue
        if words[0].endswith("unroll"):
            copies = min(trips, _option(words, "-factor", trips))
        elif words[0].endswith("pipeline"):
            pipelined = True
        elif words[0].endswith("loop_flatten"):
            flatten = "-off" not in words
    return Loop(trips=trips, copies=max(1, copies), pipelined=pipelined, flatten=flatten)


def _outer(trips: list[int], outputs: int) -> int:
    made = 1
    for index, count in enumerate(trips):
        if made == outputs:
            return index
        made *= count
    raise ValueError(f"the loops {trips} do not make the {outputs} outputs first")


def _axes(trips: list[int], rows: int, columns: int, channels: int) -> tuple[Axis, ...]:
    """Which loop goes over what, by their trips; loops of equal trips in the order of the kernel."""
    left = {Axis.ROW: rows, Axis.COLUMN: columns, Axis.CHANNEL: channels}
    found: list[Axis] = []
    for count in trips:
        axis = next((axis for axis, size in left.items() if size == count), None)
        if axis is None:
            raise ValueError(f"the loops {trips} do not go over the kernel and its channels")
        found.append(axis)
        del left[axis]
    if any(size > 1 for size in left.values()):
        raise ValueError(f"the loops {trips} do not go over the whole kernel and all channels")
    return tuple(found)


def _inputs(label: str) -> set[str]:
    """Names of the array that a layer reads: its own, or the output of the layer before it."""
    stem, _, number = label.rpartition("_")
    before = {f"{stem}_{int(number) - 1}_out"} if number.isdigit() and int(number) > 1 else {"flat_array"}
    return {"input", f"{label}_input"} | before


def _banks(directives: Iterable[str], names: set[str]) -> tuple[Banks, ...]:
    """Banks per dimension of an array."""
    banks: dict[int, Banks] = {}
    for line in directives:
        words = line.replace('"', " ").split()
        if not words or not words[0].endswith("array_partition") or words[-1].removesuffix("_c") not in names:
            continue
        division = next((known for known in Division if known.value in words), Division.COMPLETE)
        dimension = _option(words, "-dim", 1)
        banks[dimension] = Banks(division, _option(words, "-factor", 1))
    return tuple(banks.get(index, WHOLE) for index in range(1, max(banks, default=0) + 1))


def _option(words: list[str], name: str, default: int) -> int:
    """The number behind an option of a directive."""
    if name not in words[:-1]:
        return default
    value = words[words.index(name) + 1]
    if not value.isdigit() or not 0 < int(value) <= MOST_COPIES:
        raise ValueError(f"{name} {value[:20]!r} of a directive")
    return int(value)
