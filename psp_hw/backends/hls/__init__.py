"""HLS C++ for Vivado HLS 2019.2+ and Vitis HLS 2021.1+."""

from __future__ import annotations

from psp_hw.backends.hls.project import emit

__all__ = ["emit"]
