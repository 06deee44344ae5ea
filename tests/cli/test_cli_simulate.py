"""``psp-hw simulate`` on a trained run: equal to Brevitas, and a difference is found, named and fatal."""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from psp_hw.cli import main
from psp_hw.flow import simulate as flow
from psp_hw.flow.source import read_graph, resolve
from psp_hw.ir.graph import Graph
from psp_hw.lowering import Lowered


@pytest.fixture(scope="module")
def run(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of our own: a comparison is remembered beside it."""
    return Path(shutil.copytree(digits_run, tmp_path_factory.mktemp("simulate") / "run"))


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    """The document of a command that must succeed."""
    code = main.run([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)  # type: ignore[no-any-return]


def test_run_equals_brevitas_on_the_whole_test_split(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run_json(capsys, "simulate", run, "--against", "brevitas")

    assert set(made) == {"images", "accuracy", "against", "mismatches", "images_per_second", "widths"}
    assert (made["images"], made["against"], made["mismatches"]) == (355, "brevitas", 0)
    manifest = json.loads((run / "manifest.json").read_text())
    assert made["accuracy"] == manifest["metrics"]["accuracy_quantized"]


def test_qonnx_file_of_a_run_gives_the_same(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run_json(capsys, "simulate", run / "model.onnx", "--data", "digits", "--limit", 50)

    assert (made["images"], made["against"], made["mismatches"]) == (50, None, None)


def test_own_images_give_real_valued_outputs(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from psp_hw.training.api import reference_outputs

    images = np.random.default_rng(5).normal(size=(9, 1, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)

    made = run_json(capsys, "simulate", run, "--inputs", tmp_path / "x.npy", "--outputs", tmp_path / "y.npy")

    outputs = np.load(tmp_path / "y.npy", allow_pickle=False)
    assert (made["images"], made["accuracy"]) == (9, None)
    assert (outputs.shape, outputs.dtype) == ((9, 10), np.float64)
    assert np.array_equal(reference_outputs(run, images), outputs)


def spoiled(graph: Graph) -> Graph:
    """The same graph with one weight of its second convolution changed by one."""
    name = graph.convolutions[1].weight
    weight = graph.constants[name].copy()
    weight[0, 2, 3] += 1
    return graph.with_ops(graph.ops, {name: weight})


def test_a_changed_weight_is_found_named_and_fatal(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = read_graph(resolve(run))
    monkeypatch.setattr(flow, "read_graph", lambda _: spoiled(honest))

    code = main.run(["simulate", str(run), "--against", "brevitas", "--json"])

    captured = capsys.readouterr()
    made = json.loads(captured.out)
    assert code == 1
    assert made["mismatches"] > 0
    layer = honest.convolutions[1].name
    assert f"{layer}, channel 3, row" in captured.err
    assert "before the passes" in captured.err


def test_a_wrong_model_file_is_found_at_its_first_layer(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lowering that read one bias wrong differs from Brevitas at that layer, not only at the outputs."""
    lowering = importlib.import_module("psp_hw.lowering.lower")
    real = lowering.lower_model

    def wrong(model: object, **asked: object) -> Lowered:
        lowered = real(model, **asked)
        graph = lowered.graph
        bias = graph.convolutions[2].bias
        assert bias is not None
        constants = {bias: graph.constants[bias] + 1000}
        return replace(lowered, graph=graph.with_ops(graph.ops, constants))

    monkeypatch.setattr(lowering, "lower_model", wrong)

    found = flow.simulate(flow.Request(source=run, against="brevitas", limit=20))

    assert found.mismatches is not None
    assert found.mismatches > 0
    assert found.first_difference is not None
    assert "conv2" in found.first_difference
    assert "in Brevitas" in found.first_difference


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--limit", "0"], "give at least 1"),
        (["--against", "hls5ml"], "Known: brevitas, csim"),
        (["--against", "csim", "--widths", "syntesis"], "did you mean 'synthesis'"),
        (["--widths", "synthesis"], "say --against csim --widths synthesis"),
        (["--against", "brevitas", "--widths", "machine"], "only the C++ that --against csim compiles"),
        (["--data", "digitz"], "did you mean 'digits'"),
        (["--data", "cifar10", "--data-dir", "nowhere"], "psp-hw data cifar10"),
        (["--inputs", "none.npy"], "none.npy: No such file"),
        (["--inputs", "x.npy", "--data", "digits"], "exclude each other"),
    ],
)
def test_bad_requests_are_refused(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main.run(["simulate", str(run), *arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.onnx", "input.npz", "quantized.pt", "spec.yaml"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_run_is_refused_by_name(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, damage: str
) -> None:
    broken = Path(shutil.copytree(run, tmp_path / "run"))
    content = bytearray((broken / name).read_bytes())
    if damage == "missing":
        (broken / name).unlink()
    else:
        content[len(content) // 2] ^= 0xFF
        (broken / name).write_bytes(content if damage == "flipped" else content[: len(content) // 2])

    assert main.run(["simulate", str(broken)]) == 2
    assert name in capsys.readouterr().err


def test_a_damaged_onnx_file_alone_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (run / "model.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(content[: len(content) // 2])

    assert main.run(["simulate", str(tmp_path / "half.onnx"), "--data", "digits"]) == 2
    assert "half.onnx" in capsys.readouterr().err
