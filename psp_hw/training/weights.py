"""Trained weights to start from: of a run, a file of `torch.save` of any age, or safetensors. Nothing in a file is executed."""

from __future__ import annotations

import json
import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from psp_hw.errors import RunError
from psp_hw.training.checkpoints import check_checkpoint
from psp_hw.training.run import checked_floats

NESTED = ("net", "state_dict", "model_state_dict", "model")  # where a checkpoint keeps what the network is
_DEEPEST = 3  # such keys within each other
# Of DataParallel and DDP, of torch.compile, of a LightningModule.
WRAPPERS = ("module.", "_orig_mod.", "net.", "model.")
_SAFETENSORS = ".safetensors"
_MAX_HEADER = 1 << 26  # bytes; safetensors itself allows 100 MB
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMED = 3  # tensors in an error message
_COUNTER = ".num_batches_tracked"  # of a BN; files older than 2019 have none, and no weight depends on it


def load_weights(net: nn.Module, source: Path) -> None:
    """Load trained weights into a network, in place.

    Args:
        net: a plain network.
        source: a run, whose floats are taken, or a file of named tensors.

    Raises:
        RunError: missing, damaged, not made of tensors alone, or of another network; says which tensors differ.
    """
    path = checked_floats(source) if source.is_dir() else source
    if not path.is_file():
        hint = "name a run with its checkpoints, or a saved state_dict"
        raise RunError("the file is missing", where=str(path), hint=hint)
    own = net.state_dict()
    state = _of_network(read_tensors(path), own)
    problems = _differences(state, own)
    if problems:
        what = f"does not fit the network of the spec: {', '.join(problems)}"
        raise RunError(what, where=str(path), hint="name its network with --net, or another file")
    strange = [name for name in own if name in state and not _is_plain(state[name])]
    if strange:
        what = f"holds more than finite real numbers: {_list(strange)}"
        raise RunError(what, where=str(path), hint="save dense real tensors without NaN or infinity")
    net.load_state_dict(state, strict=False)


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a file of named tensors.

    A file of torch since 1.6 and safetensors are told apart by their content. Older files carry no checksums: one that is cut is
    noticed, a changed bit in a weight is not.

    Raises:
        RunError: damaged, or made of more than tensors.
    """
    if zipfile.is_zipfile(path):
        return check_checkpoint(path)
    try:
        loaded = _safetensors(path) if path.suffix == _SAFETENSORS else _legacy(path)
    except PermissionError as error:
        raise RunError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except Exception as error:  # damaged bytes make the reader raise anything
        what = "truncated or corrupt, or holds more than tensors; nothing in it was executed"
        hint = "save the tensors alone: torch.save(net.state_dict(), FILE)"
        raise RunError(what, where=str(path), hint=hint) from error
    if not isinstance(loaded, dict):
        raise RunError(f"holds a {type(loaded).__name__}, not named tensors", where=str(path))
    return loaded


def _legacy(path: Path) -> Any:
    """What `torch.save` wrote before 1.6, or was told to write."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors(path: Path) -> dict[str, Tensor]:
    """Eight bytes with the length of a JSON header, the header, then the tensors one behind the other, little-endian."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(_MAX_HEADER, len(content) - 8):
        raise ValueError("the header is longer than the file")
    header = json.loads(content[8 : 8 + length])
    data = memoryview(content)[8 + length :]
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind, shape, (begin, end) = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        if end - begin != math.prod(shape) * kind.itemsize or not 0 <= begin <= end <= len(data):
            raise ValueError(f"'{name}' does not lie in the file")
        values = torch.frombuffer(bytearray(data[begin:end] or b"\0"), dtype=torch.uint8)[: end - begin]
        found[name] = values.view(kind).reshape(shape)
    return found


def _of_network(state: dict[Any, Any], own: Mapping[str, Tensor]) -> dict[str, Any]:
    """Of all ways to read a checkpoint, the one with the most names of the network; of equal ones, the innermost.

    A network may have modules of its own that are called as a wrapper is: how many names fit decides what is taken off.
    """
    readings = [reading for nested in _nested(state) for reading in _unwrapped(nested)]
    return max(reversed(readings), key=lambda reading: len(own.keys() & reading.keys()))


def _nested(state: dict[Any, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    """The names of a checkpoint, and those of what it keeps under a key that usually holds the network."""
    yield {name: value for name, value in state.items() if isinstance(name, str)}
    for key in NESTED if depth < _DEEPEST else ():
        if isinstance(state.get(key), dict):
            yield from _nested(state[key], depth + 1)


def _unwrapped(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The names as they are, then without what wrappers put before every one of them."""
    yield state
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            yield from _unwrapped({name[len(prefix) :]: value for name, value in state.items()})


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor holds its values, and these are finite and real."""
    dense = value.layout is torch.strided and not (value.is_meta or value.is_quantized or value.is_complex())
    return dense and bool(torch.isfinite(value).all())


def _differences(state: Mapping[str, Any], own: Mapping[str, Tensor]) -> list[str]:
    """What keeps tensors from being those of a network; empty: nothing."""
    missing = [name for name in own if name not in state and not name.endswith(_COUNTER)]
    foreign = [name for name in state if name not in own]
    shared = [name for name in own if name in state]
    shapes = [
        f"'{name}' is {_shape(state[name])} and should be {_shape(own[name])}"
        for name in shared
        if _shape(state[name]) != _shape(own[name])
    ]
    found = []
    if missing:
        found.append(f"it lacks {_list(missing)}")
    if foreign:
        found.append(f"the network has no {_list(foreign)}")
    if shapes:
        more = f" and {len(shapes) - _NAMED} more differ" if len(shapes) > _NAMED else ""
        found.append(", ".join(shapes[:_NAMED]) + more)
    return found


def _list(names: list[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + more


def _shape(value: object) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"
