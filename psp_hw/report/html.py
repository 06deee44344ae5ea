"""A report as one HTML page: no network, no script, light and dark, printable."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from psp_hw.report.glyphs import svg_glyph
from psp_hw.report.markdown import percent
from psp_hw.report.model import LayerRow, Report, ResourceUse, TapPlane

_TEMPLATES = Path(__file__).parent / "templates"


def to_html(report: Report) -> str:
    """The page. Names that come from files are escaped: the template is rendered with autoescape on."""
    hardware = report.hardware
    shown = [use for use in hardware.resources if use.used or use.available] if hardware else []
    return _template().render(report=report, hardware=hardware, training=report.training, shown=shown)


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
    environment.filters["bar"] = _bar
    environment.filters["shape"] = _shape
    environment.filters["bits"] = _bits
    environment.filters["glyph"] = _glyph
    environment.filters["share"] = _share
    environment.globals["amount_of"] = _amount_of
    return environment.get_template("report.html")


def _amount_of(amounts: tuple[tuple[str, int], ...], name: str) -> int:
    """The amount of one resource; 0 where it is not listed."""
    return dict(amounts).get(name, 0)


def _count(number: float) -> str:
    """A whole number in groups of three digits."""
    return f"{number:,.0f}"


def _bar(use: ResourceUse) -> str:
    """Length of a fit bar [% of its track]; a full track where the part has too little."""
    return f"{min(use.fraction, 1.0) * 100:.1f}"


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


def _glyph(plane: TapPlane | None) -> Markup:
    """The kernel drawn; the markup holds numbers alone (see ``svg_glyph``)."""
    return Markup(svg_glyph(plane) if plane is not None else "")  # noqa: S704 -- made of numbers only
