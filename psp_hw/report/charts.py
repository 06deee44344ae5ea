"""Pictures as PNG bytes: the same numbers give the same bytes. matplotlib is loaded when the first one is drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

_DPI = 150
_MOST_ROWS = 8  # layers in one picture; the JSON beside it holds all
_BINS = 40
_COLOURS = {"l1-norm": "#7f7f7f", "fixed": "#e69f00", "l1": "#56b4e9", "decay": "#0b5394"}
_MARKERS = {"l1-norm": "v", "fixed": "s", "l1": "^", "decay": "o"}
_NAMES = {
    "l1-norm": "l1 norm of the weights",
    "fixed": "fixed density, no penalty",
    "l1": "l1 on alpha (Eq. 7)",
    "decay": "weight decay on alpha (Eq. 6)",
}

Alphas = tuple[str, str, float, Sequence[float]]  # method, layer, epsilon, values
Point = tuple[str, float, float]  # method, density, error


def alpha_figure(rows: Sequence[Alphas]) -> bytes:
    """Histograms of alpha per layer, one column per method; the band of the threshold is grey (PSP Fig. 2)."""
    methods = list(dict.fromkeys(method for method, _, _, _ in rows))
    layers = list(dict.fromkeys(layer for _, layer, _, _ in rows))
    if len(layers) > _MOST_ROWS:
        layers = [layers[round(i * (len(layers) - 1) / (_MOST_ROWS - 1))] for i in range(_MOST_ROWS)]
    figure = _figure(4.2 * len(methods), 1.0 + 1.15 * len(layers))
    grid = figure.subplots(len(layers), len(methods), squeeze=False, sharex="col")
    reach = {
        m: 1.05 * max(abs(v) for name, _, _, values in rows if name == m for v in values) for m in methods
    }
    for method, layer, epsilon, values in rows:
        if layer not in layers:
            continue
        axes = grid[layers.index(layer)][methods.index(method)]
        axes.axvspan(-epsilon, epsilon, color="#e3e3e3", linewidth=0, zorder=0)
        axes.hist(values, bins=_BINS, range=(-reach[method], reach[method]), color=_COLOURS[method], zorder=2)
        kept = sum(abs(v) >= epsilon for v in values)
        axes.text(0.01, 0.95, layer, transform=axes.transAxes, va="top", fontsize=7)
        axes.text(0.99, 0.95, f"{kept} of {len(values)} above", transform=axes.transAxes, va="top", ha="right", fontsize=7)  # fmt: skip
        axes.set_ylim(top=axes.get_ylim()[1] * 1.35)
        axes.tick_params(labelsize=7)
        axes.yaxis.get_major_locator().set_params(integer=True)
        _plain(axes)
    for column, method in enumerate(methods):
        grid[0][column].set_title(_NAMES[method], fontsize=9)
        grid[-1][column].set_xlabel("alpha; grey: below the threshold", fontsize=8)
    figure.supylabel("structures", fontsize=8)
    return _png(figure)


def density_figure(points: Sequence[Point]) -> bytes:
    """Error over density, one line per method; the dense network is the dashed line (PSP Fig. 3).

    Args:
        points: the first is the dense network.
    """
    figure = _figure(6.0, 4.0)
    axes = figure.subplots()
    _, _, dense = points[0]
    axes.axhline(100 * dense, color="#000000", linewidth=0.8, linestyle="--", zorder=1)
    axes.text(0.01, 100 * dense, "dense", fontsize=7, va="bottom", transform=axes.get_yaxis_transform())
    for method in ("l1-norm", "fixed", "l1", "decay"):
        line = sorted((density, 100 * error) for name, density, error in points[1:] if name == method)
        if line:
            axes.plot(
                [density for density, _ in line],
                [error for _, error in line],
                color=_COLOURS[method],
                marker=_MARKERS[method],
                markersize=5,
                linewidth=1.4,
                label=_NAMES[method],
            )
    axes.set_xlabel("density of the pruned layers", fontsize=9)
    axes.set_ylabel("test error [%]", fontsize=9)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(bottom=0)
    axes.grid(color="#eeeeee", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False)
    axes.tick_params(labelsize=8)
    _plain(axes)
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(stream, metadata={"Software": None})
    return stream.getvalue()
