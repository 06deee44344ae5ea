"""How far off an estimate may be: in words, and as what synthesis may need of each resource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from psp_hw.cost.calibration import Calibration, Factor
from psp_hw.cost.parts import Part
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource

CYCLES_ERROR = "Cycles: those of loops with II = 1 as scheduled; pipeline depths are modelled, within about 2 cycles per engine."
_PUBLISHED = (
    "no synthesis report of these engines exists yet. On published hls4ml layers, with factors fitted on "
    "other repositories, the median error is under 1 % (DSP, block RAM) and 12 % (LUT, FF), but 32 % (LUT) and 41 % (FF) and more for one layer in ten"
)
EXPECTED_ERROR = (
    f"{CYCLES_ERROR} Resources: {_PUBLISHED}; "
    "expect a factor of 1.5 to 2 for LUT and FF until a report of your own says more."
)
# The worse end of that: what synthesis may need of a resource, as a multiple of its estimate.
EXPECTED_FACTORS: Mapping[Resource, float] = MappingProxyType({Resource.LUT: 2.0, Resource.FF: 2.0})

# What every design takes, so that not having learnt of it is worth a word.
_COMMON = (Resource.DSP, Resource.LUT, Resource.FF, Resource.BRAM18)


def expected_factors(calibration: Calibration, part: Part) -> Mapping[Resource, float]:
    """What RTL synthesis may need of a resource, as a multiple of its estimate; 1 where it is not named.

    Reports of the user's own tools take the place of what is expected without them only where there are enough of such devices.
    """
    known = {resource: factor.worst or 1.0 for resource, factor in _known(calibration, part).items()}
    return {**EXPECTED_FACTORS, **known}


def expected_error(calibration: Calibration, part: Part) -> str:
    """How far off an estimate may be."""
    if not calibration.factors:
        return EXPECTED_ERROR
    factors, known = _left_by_synthesis(calibration), _known(calibration, part)
    few = {resource: factor for resource, factor in factors.items() if resource not in known}
    sentences = [CYCLES_ERROR]
    if said := warning(calibration, part):
        sentences.append(said)
    if known:
        each = "; ".join(_off(resource, factor) for resource, factor in known.items())
        sentences.append(
            f"Resources are calibrated by reports of synthesis; each module under the factor of the others: {each}."
        )
    if few:
        each = ", ".join(f"{resource.value} ({_modules(factor)})" for resource, factor in few.items())
        sentences.append(f"Resources are calibrated, how far off that is is not known yet: {each}.")
    if not factors:
        sentences.append(
            "Resources after RTL synthesis are not calibrated: the reports were of C synthesis alone."
        )
    return " ".join([*sentences, *_uncalibrated(factors, known)])


def warning(calibration: Calibration, part: Part) -> str:
    """That a calibration is of other devices; empty where it is not, or does not say."""
    if calibration.is_of(part) or calibration.fabric is None:
        return ""
    return (
        f"The calibration was made from reports of {calibration.fabric.value} devices, {part.name} is {part.fabric.value}: "
        "its factors may not hold there."
    )


def _left_by_synthesis(calibration: Calibration) -> dict[Resource, Factor]:
    return {
        resource: factor
        for (stage, resource), factor in calibration.factors.items()
        if stage is Stage.RTL_SYNTHESIS
    }


def _known(calibration: Calibration, part: Part) -> dict[Resource, Factor]:
    """The factors of RTL synthesis of which it is known how far off they are on such a part."""
    if not calibration.is_of(part):
        return {}
    return {resource: factor for resource, factor in _left_by_synthesis(calibration).items() if factor.known}


def _off(resource: Resource, factor: Factor) -> str:
    error = "" if factor.error is None else f"median error {factor.error:.0%}, "
    return f"{resource.value} {error}nine tenths within {factor.worst:.4g} times ({_modules(factor)})"


def _modules(factor: Factor) -> str:
    return f"{factor.samples} module{'s' if factor.samples > 1 else ''}"


def _uncalibrated(factors: Mapping[Resource, Factor], known: Mapping[Resource, Factor]) -> list[str]:
    """What holds for a resource without a calibration, for those that have none."""
    rest = [resource for resource in _COMMON if resource not in factors]
    doubtful = [resource for resource in EXPECTED_FACTORS if resource not in known]
    sentences = [f"Of {_listed(rest)} {_PUBLISHED}."] if rest else []
    if doubtful:
        sentences.append(f"Expect a factor of 1.5 to 2 for {_listed(doubtful)} until more reports say more.")
    return sentences


def _listed(resources: Sequence[Resource]) -> str:
    names = [resource.value for resource in resources]
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
