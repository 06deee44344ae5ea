"""Boards by name: which part sits on them, the clock that designs on them usually run at, how frames get in and out.

Clocks are those that the boards' own examples use (PYNQ overlays, Vitis platforms), not limits.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from psp_hw.errors import SpecError

DMA = "AXI4-Stream from the processor's memory, by AXI DMA"
HOST_DMA = "AXI4-Stream from a kernel that reads card memory over PCIe"
OWN_STREAM = "AXI4-Stream from a MicroBlaze or logic of your own; there is no processor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A board.

    Args:
        name: as its maker writes it.
        part: the part string as vendor tools take it.
        clock_ns: usual clock period [ns].
        interface: how frames usually come and go.
        source: where part and clock are from.
    """

    name: str
    part: str
    clock_ns: float
    interface: str
    source: str


BOARDS: tuple[Board, ...] = (
    Board(
        name="PYNQ-Z2",
        part="xc7z020clg400-1",
        clock_ns=10.0,
        interface=DMA,
        source="TUL PYNQ-Z2 reference manual",
    ),
    Board(
        name="PYNQ-Z1", part="xc7z020clg400-1", clock_ns=10.0, interface=DMA, source="Digilent PYNQ-Z1 manual"
    ),
    Board(
        name="Zybo Z7-20",
        part="xc7z020clg400-1",
        clock_ns=10.0,
        interface=DMA,
        source="Digilent Zybo Z7 manual",
    ),
    Board(
        name="Zybo Z7-10",
        part="xc7z010clg400-1",
        clock_ns=10.0,
        interface=DMA,
        source="Digilent Zybo Z7 manual",
    ),
    Board(
        name="Arty A7-100T",
        part="xc7a100tcsg324-1",
        clock_ns=10.0,
        interface=OWN_STREAM,
        source="Digilent Arty A7 manual",
    ),
    Board(
        name="Arty A7-35T",
        part="xc7a35ticsg324-1L",
        clock_ns=10.0,
        interface=OWN_STREAM,
        source="Digilent Arty A7 manual",
    ),
    Board(
        name="ZedBoard", part="xc7z020clg484-1", clock_ns=10.0, interface=DMA, source="Avnet ZedBoard guide"
    ),
    Board(name="ZC706", part="xc7z045ffg900-2", clock_ns=5.0, interface=DMA, source="UG954"),
    Board(name="ZCU102", part="xczu9eg-ffvb1156-2-e", clock_ns=5.0, interface=DMA, source="UG1182"),
    Board(name="ZCU104", part="xczu7ev-ffvc1156-2-e", clock_ns=5.0, interface=DMA, source="UG1267"),
    Board(name="KV260", part="xck26-sfvc784-2LV-c", clock_ns=5.0, interface=DMA, source="UG1089"),
    Board(name="KR260", part="xck26-sfvc784-2LV-c", clock_ns=5.0, interface=DMA, source="UG1092"),
    Board(
        name="Ultra96-V2",
        part="xczu3eg-sbva484-1-i",
        clock_ns=6.67,
        interface=DMA,
        source="Avnet Ultra96-V2 guide",
    ),
    Board(name="U50", part="xcu50-fsvh2104-2-e", clock_ns=3.33, interface=HOST_DMA, source="DS965, UG1371"),
    Board(name="U55C", part="xcu55c-fsvh2892-2L-e", clock_ns=3.33, interface=HOST_DMA, source="DS978"),
    Board(name="U200", part="xcu200-fsgd2104-2-e", clock_ns=3.33, interface=HOST_DMA, source="DS962"),
    Board(name="U250", part="xcu250-figd2104-2L-e", clock_ns=3.33, interface=HOST_DMA, source="DS962"),
    Board(name="U280", part="xcu280-fsvh2892-2L-e", clock_ns=3.33, interface=HOST_DMA, source="DS963"),
)


def find_board(name: str) -> Board:
    """The board of a name; case, spaces and dashes do not matter, nor does "Alveo" before a card.

    Raises:
        SpecError: no such board; names the nearest.
    """
    wanted = _plain(name)
    for board in BOARDS:
        if wanted == _plain(board.name):
            return board
    near = difflib.get_close_matches(wanted, [_plain(board.name) for board in BOARDS], n=3, cutoff=0.5)
    names = [board.name for board in BOARDS if _plain(board.name) in near]
    hint = f"did you mean {' or '.join(names)}? " if names else ""
    raise SpecError(f"the board {name!r} is not known", where="board", hint=f"{hint}`psp-hw parts` lists all")


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum()).removeprefix("alveo")
