"""Where words are kept when nobody has decided: by depth and size alone, the same on every part."""

from __future__ import annotations

from psp_hw.folding.plan import MemoryKind

# A 7-series or UltraScale SLICEM LUT holds 64 x 1 bits of distributed RAM and shifts by up to 32 (UG474, UG574).
# Below these limits LUTs cost less than the half-empty RAMB18 (18 Kibit) that they would replace.
SHIFT_REGISTER_DEPTH = 64
BRAM_LEAST_BITS = 4096

# One SLICEM makes a shift register of up to 128 x 1 bits with a readable tap (four SRLC32E and its F7 and F8 multiplexers).
# Left alone, Vivado HLS puts a FIFO of more than 512 bits into block RAM even if it is only 2 deep: a stream of wide pixels
# would take a RAMB18 per 18 bits. So back ends bind the storage of every FIFO as this module says.
FIFO_SHIFT_REGISTER_DEPTH = 128


def memory_for_delay(depth: int, bits: int) -> MemoryKind:
    """Memory of a delay of ``depth`` words of ``bits`` bits."""
    if depth <= SHIFT_REGISTER_DEPTH or depth * bits < BRAM_LEAST_BITS:
        return MemoryKind.REGISTERS
    return MemoryKind.BRAM


def memory_for_fifo(depth: int, bits: int) -> MemoryKind:
    """Memory of a FIFO of ``depth`` words of ``bits`` bits: shift registers or block RAM."""
    if depth <= FIFO_SHIFT_REGISTER_DEPTH or depth * bits < BRAM_LEAST_BITS:
        return MemoryKind.REGISTERS
    return MemoryKind.BRAM
