"""Where the C++ headers and the project templates lie, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

import psp_hw
from psp_hw.errors import ToolError


def template_dir() -> Path:
    """Find ``hls_templates``: ``psp_hw/_hls_templates`` in a wheel, ``hls_templates`` beside the package in a checkout.

    Raises:
        ToolError: neither is there: the installation is damaged.
    """
    package = Path(psp_hw.__file__).resolve().parent
    for candidate in (package / "_hls_templates", package.parent / "hls_templates"):
        if (candidate / "include" / "psp").is_dir():
            return candidate
    raise ToolError(
        "the C++ headers of psp-hw are missing from this installation",
        where=str(package),
        hint="install psp-hw again: pip install --force-reinstall --no-deps psp-hw",
    )
