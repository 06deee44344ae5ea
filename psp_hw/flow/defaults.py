"""What holds where the user says nothing."""

from __future__ import annotations

from pathlib import Path

DEFAULT_PART = "xc7z020clg400-1"
DEFAULT_CLOCK_NS = 10.0
DEFAULT_TARGET = "vivado"
RUNS = Path("runs")
