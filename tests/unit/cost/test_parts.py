"""Parts by name."""

from __future__ import annotations

import pytest

from psp_hw.cost.devices import Fabric, Family
from psp_hw.cost.parts import PARTS, find_part
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import SpecError

ASKED = "xc7z010 xc7z020 xc7a35t xc7a100t xc7a200t xcku040 xcku060 xcku115 xczu3eg xczu7ev xczu9eg xck26 xcvu9p xcvu13p xcu50 xcu250"


@pytest.mark.parametrize("device", ASKED.split())
def test_every_part_that_users_ask_for_is_in_the_table(device):
    part = find_part(device)

    assert device == part.device
    assert part.source
    assert part.resources.ff == 2 * part.resources.lut


def test_the_numbers_of_the_default_part_are_those_of_its_data_sheet():
    part = find_part("xc7z020clg400-1")

    assert Resources(dsp=220, lut=53200, ff=106400, bram18=280, uram=0) == part.resources
    assert part.source == "DS190"
    assert part.fabric is Fabric.SERIES7


@pytest.mark.parametrize(
    ("name", "device", "package", "speed", "written"),
    [
        ("xc7z020clg400-1", "xc7z020", "clg400", "1", "xc7z020clg400-1"),
        ("xc7z020-clg400-1", "xc7z020", "clg400", "1", "xc7z020-clg400-1"),
        ("xczu7ev-ffvc1156-2-e", "xczu7ev", "ffvc1156", "2", "xczu7ev-ffvc1156-2-e"),
        ("xcvu9p-flga2104-2L-e", "xcvu9p", "flga2104", "2l", "xcvu9p-flga2104-2L-e"),
        ("XCVU9P-FLGA2104-2l-E", "xcvu9p", "flga2104", "2l", "xcvu9p-flga2104-2L-e"),
        ("xck26-sfvc784-2LV-c", "xck26", "sfvc784", "2lv", "xck26-sfvc784-2LV-c"),
        ("xck24-ubva530-2LV-c", "xck24", "ubva530", "2lv", "xck24-ubva530-2LV-c"),
        ("xcu50-fsvh2104-2-e", "xcu50", "fsvh2104", "2", "xcu50-fsvh2104-2-e"),
        ("xcu55c-fsvh2892-2L-e", "xcu55c", "fsvh2892", "2l", "xcu55c-fsvh2892-2L-e"),
        ("xcu250-figd2104-2L-e", "xcu250", "figd2104", "2l", "xcu250-figd2104-2L-e"),
        ("xcku115-flvb2104-2-e", "xcku115", "flvb2104", "2", "xcku115-flvb2104-2-e"),
        ("xczu28dr-ffvg1517-2-e", "xczu28dr", "ffvg1517", "2", "xczu28dr-ffvg1517-2-e"),
        ("xczu3eg-sbva484-1-i", "xczu3eg", "sbva484", "1", "xczu3eg-sbva484-1-i"),
        ("xc7a35ticsg324-1L", "xc7a35t", "csg324", "1l", "xc7a35ticsg324-1L"),
        ("xc7a35tcpg236-1", "xc7a35t", "cpg236", "1", "xc7a35tcpg236-1"),
        ("xc7s50csga324-1", "xc7s50", "csga324", "1", "xc7s50csga324-1"),
        ("xc7vx690tffg1761-2", "xc7vx690t", "ffg1761", "2", "xc7vx690tffg1761-2"),
        ("XC7A100TCSG324-1", "xc7a100t", "csg324", "1", "xc7a100tcsg324-1"),
        ("7z020clg484-1", "xc7z020", "clg484", "1", "xc7z020clg484-1"),
        ("xcku115", "xcku115", "", "", "xcku115"),
        ("xcau7p-sbvc484-2-e", "xcau7p", "sbvc484", "2", "xcau7p-sbvc484-2-e"),
    ],
)
def test_part_strings_of_every_form_are_read(name, device, package, speed, written):
    part = find_part(name)

    assert (device, package, speed, written) == (part.device, part.package, part.speed, part.name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("xc7z02clg400-1", "did you mean xc7z020"),
        ("xczu9-ffvb1156", "did you mean xczu9eg"),
        ("xc7z999", "did you mean xc7z"),
        ("7z999", "did you mean xc7z"),
        ("xcku77p", "did you mean xcku"),
        ("xc7z020clg40q0", "'clg40q0' after xc7z020 is no package"),
        ("xc7z020clg4001", "did you mean xc7z020clg400-1?"),
        ("7z020clg4001", "did you mean xc7z020clg400-1?"),
        ("xc7z020clg401-1", "'clg401' is no package of zynq; did you mean clg400"),
        ("xc7a35tclg400-1", "'clg400-1' after xc7a35t is no package"),
        ("xc7z020clg400-4", "'clg400-4' after xc7z020 is no package and speed grade such as clg400-1"),
        ("xc7z020clg400-2lv", "no package and speed grade"),
        ("xc7z020clg400-", "no package and speed grade"),
        ("xczu7ev-ffvc1157-2-e", "no package and speed grade such as -ffvc1156-2-e"),
        ("xczu7ev-clg400-2-e", "no package and speed grade such as -ffvc1156-2-e"),
        ("", "`psp-hw parts` lists all"),
        ("stratix10", "`psp-hw parts` lists all"),
    ],
)
def test_an_unknown_part_is_refused_with_the_nearest_names(name, hint):
    with pytest.raises(SpecError, match=r"part: the part .* is not known") as caught:
        find_part(name)

    assert hint in caught.value.hint


def test_devices_are_listed_once_and_only_ultrascale_plus_has_ultraram():
    names = [part.device for part in PARTS]

    assert len(names) == len(set(names))
    for part in PARTS:
        if part.resources.uram:
            assert part.fabric is Fabric.ULTRASCALE_PLUS
    assert {part.family for part in PARTS} == set(Family)


def test_resources_add_scale_and_compare():
    small, large = Resources(dsp=1, lut=10), Resources(dsp=2, lut=40, ff=8, bram18=4)

    assert Resources(dsp=3, lut=50, ff=8, bram18=4) == small + large
    assert small.fits(large)
    assert not large.fits(small)
    assert {
        Resource.DSP: 0.5,
        Resource.LUT: 0.25,
        Resource.FF: 0.0,
        Resource.BRAM18: 0.0,
        Resource.URAM: 0.0,
    } == (small.utilization(large))
    assert Resources(uram=1).utilization(large)[Resource.URAM] == float("inf")
    assert Resources.total([]) == Resources()
