"""The last two checkpoints: one of them is good at every moment, and a bad one is noticed, whatever its damage."""

from __future__ import annotations

import errno
import io
import os
import random
from pathlib import Path

import pytest
import torch

from psp_hw.errors import RunError
from psp_hw.spec.train import EngineSpec, ScheduleSpec
from psp_hw.training import durable
from psp_hw.training.checkpoints import DAMAGED, Shelf, check_checkpoint
from psp_hw.training.modules import Phase


def _content(number: int) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weights": torch.arange(500.0) + number}, buffer)
    return buffer.getvalue()


def _number(path: Path | None) -> int:
    assert path is not None
    return int(check_checkpoint(path)["weights"][0])


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """With the checkpoints 1 and 2 on it."""
    made = Shelf(folder=tmp_path, phase="train")
    made.put(_content(1))
    made.put(_content(2))
    return made


def _silent(_: str) -> None:
    raise AssertionError("nothing was to be said")


def test_the_last_and_the_one_before_are_kept(shelf: Shelf) -> None:
    shelf.put(_content(3))

    assert (3, 2) == (_number(shelf.last), _number(shelf.previous))
    assert 3 == _number(shelf.newest(_silent))
    assert ["train-last.ckpt", "train-previous.ckpt"] == sorted(p.name for p in shelf.folder.iterdir())


@pytest.mark.parametrize("seed", range(40))
def test_a_changed_byte_is_noticed_or_changes_nothing(shelf: Shelf, seed: int) -> None:
    """torch.load alone reads a flipped bit of a tensor as another number."""
    rng = random.Random(seed)
    content = bytearray(shelf.last.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    shelf.last.write_bytes(content)
    said: list[str] = []

    found = shelf.newest(said.append)

    assert torch.equal(check_checkpoint(found)["weights"], torch.arange(500.0) + (1 if said else 2))  # type: ignore[arg-type]


def test_most_changed_bytes_lie_in_tensors_and_are_noticed(shelf: Shelf) -> None:
    content = shelf.last.read_bytes()
    middle = content.index(torch.arange(500.0).add(2).numpy().tobytes()[:64]) + 40
    shelf.last.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])

    assert torch.load(shelf.last, weights_only=True) is not None
    with pytest.raises(RunError, match=r"train-last\.ckpt: truncated or corrupt"):
        check_checkpoint(shelf.last)


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_one_is_named_and_the_one_before_used(shelf: Shelf, length: int) -> None:
    shelf.last.write_bytes(shelf.last.read_bytes()[:length])
    said: list[str] = []

    assert 1 == _number(shelf.newest(said.append))

    (sentence,) = said
    assert sentence.startswith(f"{shelf.last}: truncated or corrupt")
    assert sentence.endswith("training goes on from the one before, train-previous.ckpt")
    shelf.put(_content(7))
    assert (7, 1) == (_number(shelf.last), _number(shelf.previous)), "the good one was not pushed out"
    assert (shelf.folder / f"train-last.ckpt{DAMAGED}").is_file()


def test_both_damaged_is_an_error_that_names_both(shelf: Shelf) -> None:
    for path in (shelf.last, shelf.previous):
        path.write_bytes(b"not a checkpoint")

    with pytest.raises(RunError) as caught:
        shelf.newest(_silent)

    assert str(shelf.last) == caught.value.where
    assert "damaged, and so is the one before, train-previous.ckpt" in str(caught.value)
    assert "delete both to start this phase again" in str(caught.value)


def test_one_damaged_without_a_forerunner_is_an_error(shelf: Shelf) -> None:
    shelf.previous.unlink()
    shelf.last.write_bytes(b"")

    with pytest.raises(
        RunError, match=r"train-last\.ckpt: truncated or corrupt.*delete it to start this phase"
    ):
        shelf.newest(_silent)


def test_none_is_none(tmp_path: Path) -> None:
    assert Shelf(folder=tmp_path, phase="train").newest(_silent) is None


class _Fail:
    """Lets the n-th call of a function fail, as a disk does."""

    def __init__(self, function: object, at: int) -> None:
        self.function, self.at, self.calls = function, at, 0

    def __call__(self, *arguments: object, **keywords: object) -> object:
        self.calls += 1
        if self.calls == self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.function(*arguments, **keywords)  # type: ignore[operator]


@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("function", ["os.fsync", "os.open", "pathlib.Path.replace"])
def test_a_disk_that_fails_at_any_call_leaves_a_good_checkpoint_and_no_half_one(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, function: str, at: int
) -> None:
    owner, name = (Path, "replace") if "Path" in function else (os, function.partition(".")[2])
    failing = _Fail(getattr(owner, name), at)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, lambda *a, **k: failing(*a, **k))
        said = ""
        try:
            shelf.put(_content(3))
        except RunError as error:
            said = str(error)

    failed = failing.calls >= at
    assert failed == ("cannot be written: No space left on device (free some space" in said)
    assert _number(shelf.newest(_silent)) in ((2, 3) if failed else (3,))
    assert not list(shelf.folder.glob(".*"))


def test_two_processes_never_hold_one_folder(tmp_path: Path) -> None:
    with (
        durable.alone_in(tmp_path),
        pytest.raises(RunError, match="another process trains into this run"),
        durable.alone_in(tmp_path),
    ):
        pass
    with durable.alone_in(tmp_path):
        pass


@pytest.mark.filterwarnings(
    "ignore:.*deprecated:DeprecationWarning"
)  # torch's own, when its compiler is imported
@pytest.mark.parametrize("compiled", [False, True])
def test_a_phase_holds_its_network_once(compiled: bool) -> None:
    net = torch.nn.Linear(2, 2)
    phase = Phase(net, ScheduleSpec(), 1, EngineSpec(compile=compiled))

    assert {f"net.{name}" for name in net.state_dict()} == set(phase.state_dict())
