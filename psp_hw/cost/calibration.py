"""Constants of a site: how much its tools' reports differ from the price list, as one factor per stage and resource.

A factor scales the total of a resource. So a plan is searched on a part with that much less of it, and the estimate says that
much more: the same designs, compared as the site's tools see them. Both are exact: what fits the one fits the other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from psp_hw.cost.devices import Fabric
from psp_hw.cost.parts import Part
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import DataError, reason

KIND = "psp-hw calibration"
MAX_BYTES = 1 << 20
# A factor beyond these is a report of something else.
LEAST, MOST = 0.1, 10.0
MOST_ERROR = 1000.0  # that a calibration says of itself
MOST_MODULES = 10**9
# Modules from which the error of a factor is known well enough to rely on it.
LEAST_MODULES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """reported / estimated of a resource.

    Args:
        value: what an estimate is multiplied with.
        samples: modules behind it.
        error: median absolute error of a module under the factor of the others [share]; None where there is no other.
        worst: what modules that hold nine tenths of the amount need at most, as a multiple of their estimate under the factor of the
            others, 1 or more; None where there are too few modules to know.
    """

    value: float
    samples: int
    error: float | None = None
    worst: float | None = None

    @property
    def known(self) -> bool:
        """Whether there are enough modules to say how far off it is."""
        return self.worst is not None and self.samples >= LEAST_MODULES


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The factors of a site; what is not named is 1.

    Args:
        tools: that the reports are from.
        fabric: of the devices that the reports are of; None where nobody says.
    """

    factors: Mapping[tuple[Stage, Resource], Factor]
    tools: tuple[str, ...] = ()
    fabric: Fabric | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", MappingProxyType(dict(self.factors)))

    @property
    def digest(self) -> str | None:
        """By which one calibration is told from another; None where nothing is calibrated."""
        if not self.factors:
            return None
        return hashlib.sha256(print_calibration(self).encode()).hexdigest()[:16]

    def factor(self, stage: Stage, resource: Resource) -> float:
        """What an estimate is multiplied with."""
        found = self.factors.get((stage, resource))
        return found.value if found is not None else 1.0

    def is_of(self, part: Part) -> bool:
        """Whether the reports are of such devices, as far as the calibration says."""
        return self.fabric is None or self.fabric is part.fabric

    def apply(self, resources: Resources, stage: Stage = Stage.RTL_SYNTHESIS) -> Resources:
        """A total as this site's reports would have it, rounded up: it fits a part if and only if it fits the part as seen."""
        return Resources.from_amounts(map(math.ceil, self._scaled(resources, stage)))

    def shrink(self, part: Part) -> SeenPart:
        """The part as it looks to the price list: what it has, divided by the factors of RTL synthesis, rounded down."""
        room = [
            math.floor(amount / self._exact(Stage.RTL_SYNTHESIS, resource))
            for resource, amount in part.resources
        ]
        return SeenPart(
            name=part.name,
            device=part.device,
            family=part.family,
            package=part.package,
            speed=part.speed,
            source=part.source,
            resources=Resources.from_amounts(room),
            real=part,
            calibration=self,
        )

    def shares(self, parts: Sequence[Resources], stage: Stage = Stage.RTL_SYNTHESIS) -> list[Resources]:
        """What each part of a design takes: their sum is what ``apply`` says of the whole, each within one of its own.

        All are rounded down, then those with the largest remainders up until the sum is reached.
        """
        total = self.apply(Resources.total(list(parts)), stage)
        exact = [self._scaled(part, stage) for part in parts]
        columns = [
            _rounded([amounts[at] for amounts in exact], whole) for at, whole in enumerate(total.amounts)
        ]
        return [Resources.from_amounts(column[row] for column in columns) for row in range(len(parts))]

    def _scaled(self, resources: Resources, stage: Stage) -> list[Fraction]:
        return [amount * self._exact(stage, resource) for resource, amount in resources]

    def _exact(self, stage: Stage, resource: Resource) -> Fraction:
        """A factor as the decimal number that it is written as."""
        return Fraction(repr(self.factor(stage, resource)))


NOT_CALIBRATED = Calibration(factors={})


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPart(Part):
    """A part as the price list sees it, for a search to compare amounts of the list with.

    Args:
        real: what it has in truth.
        calibration: what makes the difference.
    """

    real: Part
    calibration: Calibration = field(hash=False)


def real(part: Part) -> tuple[Part, Calibration]:
    """What a part has in truth, and the constants of the site by which it is seen."""
    return (part.real, part.calibration) if isinstance(part, SeenPart) else (part, NOT_CALIBRATED)


def _rounded(amounts: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers with a given sum, each next to its amount."""
    found = [math.floor(amount) for amount in amounts]
    order = sorted(range(len(amounts)), key=lambda at: (found[at] - amounts[at], at))
    for at in order[: total - sum(found)]:
        found[at] += 1
    return found


def entries(found: Calibration) -> list[dict[str, str | int | float | None]]:
    """Every factor as plain values."""
    return [
        {
            "stage": stage.value,
            "resource": resource.value,
            "factor": factor.value,
            "samples": factor.samples,
            "error": factor.error,
            "worst": factor.worst,
        }
        for (stage, resource), factor in found.factors.items()
    ]


def print_calibration(found: Calibration) -> str:
    """The calibration as JSON text."""
    document = {
        "kind": KIND,
        "tools": list(found.tools),
        "fabric": found.fabric.value if found.fabric is not None else None,
        "factors": entries(found),
    }
    return json.dumps(document, indent=2) + "\n"


def load_calibration(path: Path) -> Calibration:
    """Read what ``print_calibration`` writes.

    Raises:
        DataError: the file is missing, or holds no calibration.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DataError(f"is larger than {MAX_BYTES} bytes", where=str(path))
        document = json.loads(content.decode("utf-8"))
        if document["kind"] != KIND:
            raise ValueError(f"kind is {document['kind']!r}, expected {KIND!r}")
        fabric = document.get("fabric")
        return Calibration(
            factors=_factors(document["factors"]),
            tools=tuple(str(tool) for tool in document["tools"]),
            fabric=None if fabric is None else Fabric(fabric),
        )
    except OSError as error:
        raise DataError(
            error.strerror or str(error), where=str(path), hint="psp-hw calibrate writes one"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"holds no calibration: {reason(error)}", where=str(path), hint="psp-hw calibrate writes one"
        ) from error


def _factors(listed: Sequence[Mapping[str, object]]) -> dict[tuple[Stage, Resource], Factor]:
    factors: dict[tuple[Stage, Resource], Factor] = {}
    for entry in listed:
        stage, resource = Stage(entry["stage"]), Resource(entry["resource"])
        if (stage, resource) in factors:
            raise ValueError(f"{resource.value} in {stage.value} stands twice")
        samples = _number(entry["samples"], 1, MOST_MODULES)
        if samples != int(samples):
            raise ValueError(f"{samples!r} modules")
        factors[stage, resource] = Factor(
            value=_number(entry["factor"], LEAST, MOST),
            samples=int(samples),
            error=_optional(entry.get("error"), 0.0, MOST_ERROR),
            worst=_optional(entry.get("worst"), 1.0, MOST_ERROR),
        )
    return factors


def _optional(value: object, least: float, most: float) -> float | None:
    return None if value is None else _number(value, least, most)


def _number(value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{value!r} is outside {least:g} .. {most:g}")
    return float(value)
