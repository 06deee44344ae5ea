"""What a design may use: --part or --board, and a --budget of resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from psp_hw.cost.boards import BOARDS, find_board
from psp_hw.cost.devices import Family
from psp_hw.cost.parts import PARTS, Part, find_part, nearest
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import SpecError
from psp_hw.flow.defaults import DEFAULT_PART
from psp_hw.spec.target import check_part_name

_ITEM = re.compile(r"\s*([a-z0-9]+)\s*=\s*(-?[0-9]{1,15})\s*", re.IGNORECASE | re.ASCII)
_NAMES = {resource.value.lower(): resource for resource in Resource} | {"bram": Resource.BRAM18}
# What an unknown part must say for itself; flip-flops are twice the LUTs on every device of the table.
_NEEDED = (Resource.DSP, Resource.LUT, Resource.BRAM18)
# What every design takes.
_ALWAYS = (Resource.LUT, Resource.FF)
# Families by how a part is called: whose LUTs, DSPs and delays an unknown part has. An UltraScale+ device has a p behind its
# number, which an UltraScale device has not: xcku5p and xcku040.
_FAMILIES = (
    ("xc7z", r"xc7z", Family.ZYNQ),
    ("xc7s", r"xc7s", Family.SPARTAN7),
    ("xc7a", r"xc7a", Family.ARTIX7),
    ("xc7k", r"xc7k", Family.KINTEX7),
    ("xc7v", r"xc7v", Family.VIRTEX7),
    ("xczu", r"xczu", Family.ZYNQUPLUS),
    ("xck2", r"xck2", Family.ZYNQUPLUS),
    ("xcau", r"xcau", Family.ARTIXUPLUS),
    ("xcku5p", r"xcku[0-9]+p", Family.KINTEXUPLUS),
    ("xcvu9p", r"xcvu[0-9]+p", Family.VIRTEXUPLUS),
    ("xcku040", r"xcku[0-9]", Family.KINTEXU),
    ("xcvu095", r"xcvu[0-9]", Family.VIRTEXU),
    ("xcu", r"xcu[0-9]", Family.VIRTEXUPLUS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """What was asked beside --part and --clock.

    Args:
        board: a board's name, in place of a part.
        budget: ``dsp=120,lut=20000``: at most so much of the part, or all that an unknown part has.
        dsp: short for a budget of DSPs alone.
        calibration: a file that ``psp-hw calibrate`` wrote.
    """

    board: str | None = None
    budget: str | None = None
    dsp: int | None = None
    calibration: Path | None = None


NOTHING_MORE = DeviceRequest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A part and how it was asked for.

    Args:
        part: with no more of each resource than the budget allows.
        budget: what was given.
        note: a sentence where the part is not in the table; else empty.
    """

    part: Part
    budget: Mapping[Resource, int]
    note: str = ""


def choose_part(
    name: str,
    request: DeviceRequest,
    *,
    recorded: Mapping[Resource, int] | None = None,
    kept: Mapping[Resource, int] | None = None,
) -> Chosen:
    """The part that is asked for, with no more of each resource than the budget allows.

    Args:
        recorded: what a design says its part has; it counts where the table does not know the part.
        kept: the budget of a design, which counts where none is given.

    Raises:
        SpecError: no name of a part; an unknown part without a full budget; a budget that is zero, negative or no budget.
    """
    check_part_name(name.strip())
    limits = _limits(request) or dict(kept or {})
    try:
        part = find_part(name)
    except SpecError:
        part = _unknown(name, {**(recorded or {}), **limits})
        return Chosen(part=part, budget=limits, note="" if recorded else _stranger(part))
    return Chosen(
        part=replace(part, resources=_limited(part.resources, limits)) if limits else part, budget=limits
    )


def _stranger(part: Part) -> str:
    """What is said of a part that nobody knows but whoever gave its budget."""
    amounts = ", ".join(f"{amount:,} {resource.value}" for resource, amount in part.resources)
    return (
        f"the part {part.name!r} is not in the table: taken for a part of {part.family.value} with {amounts} "
        f"({nearest(part.name)})"
    )


