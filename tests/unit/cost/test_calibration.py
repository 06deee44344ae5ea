"""Factors between the price list and a site's reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from psp_hw.cost.calibration import Sample, calibrate, load_calibration, print_calibration
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
    found = calibrate([sample(1000, 1500), sample(200, 300)], ["HLS 2019.2", ""])

    assert 1.5 == found.factor(RTL, Resource.LUT)
    assert ("HLS 2019.2",) == found.tools
    assert 0.0 == found.factors[RTL, Resource.LUT].error


def test_large_modules_count_more_and_outliers_do_not_bend():
    found = calibrate([sample(1000, 1200), sample(900, 1080), sample(100, 900)])

    assert 1.2 == found.factor(RTL, Resource.LUT)


def test_amounts_too_small_to_learn_from_are_left_alone():
    found = calibrate([sample(1000, 1500)])

    assert 1.0 == found.factor(RTL, Resource.DSP)
    assert {(RTL, Resource.LUT)} == set(found.factors)


def test_stages_are_apart():
    found = calibrate([sample(1000, 1500), sample(1000, 3000, Stage.C_SYNTHESIS)])

    assert (1.5, 3.0) == (found.factor(RTL, Resource.LUT), found.factor(Stage.C_SYNTHESIS, Resource.LUT))


def test_what_fits_the_shrunk_part_fits_the_part():
    found = calibrate([sample(1000, 1370)])
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
    found = calibrate([sample(1000, 1500), sample(1000, 3000, Stage.C_SYNTHESIS)], ["HLS 2019.2"])
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
