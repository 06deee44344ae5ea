"""Prices of what holds words: ROMs, delays, FIFOs; block RAM and UltraRAM by their real shapes."""

from __future__ import annotations

import math
from typing import assert_never

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.cost.prices import Prices, half
from psp_hw.cost.resources import Resources
from psp_hw.folding.memory import memory_for_fifo, ultra_blocks
from psp_hw.folding.plan import MemoryKind

# Words of a shift register in one SLICEM LUT, of two that share their address, and of a ROM or RAM (UG474, UG574).
SRL_WORDS = 32
SRL_PAIR_WORDS = 16
LUTRAM_WORDS = 64
# What is shorter than this stays in flip-flops: the default of Vivado's -shreg_min_size (UG901).
SRL_LEAST_WORDS = 3
# More words than this have more different columns than any word has bits.
FEW_WORDS = 20
# Ways of a multiplexer in a LUT6, and of one in a slice (UG474, "Multiplexers").
MUX_WAYS, SLICE_MUX_WAYS = 4, 16

# RAMB18 as (words, bits): simple dual port and ROM may use all 36 (UG473 Table 1-6, UG573 Table 1-6).
RAMB18_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


def blocks18(words: int, bits: int) -> int:
    """RAMB18 of ``words`` x ``bits`` in the shape that takes the fewest."""
    return min(math.ceil(words / depth) * math.ceil(bits / width) for depth, width in RAMB18_SHAPES)


def shift_luts(words: int, bits: int) -> int:
    """LUTs of a shift register of ``words`` x ``bits``."""
    return half(bits) if words <= SRL_PAIR_WORDS else bits * math.ceil(words / SRL_WORDS)


def mux_luts(ways: int, bits: int) -> int:
    """LUTs of a multiplexer: 4:1 in a LUT6, up to 16:1 in a slice with its F7 and F8 multiplexers, then another level (UG474)."""
    if ways < 2:
        return 0
    if ways == 2:
        return half(bits)
    return bits * math.ceil(ways / MUX_WAYS) + mux_luts(math.ceil(ways / SLICE_MUX_WAYS), bits)


def delay(words: int, bits: int, kind: MemoryKind, *, rtl: bool = True) -> Resources:
    """A delay: ``words - 1`` words in memory, the last in the register that the tap reads.

    A row of a memory is read at one address and written a stage later at another, each a register; LUTs give what they hold to a
    register, a block has its own.
    """
    kept = words - 1
    if kept == 0:
        return Resources(ff=bits)
    pointer = max(1, (kept - 1).bit_length())
    match kind:
        case MemoryKind.REGISTERS if rtl and kept < SRL_LEAST_WORDS:
            return Resources(ff=bits * words)
        case MemoryKind.REGISTERS:
            return Resources(lut=shift_luts(kept, bits), ff=bits)
        case MemoryKind.LUTRAM:
            return Resources(lut=_ram_luts(kept, bits) + 2 * pointer, ff=2 * (bits + pointer))
        case MemoryKind.BRAM:
            return Resources(bram18=blocks18(kept, bits), lut=2 * pointer, ff=2 * pointer + bits)
        case MemoryKind.URAM:
            return Resources(uram=ultra_blocks(kept, bits), lut=2 * pointer, ff=2 * pointer + bits)
        case _:
            assert_never(kind)


def _ram_luts(words: int, bits: int) -> int:
    """LUTs of a distributed RAM with a port to write and one to read: four hold 32 x 6 bits or 64 x 3 (UG474, RAM32M, RAM64M)."""
    if words <= SRL_WORDS:
        return math.ceil(bits * 2 / 3)
    parts = math.ceil(words / LUTRAM_WORDS)
    return math.ceil(bits * 4 / 3) * parts + mux_luts(parts, bits)


def _table_luts(words: int, bits: int) -> int:
    """LUTs of a table that is read in logic: a function of the address per bit.

    Up to 32 words two functions share a LUT6, up to 64 each takes one, and 256 words fit a slice with its multiplexers. There are
    no more different functions than words allow, their complements apart.
    """
    if words <= SRL_WORDS:
        return half(min(bits, 2 ** (words - 1)))
    return mux_luts(4 * math.ceil(words / LUTRAM_WORDS), bits)


def _different(words: int) -> int:
    """Different columns that so few words can have, constant ones apart: RTL synthesis keeps one register of equal ones."""
    return (1 << min(words, FEW_WORDS)) - 2


