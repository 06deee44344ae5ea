"""``psp-hw parts``: the FPGAs that are known."""

from __future__ import annotations

from psp_hw.cli import console
from psp_hw.cli.options import Json


def command(as_json: Json = False) -> None:
    """List the FPGAs that are known."""
    from psp_hw.flow.parts import RESOURCES, parts

    found = parts()
    if as_json:
        console.show_json(
            {
                "parts": [
                    {
                        "name": part.name,
                        "family": part.family,
                        "resources": dict(zip(RESOURCES, part.amounts, strict=True)),
                        "source": part.source,
                    }
                    for part in found
                ]
            }
        )
        return
    rows = [
        (part.name, part.family, *(f"{amount:,}" for amount in part.amounts), part.source) for part in found
    ]
    made = console.table(("Part", "Family", *RESOURCES, "Source"), rows, text_columns=2)
    made.columns[-1].justify = "left"
    console.out().print(made)
