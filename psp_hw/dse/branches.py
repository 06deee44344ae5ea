"""Where branches part and meet again: what a FIFO between them has to hold, whatever the folds.

An engine takes and gives its tokens in an order that no fold changes (``Schedule``). So for every token of a branch it is known
how many tokens the fork must have given before: its *need*. When a join takes its k-th tokens the fork has given as many as the
most demanding input needs for its k-th; a channel that leads from the fork straight to the join holds all of those but the
k - 1 that were taken. A shallower one stops the design for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from psp_hw.folding.dataflow import Channel, Dataflow
from psp_hw.folding.engine import AddEngine, ConcatEngine, Engine
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH
from psp_hw.folding.schedule import Schedule

# Tokens of a fork that must have been given before each token of a channel can be [tokens], ascending.
Needs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """What lies between a join and the last engine that all its inputs come through.

    Args:
        join: its name.
        inputs: channels into it, by port.
        fork: the engine that all come through.
        between: engines after it that lead to the join, in order.
        least: the least depth of those inputs that come straight from the fork [tokens], by name.
        late: the one input whose tokens always come last; None where that is a matter of time.
    """

    join: str
    inputs: tuple[Channel, ...]
    fork: str
    between: tuple[Engine, ...]
    least: Mapping[str, int]
    late: str | None


def regions(flow: Dataflow) -> tuple[Region, ...]:
    """The regions of all joins, in order."""
    inputs: dict[str, list[Channel]] = {engine.name: [] for engine in flow.engines}
    for channel in flow.channels:
        inputs[channel.target].append(channel)
    place = {engine.name: number for number, engine in enumerate(flow.engines)}
    through: dict[str, str] = {}  # the last engine that everything into an engine comes through
    found = []
    for engine in flow.engines:
        entering = sorted(inputs[engine.name], key=lambda channel: channel.port)
        if not entering:
            continue
        last = entering[0].source
        for channel in entering[1:]:
            last = _common(last, channel.source, through, place)
        through[engine.name] = last
        if isinstance(engine, AddEngine | ConcatEngine):
            found.append(_region(engine.name, tuple(entering), last, flow, inputs, place))
    return tuple(found)


def least_depths(found: tuple[Region, ...]) -> dict[str, int]:
    """The least depth of the channels of which more than the usual is known [tokens], by name."""
    depths = {name: depth for region in found for name, depth in region.least.items()}
    return {name: depth for name, depth in depths.items() if depth > DEFAULT_FIFO_DEPTH}


def _common(one: str, other: str, through: Mapping[str, str], place: Mapping[str, int]) -> str:
    """The last engine that both come through."""
    while one != other:
        if place[one] > place[other]:
            one = through[one]
        else:
            other = through[other]
    return one


def _region(
    join: str,
    entering: tuple[Channel, ...],
    fork: str,
    flow: Dataflow,
    inputs: Mapping[str, list[Channel]],
    place: Mapping[str, int],
) -> Region:
    members: set[str] = set()
    waiting = [channel.source for channel in entering]
    while waiting:
        name = waiting.pop()
        if name != fork and name not in members:
            members.add(name)
            waiting += [channel.source for channel in inputs[name]]
    between = tuple(flow.engines[at] for at in sorted(place[name] for name in members))
    needs = _needs(fork, between, inputs)
    # What comes straight from the fork needs a token for a token.
    asked = [needs.get(channel.source) for channel in entering]
    straight = [channel for channel in entering if channel.source == fork]
    others = [need for need in asked if need is not None]
    if not straight or not others:
        return Region(join, entering, fork, between, {}, None)
    most = np.max(others, axis=0)
    lead = int((most - np.arange(len(most))).max())
    least = {channel.name: max(DEFAULT_FIFO_DEPTH, lead) for channel in straight}
    # A token that needs a later token of the fork than its own number comes after that number's, however fast the engines are.
    behind = len(others) == 1 and bool((most > np.arange(len(most))).all()) and lead > 1
    late = next(channel.name for channel in entering if channel.source != fork) if behind else None
    return Region(join, entering, fork, between, least, late)


def _needs(fork: str, between: tuple[Engine, ...], inputs: Mapping[str, list[Channel]]) -> dict[str, Needs]:
    """For each token that an engine gives, the tokens of the fork before it."""
    needs: dict[str, Needs] = {}
    for engine in between:
        taken = _taken(engine.schedule())
        some = []
        for channel in inputs[engine.name]:
            if channel.source == fork:
                some.append(taken)
            else:
                some.append(np.concatenate([[0], needs[channel.source]])[taken])
        needs[engine.name] = some[0] if len(some) == 1 else np.max(some, axis=0)
    return needs


def _taken(schedule: Schedule) -> Needs:
    """Tokens that an engine has taken from each input when it gives each of its own [tokens].

    A pipeline is at least a cycle deep and stalls as a whole, so what a step gives leaves with the cycle in which the next begins.
    """
    taken = np.cumsum(schedule.reads)
    return np.asarray(np.append(taken[1:], taken[-1])[schedule.writes], dtype=np.int64)
