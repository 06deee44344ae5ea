"""What a back end can tell its tool: the kinds of multipliers, the folds and the memories that it knows how to bind."""

from __future__ import annotations

from dataclasses import dataclass, replace

from psp_hw.folding.plan import MultiplierKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Bindable:
    """What the choices of a search are made from.

    Args:
        multipliers: how products can be made.
        folded_maps: whether affine maps and thresholds can be folded (`psp_hw.folding.maps`).
        ultra_fifos, ultra_delays: what can be kept in UltraRAM; constants it cannot hold (`psp_hw.folding.ports`).
    """

    multipliers: frozenset[MultiplierKind] = frozenset(MultiplierKind)
    folded_maps: bool = True
    ultra_fifos: bool = True
    ultra_delays: bool = True

    def on_part(self, *, ultra_ram: bool) -> Bindable:
        """What is left of it on a part with or without UltraRAM."""
        return self if ultra_ram else replace(self, ultra_fifos=False, ultra_delays=False)


ANYTHING = Bindable()
