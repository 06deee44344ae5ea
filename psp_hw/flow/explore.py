"""What could be built of a source on a part: a front, as a picture, a table and JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from psp_hw.backends.base import Target
from psp_hw.cost import trust
from psp_hw.cost.optimality import ROUNDING, at_most
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource
from psp_hw.dse.densities import distinct_densities
from psp_hw.dse.explore import Front, Point, explore, explore_densities
from psp_hw.flow.defaults import DEFAULT_TARGET
from psp_hw.flow.device import NOTHING_MORE, DeviceRequest
from psp_hw.flow.estimate import Settings, settings_of, target_of
from psp_hw.flow.files import write_files
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.runs import as_word
from psp_hw.flow.source import Source, read_graph, resolve
from psp_hw.report.markdown import escape
from psp_hw.report.scatter import Mark, Series, TopAxis, curves
from psp_hw.spec.target import COMFORTABLE_SHARE

NO_OTHERS = "no kernel has more than one position, so there are no other tap counts to look at"

ACCURACY = (
    "Fronts at other densities say what a network would cost, not what it would be worth: train it to know."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of ``psp-hw explore`` that also say what ``psp-hw emit`` is to build; None where one was not given."""

    target: Target
    part: str | None
    clock_ns: float | None
    device: DeviceRequest

    def words(self) -> Iterator[str]:
        """The options as on a command line."""
        options = {
            "--target": self.target.value if self.target.value != DEFAULT_TARGET else None,
            "--part": self.part,
            "--board": self.device.board,
            "--clock": _number(self.clock_ns),
            "--budget": self.device.budget,
            "--dsp": None if self.device.dsp is None else str(self.device.dsp),
        }
        for option, value in options.items():
            if value is not None:
                yield f"{option} {shlex.quote(value)}"
        if self.device.calibration is not None:
            yield f"--calibration {as_word(self.device.calibration)}"


def _number(value: float | None) -> str | None:
    """A number as somebody would write it, with all that it says."""
    if value is None:
        return None
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What ``psp-hw explore`` found.

    Args:
        source: that was explored.
        asked: the options of the command.
        front: the network as it is; ``emit --point N`` builds its points.
        densities: the same network at other tap counts; empty where nobody asked.
        files: what was written.
    """

    source: Source
    asked: Asked
    settings: Settings
    front: Front
    densities: tuple[Front, ...]
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Of the source, as text."""
        return self.source.title

    def emit_command(self, source: str | None = None) -> str:
        """The command that builds the knee.

        Args:
            source: what stands for the source; None: its path.
        """
        named = as_word(self.source.path) if source is None else source
        return " ".join(["psp-hw emit", named, f"--point {self.front.knee + 1}", *self.asked.words()])


