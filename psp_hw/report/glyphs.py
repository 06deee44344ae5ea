"""The surviving taps of a kernel, drawn: block characters for a terminal, SVG for a page."""

from __future__ import annotations

from psp_hw.report.model import TapPlane

KEPT, GONE = "██", "░░"


def text_glyph(plane: TapPlane) -> str:
    """The kernel as R lines of S blocks, two characters each: full where the tap survives."""
    return "\n".join("".join(GONE if heat is None else KEPT for heat in row) for row in plane.rows)


def svg_glyph(plane: TapPlane, *, cell: int = 11, gap: int = 1) -> str:
    """The kernel as a small SVG [px]: surviving taps filled, the heavier the fuller; a title for every position.

    Every character is a number or made here: nothing from a file enters the markup.
    """
    pitch = cell + gap
    height, width = plane.kernel[0] * pitch + gap, plane.kernel[1] * pitch + gap
    squares = [
        _square(r, s, heat, pitch=pitch, gap=gap, cell=cell)
        for r, row in enumerate(plane.rows)
        for s, heat in enumerate(row)
    ]
    return (
        f'<svg class="glyph" role="img" aria-label="{len(plane.taps)} of {plane.total} taps" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(squares)}</svg>'
    )


def _square(r: int, s: int, heat: float | None, *, pitch: int, gap: int, cell: int) -> str:
    """One position of the kernel."""
    place = f'x="{gap + s * pitch}" y="{gap + r * pitch}" width="{cell}" height="{cell}" rx="2"'
    if heat is None:
        return f'<rect {place} class="gone"><title>({r},{s}) removed</title></rect>'
    opacity = 0.35 + 0.65 * heat
    return f'<rect {place} class="kept" fill-opacity="{opacity:.2f}"><title>({r},{s}) {heat:.0%} of the heaviest tap</title></rect>'
