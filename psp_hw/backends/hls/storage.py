"""Which pragmas put a memory where the plan wants it. Names of cores: UG902, "RESOURCE"; UG1399, "BIND_STORAGE"."""

from __future__ import annotations

from psp_hw.backends.base import Target
from psp_hw.folding.plan import MemoryKind


def rom_pragmas(name: str, kind: MemoryKind, target: Target) -> tuple[str, ...]:
    """Pragmas for a constant table of which one row is read per cycle."""
    if kind is MemoryKind.REGISTERS:
        return (f"#pragma HLS ARRAY_PARTITION variable={name} complete dim=0",)
    reshape = f"#pragma HLS ARRAY_RESHAPE variable={name} complete dim=2"
    where = {MemoryKind.LUTRAM: "LUTRAM", MemoryKind.BRAM: "BRAM", MemoryKind.URAM: "URAM"}[kind]
    if target is Target.VITIS:
        return (reshape, f"#pragma HLS BIND_STORAGE variable={name} type=ROM_1P impl={where}")
    return (reshape, f"#pragma HLS RESOURCE variable={name} core=ROM_1P_{where}")


def fifo_pragmas(name: str, depth: int, kind: MemoryKind, target: Target) -> tuple[str, ...]:
    """Pragmas for a stream; ``check_bindable`` says that the tool of the target has the core."""
    stream = f"#pragma HLS STREAM variable={name} depth={depth}"
    where = {MemoryKind.REGISTERS: "SRL", MemoryKind.BRAM: "BRAM", MemoryKind.URAM: "URAM"}[kind]
    if target is Target.VITIS:
        return (stream, f"#pragma HLS BIND_STORAGE variable={name} type=FIFO impl={where}")
    assert kind is not MemoryKind.URAM, "Vivado HLS has no core for it"
    return (stream, f"#pragma HLS RESOURCE variable={name} core=FIFO_{where}")
