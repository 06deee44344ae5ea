"""The compiled C++ on the same images."""

from __future__ import annotations

from psp_hw.flow.compare import Comparison, IntArray
from psp_hw.flow.images import FloatImages
from psp_hw.flow.progress import Progress
from psp_hw.flow.source import Source
from psp_hw.ir.graph import Graph


def with_csim(
    source: Source, graph: Graph, images: FloatImages, result: IntArray, progress: Progress
) -> Comparison:
    raise NotImplementedError
