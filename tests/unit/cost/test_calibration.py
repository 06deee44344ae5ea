"""Factors between the price list and a site's reports."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psp_hw.cost.calibration import Calibration, Factor, load_calibration, print_calibration
from psp_hw.cost.devices import Fabric
from psp_hw.cost.fit_factors import Sample, calibrate
from psp_hw.cost.parts import find_part
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import DataError

RTL = Stage.RTL_SYNTHESIS


def sample(lut: int, reported: int, stage: Stage = RTL) -> Sample:
    return Sample(
        stage=stage,
        module="conv0",
        estimated=Resources(lut=lut, dsp=3),
        reported=Resources(lut=reported, dsp=9),
    )


def test_a_calibration_with_absurd_numbers_is_refused(tmp_path):
    path = tmp_path / "calibration.json"
    entry = '{"stage": "rtl-synthesis", "resource": "LUT", "factor": 1.5, "samples": %s, "error": %s}'
    for samples, error in (
        ("1e999", "0.1"),
        ("2", "1e999"),
        ("2", "NaN"),
        ("2", "-1"),
        ("2", "1" + 400 * "0"),
    ):
        one = entry % (samples, error)
        path.write_text(f'{{"kind": "psp-hw calibration", "tools": [], "factors": [{one}]}}')

        with pytest.raises(DataError, match="holds no calibration"):
            load_calibration(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
def test_a_calibration_that_never_ends_is_refused():
    with pytest.raises(DataError, match="is larger than"):
        load_calibration(Path("/dev/zero"))


def test_reports_that_agree_give_their_factor():
    found = calibrate([sample(1000, 1500), sample(200, 300)], ["HLS 2019.2", ""]).calibration

    assert 1.5 == found.factor(RTL, Resource.LUT)
    assert ("HLS 2019.2",) == found.tools
    assert 0.0 == found.factors[RTL, Resource.LUT].error


def test_large_modules_count_more_and_outliers_do_not_bend():
    found = calibrate([sample(1000, 1200), sample(900, 1080), sample(100, 900)]).calibration

    assert 1.2 == found.factor(RTL, Resource.LUT)


def test_amounts_too_small_to_learn_from_are_left_alone():
    found = calibrate([sample(1000, 1500)]).calibration

    assert 1.0 == found.factor(RTL, Resource.DSP)
    assert {(RTL, Resource.LUT)} == set(found.factors)


def test_stages_are_apart():
    found = calibrate([sample(1000, 1500), sample(1000, 3000, Stage.C_SYNTHESIS)]).calibration

    assert (1.5, 3.0) == (found.factor(RTL, Resource.LUT), found.factor(Stage.C_SYNTHESIS, Resource.LUT))


def test_what_fits_the_shrunk_part_fits_the_part():
    found = calibrate([sample(1000, 1370)]).calibration
    part = find_part("xc7z020")

    filled = found.apply(found.shrink(part).resources, RTL)

    assert filled.fits(part.resources)
    assert part.resources.lut - filled.lut <= 2


@pytest.mark.parametrize(("lut", "reported"), [(1000, 20), (1000, 50_000)])
def test_a_factor_beyond_reason_is_refused(lut, reported):
    with pytest.raises(DataError, match="times the estimate"):
        calibrate([sample(lut, reported)])


def test_nothing_to_learn_from_is_said():
    with pytest.raises(DataError, match="nothing to learn from"):
        calibrate([sample(5, 9)])


def test_a_file_keeps_everything(tmp_path):
    both = [sample(1000, 1500), sample(1000, 3000, Stage.C_SYNTHESIS)]
    found = calibrate(both, ["HLS 2019.2"], Fabric.SERIES7).calibration
    path = tmp_path / "calibration.json"
    path.write_text(print_calibration(found))

    assert found == load_calibration(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kind": "something"}', '{"kind": "psp-hw calibration", "tools": [], "factors": [{}]}'],
)
def test_what_is_no_calibration_is_refused(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)

    with pytest.raises(DataError, match="holds no calibration"):
        load_calibration(path)


@pytest.mark.parametrize("factor", ["0", "-1", "1e9", "NaN", '"2"', "true"])
def test_a_factor_that_is_none_is_refused(tmp_path, factor):
    path = tmp_path / "calibration.json"
    path.write_text(
        '{"kind": "psp-hw calibration", "tools": [], "factors": [{"stage": "rtl-synthesis", "resource": "LUT", '
        f'"factor": {factor}, "samples": 1, "error": 0.0}}]}}'
    )

    with pytest.raises(DataError, match="holds no calibration"):
        load_calibration(path)


AMOUNTS = st.integers(min_value=0, max_value=10**6)


@given(amount=AMOUNTS, available=AMOUNTS, factor=st.floats(min_value=0.1, max_value=10.0))
def test_what_fits_the_part_as_seen_fits_the_part_and_nothing_else_does(amount, available, factor):
    found = Calibration(factors={(RTL, Resource.LUT): Factor(value=factor, samples=1)})
    part = dataclasses.replace(find_part("xc7z020"), resources=Resources(lut=available))
    design = Resources(lut=amount)

    assert design.fits(found.shrink(part).resources) == found.apply(design).fits(part.resources)
    assert part is found.shrink(part).real


@given(amounts=st.lists(AMOUNTS, min_size=1, max_size=20), factor=st.floats(min_value=0.1, max_value=10.0))
def test_engines_add_up_to_the_total_that_is_scaled_once(amounts, factor):
    found = Calibration(factors={(RTL, Resource.BRAM18): Factor(value=factor, samples=1)})
    parts = [Resources(bram18=amount, dsp=7) for amount in amounts]

    shown = found.shares(parts)

    assert found.apply(Resources.total(parts)) == Resources.total(shown)
    for part, one in zip(parts, shown, strict=True):
        assert abs(one.bram18 - Fraction(repr(factor)) * part.bram18) < 1
        assert 7 == one.dsp


def test_a_total_is_scaled_not_every_engine():
    found = Calibration(factors={(RTL, Resource.BRAM18): Factor(value=1.45, samples=9)})

    assert 31 == found.apply(Resources(bram18=21)).bram18
    assert [2, 2, 1] == [one.bram18 for one in found.shares([Resources(bram18=1)] * 3)]


def whole(lut: int, reported: int) -> Sample:
    return dataclasses.replace(sample(lut, reported), module="top", whole=True)


def test_a_whole_design_does_not_outweigh_its_engines():
    engines = [sample(100, 120), sample(200, 240), sample(300, 360)]

    found = calibrate([whole(1000, 5000), *engines]).calibration.factors[RTL, Resource.LUT]

    assert (1.2, 3) == (found.value, found.samples)


def test_a_whole_design_counts_where_no_engine_says_enough():
    found = calibrate([whole(1000, 1500), sample(9, 90)]).calibration.factors[RTL, Resource.LUT]

    assert (1.5, 1, None, None) == (found.value, found.samples, found.error, found.worst)


def test_a_resource_that_reports_say_is_0_is_left_out_alone():
    memory = Sample(
        stage=RTL,
        module="conv0",
        estimated=Resources(lut=1000, bram18=28),
        reported=Resources(lut=1500),
    )

    found = calibrate([memory])

    assert [(RTL, Resource.LUT)] == list(found.calibration.factors)
    (left,) = found.left_out
    assert (
        "BRAM18 in rtl-synthesis is left as it is: the reports say 0, so the tool made it of something else"
        == str(left)
    )


def test_reports_at_odds_are_left_out():
    found = calibrate([sample(1000, 300), sample(900, 4000), sample(800, 790), memory_free()])

    assert [Resource.FF] == [resource for _, resource in found.calibration.factors]
    assert (
        "LUT in rtl-synthesis is left as it is: the reports are at odds, half of the modules off by"
        in str(found.left_out[0])
    )


def memory_free() -> Sample:
    return Sample(stage=RTL, module="ff", estimated=Resources(ff=100), reported=Resources(ff=110))


def test_the_error_is_that_of_modules_that_the_factor_has_not_seen():
    reported = [1000, 1100, 1200, 1300, 1400]
    found = calibrate([sample(1000, lut) for lut in reported]).calibration.factors[RTL, Resource.LUT]

    # The lower median of the other four, and what the module needs of it.
    others = [1200, 1200, 1100, 1100, 1100]
    assert 1.2 == found.value
    errors = sorted(abs(other - lut) / lut for other, lut in zip(others, reported, strict=True))
    assert round(errors[2], 4) == found.error
    assert round(1400 / 1100, 4) == found.worst
    assert found.known


def test_four_modules_are_too_few_to_know_the_worst():
    found = calibrate([sample(1000, 1200)] * 4).calibration.factors[RTL, Resource.LUT]

    assert (0.0, None, False) == (found.error, found.worst, found.known)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('{"stage": "rtl-synthesis", "resource": "LUT", "factor": 2, "samples": -5, "error": 0}', "-5"),
        ('{"stage": "rtl-synthesis", "resource": "LUT", "factor": 2, "samples": 1.5, "error": 0}', "1.5"),
        (
            ", ".join(['{"stage": "rtl-synthesis", "resource": "LUT", "factor": 2, "samples": 1}'] * 2),
            "LUT in rtl-synthesis stands twice",
        ),
    ],
)
def test_entries_that_cannot_be_are_refused(tmp_path, entry, said):
    path = tmp_path / "calibration.json"
    path.write_text(f'{{"kind": "psp-hw calibration", "tools": [], "factors": [{entry}]}}')

    with pytest.raises(DataError, match=said):
        load_calibration(path)


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    path = tmp_path / "calibration.json"
    entry = '{"stage": "rtl-synthesis", "resource": "LUT", "factor": 2, "samples": 9, "error": 0.1}'
    path.write_text(f'{{"kind": "psp-hw calibration", "tools": ["Vivado 2020.2"], "factors": [{entry}]}}')

    found = load_calibration(path)

    assert (None, None) == (found.fabric, found.factors[RTL, Resource.LUT].worst)