def explore_source(
    path: Path | None,
    *,
    part: str | None,
    clock_ns: float | None,
    device: DeviceRequest = NOTHING_MORE,
    target: str | None = None,
    densities: bool = False,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Exploration:
    """Search the front of a source on a part, and write front.png, front.md and front.json.

    Args:
        target: whose designs the points are; None: that of a design, else the default of ``emit``. hls4ml folds no affine maps and
            thresholds, and Vitis HLS alone keeps FIFOs in UltraRAM, so their points may be others.
        densities: look at other tap counts too.
        out: the folder; None: beside the source, named after it.

    Raises:
        PspHwError: a bad part, clock, budget, target or source; nothing fits.
    """
    progress = progress or Silent()
    source = resolve(path)
    asked = Asked(target=target_of(source, target), part=part, clock_ns=clock_ns, device=device)
    bindable = asked.target.bindable
    settings = settings_of(source, part, clock_ns, device)
    progress.step("reading the network", 0, None)
    graph = read_graph(source)
    progress.step("searching the front", 0, None)
    front = explore(graph, settings.searched, settings.clock, bindable=bindable)
    others: tuple[Front, ...] = ()
    if densities:
        progress.step("searching at other densities", 0, None)
        others = explore_densities(graph, settings.searched, settings.clock, bindable=bindable)
        if not distinct_densities(graph):
            settings = replace(settings, notes=(*settings.notes, NO_OTHERS))
    found = Exploration(
        source=source, asked=asked, settings=settings, front=front, densities=others, files=()
    )
    folder = out or source.beside / f"{source.name}-explore"
    files: dict[str, str | bytes] = {
        "front.png": picture(found),
        "front.md": page(found),
        "front.json": json.dumps(document(found, source="SOURCE"), indent=1) + "\n",
    }
    return replace(found, files=tuple(write_files(folder, files)))


def picture(found: Exploration) -> bytes:
    """Interval against cost; every front a line, the knee and the numbers of the points that can be emitted."""
    series = [
        Series(name=front.name, points=tuple((float(p.interval), 100.0 * p.cost) for p in front.points))
        for front in (found.front, *found.densities)
    ]
    marks = [
        Mark(
            x=point.interval,
            y=100.0 * point.cost,
            word=_word(found.front, index),
            ring=index == found.front.knee,
        )
        for index, point in enumerate(found.front.points)
    ]
    clock = found.settings.clock
    return curves(
        series,
        marks,
        title=f"{found.name} on {found.settings.part.name} at {clock.period_ns:g} ns",
        x="cycles per frame",
        y=f"shares of {_whole(found.settings)}, all resources added up [%]",
        top=TopAxis(label="frames per second", over_x=clock.per_second(1)),
    )


def _word(front: Front, index: int) -> str:
    return f"{index + 1}, knee" if index == front.knee else str(index + 1)


def row(found: Exploration, front: Front, index: int) -> tuple[str, ...]:
    """A point in words: number, cycles, frames per second, resources, what binds."""
    point = front.points[index]
    binding, share = point.binds
    return (
        f"{index + 1}{' (knee)' if index == front.knee else ''}",
        f"{point.interval:,}",
        f"{found.settings.clock.per_second(point.interval):,.0f}",
        *(
            f"{amount:,}"
            for _, amount in found.settings.calibration.apply(point.resources, Stage.RTL_SYNTHESIS)
        ),
        f"{binding.value} {share:.0%}",
    )


HEAD = ("Point", "Cycles", "Frames/s", *(resource.value for resource in Resource), "Binds")


def page(found: Exploration) -> str:
    """The fronts as Markdown."""
    settings = found.settings
    lines = [
        f"# What could be built of {escape(found.name)} on {settings.part.name} at {settings.clock.period_ns:g} ns",
        "",
        f"Designs for {found.asked.target.value}{_within(settings)}. This builds the knee of the first table, another "
        "`--point` another:",
        "",
        f"    {found.emit_command('SOURCE')}",
        "",
    ]
    for front in (found.front, *found.densities):
        lines += [f"## {front.name}", "", "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
        lines += ["| " + " | ".join(row(found, front, index)) + " |" for index in range(len(front.points))]
        lines.append("")
    lines += [ACCURACY, ""] if found.densities else []
    lines += [left_to_save(found), ""]
    lines += [f"Expected error: {expected_error(settings)}"]
    return "\n".join(lines) + "\n"


def _within(settings: Settings) -> str:
    """What limits the part, and whose constants were used."""
    limits = ", ".join(f"{amount:,} {resource.value}" for resource, amount in settings.budget.items())
    budget = f", within {limits}" if limits else ""
    return f"{budget}, calibrated (digest {settings.constants})" if settings.constants else budget


def _whole(settings: Settings) -> str:
    """What shares are of."""
    return "the budget" if settings.budget else "the part"


def left_to_save(found: Exploration) -> str:
    """How good the points are, in words."""
    front, whole = found.front, _whole(found.settings)
    folds = f"Folds as tried ({front.tried})" if front.tried else "Folds"
    among = f"within {COMFORTABLE_SHARE:.0%} of {whole}, or within {whole} where they take more (FIFOs as deep as every choice needs them)"
    known = [(index + 1, point.left) for index, point in enumerate(front.points) if point.left is not None]
    open_ones = [(number, left) for number, left in known if left > ROUNDING]
    if not open_ones:
        return f"{folds}: every point is proven to be the cheapest of its speed {among}."
    number, most = max(open_ones, key=lambda one: one[1])
    proven = len(known) - len(open_ones)
    return (
        f"{folds}: {proven} of {len(known)} points are proven to be the cheapest of their speed {among}; of the others at most "
        f"{at_most(most, 3):.1%} is left to save (point {number})."
    )


def expected_error(settings: Settings) -> str:
    """How far off the points may be."""
    return trust.expected_error(settings.calibration, settings.part)


def document(found: Exploration, *, source: str | None = None) -> dict[str, object]:
    """The JSON of ``explore --json``.

    Args:
        source: what stands for the source in the command that builds the knee; None: its path.
    """
    return {
        "target": found.asked.target.value,
        "part": found.settings.part.name,
        "clock_ns": found.settings.clock.period_ns,
        "budget": {resource.value: amount for resource, amount in found.settings.budget.items()},
        "calibration": found.settings.constants,
        "emit": found.emit_command(source),
        "knee": found.front.knee + 1,
        "tried": found.front.tried,
        "points": _points(found, found.front),
        "densities": [
            {"name": front.name, "knee": front.knee + 1, "points": _points(found, front)}
            for front in found.densities
        ],
        "expected_error": expected_error(found.settings),
        "files": [str(path) for path in found.files],
    }


def _points(found: Exploration, front: Front) -> list[dict[str, object]]:
    return [{"point": index + 1, **_point(found.settings, point)} for index, point in enumerate(front.points)]


def _point(settings: Settings, point: Point) -> dict[str, object]:
    return {
        "interval": point.interval,
        "fps": settings.clock.per_second(point.interval),
        "resources": {
            resource.value: amount
            for resource, amount in settings.calibration.apply(point.resources, Stage.RTL_SYNTHESIS)
        },
        "cost": point.cost,
        "binds": point.binds[0].value,
        "share": point.binds[1],
        "left_to_save": point.left,
    }
