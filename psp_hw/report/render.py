"""A report as its three files."""

from __future__ import annotations

from psp_hw.report.html import to_html
from psp_hw.report.json import to_json
from psp_hw.report.markdown import to_markdown
from psp_hw.report.model import Report


def render(report: Report) -> dict[str, str]:
    """The text of ``report.html``, ``report.md`` and ``report.json``; the same report gives the same bytes."""
    return {
        "report.html": to_html(report),
        "report.md": to_markdown(report),
        "report.json": to_json(report),
    }
