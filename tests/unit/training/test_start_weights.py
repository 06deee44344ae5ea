"""A training that starts from weights: those of a run or of a saved state_dict, and nothing else."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.errors import RunError
from psp_hw.nn.registry import build_net
from psp_hw.spec.presets import preset
from psp_hw.spec.train import NetSpec
from psp_hw.training.floats import fresh_net
from psp_hw.training.phases import check_net
from psp_hw.training.weights import load_weights


@pytest.fixture(scope="module")
def split() -> Split:
    return load("digits", None, "test")


@pytest.fixture
def trained() -> dict[str, torch.Tensor]:
    torch.manual_seed(77)
    return build_net(NetSpec(), image=(1, 8, 8), classes=10).state_dict()


def _start(split: Split, path: Path) -> dict[str, torch.Tensor]:
    spec = preset()
    return fresh_net(replace(spec, net=replace(spec.net, weights=str(path))), split).state_dict()


def test_a_run_and_a_state_dict_are_where_training_starts(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    torch.save({"net": trained, "masks": {}}, run / "checkpoints" / "pruned.pt")
    torch.save(trained, tmp_path / "plain.pt")
    torch.save({"state_dict": trained, "epoch": torch.tensor(3)}, tmp_path / "nested.pt")

    for path in (run, tmp_path / "plain.pt", tmp_path / "nested.pt"):
        start = _start(split, path)
        assert trained.keys() == start.keys()
        assert all(torch.equal(trained[name], start[name]) for name in trained)


def test_what_cannot_be_a_start_is_named(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pt").write_text("no tensors")
    name = next(iter(trained))
    torch.save(trained | {name: torch.zeros(1, 2)}, tmp_path / "other.pt")
    torch.save({"weights": [1, 2]}, tmp_path / "list.pt")

    for path, told in {
        "missing.pt": "is missing",
        "empty": "has no floats",
        "text.pt": "nothing in it was executed",
        "other.pt": name,
        "list.pt": "does not fit",
    }.items():
        with pytest.raises(RunError) as caught:
            _start(split, tmp_path / path)
        assert told in str(caught.value)


def test_it_is_refused_before_anything_is_trained(split: Split) -> None:
    spec = preset()
    with pytest.raises(RunError):
        check_net(replace(spec, net=replace(spec.net, weights="nowhere.pt")), split)


def test_files_older_than_torch_1_6_are_read(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(trained, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(tmp_path / "old.pt")

    start = _start(split, tmp_path / "old.pt")
    assert all(torch.equal(trained[name], start[name]) for name in trained)


class _Bomb:
    """What runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("modern", [False, True])
def test_nothing_in_a_file_is_executed(split: Split, tmp_path: Path, modern: bool) -> None:
    bomb = {"state_dict": _Bomb(tmp_path / "went-off")}
    torch.save(bomb, tmp_path / "bomb.pt", _use_new_zipfile_serialization=modern)

    with pytest.raises(RunError, match="holds more than tensors; nothing in it was executed"):
        _start(split, tmp_path / "bomb.pt")
    assert not (tmp_path / "went-off").exists()


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "net.", "model.", "module._orig_mod.", "net._orig_mod."]
)
def test_what_wrappers_put_before_every_name_is_taken_off(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path, prefix: str
) -> None:
    torch.save({"state_dict": {prefix + name: value for name, value in trained.items()}}, tmp_path / "w.pt")

    start = _start(split, tmp_path / "w.pt")
    assert all(torch.equal(trained[name], start[name]) for name in trained)


def test_a_prefix_that_only_some_names_have_stays(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    first, *rest = trained
    torch.save({f"module.{first}": trained[first]} | {n: trained[n] for n in rest}, tmp_path / "w.pt")

    with pytest.raises(RunError, match=rf"it lacks '{first}', the network has no 'module\.{first}'"):
        _start(split, tmp_path / "w.pt")


class _OfTheirOwn(nn.Module):
    """A network whose modules are called as those of wrappers are."""

    def __init__(self, *, all_of_it: bool) -> None:
        super().__init__()
        self.net = nn.Linear(3, 2)
        if not all_of_it:
            self.head = nn.Linear(2, 2)


@pytest.mark.parametrize("all_of_it", [True, False])
@pytest.mark.parametrize("prefix", ["", "net.", "model.", "module.net._orig_mod."])
def test_modules_that_are_called_as_wrappers_are_keep_their_names(
    tmp_path: Path, prefix: str, all_of_it: bool
) -> None:
    trained, fresh = _OfTheirOwn(all_of_it=all_of_it).state_dict(), _OfTheirOwn(all_of_it=all_of_it)
    names = {prefix + name: value for name, value in trained.items()}
    torch.save({"net": {"width": torch.tensor(3)}, "model": names}, tmp_path / "w.pt")

    load_weights(fresh, tmp_path / "w.pt")
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in trained.items())


