"""The figures of the paper, trained again: PNG and the numbers behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from psp_hw.errors import SpecError
from psp_hw.flow.files import write_files
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.train import Request, training_spec
from psp_hw.spec.names import suggestion

if TYPE_CHECKING:
    from psp_hw.training.study import DensityPoint, LayerAlphas

FIGURES = Path("figures")
_MOST_POINTS = 12


class Figure(Enum):
    """Which figure."""

    ALPHA = "alpha"
    DENSITY = "density"


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureFiles:
    """What was written.

    Args:
        png: the picture.
        numbers: the JSON behind it.
        document: its content.
    """

    png: Path
    numbers: Path
    document: dict[str, object]


def figure(
    which: str,
    request: Request,
    *,
    out: Path | None = None,
    points: int = 4,
    progress: Progress | None = None,
) -> FigureFiles:
    """Train what a figure needs, draw it, write both.

    Args:
        which: ``alpha`` (PSP Fig. 2) or ``density`` (PSP Fig. 3).
        request: network, data, structures, budget, as for training.
        out: the folder; None: figures/.
        points: trainings per method of ``density``.
        progress: told how far it is.

    Raises:
        PspHwError: bad options, bad data, training that diverged.
    """
    words = [kind.value for kind in Figure]
    if which not in words:
        raise SpecError(f"unknown figure '{which}'", where="figures", hint=suggestion(which, words))
    if not 1 <= points <= _MOST_POINTS:
        raise SpecError(f"{points} points", where="--points", hint=f"use 1 .. {_MOST_POINTS}")
    if not request.structures:
        request = replace(request, structures=("shape",))
    spec = training_spec(request)
    watcher = progress or Silent()
    from psp_hw.report import charts
    from psp_hw.training import study

    if Figure(which) is Figure.ALPHA:
        alphas = study.alpha_study(spec, data_dir=request.data_dir, told=watcher.step)
        document = _alpha_document(alphas)
        picture = charts.alpha_figure(
            [(a.method.value, f"{a.layer} ({a.structure})", a.epsilon, a.alphas.tolist()) for a in alphas]
        )
    else:
        found = study.density_study(
            spec,
            densities=tuple((n + 1) / (points + 1) for n in range(points)),
            strengths=tuple(4.0 ** (n - (points - 1) / 2) for n in range(points)),
            data_dir=request.data_dir,
            told=watcher.step,
        )
        document = _density_document(found)
        picture = charts.density_figure([(p.method.value, p.density, p.error) for p in found])
    head = {"figure": which, "net": spec.net.name, "data": spec.data.name, "seed": spec.seed}
    document = {**head, "structures": [s.kind.value for s in spec.pruning.structures], **document}
    folder = out or FIGURES
    text = json.dumps(document, indent=2) + "\n"
    png, numbers = write_files(folder, {f"{which}.png": picture, f"{which}.json": text})
    return FigureFiles(png=png, numbers=numbers, document=document)


def _alpha_document(alphas: Sequence[LayerAlphas]) -> dict[str, object]:
    return {
        "layers": [
            {
                "method": a.method.value,
                "layer": a.layer,
                "structure": a.structure,
                "epsilon": a.epsilon,
                "above": int((abs(a.alphas) >= a.epsilon).sum()),
                "alphas": a.alphas.tolist(),
            }
            for a in alphas
        ]
    }


def _density_document(points: Sequence[DensityPoint]) -> dict[str, object]:
    return {
        "points": [
            {"method": p.method.value, "setting": p.setting, "density": p.density, "error": p.error}
            for p in points
        ]
    }
