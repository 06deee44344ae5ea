"""A design that does not fit: by how much, and what would help."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from psp_hw.cost.parts import PARTS, Part
from psp_hw.cost.resources import Resource, Resources

# From here on a shortage is said as a multiple, not in percent.
MANY = 10.0


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
        over = "there is none"
        if self.available:
            over = (
                f"{self.ratio - 1.0:.0%} too many"
                if self.ratio < MANY
                else f"{self.ratio:,.0f} times as many"
            )
        return f"{self.needed:,} {self.resource.value} of {self.available:,} ({over})"


def shortages(needed: Resources, available: Resources) -> tuple[Shortage, ...]:
    """What there is too little of, the worst first."""
    found = [
        Shortage(resource=resource, needed=used, available=has)
        for (resource, used), has in zip(needed, available.amounts, strict=True)
        if used > has
    ]
    return tuple(sorted(found, key=lambda shortage: -shortage.ratio))


def whole(part: Part) -> Part:
    """The part without a budget: as the table has it; the part itself where the table does not know it."""
    return next((one for one in PARTS if one.device == part.device), part)


def limited(part: Part) -> tuple[Resource, ...]:
    """Of what a budget leaves less than the part has."""
    return tuple(
        resource for resource, amount in whole(part).resources if part.resources.of(resource) < amount
    )


def lifted(needed: Resources, part: Part) -> Part | None:
    """The part with as much more of a budget as a design needs; None where no budget binds, or the whole part is too small."""
    if not limited(part) or not needed.fits(whole(part).resources):
        return None
    return replace(part, resources=Resources.from_amounts(map(max, needed.amounts, part.resources.amounts)))


def budget_words(part: Part, limits: Iterable[Resource]) -> str:
    """What a part has of some resources, as ``--budget`` takes it."""
    return ",".join(f"{resource.value.lower()}={part.resources.of(resource)}" for resource in limits)


def is_larger(one: Part, part: Part) -> bool:
    """Whether a part has at least as much of everything as another without its budget."""
    return whole(part).resources.fits(one.resources)


def smallest_part(needed: Resources, like: Part) -> Part | None:
    """The part with the fewest LUTs that fits, of the same family if it has one; None where none does."""
    fitting = [part for part in PARTS if needed.fits(part.resources)]
    same = [part for part in fitting if part.family is like.family]
    return min(same or fitting, key=lambda part: part.resources.lut, default=None)


def part_words(found: Part, part: Part, verb: str) -> str:
    """A part that would do in place of another, in words."""
    if found.device == part.device:
        return f"{part.name} without a budget"
    kind = "a larger part" if is_larger(found, part) else "another part"
    return f"{kind}{' without the budget' if limited(part) else ''} ({found.device} {verb})"


def advice(needed: Resources, part: Part) -> str:
    """What would make a design fit; empty when it does."""
    lacking = shortages(needed, part.resources)
    if not lacking:
        return ""
    worst = lacking[0]
    ways = []
    more = lifted(needed, part)
    if more is not None:
        ways.append(f"--budget {budget_words(more, limited(part))}")
    elif (other := smallest_part(needed, part)) is not None:
        ways.append(part_words(other, part, "fits"))
    if worst.resource is not Resource.URAM:
        ways.append("smaller folds (fewer products at once: lower --fps)")
    if worst.available:
        ways.append(f"a density lower by about {1.0 - worst.available / worst.needed:.0%}")
    binds = f"{worst.resource.value} binds"
    return f"{binds}; what helps: {', or '.join(ways)}" if ways else binds
