"""Train CNNs with Parameterized Structured Pruning and generate FPGA designs of the surviving taps only."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"
__all__ = [
    "PruningCallback",
    "advance",
    "compact",
    "density",
    "parameter_groups",
    "penalty",
    "prune",
    "remove",
]

# Loaded when first used: `import psp_hw` and `psp-hw --help` know neither torch nor numpy.
_HOME = dict.fromkeys(__all__, "psp_hw.pruning.library") | {
    "PruningCallback": "psp_hw.pruning.callback",
    "compact": "psp_hw.pruning.compact",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'psp_hw' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
