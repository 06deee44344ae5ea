"""Passes: a graph in, an equal graph out that needs less hardware."""

from psp_hw.passes.pipeline import PASSES, optimize

__all__ = ["PASSES", "optimize"]