def test_a_file_that_is_no_state_of_a_network_is_refused(tmp_path: Path) -> None:
    within_itself: dict[str, object] = {"a": torch.zeros(1)}
    within_itself["net"] = within_itself
    for content in ({0: torch.zeros(1)}, within_itself, {}, {"net": {}}):
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(RunError, match=r"does not fit the network of the spec: it lacks 'net\.weight'"):
            load_weights(_OfTheirOwn(all_of_it=True), tmp_path / "w.pt")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.to_sparse(),
        lambda value: value.to(torch.complex64),
        lambda value: value.to("meta"),
        lambda value: torch.full_like(value, torch.nan),
        lambda value: torch.full_like(value, torch.inf),
    ],
    ids=["sparse", "complex", "meta", "nan", "infinite"],
)
def test_tensors_that_are_no_finite_real_numbers_are_refused(
    tmp_path: Path, spoil: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    net = _OfTheirOwn(all_of_it=True)
    torch.save(net.state_dict() | {"net.weight": spoil(net.net.weight.detach())}, tmp_path / "w.pt")

    with pytest.raises(RunError, match=r"holds more than finite real numbers: 'net\.weight'"):
        load_weights(net, tmp_path / "w.pt")


def test_the_sentence_names_what_differs(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({f"a{number}": torch.zeros(1) for number in range(5)}, tmp_path / "other.pt")
    convolution = next(iter(trained))
    torch.save(trained | {convolution: torch.zeros(1, 2)}, tmp_path / "shape.pt")

    with pytest.raises(RunError) as foreign:
        _start(split, tmp_path / "other.pt")
    with pytest.raises(RunError) as shape:
        _start(split, tmp_path / "shape.pt")

    some = ", ".join(f"'{name}'" for name in list(trained)[:3])
    counted = [name for name in trained if not name.endswith("num_batches_tracked")]
    assert f"it lacks {some} and {len(counted) - 3} more" in str(foreign.value)
    assert "the network has no 'a0', 'a1', 'a2' and 2 more" in str(foreign.value)
    expected = list(trained[convolution].shape)
    assert f"'{convolution}' is [1, 2] and should be {expected}" in str(shape.value)


def test_counters_of_batches_may_be_missing(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(
        {n: v for n, v in trained.items() if not n.endswith("num_batches_tracked")}, tmp_path / "old.pt"
    )

    start = _start(split, tmp_path / "old.pt")
    assert all(torch.equal(trained[n], start[n]) for n in trained if not n.endswith("num_batches_tracked"))


def _safetensors(tensors: dict[str, torch.Tensor]) -> bytes:
    """As the specification of the format has it."""
    names = {torch.float32: "F32", torch.int64: "I64", torch.bfloat16: "BF16"}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, value in tensors.items():
        content = (
            value.contiguous().view(torch.uint8).numpy().tobytes() if value.ndim else value.numpy().tobytes()
        )
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": names[value.dtype], "shape": list(value.shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_safetensors_are_read(split: Split, trained: dict[str, torch.Tensor], tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(_safetensors(trained))
    start = _start(split, tmp_path / "w.safetensors")
    assert all(torch.equal(trained[name], start[name]) for name in trained)

    halves = {n: v.to(torch.bfloat16) if v.is_floating_point() else v for n, v in trained.items()}
    (tmp_path / "half.safetensors").write_bytes(_safetensors(halves))
    start = _start(split, tmp_path / "half.safetensors")
    assert all(torch.equal(halves[name].to(start[name].dtype), start[name]) for name in trained)


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "length", "offsets"])
def test_damaged_safetensors_are_refused(
    split: Split, trained: dict[str, torch.Tensor], tmp_path: Path, damage: str
) -> None:
    whole = _safetensors(trained)
    file = tmp_path / "w.safetensors"
    file.write_bytes(
        {
            "cut": whole[:-1],
            "header": whole[:20] + b"}" + whole[21:],
            "empty": b"",
            "length": (2**63 - 1).to_bytes(8, "little") + whole[8:],
            "offsets": whole.replace(b'"data_offsets": [0', b'"data_offsets": [4', 1),
        }[damage]
    )
    with pytest.raises(RunError, match="truncated or corrupt"):
        _start(split, file)
