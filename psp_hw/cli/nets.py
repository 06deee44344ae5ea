"""``psp-hw nets``: the networks that are known."""

from __future__ import annotations

from psp_hw.cli import console
from psp_hw.cli.options import Json


def command(as_json: Json = False) -> None:
    """List the networks that are known.

    Your own: psp-hw train --net package.module:function, a function that returns an nn.Module.
    """
    from psp_hw.nn.catalog import NETS

    if as_json:
        console.show_json(
            {
                "nets": [
                    {
                        "name": net.name,
                        "summary": net.summary,
                        "layers": net.layers,
                        "parameters": net.params,
                        "macs": net.macs,
                        "image": list(net.image),
                        "classes": net.classes,
                        "widths": list(net.widths),
                        "blocks": list(net.blocks),
                        "source": net.source,
                    }
                    for net in NETS.values()
                ]
            }
        )
        return
    rows = [
        (
            net.name,
            net.summary,
            str(net.layers),
            f"{net.params:,}",
            f"{net.macs:,}",
            "x".join(map(str, net.image)),
        )
        for net in NETS.values()
    ]
    head = ("Network", "What", "Layers", "Parameters", "MACs", "Image")
    console.show_table(head, rows, text_columns=2)
