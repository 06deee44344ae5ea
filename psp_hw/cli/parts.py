"""``psp-hw parts``: the FPGAs and boards that are known."""

from __future__ import annotations

from psp_hw.cli import console
from psp_hw.cli.options import Json


def command(as_json: Json = False) -> None:
    """List the FPGAs and boards that are known.

    A part is asked for by its device, with or without package and speed grade: xc7z020 or xc7z020clg400-1.
    """
    from psp_hw.cost.boards import BOARDS
    from psp_hw.cost.parts import PARTS
    from psp_hw.cost.resources import Resource

    if as_json:
        console.show_json(
            {
                "parts": [
                    {
                        "name": part.name,
                        "family": part.family.value,
                        "resources": {resource.value: amount for resource, amount in part.resources},
                        "source": part.source,
                    }
                    for part in PARTS
                ],
                "boards": [
                    {
                        "name": board.name,
                        "part": board.part,
                        "clock_ns": board.clock_ns,
                        "interface": board.interface,
                        "source": board.source,
                    }
                    for board in BOARDS
                ],
            }
        )
        return
    head = ("Part", "Family", "Source", *(resource.value for resource in Resource))
    rows = [
        (part.name, part.family.value, part.source, *(f"{amount:,}" for _, amount in part.resources))
        for part in PARTS
    ]
    console.show_table(head, rows, text_columns=3)
    boards = [(board.name, board.part, board.interface, f"{board.clock_ns:g}") for board in BOARDS]
    console.show_table(("Board", "Part", "Frames come and go by", "Clock [ns]"), boards, text_columns=3)
