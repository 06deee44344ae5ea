"""Templates to text."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2

from psp_hw.backends.hls.context import DesignContext, Layer
from psp_hw.backends.templates import template_dir


@cache
def _environment(folder: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="//%",
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701  C++, Tcl, make and Python, not HTML; every name is an identifier
    )


def render(template: str, design: DesignContext, layer: Layer | None = None) -> str:
    """A template of ``hls_templates/project`` as text; an unknown name is an error."""
    found = _environment(template_dir() / "project").get_template(template)
    text = found.render(design=design, layer=layer)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