def roms(words: IntArray, bits: IntArray, kind: MemoryKind) -> IntArray:
    """What ROMs take after RTL synthesis, many at once: ``rom`` for each.

    Args:
        words, bits: sizes [n], words above one.
        kind: LUTRAM or BRAM.

    Returns:
        amounts in the order of ``Resource`` [n, 5].
    """
    none = np.zeros_like(words)
    if kind is MemoryKind.BRAM:
        shapes = [-(-words // depth) * -(-bits // width) for depth, width in RAMB18_SHAPES]
        return np.stack([none, none, none, np.min(shapes, axis=0), none], axis=1)
    few = words <= SRL_WORDS
    shared = -(-np.minimum(bits, 1 << np.where(few, words - 1, 0)) // 2)
    luts = np.where(few, shared, muxes(4 * -(-words // LUTRAM_WORDS), bits))
    registers = np.minimum(bits, (1 << np.minimum(words, FEW_WORDS)) - 2)
    return np.stack([none, luts, registers, none, none], axis=1)


def gates(bits: IntArray) -> IntArray:
    """LUTs of gates after RTL synthesis, many at once [n]: ``half`` of each."""
    return -(-bits // 2)


def muxes(ways: IntArray, bits: IntArray) -> IntArray:
    """LUTs of multiplexers, many at once: ``mux_luts`` for each [n]."""
    found = np.zeros_like(ways)
    while (ways >= 2).any():
        found += np.where(ways > 2, bits * -(-ways // MUX_WAYS), np.where(ways == 2, -(-bits // 2), 0))
        ways = np.where(ways > 2, -(-ways // SLICE_MUX_WAYS), 0)
    return found


def rom(words: int, bits: int, kind: MemoryKind, prices: Prices, *, rtl: bool = True) -> Resources:
    """A ROM with a registered output; a single word is wiring.

    REGISTERS says that no memory was asked for: a table that is read in logic, without a register behind it.
    """
    if words == 1:
        return Resources()
    match kind:
        case MemoryKind.REGISTERS | MemoryKind.LUTRAM:
            luts = math.ceil(prices.values["lut_rom"] * words * bits / LUTRAM_WORDS)
            registered = bits if kind is MemoryKind.LUTRAM else 0
            if not rtl:
                return Resources(lut=luts, ff=registered)
            return Resources(lut=_table_luts(words, bits), ff=min(registered, _different(words)))
        case MemoryKind.BRAM:
            return Resources(bram18=blocks18(words, bits))
        case MemoryKind.URAM:
            return Resources(uram=ultra_blocks(words, bits))
        case _:
            assert_never(kind)


def fifo(depth: int, bits: int, prices: Prices, *, rtl: bool, kind: MemoryKind | None = None) -> Resources:
    """A FIFO in shift registers, block RAM or UltraRAM; ``memory_for_fifo`` decides where nobody has.

    No published report has one in UltraRAM: its addresses, its flags and the register that shows the next word are taken to be those of
    a FIFO in block RAM, of which the tools make it by the same template; its blocks follow from their only shape (UG573).
    """
    kind = kind or memory_for_fifo(depth, bits)
    address = max(1, (depth - 1).bit_length())
    if kind is MemoryKind.REGISTERS:
        if rtl:
            return Resources(lut=shift_luts(depth, bits) + 3 * address + 6, ff=address + 4)
        return Resources(lut=prices.line("fifo_lut", bits * math.ceil(depth / SRL_WORDS)), ff=address + 4)
    ff = round(prices.values["block_fifo_ff"] + prices.values["block_fifo_ff_per_bit"] * bits)
    lut = half(bits) + 6 * address if rtl else prices.line("fifo_lut", bits) + 4 * address
    if kind is MemoryKind.URAM:
        return Resources(uram=ultra_blocks(depth, bits), lut=lut, ff=ff)
    if rtl:
        return Resources(bram18=blocks18(depth, bits), lut=lut, ff=ff)
    # C synthesis counts the RAM of a FIFO at 18 bits per RAMB18, whatever its depth below 1024.
    blocks = min(math.ceil(depth / words) * math.ceil(bits / width) for words, width in RAMB18_SHAPES[1:])
    return Resources(bram18=blocks, lut=lut, ff=ff)
