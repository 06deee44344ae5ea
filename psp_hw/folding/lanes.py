"""Columns dealt to lanes: every block in as few words as its columns allow, every lane with few candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heappop, heapreplace

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
PlaceArray = npt.NDArray[np.int32]
CountArray = npt.NDArray[np.int64]

RESTS = -1

# Columns and selections of the words of one block, [words, lanes] each.
Hand = tuple[PlaceArray, PlaceArray]


@dataclass(frozen=True, eq=False)
class Deal:
    """Which lane takes each column.

    Args:
        needed: columns that each kind of block needs [kinds, N]; no two kinds are equal.
        lists: the columns that each lane can take.
        homes: the lane of each column, where it is not moved; RESTS for a column that nobody needs [N].
        moved: per kind, the columns that another lane takes for it, and that lane.
    """

    needed: BoolArray
    lists: list[list[int]]
    homes: npt.NDArray[np.int64]
    moved: list[dict[int, int]] = field(default_factory=list)

    @property
    def candidates(self) -> PlaceArray:
        """The lists [lanes, ways], a shorter one with its last repeated."""
        padded = [columns + (columns or [0])[-1:] * (self.ways - len(columns)) for columns in self.lists]
        return np.array(padded, dtype=np.int32)

    @cached_property
    def ways(self) -> int:
        """Columns of the longest list; at least 1."""
        return max(1, *(len(columns) for columns in self.lists))

    def hands(self) -> list[Hand]:
        """The words of each kind: columns and their places in the lists of their lanes, RESTS and 0 where a lane rests."""
        place_of = [{column: place for place, column in enumerate(columns)} for columns in self.lists]
        return [self._hand(kind, place_of) for kind in range(len(self.needed))]

    def _hand(self, kind: int, place_of: Sequence[dict[int, int]]) -> Hand:
        """Every lane takes its columns in the order of its list."""
        columns = np.flatnonzero(self.needed[kind])
        lane_of = self.homes[columns].tolist()
        moved = self.moved[kind]
        load: list[list[int]] = [[] for _ in self.lists]
        for column, home in zip(columns.tolist(), lane_of, strict=True):
            lane = moved.get(column, home)
            load[lane].append(place_of[lane][column])
        words = max(1, *(len(places) for places in load))
        taken = np.full((words, len(load)), RESTS, dtype=np.int32)
        select = np.zeros((words, len(load)), dtype=np.int32)
        for lane, places in enumerate(load):
            places.sort()
            taken[: len(places), lane] = [self.lists[lane][place] for place in places]
            select[: len(places), lane] = places
        return taken, select


def deal(needed: BoolArray, in_channels: int, lanes: int) -> Deal:
    """Deal columns to lanes so that every kind of block takes max(1, ceil(count / lanes)) words.

    One kind: word w takes the next ``lanes`` columns, and so every lane its list from first to last. More kinds: every column
    has a home, chosen so that the columns of every kind lie in many lanes evenly; what is then too much for a lane moves, for
    that kind, to another, whose list grows by it.

    Args:
        needed: columns that each kind needs [kinds, N]; no two kinds are equal.
        in_channels: Ci; column n is tap n // Ci, channel n % Ci.
        lanes: columns per word.
    """
    homes = np.full(needed.shape[1], RESTS, dtype=np.int64)
    if len(needed) == 1:
        columns = np.flatnonzero(needed[0])
        homes[columns] = np.arange(len(columns)) % lanes
        return Deal(needed, [columns[lane::lanes].tolist() for lane in range(lanes)], homes, [{}])
    dealt, counts, loads = _homes(needed, in_channels, lanes)
    homes[dealt] = np.repeat(np.arange(lanes), counts)
    ends = np.cumsum(counts).tolist()
    columns = dealt.tolist()
    lists = [columns[end - count : end] for end, count in zip(ends, counts.tolist(), strict=True)]
    return Deal(needed, lists, homes, _balanced(needed, dealt, counts, loads, lists))


def _homes(needed: BoolArray, in_channels: int, lanes: int) -> tuple[CountArray, CountArray, CountArray]:
    """A lane for every column that is needed; lists grow evenly.

    Columns that the same kinds need (those of a kernel, or of a vector) are dealt one after the other, each to another of the
    lanes whose lists are shortest: those where the kinds that need it have least so far.

    Returns:
        The columns, lane after lane [used]; how many each lane has [lanes]; how many of those each kind needs [kinds, lanes].
    """
    used = np.flatnonzero(needed.any(axis=0))
    used = used[np.lexsort((used, used % in_channels))]
    member = needed[:, used]
    if lanes == 1:
        return used, np.array([len(used)]), member.sum(axis=1, keepdims=True)
    begins = np.flatnonzero(np.r_[True, (member[:, 1:] != member[:, :-1]).any(axis=0)])
    ends = [*begins[1:].tolist(), len(used)]
    wants = np.ascontiguousarray(member[:, begins].T, dtype=np.float32)
    load = np.zeros((lanes, len(needed)), dtype=np.float32)  # whole numbers, exact
    lane_of = np.zeros(len(used), dtype=np.int64)
    taken, left = np.zeros(lanes, dtype=np.float32), lanes  # infinity where a list is longer than others
    for want, at, end in zip(wants, begins.tolist(), ends, strict=True):
        while at < end:
            cost = load @ want
            cost += taken
            count = min(end - at, left)
            if count == 1:
                lane = int(cost.argmin())
                lane_of[at] = lane
                load[lane] += want
                taken[lane] = np.inf
            else:
                chosen = cost.argsort(kind="stable")[:count]
                lane_of[at : at + count] = chosen
                load[chosen] += want
                taken[chosen] = np.inf
            left -= count
            if left == 0:
                taken[:], left = 0, lanes
            at += count
    counts = np.bincount(lane_of, minlength=lanes)
    return used[lane_of.argsort(kind="stable")], counts, load.T.astype(np.int64)


def _balanced(
    needed: BoolArray, dealt: CountArray, counts: CountArray, loads: CountArray, lists: list[list[int]]
) -> list[dict[int, int]]:
    """Per kind, the columns that leave a lane with too many, and where they go.

    They go to a lane that has room and has the column in its list already, else to the one with room and the shortest list, which
    then grows.

    Args:
        needed: columns that each kind needs [kinds, N].
        dealt, counts, loads: of ``_homes``.
        lists: the columns that each lane can take.
    """
    words = np.maximum(1, -(-loads.sum(axis=1) // len(lists)))
    excess = loads - words[:, None]
    over = excess > 0
    # The columns of lanes with too many, kind after kind, lane after lane.
    _, places = np.nonzero(needed[:, dealt] & np.repeat(over, counts, axis=1))
    columns = dealt[places].tolist()
    full, room = _by_kind(over, excess), _by_kind(excess < 0, -excess)
    ends = np.cumsum(np.where(over, loads, 0).sum(axis=1)).tolist()
    also: dict[int, list[int]] = {}
    moved: list[dict[int, int]] = []
    begin = 0
    for end, some, free, most in zip(ends, full, room, words.tolist(), strict=True):
        moved.append(_moves(columns[begin:end], some, dict(free), most, lists, also) if some else {})
        begin = end
    return moved


def _by_kind(where: BoolArray, amounts: CountArray) -> list[list[tuple[int, int]]]:
    """Lanes and their amounts, for each kind those where something is true [kinds, lanes]."""
    kinds, lanes = np.nonzero(where)
    pairs = list(zip(lanes.tolist(), amounts[kinds, lanes].tolist(), strict=True))
    ends = np.cumsum(where.sum(axis=1)).tolist()
    return [pairs[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _moves(
    columns: list[int],
    full: list[tuple[int, int]],
    room: dict[int, int],
    words: int,
    lists: list[list[int]],
    also: dict[int, list[int]],
) -> dict[int, int]:
    """The moves of one kind.

    Args:
        columns: those that lanes with too many have at home, lane after lane.
        full: those lanes, and how many too many each has.
        room: lanes that can take more, and how many.
        words: columns that a lane takes at most.
        lists: the columns that each lane can take; grow.
        also: further lanes that have a column in their lists; grows.
    """
    moved: dict[int, int] = {}
    homes: list[tuple[list[int], int]] = []  # what each lane has, and how many of them have yet to leave
    begin = 0
    for _, excess in full:
        own = columns[begin : begin + words + excess]
        begin += len(own)
        for column in [one for one in own if one in also]:
            if excess == 0:
                break
            to = next((other for other in also[column] if other in room), None)
            if to is not None:
                moved[column] = to
                excess -= 1
                _take(to, room)
        homes.append((own, excess))
    shortest = [(len(lists[lane]), lane) for lane in room]
    heapify(shortest)
    for own, excess in homes:
        staying = [column for column in own if column not in moved] if excess else []
        for column in reversed(staying[len(staying) - excess :]):
            length, to = shortest[0]
            moved[column] = to
            _take(to, room)
            lists[to].append(column)
            also.setdefault(column, []).append(to)
            if to in room:
                heapreplace(shortest, (length + 1, to))
            else:
                heappop(shortest)
    return moved


def _take(lane: int, room: dict[int, int]) -> None:
    """A lane takes one more."""
    room[lane] -= 1
    if not room[lane]:
        del room[lane]
