"""What a training gave, on one screen: the taps of each layer, what is left of it, what each step cost in accuracy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psp_hw.flow.train import TrainSummary
    from psp_hw.pruning.survey import LayerSurvey

_HEAD = ("Layer", "Taps", "Density", "Weights", "MACs")
_BLOCKS, _ASCII = ("█", "░"), ("#", ".")
_LARGEST_DRAWN = 25  # positions of a kernel; a larger one is counted, not drawn
_OTHER_LINES = 10  # around the table without its head; the next step and the prompt of the shell included
_GAP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Where it is shown.

    Args:
        width: columns.
        height: lines; None: no limit, as in a file.
        blocks: characters of a tap that survives and of one that is gone.
    """

    width: int = 80
    height: int | None = None
    blocks: tuple[str, str] = _BLOCKS


def screen() -> Screen:
    """The terminal behind stdout; a pipe or a file is as wide as a common terminal and has no end."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "".join(_BLOCKS).encode(encoding)
        blocks = _BLOCKS
    except UnicodeEncodeError:
        blocks = _ASCII
    if not sys.stdout.isatty():
        return Screen(blocks=blocks)
    size = shutil.get_terminal_size()
    return Screen(width=max(60, size.columns), height=max(12, size.lines), blocks=blocks)


def summary(result: TrainSummary, where: Screen) -> list[str]:
    """The lines, each within the width; where the layers do not fit, they are summed up by block or by stage."""
    room = None if where.height is None else where.height - _OTHER_LINES - 1
    rows, left_out = _rows(result.layers, room, where.blocks)
    lines = [*_table([_HEAD, *rows], where.width), ""]
    if left_out:
        lines.append(_cut(f"{'left out':<10} {left_out}; psp-hw report has it all", where.width))
    lines += [_cut(f"{name:<10} {fact}", where.width) for name, fact in _facts(result)]
    return [*lines, f"{'run':<10} {result.run}"]


def _rows(
    layers: Sequence[LayerSurvey], room: int | None, blocks: tuple[str, str]
) -> tuple[list[tuple[str, ...]], str]:
    """The rows of the finest grouping that fits, and what it leaves out in words."""
    if room is None or len(layers) <= room:
        return [_row([layer], layer.name, blocks) for layer in layers], ""
    room -= 1  # for the line that says so
    deepest = max(layer.name.count(".") for layer in layers)
    for depth in range(deepest, 0, -1):
        groups = _groups(layers, depth)
        if len(groups) <= room:
            break
    rows = [_row(group, name, blocks) for name, group in groups[:room]]
    summed = sum(len(group) for _, group in groups[:room] if len(group) > 1)
    unseen = sum(len(group) for _, group in groups[room:])
    words = [f"the taps of {summed} layers, summed up in groups"] if summed else []
    return rows, ", ".join([*words, *([f"the last {unseen} layers"] if unseen else [])])


def _groups(layers: Sequence[LayerSurvey], depth: int) -> list[tuple[str, list[LayerSurvey]]]:
    """Neighbours that share the first parts of their names."""
    named = groupby(layers, key=lambda layer: ".".join(layer.name.split(".")[:depth]))
    return [(name, list(group)) for name, group in named]


def _row(group: Sequence[LayerSurvey], name: str, blocks: tuple[str, str]) -> tuple[str, ...]:
    """Name, taps, density, weights, MACs."""
    kept, total = sum(layer.kept for layer in group), sum(layer.total for layer in group)
    title = group[0].name if len(group) == 1 else f"{name} ({len(group)} layers)"
    macs = sum(layer.macs for layer in group)
    return title, _taps(group, blocks), f"{kept / total:.3f}", f"{kept:,}", f"{macs:,}"


def _taps(group: Sequence[LayerSurvey], blocks: tuple[str, str]) -> str:
    """The kernel drawn row by row; of several layers, how many taps they have."""
    kernels = [layer for layer in group if layer.kernel != (1, 1)]
    if not kernels:
        return ""
    counts, sizes = (
        {*found} for found in zip(*((len(x.taps), x.kernel[0] * x.kernel[1]) for x in kernels), strict=True)
    )
    low, high, size = min(counts), max(counts), max(sizes)
    if low == high == size and len(sizes) == 1:
        return f"all {size}"
    if len(group) > 1 or size > _LARGEST_DRAWN:
        return f"{low} of {size}" if low == high else f"{low}-{high} of {size}"
    taps, (height, width) = {*kernels[0].taps}, kernels[0].kernel
    return " ".join("".join(blocks[(r, s) not in taps] for s in range(width)) for r in range(height))


def _table(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    """Two columns of text, then numbers; a name that is too long loses its beginning."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    widths[0] = min(widths[0], max(8, width - sum(widths[1:]) - _GAP * (len(_HEAD) - 1)))
    for row in rows:
        name = row[0] if len(row[0]) <= widths[0] else "~" + row[0][1 - widths[0] :]
        cells = [name.ljust(widths[0]), row[1].ljust(widths[1])]
        cells += [cell.rjust(size) for cell, size in zip(row[2:], widths[2:], strict=True)]
        yield (" " * _GAP).join(cells)


def _facts(result: TrainSummary) -> list[tuple[str, str]]:
    """What follows the table."""
    dense = sum(layer.macs // layer.kept * layer.total for layer in result.layers if layer.kept)
    empty = any(layer.kept == 0 for layer in result.layers)  # of which nobody here knows the dense MACs
    over = "over " if empty else ""
    fewer = f", {over}{dense / result.macs:.2f} times fewer than dense" if 0 < result.macs < dense else ""
    facts = [
        ("density", f"{result.density:.3f} of the prunable weights; {result.params:,} parameters"),
        ("MACs", f"{result.macs:,} per image{fewer}"),
        ("accuracy", _accuracies(result)),
    ]
    if result.seconds:
        spent = ", ".join(
            f"{_PHASES.get(name, name)} {duration(seconds)}" for name, seconds in result.seconds
        )
        facts.append(("steps took", spent))
    return facts


_PHASES = {"train": "floats", "finetune": "fine-tuning"}


def _accuracies(result: TrainSummary) -> str:
    """Step by step, with the points that each step costs."""
    quant = result.spec.quant
    steps = [("float", result.accuracy)]
    if result.accuracy_calibrated is not None:
        steps.append((f"at {quant.weight_bits},{quant.act_bits} bits", result.accuracy_calibrated))
    if result.spec.finetune.epochs or len(steps) == 1:
        steps.append(("fine-tuned", result.accuracy_quantized))
    said = [f"{steps[0][1]:.2%} {steps[0][0]}"]
    said += [
        f"{now:.2%} {name} ({100 * (now - before):+.2f})"
        for (name, now), (_, before) in zip(steps[1:], steps, strict=False)
    ]
    return ", ".join(said)


def duration(seconds: float) -> str:
    """A time in two units at most."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "~"
