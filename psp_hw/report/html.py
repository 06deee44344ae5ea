"""A report as one HTML page: no network, no script, light and dark, printable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from psp_hw.report.glyphs import svg_glyph
from psp_hw.report.markdown import STILL, percent
from psp_hw.report.model import HardwareSummary, LayerRow, Report, ResourceUse, TapPlane

_TEMPLATES = Path(__file__).parent / "templates"
CONTROL = "AXI4-Lite control"


def to_html(report: Report) -> str:
    """The page. Names that come from files are escaped: the template is rendered with autoescape on."""
    hardware = report.hardware
    shown = [use for use in hardware.resources if use.used or use.available] if hardware else []
    planes = [layer.plane for layer in hardware.layers if layer.plane is not None] if hardware else []
    pruned = any(len(plane.taps) < plane.total for plane in planes)
    return _template().render(
        report=report, hardware=hardware, training=report.training, shown=shown, pruned=pruned, still=STILL
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = _count
    environment.filters["percent"] = percent
    environment.filters["doubt"] = _doubt
    environment.filters["per_second"] = _per_second
    environment.filters["limit"] = _limit
    environment.filters["microseconds"] = _microseconds
    environment.filters["shape"] = _shape
    environment.filters["bits"] = _bits
    environment.filters["glyph"] = _glyph
    environment.filters["share"] = _share
    environment.filters["of"] = _of
    environment.filters["name"] = _name
    environment.globals["amount_of"] = _amount_of
    environment.globals["segments"] = _segments
    environment.globals["largest"] = _largest
    return environment.get_template("report.html")


def _amount_of(amounts: tuple[tuple[str, int], ...], name: str) -> int:
    """The amount of one resource; 0 where it is not listed."""
    return dict(amounts).get(name, 0)


def _count(number: float) -> str:
    """A whole number in groups of three digits."""
    return f"{number:,.0f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one engine takes of a resource: a piece of a bar, its length in % of the track."""

    name: str
    amount: int
    length: str


def _segments(hardware: HardwareSummary, use: ResourceUse) -> list[Segment]:
    """The bar of a resource, engine by engine; a full track where the part has too little."""
    scale = 100 / max(use.available, use.used, 1)
    takers = [(layer.name, _amount_of(layer.resources, use.name)) for layer in hardware.layers]
    takers.append((CONTROL, _amount_of(hardware.control, use.name)))
    return [
        Segment(name=name, amount=amount, length=f"{amount * scale:.2f}") for name, amount in takers if amount
    ]


def _largest(hardware: HardwareSummary, use: ResourceUse) -> str:
    """Who takes most of a resource, in words; empty where nobody takes any."""
    most = max(_segments(hardware, use), key=lambda segment: segment.amount, default=None)
    return "" if most is None else f"{most.amount / max(use.used, most.amount):.0%} in {most.name}"


def _doubt(use: ResourceUse) -> str:
    """Length of what synthesis may need beyond the estimate [% of the track]."""
    free = max(use.available - use.used, 0)
    return f"{100 * min(use.at_worst - use.used, free) / use.available:.2f}" if use.available else "0"


def _limit(use: ResourceUse) -> str:
    """Where in the bar of what does not fit the part ends [% of the track]."""
    return f"{100 * use.available / use.used:.2f}" if use.used else "100"


def _microseconds(time: float) -> str:
    """A time in the unit that keeps it short."""
    return f"{time:.1f} µs" if time < 1000 else f"{time / 1000:,.1f} ms"


def _per_second(number: float) -> str:
    """A rate with a prefix: thousands, millions, billions."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {prefix}"
    return f"{number:.3g} "


def _share(layer: LayerRow, longest: int) -> str:
    """Length of a layer's cycle bar [% of its track]."""
    return f"{100 * layer.cycles / longest:.1f}" if longest else "0"


def _shape(shape: tuple[int, int, int]) -> str:
    """H x W x C."""
    return "×".join(str(extent) for extent in shape)


def _bits(layer: LayerRow) -> str:
    """Widths of input, weight and result [bits]."""
    parts = [layer.bits_in, layer.bits_weight, layer.bits_out]
    return " · ".join(str(part) for part in parts if part is not None)


def _of(amount: int, total: int) -> str:
    """A share, 0 .. 1."""
    return f"{amount / total:.3f}" if total else "0"


def _name(text: str) -> Markup:
    """A name that may be broken after an underscore."""
    return Markup("_<wbr>").join(escape(part) for part in text.split("_"))


def _glyph(plane: TapPlane | None, cell: int = 11) -> Markup:
    """The kernel drawn, its positions `cell` pixels wide; the markup holds numbers alone (see ``svg_glyph``)."""
    return Markup(svg_glyph(plane, cell=cell) if plane is not None else "")  # noqa: S704 -- made of numbers only
