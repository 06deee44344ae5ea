"""Templates to text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jinja2

from psp_hw.backends.hls.context import DesignContext, Layer
from psp_hw.backends.templates import template_dir

# ``//% for x in y`` in a template of C++ and ``#% ...`` in one of Tcl, make or Python stand for ``{% for x in y %}`` on a line
# of its own. Jinja's own line statements swallow the blank lines that follow.
_LINE_STATEMENT = re.compile(r"^[ \t]*(?://|#)%(-?) ?(.*)$", re.MULTILINE)


class _Loader(jinja2.FileSystemLoader):
    """Templates from a folder, with line statements."""

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        source, path, is_current = super().get_source(environment, template)
        return _LINE_STATEMENT.sub(r"{%\1 \2 %}", source), path, is_current


@cache
def _environment(folder: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=_Loader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701  C++, Tcl, make and Python, not HTML; every name is an identifier
    )


def render(template: str, design: DesignContext, layer: Layer | None = None) -> str:
    """A template of ``hls_templates/project`` as text; an unknown name is an error."""
    found = _environment(template_dir() / "project").get_template(template)
    text = found.render(design=design, layer=layer)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
