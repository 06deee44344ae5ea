"""Parts by name: a device with its resources, from a full or short part string."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace

from psp_hw.cost.devices import FABRICS, TABLE, Fabric, Family
from psp_hw.cost.packages import advice, is_package, is_speed
from psp_hw.cost.resources import Resources
from psp_hw.errors import SpecError
from psp_hw.spec.target import check_part_name

# What may follow the device: package, speed grade, temperature grade, with or without dashes: clg400-1, -ffvc1156-2-e,
# ticsg324-1L (the low-power Artix writes the temperature grade before the package), -flga2104-2L-e.
_REST = re.compile(
    r"(?P<grade>i|l|li)?-?(?P<package>[a-z]{2,4}[0-9]{2,4})?(?:-?(?P<speed>[123](?:lv?|h)?))?(?:-(?P<temp>[ceim]))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An FPGA that can be asked for.

    Args:
        name: the part string as vendor tools take it, as ``xc7z020clg400-1``; the device alone in the table.
        device: the device, as ``xc7z020``.
        family: its family.
        package: the package, as ``clg400``; empty where the name does not say.
        speed: the speed grade, as ``1`` or ``2l``; empty where the name does not say.
        resources: what it has.
        source: data sheet of the numbers.
    """

    name: str
    device: str
    family: Family
    package: str = ""
    speed: str = ""
    resources: Resources
    source: str

    def __post_init__(self) -> None:
        check_part_name(self.name)

    @property
    def fabric(self) -> Fabric:
        """The kind of fabric, by which prices are kept."""
        return FABRICS[self.family]


def _part(family: Family, source: str, row: tuple[str, int, int, int, int]) -> Part:
    device, lut, bram36, uram, dsp = row
    return Part(
        name=device,
        device=device,
        family=family,
        resources=Resources(dsp=dsp, lut=lut, ff=2 * lut, bram18=2 * bram36, uram=uram),
        source=source,
    )


PARTS: tuple[Part, ...] = tuple(_part(family, source, row) for family, source, rows in TABLE for row in rows)

_BY_DEVICE = {part.device: part for part in PARTS}
# How the devices of a family begin, the longest first: xc7z, xczu, xcku, ..., xcu, xck.
_STEMS = ("xc7z", "xc7s", "xc7a", "xc7k", "xc7v", "xczu", "xcku", "xcvu", "xcau", "xcu", "xck")
MOST_LETTERS = 9  # of a device without its package


def find_part(name: str) -> Part:
    """The part of a name: device, package and speed grade, as ``xc7z020clg400-1`` or ``xczu7ev-ffvc1156-2-e``.

    Package and grades may be missing, and so may the ``xc``.

    Raises:
        SpecError: no such device, or what follows it is no package and speed grade; names the nearest.
    """
    text = name.strip().lower()
    for candidate in (text, f"xc{text}"):
        for device in sorted(_BY_DEVICE, key=len, reverse=True):
            if not candidate.startswith(device):
                continue
            part = _named(_BY_DEVICE[device], candidate)
            if part is not None:
                return part
    raise SpecError(f"the part {name!r} is not known", where="part", hint=nearest(text))


def _named(part: Part, text: str) -> Part | None:
    """The part with the package and grades of its name; None where what follows the device is none.

    The name is written as vendor tools write it: in small letters, but for the L, H and V of a speed grade.
    """
    rest = _REST.fullmatch(text[len(part.device) :])
    if rest is None:
        return None
    package, speed = rest["package"] or "", rest["speed"] or ""
    if (package and not is_package(part.family, package)) or (speed and not is_speed(part.family, speed)):
        return None
    at = rest.start("speed") + len(part.device)
    name = text[:at] + speed.upper() + text[at + len(speed) :] if speed else text
    return replace(part, name=name, package=package, speed=speed)


def nearest(name: str) -> str:
    """What was probably meant by a name that is not in the table, as a hint: parts of the family that it begins like first."""
    text = name.strip().lower()
    for candidate in (text, f"xc{text}"):
        for device in sorted(_BY_DEVICE, key=len, reverse=True):
            if candidate.startswith(device):
                return advice(_BY_DEVICE[device].family, device, candidate[len(device) :])
    near = _similar(text.split("-", 1)[0])
    if near:
        return f"did you mean {' or '.join(near)}? `psp-hw parts` lists all"
    return "`psp-hw parts` lists all"


def _similar(head: str) -> list[str]:
    """Devices that are written alike, at most 3; of one family where the name begins as they do."""
    for text in (head, f"xc{head}"):
        stem = next((one for one in _STEMS if text.startswith(one)), None)
        if stem is not None:
            family = [device for device in _BY_DEVICE if device.startswith(stem)]
            return difflib.get_close_matches(text[: MOST_LETTERS + 2], family, n=3, cutoff=0.3)
    near = difflib.get_close_matches(head, _BY_DEVICE, n=3, cutoff=0.5)
    return near or difflib.get_close_matches(head[:MOST_LETTERS], _BY_DEVICE, n=3, cutoff=0.3)
