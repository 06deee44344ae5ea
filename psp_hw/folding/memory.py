"""Where words are kept when nobody has decided: by depth and size alone, the same on every part; and what UltraRAM may be tried for."""

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

# An UltraRAM is 4096 x 72 bits and has no other shape (UG573): what is narrower or shallower leaves the rest of it idle.
URAM_WORDS, URAM_BITS = 4096, 72
# UltraRAM is tried where each block holds as much as 48 words of 72 bits: what 144 LUTs or two RAMB18 would. Most parts have several
# times as many for each UltraRAM, so it is taken where those have run out.
URAM_LEAST_BITS = 48 * URAM_BITS
# A delay is tried in UltraRAM from a quarter of a block on: smaller ones save too little for one more choice of every such engine.
URAM_DELAY_LEAST_BITS = URAM_WORDS * URAM_BITS // 4


def ultra_blocks(words: int, bits: int) -> int:
    """UltraRAM blocks of ``words`` x ``bits``; their shape is fixed."""
    return -(-words // URAM_WORDS) * -(-bits // URAM_BITS)


def fifo_may_be_ultra(depth: int, bits: int) -> bool:
    """Whether a FIFO of ``depth`` words of ``bits`` bits is worth a try in UltraRAM."""
    return depth * bits >= URAM_LEAST_BITS * ultra_blocks(depth, bits)


def delay_may_be_ultra(depth: int, bits: int) -> bool:
    """Whether a delay of ``depth`` words of ``bits`` bits is worth a try in UltraRAM."""
    return depth * bits >= max(URAM_DELAY_LEAST_BITS, URAM_LEAST_BITS * ultra_blocks(depth, bits))


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
