"""Projects for hls4ml 1.3: layers with exact types, our direct convolution among them."""

from __future__ import annotations

from psp_hw.backends.hls4ml.project import emit
from psp_hw.backends.hls4ml.settings import Backend, IoType

__all__ = ["Backend", "IoType", "emit"]
