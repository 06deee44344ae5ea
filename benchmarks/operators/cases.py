"""A module to be mapped beside the bill that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.operators.mapping import Module
from psp_hw.cost.bill import Bill, Item, Operator, bill
from psp_hw.cost.devices import Fabric
from psp_hw.cost.pricing import price_bill
from psp_hw.cost.resources import Resources

FABRICS = {"xc7": Fabric.SERIES7, "xcup": Fabric.ULTRASCALE_PLUS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An operator, or a few that belong together, and the Verilog of it.

    Args:
        group: what medians are taken over.
        text: what is particular about this one.
        bill: what is priced.
        module: what is mapped.
    """

    group: str
    text: str
    bill: Bill
    module: Module

    @property
    def price(self) -> Resources:
        """What we say is left after RTL synthesis."""
        return price_bill(self.bill, FABRICS[self.module.family])


@dataclass
class Cases:
    """Cases in order, with names of their own."""

    found: list[Case] = field(default_factory=list)

    def add(
        self,
        group: str,
        text: str,
        items: Operator | list[Item | Operator],
        ports: str,
        body: str,
        *,
        dsp: bool = False,
    ) -> None:
        name = f"m{len(self.found)}"
        verilog = f"module {name}({ports});\n{body}\nendmodule\n"
        parts = items if isinstance(items, list) else [items]
        module = Module(name=name, verilog=verilog, dsp=dsp)
        self.found.append(Case(group=group, text=text, bill=bill(parts), module=module))


def chosen(ways: Sequence[str], select: str, bits: int, name: str) -> tuple[list[str], str]:
    """A multiplexer as HLS writes it, of two by two, a level per bit of the selection: its lines and its value.

    Args:
        ways: what is chosen from; of a way that is never chosen the neighbour takes the place.
        select: a vector of as many bits as needed.
        name: that wires begin with.
    """
    lines, level, values = [], 0, list(ways)
    while len(values) > 1:
        following = []
        for index in range(0, len(values), 2):
            wire = f"{name}_{level}_{index // 2}"
            both = f"{select}[{level}] ? {values[index + 1]} : " if index + 1 < len(values) else ""
            lines.append(f"wire [{bits - 1}:0] {wire} = {both}{values[index]};")
            following.append(wire)
        level, values = level + 1, following
    return lines, values[0]
