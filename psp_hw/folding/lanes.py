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
    lists = _homes(needed, in_channels, lanes)
    for lane, members in enumerate(lists):
        homes[members] = lane
    return Deal(needed, lists, homes, _balanced(needed, homes, lists))


def _homes(needed: BoolArray, in_channels: int, lanes: int) -> list[list[int]]:
    """A lane for every column that is needed; lists grow evenly.

    Columns that the same kinds need (those of a kernel, or of a vector) are dealt one after the other, each to another of the
    lanes whose lists are shortest: those where the kinds that need it have least so far.
    """
    used = np.flatnonzero(needed.any(axis=0))
    used = used[np.lexsort((used, used % in_channels))]
    columns = used.tolist()
    if lanes == 1:
        return [columns]
    member = needed[:, used]
    begins = np.flatnonzero(np.r_[True, (member[:, 1:] != member[:, :-1]).any(axis=0)])
    ends = np.r_[begins[1:], len(used)].tolist()
    wants = np.ascontiguousarray(member[:, begins].T, dtype=np.float32)
    load = np.zeros((lanes, len(needed)), dtype=np.float32)  # whole numbers, exact
    lists: list[list[int]] = [[] for _ in range(lanes)]
    taken, left = np.zeros(lanes, dtype=np.float32), lanes  # infinity where a list is longer than others
    for want, at, end in zip(wants, begins.tolist(), ends, strict=True):
        while at < end:
            cost = load @ want + taken
            count = min(end - at, left)
            if count == 1:
                lane = int(cost.argmin())
                lists[lane].append(columns[at])
                load[lane] += want
                taken[lane] = np.inf
            else:
                chosen = np.argsort(cost, kind="stable")[:count]
                load[chosen] += want
                taken[chosen] = np.inf
                for column, lane in zip(columns[at : at + count], chosen.tolist(), strict=True):
                    lists[lane].append(column)
            left -= count
            if left == 0:
                taken[:], left = 0, lanes
            at += count
    return lists


def _balanced(
    needed: BoolArray, homes: npt.NDArray[np.int64], lists: list[list[int]]
) -> list[dict[int, int]]:
    """Per kind, the columns that leave a lane with too many, and where they go.

    They go to a lane that has room and has the column in its list already, else to the one with room and the shortest list, which
    then grows.
    """
    lanes = len(lists)
    # Columns by lane, summed from the first column of each lane to its last.
    dealt = np.array([column for members in lists for column in members], dtype=np.int64)
    ends = np.cumsum([len(members) for members in lists])
    sums = np.cumsum(needed[:, dealt], axis=1, dtype=np.int64)
    sums = np.concatenate([np.zeros((len(needed), 1), dtype=np.int64), sums], axis=1)
    loads = np.diff(sums[:, np.r_[0, ends]], axis=1)
    words = np.maximum(1, -(-loads.sum(axis=1) // lanes))
    also: dict[int, list[int]] = {}
    at = homes.tolist()
    return [
        _moves(row.tolist(), load.tolist(), most, at, lists, also)
        for row, load, most in zip(needed, loads, words.tolist(), strict=True)
    ]


def _moves(
    row: list[bool],
    load: list[int],
    words: int,
    homes: list[int],
    lists: list[list[int]],
    also: dict[int, list[int]],
) -> dict[int, int]:
    """The moves of one kind; ``also``: further lanes that have a column in their lists."""
    moved: dict[int, int] = {}
    over = [lane for lane, count in enumerate(load) if count > words]
    if not over:
        return moved
    home = {lane: [c for c in lists[lane] if row[c] and homes[c] == lane] for lane in over}
    room = {lane: words - count for lane, count in enumerate(load) if count < words}
    for lane in over:
        for column in home[lane]:
            known = also.get(column)
            if known is None:
                continue
            if load[lane] == words:
                break
            to = next((other for other in known if other in room), None)
            if to is not None:
                _move(column, lane, to, load, room, moved)
    shortest = [(len(lists[lane]), lane) for lane in room]
    heapify(shortest)
    for lane in over:
        staying = [column for column in home[lane] if column not in moved]
        while load[lane] > words:
            column = staying.pop()
            length, to = shortest[0]
            _move(column, lane, to, load, room, moved)
            lists[to].append(column)
            also.setdefault(column, []).append(to)
            if to in room:
                heapreplace(shortest, (length + 1, to))
            else:
                heappop(shortest)
    return moved


def _move(
    column: int, lane: int, to: int, load: list[int], room: dict[int, int], moved: dict[int, int]
) -> None:
    moved[column] = to
    load[lane] -= 1
    room[to] -= 1
    if not room[to]:
        del room[to]
