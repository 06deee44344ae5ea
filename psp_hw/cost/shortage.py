"""A design that does not fit: by how much, and what would help."""

from __future__ import annotations

import math
from dataclasses import dataclass

from psp_hw.cost.parts import PARTS, Part
from psp_hw.cost.resources import Resource, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """More of a resource is needed than there is."""

    resource: Resource
    needed: int
    available: int

    @property
    def ratio(self) -> float:
        """needed / available."""
        return self.needed / self.available if self.available else math.inf

    def __str__(self) -> str:
        over = f"{self.ratio - 1.0:.0%} too many" if self.available else "the part has none"
        return f"{self.needed:,} {self.resource.value} of {self.available:,} ({over})"


def shortages(needed: Resources, available: Resources) -> tuple[Shortage, ...]:
    """What there is too little of, the worst first."""
    found = [
        Shortage(resource=resource, needed=used, available=has)
        for (resource, used), has in zip(needed, available.amounts, strict=True)
        if used > has
    ]
    return tuple(sorted(found, key=lambda shortage: -shortage.ratio))


def smallest_part(needed: Resources, like: Part) -> Part | None:
    """The part with the fewest LUTs that fits, of the same family if it has one; None where none does."""
    fitting = [part for part in PARTS if needed.fits(part.resources)]
    same = [part for part in fitting if part.family is like.family]
    return min(same or fitting, key=lambda part: part.resources.lut, default=None)


def advice(needed: Resources, part: Part) -> str:
    """What would make a design fit; empty when it does."""
    lacking = shortages(needed, part.resources)
    if not lacking:
        return ""
    worst = lacking[0]
    ways = []
    larger = smallest_part(needed, part)
    if larger is not None:
        ways.append(f"a larger part ({larger.device} fits)")
    if worst.resource is not Resource.URAM:
        ways.append("smaller folds (fewer products at once: lower --fps)")
    if worst.available:
        ways.append(f"a density lower by about {1.0 - worst.available / worst.needed:.0%}")
    return f"{worst.resource.value} binds; what helps: {', or '.join(ways)}"
