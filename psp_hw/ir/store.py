"""A graph in a folder: ``graph.txt`` and ``graph.npz``, the same bytes for the same graph."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.errors import RunError
from psp_hw.ir.graph import Graph
from psp_hw.ir.text import parse_graph, print_graph
from psp_hw.ir.verify import GraphError, verify
from psp_hw.spec.files import read_bounded, read_text_bounded

TEXT_NAME = "graph.txt"
CONSTANTS_NAME = "graph.npz"
MAX_TEXT_BYTES = 64 << 20
MAX_CONSTANTS_BYTES = 1 << 30  # packed, and unpacked


def files_of(graph: Graph) -> dict[str, bytes]:
    """Content of the two files, by name."""
    return {TEXT_NAME: print_graph(graph).encode(), CONSTANTS_NAME: _pack(graph)}


def load(folder: Path) -> Graph:
    """The graph stored in a folder.

    Raises:
        RunError: a file is missing, corrupt, or the two do not belong together.
    """
    try:
        text = read_text_bounded(folder / TEXT_NAME, MAX_TEXT_BYTES)
        constants = _unpack(read_bounded(folder / CONSTANTS_NAME, MAX_CONSTANTS_BYTES))
    except FileNotFoundError as error:
        raise RunError(
            f"{Path(error.filename).name} is missing", where=str(folder), hint="emit the design again"
        ) from error
    except Exception as error:  # damaged bytes make the readers raise anything
        reason = "holds objects, not arrays of integers" if "allow_pickle" in str(error) else str(error)
        raise RunError(
            f"the graph cannot be read: {reason}", where=str(folder), hint="emit the design again"
        ) from error
    try:
        return verify(parse_graph(text, constants))
    except GraphError as error:
        raise RunError(
            f"the graph is not valid: {error}", where=str(folder), hint="emit the design again"
        ) from error


def _unpack(content: bytes) -> dict[str, IntArray]:
    """The arrays of an npz archive, which may not be many times larger than it says."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_CONSTANTS_BYTES:
        raise ValueError(f"{CONSTANTS_NAME} unpacks to {size} bytes, more than {MAX_CONSTANTS_BYTES}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _pack(graph: Graph) -> bytes:
    """An npz archive without time stamps, unlike ``np.savez``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, constant in graph.constants.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, constant, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())
    return out.getvalue()
