"""Packages and speed grades: what may follow a device in the name of a part.

Sources: the ordering information and the package tables of DS180 (7 series), DS190 (Zynq-7000), DS890 (UltraScale,
UltraScale+) and DS891 (Zynq UltraScale+). A 7-series name is checked against the packages of its family; an UltraScale package is
a four-letter code (substrate, lid, lead-free, footprint) and a number of balls, and is checked by its form and that number.
Which device of a family comes in which of its packages is left to the vendor tool.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from psp_hw.cost.devices import FABRICS, Fabric, Family


def _lead_free(*packages: str) -> tuple[str, ...]:
    """Packages written with a G, and their later V (no lead in the bumps either)."""
    return tuple(sorted({*packages, *(p[:2] + "v" + p[3:] for p in packages)}))


PACKAGES: Mapping[Family, tuple[str, ...]] = {
    Family.SPARTAN7: ("cpga196", "csga225", "csga324", "fgga484", "fgga676", "ftgb196"),
    Family.ARTIX7: (
        *("cpg236", "cpg238", "csg324", "csg325", "ftg256", "fgg484", "fgg676"),
        *_lead_free("sbg484", "fbg484", "fbg676", "ffg1156"),
    ),
    Family.KINTEX7: _lead_free("fbg484", "fbg676", "fbg900", "ffg676", "ffg900", "ffg901", "ffg1156"),
    Family.VIRTEX7: (
        *_lead_free("ffg1157", "ffg1158", "ffg1761", "ffg1926", "ffg1927", "ffg1928", "ffg1930"),
        *("flg1925", "flg1926", "flg1928", "flg1930", "fhg1761", "hcg1155", "hcg1931", "hcg1932"),
    ),
    Family.ZYNQ: (
        *("clg225", "clg400", "clg484", "clg485"),
        *_lead_free("sbg485", "fbg484", "fbg676", "ffg676", "ffg900", "ffg1156"),
    ),
}

_FOUR_LETTERS = re.compile(r"[fsu][bfhils][gv][a-j](\d{3,4})")
_BALLS = (
    *("368", "484", "530", "529", "625", "676", "784", "900", "1156", "1365", "1517", "1596", "1760"),
    *("1924", "2104", "2377", "2577", "2892", "3824"),
)

_SPEEDS: Mapping[Fabric, tuple[str, ...]] = {
    Fabric.SERIES7: ("1", "2", "3", "1l", "2l"),
    Fabric.ULTRASCALE: ("1", "2", "3", "1l", "1h"),
    Fabric.ULTRASCALE_PLUS: ("1", "2", "3", "1l", "2l", "1lv", "2lv"),
}


def is_package(family: Family, package: str) -> bool:
    """Whether a family comes in a package, as far as its name says."""
    if family in PACKAGES:
        return package in PACKAGES[family]
    match = _FOUR_LETTERS.fullmatch(package)
    return match is not None and match[1] in _BALLS


def is_speed(family: Family, speed: str) -> bool:
    """Whether a family comes in a speed grade."""
    return speed in _SPEEDS[FABRICS[family]]


def advice(family: Family, device: str, rest: str) -> str:
    """What was probably meant by ``rest``, which follows a device and is no package and speed grade.

    Args:
        family: of the device.
        device: as ``xc7z020``.
        rest: all that follows it, in small letters.
    """
    word = rest.strip("-")
    package = re.match(r"[a-z]+\d+(?=-|$)", word)
    text = package[0] if package is not None else ""
    for known in PACKAGES.get(family, ()):
        grade = word[len(known) :].strip("-")
        if word.startswith(known) and is_speed(family, grade):
            return f"did you mean {device}{known}-{grade}?"
    near = difflib.get_close_matches(text, PACKAGES.get(family, ()), n=3, cutoff=0.6)
    if text and near and not is_package(family, text):
        return f"{text!r} is no package of {family.value}; did you mean {' or '.join(near)}?"
    example = "clg400-1" if FABRICS[family] is Fabric.SERIES7 else "-ffvc1156-2-e"
    return f"{rest!r} after {device} is no package and speed grade such as {example}"
