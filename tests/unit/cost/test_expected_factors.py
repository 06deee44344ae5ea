"""What synthesis may need beyond an estimate: as the words say it, and less where enough reports of the user's own tools say so."""

from __future__ import annotations

import pytest

from psp_hw.cost.calibration import NOT_CALIBRATED, Calibration, Factor
from psp_hw.cost.devices import Fabric
from psp_hw.cost.parts import find_part
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource
from psp_hw.cost.trust import EXPECTED_ERROR, EXPECTED_FACTORS, expected_error, expected_factors

PART = find_part("xc7z020")
RTL, C = Stage.RTL_SYNTHESIS, Stage.C_SYNTHESIS
ENOUGH = Factor(value=1.3, samples=5, error=0.1, worst=1.25)


def test_the_factors_are_those_of_the_words() -> None:
    names = " and ".join(resource.value for resource in EXPECTED_FACTORS)
    worst = {f"{factor:g}" for factor in EXPECTED_FACTORS.values()}

    assert f"expect a factor of 1.5 to {worst.pop()} for {names}" in EXPECTED_ERROR
    assert not worst


def test_reports_of_rtl_synthesis_say_how_far_a_resource_is_off() -> None:
    reports = Calibration(
        factors={(RTL, Resource.LUT): ENOUGH, (C, Resource.FF): Factor(value=1.1, samples=5, error=0.5)}
    )

    assert {Resource.LUT: 1.25, Resource.FF: 2.0} == expected_factors(reports, PART)
    assert EXPECTED_FACTORS == expected_factors(NOT_CALIBRATED, PART)
    said = expected_error(reports, PART)
    assert "LUT median error 10%, nine tenths within 1.25 times (5 modules)" in said
    assert "Of DSP, FF and BRAM18 no synthesis report" in said
    assert "Expect a factor of 1.5 to 2 for FF until" in said


@pytest.mark.parametrize(
    "factor",
    [
        Factor(value=1.2, samples=1),
        Factor(value=1.2, samples=4, error=0.0),
        Factor(value=1.2, samples=9, error=0.1),  # of an earlier version, which did not know
    ],
)
def test_few_modules_leave_the_caution(factor: Factor) -> None:
    few = Calibration(factors={(RTL, Resource.LUT): factor})

    assert EXPECTED_FACTORS == expected_factors(few, PART)
    assert "how far off that is is not known yet: LUT" in expected_error(few, PART)
    assert "Expect a factor of 1.5 to 2 for LUT and FF until" in expected_error(few, PART)


def test_reports_of_c_synthesis_alone_leave_every_word() -> None:
    reports = Calibration(factors={(C, Resource.LUT): ENOUGH})

    said = expected_error(reports, PART)
    assert "not calibrated: the reports were of C synthesis alone" in said
    assert "Of DSP, LUT, FF and BRAM18 no synthesis report" in said
    assert "Expect a factor of 1.5 to 2 for LUT and FF until" in said
    assert EXPECTED_FACTORS == expected_factors(reports, PART)


def test_a_calibration_of_other_devices_is_warned_of_and_not_relied_on() -> None:
    other = Calibration(factors={(RTL, Resource.LUT): ENOUGH}, fabric=Fabric.ULTRASCALE_PLUS)

    assert "reports of ultrascale+ devices, xc7z020 is 7-series" in expected_error(other, PART)
    assert EXPECTED_FACTORS == expected_factors(other, PART)
    assert {Resource.LUT: 1.25, Resource.FF: 2.0} == expected_factors(other, find_part("xczu7ev"))
