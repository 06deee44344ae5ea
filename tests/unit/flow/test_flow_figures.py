"""The figures: what is trained, what is written, and that the picture shows it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from psp_hw.errors import SpecError
from psp_hw.flow.figures import figure
from psp_hw.flow.train import Request
from psp_hw.report.charts import alpha_figure, density_figure

PNG = b"\x89PNG\r\n\x1a\n"


def extent(png: bytes) -> tuple[int, int]:
    """Width and height [pixels]."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_the_same_numbers_give_the_same_picture_and_others_another() -> None:
    rows = [("decay", "a", 0.2, [0.1, 0.5, -1.0]), ("l1", "a", 0.2, [0.0, 0.3, 0.3])]
    one, two = alpha_figure(rows), alpha_figure(rows)
    other = alpha_figure([("decay", "a", 0.2, [0.1, 0.5, 1.0]), rows[1]])

    assert one.startswith(PNG)
    assert one == two
    assert one != other
    tall = alpha_figure([("decay", f"layer{i}", 0.2, [0.1, 0.4]) for i in range(30)])
    assert extent(tall)[1] < 2000


def test_the_density_figure_has_a_line_per_method() -> None:
    dense = [("fixed", 1.0, 0.1)]
    few = density_figure([*dense, ("decay", 0.5, 0.2)])
    many = density_figure([*dense, ("decay", 0.5, 0.2), ("l1", 0.4, 0.3)])

    assert few.startswith(PNG)
    assert few != many


@pytest.mark.slow
def test_both_figures_from_a_few_steps(tmp_path: Path) -> None:
    request = Request(steps=3, structures=("shape", "channel"))
    alpha = figure("alpha", request, out=tmp_path)
    density = figure("density", request, out=tmp_path, points=1)

    layers = json.loads(alpha.numbers.read_text())["layers"]
    points = json.loads(density.numbers.read_text())["points"]
    assert {"alpha.png", "alpha.json", "density.png", "density.json"} == {p.name for p in tmp_path.iterdir()}
    assert {"decay", "l1"} == {layer["method"] for layer in layers}
    assert {"shape", "channel"} == {layer["structure"] for layer in layers}
    assert ["fixed", "l1-norm", "fixed", "l1", "decay"] == [point["method"] for point in points]
    assert 1.0 == points[0]["density"]
    assert all(0 <= point["error"] <= 1 and 0 < point["density"] <= 1 for point in points)
    assert alpha.png.read_bytes().startswith(PNG)


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"unknown figure 'alhpa'.*did you mean 'alpha'"):
        figure("alhpa", Request(), out=tmp_path)
    with pytest.raises(SpecError, match="0 points"):
        figure("density", Request(), out=tmp_path, points=0)
    assert [] == list(tmp_path.iterdir())
