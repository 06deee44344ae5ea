"""What a design was made for, as its manifest remembers it: the resources it could take, and what its search found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from psp_hw.cost.optimality import Measure, Optimality
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import RunError
from psp_hw.spec.names import shown

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

KEY = "made_for"  # of design.json
MOST = 1 << 40  # more of a resource than any part has
MOST_LETTERS = 200  # of a text in it


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFor:
    """The request of a design beside part, clock and target, which its manifest names by themselves.

    Args:
        available: what the part had, no more of each than the budget.
        budget: what was given with ``--budget`` and ``--dsp``.
        calibration: digest of the constants of the site; None where the price list was taken as it is.
        optimality: how near the search came to the best; None where nobody searched or nothing is known.
    """

    available: Resources
    budget: Mapping[Resource, int] = field(default_factory=dict)
    calibration: str | None = None
    optimality: Optimality | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", MappingProxyType(dict(self.budget)))


def to_json(made_for: MadeFor) -> dict[str, Json]:
    """Plain values, as ``read_made_for`` reads them."""
    found = made_for.optimality
    return {
        "available": {resource.value: amount for resource, amount in made_for.available},
        "budget": {resource.value: amount for resource, amount in made_for.budget.items()},
        "calibration": made_for.calibration,
        "optimality": None
        if found is None
        else {
            "measure": found.measure.value,
            "reached": found.reached,
            "bound": found.bound,
            "within": found.within,
            "tried": found.tried,
        },
    }


def read_made_for(manifest: Mapping[str, object], where: str) -> MadeFor | None:
    """What a manifest remembers; None where it remembers nothing.

    Args:
        where: the manifest, for messages.

    Raises:
        RunError: it does not read.
    """
    found = manifest.get(KEY)
    if found is None:
        return None
    try:
        entries = _mapping(found)
        available = {Resource(name): _amount(value) for name, value in _mapping(entries["available"]).items()}
        return MadeFor(
            available=Resources.from_amounts(available[resource] for resource in Resource),
            budget={Resource(name): _amount(value) for name, value in _mapping(entries["budget"]).items()},
            calibration=None if entries["calibration"] is None else _text(entries["calibration"]),
            optimality=None if entries["optimality"] is None else _optimality(entries["optimality"]),
        )
    except (KeyError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunError(f"{KEY} does not read: {what}", where=where, hint="emit the design again") from error


def _optimality(value: object) -> Optimality | None:
    """A claim; None for one that does not say which folds were tried."""
    entries = _mapping(value)
    if "tried" not in entries:
        return None
    return Optimality(
        measure=Measure(entries["measure"]),
        reached=_positive(entries["reached"]),
        bound=_positive(entries["bound"]),
        within=_text(entries["within"]),
        tried=_text(entries["tried"]),
    )


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no mapping")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > MOST_LETTERS:
        raise ValueError(f"{shown(value)} is no line of text")
    return value


def _amount(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise ValueError(f"{shown(value)} is no amount of a resource")
    return value


def _positive(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MOST:
        raise ValueError(f"{shown(value)} is no number above 0")
    return value
