"""The caller's own images: what is taken and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.errors import DataError
from psp_hw.flow.images import from_file
from psp_hw.ir.types import TensorType

FRAME = TensorType(height=4, width=5, channels=3, fmt=FixedPoint(width=8, signed=True, frac=5))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint8", "int64"])
def test_real_numbers_of_any_width_are_taken(tmp_path: Path, dtype: str) -> None:
    given = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(dtype)
    np.save(tmp_path / "x.npy", given)

    taken = from_file(tmp_path / "x.npy", FRAME)

    assert np.array_equal(given.astype(np.float64), taken.values)
    assert taken.labels is None


def save(path: Path, array: object) -> Path:
    np.save(path, array, allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((3, 4, 5)), r"\[3, 4, 5\], the network takes \[N, 3, 4, 5\]"),
        (
            np.zeros((1, 4, 5, 3)),
            r"the network takes \[N, 3, 4, 5\] \(channels come .*transpose\(0, 3, 1, 2\)\)",
        ),
        (np.zeros((0, 3, 4, 5)), r"the network takes"),
        (np.zeros((1, 3, 4, 5), dtype=complex), "complex128, not real numbers"),
        (np.zeros((1, 3, 4, 5), dtype=bool), "bool, not real numbers"),
        (np.full((1, 3, 4, 5), "a"), "not real numbers"),
        (np.full((2, 3, 4, 5), np.nan), r"the value at \[0, 0, 0, 0\] is nan"),
        (np.full((2, 3, 4, 5), -np.inf), "is -inf"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_file(save(tmp_path / "x.npy", array), FRAME)


class Boom:
    """Fails the test if a pickle of it is ever loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (pytest.fail, ("the pickle was executed",))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Boom()))
    save(tmp_path / "object.npy", np.array([Boom()], dtype=object))

    for name in ("pickle.npy", "object.npy"):
        with pytest.raises(DataError, match=r"not a \.npy file of numbers"):
            from_file(tmp_path / name, FRAME)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"hello"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)

    with pytest.raises(DataError):
        from_file(tmp_path / "x.npy", FRAME)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npy: No such file"):
        from_file(tmp_path / "none.npy", FRAME)


def test_a_truncated_array_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", np.zeros((2, 3, 4, 5)))
    path.write_bytes(path.read_bytes()[:-8])

    with pytest.raises(DataError):
        from_file(path, FRAME)


def npy_header(text: str) -> bytes:
    header = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3, 4, 5), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999999999, 3, 4, 5), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3, 4, 5), }",
        "{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (1, 3, 4, 5), }",
        "(" * 9000,
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "x.npy").write_bytes(npy_header(header))

    with pytest.raises(DataError, match=r"is not a \.npy file of numbers"):
        from_file(tmp_path / "x.npy", FRAME)


def test_numbers_beyond_float64_are_refused_without_a_warning(tmp_path: Path) -> None:
    large = np.full((1, 3, 4, 5), np.longdouble(10) ** 4000)

    with pytest.raises(DataError, match=r"the value at \[0, 0, 0, 0\] is inf"):
        from_file(save(tmp_path / "x.npy", large), FRAME)