def unfinished_name(part: Part) -> str:
    """What is said of a part of the table whose name lacks package or speed grade, which vendor tools want; else empty."""
    lacking = [what for what, has in (("package", part.package), ("speed grade", part.speed)) if not has]
    if not lacking or part.device not in {known.device for known in PARTS}:
        return ""
    whole = next((board.part for board in BOARDS if find_part(board.part).device == part.device), "")
    example = f"such as {whole}" if whole else f"as {DEFAULT_PART} has them"
    return (
        f"{part.name} names no {' and no '.join(lacking)}: estimates need none, vendor tools do; "
        f"before synthesis give the whole name with --part, {example}"
    )


def board_of(part: str | None, request: DeviceRequest) -> tuple[str | None, float | None]:
    """Part and clock period [ns] of the board that is asked for; the part itself and None where there is none.

    Raises:
        SpecError: both are given, or no such board.
    """
    if request.board is None:
        return part, None
    if part is not None:
        raise SpecError("--part and --board exclude each other", where="options", hint="give one of them")
    board = find_board(request.board)
    return board.part, board.clock_ns


def _limits(request: DeviceRequest) -> Mapping[Resource, int]:
    limits: dict[Resource, int] = {}
    items = request.budget.split(",") if request.budget is not None else []
    for item in items:
        match = _ITEM.fullmatch(item)
        if match is None:
            raise SpecError(f"{item!r} is no budget", where="--budget", hint="write dsp=120,lut=20000")
        resource = _NAMES.get(match[1].lower())
        if resource is None:
            raise SpecError(
                f"unknown resource {match[1]!r}", where="--budget", hint=f"there are {', '.join(_NAMES)}"
            )
        if resource in limits:
            raise SpecError(f"{match[1]} is given twice", where="--budget")
        limits[resource] = int(match[2])
    if request.dsp is not None:
        if Resource.DSP in limits:
            raise SpecError("dsp is given twice", where="--dsp", hint="--budget says it already")
        limits[Resource.DSP] = request.dsp
    for resource, amount in limits.items():
        least = 1 if resource in _ALWAYS else 0
        if amount < least:
            raise SpecError(
                f"a budget of {amount} {resource.value}", where="--budget", hint=f"give {least} or more"
            )
    return limits


def _limited(resources: Resources, limits: Mapping[Resource, int]) -> Resources:
    return Resources.from_amounts(min(has, limits.get(resource, has)) for resource, has in resources)


def _family(name: str) -> Family | None:
    plain = name.strip().lower()
    plain = plain if plain.startswith("xc") else f"xc{plain}"
    return next((family for _, pattern, family in _FAMILIES if re.match(pattern, plain)), None)


def _unknown(name: str, limits: Mapping[Resource, int]) -> Part:
    """A part that is not in the table, made of its budget.

    Raises:
        SpecError: what the table says of the name, where there is no budget; no family; else what the budget lacks.
    """
    if not limits:
        return find_part(name)
    family = _family(name)
    if family is None:
        raise SpecError(
            f"the part {name!r} is not known, nor the family it is of",
            where="part",
            hint=f"describe a part whose name begins with {', '.join(start for start, _, _ in _FAMILIES)}",
        )
    lacking = [resource.value.lower() for resource in _NEEDED if resource not in limits]
    if lacking:
        raise SpecError(
            f"{name!r} is not in the table, and the budget does not say {' and '.join(lacking)}",
            where="--budget",
            hint="an unknown part needs dsp, lut and bram18",
        )
    lut = limits[Resource.LUT]
    resources = Resources(
        dsp=limits[Resource.DSP],
        lut=lut,
        ff=limits.get(Resource.FF, 2 * lut),
        bram18=limits[Resource.BRAM18],
        uram=limits.get(Resource.URAM, 0),
    )
    return Part(
        name=name.strip(), device=name.strip(), family=family, resources=resources, source="the budget given"
    )
