"""The design folder: same bytes, legal names, refusals, the golden files of one small design."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import execute

import psp_hw
from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.backends.base import Target, Vectors
from psp_hw.backends.hls.project import design_files, emit
from psp_hw.backends.plan_file import load_plan
from psp_hw.errors import RunError, SpecError
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, AvgPool, Conv2d, Input, Output
from psp_hw.ir.store import load
from psp_hw.ir.text import print_graph
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.ir.verify import verify
from psp_hw.units import Clock

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "hls"
U4 = FixedPoint(width=4, signed=False, frac=4)
U8 = FixedPoint(width=8, signed=False, frac=4)
SAME = Padding(top=1, left=1, bottom=1, right=1)
TAPS = (Tap(0, 1), Tap(1, 0), Tap(1, 1), Tap(2, 1))


def small_graph(*, conv: str = "conv1", name: str = "small_net") -> Graph:
    """A residual block over 12x12 pixels, a mean and a classifier."""
    rng = np.random.default_rng(11)
    to_u8 = Requantizer(shift=4, lo=0, hi=255, fmt=U8)
    ops = (
        Input(name="image", type=TensorType(height=12, width=12, channels=2, fmt=U4)),
        Conv2d(
            name=conv,
            input="image",
            weight="w1",
            bias="b1",
            taps=TAPS,
            kernel=(3, 3),
            padding=SAME,
            weight_frac=4,
            requantize=to_u8,
            dense_in_channels=2,
            dense_out_channels=4,
        ),
        Conv2d(
            name="conv2",
            input=conv,
            weight="w2",
            taps=TAPS[1:],
            kernel=(3, 3),
            padding=SAME,
            weight_frac=4,
            align=(0, 1, 2, 0),
            requantize=to_u8,
            dense_in_channels=4,
            dense_out_channels=4,
        ),
        Add(name="add", inputs=(conv, "conv2"), requantize=Requantizer(shift=0, lo=0, hi=255, fmt=U8)),
        AvgPool(name="mean", input="add", kernel=(12, 12), stride=(12, 12), requantize=mean_requantizer()),
        Conv2d(
            name="classifier",
            input="mean",
            weight="w3",
            bias="b3",
            taps=(Tap(0, 0),),
            kernel=(1, 1),
            weight_frac=4,
            dense_in_channels=4,
            dense_out_channels=3,
        ),
        Output(name="logits", input="classifier"),
    )
    constants = {
        "w1": rng.integers(-8, 8, size=(4, 2, 4)),
        "b1": rng.integers(-50, 50, size=4),
        "w2": rng.integers(-8, 8, size=(3, 4, 4)),
        "w3": rng.integers(-8, 8, size=(1, 4, 3)),
        "b3": rng.integers(-500, 500, size=3),
    }
    return verify(Graph(name, ops, constants))


def mean_requantizer() -> Requantizer:
    return Requantizer(shift=4, divisor=9, lo=0, hi=255, fmt=U8)


def small_plan(*, conv: str = "conv1") -> FoldPlan:
    return FoldPlan(
        nodes={
            conv: NodePlan(
                fold=Fold(pe=2, simd=2, taps=2),
                weights=MemoryKind.LUTRAM,
                delays=(MemoryKind.BRAM, MemoryKind.REGISTERS, MemoryKind.REGISTERS),
                multipliers=MultiplierKind.DSP_PAIR,
            ),
            "conv2": NodePlan(fold=Fold(pe=4, simd=4, taps=3)),
            "classifier": NodePlan(fold=Fold(simd=4), weights=MemoryKind.BRAM),
        },
        fifo_depths={f"{conv}_fork_to_add": 20},
    )


def small_vectors(graph: Graph, frames: int = 3) -> Vectors:
    codes = np.random.default_rng(5).integers(0, 16, size=(frames, 12, 12, 2))
    return Vectors(inputs=codes, outputs=execute(graph, codes)[graph.output.name])


def small_files(
    target: Target = Target.VIVADO, graph: Graph | None = None, plan: FoldPlan | None = None
) -> dict[str, bytes]:
    graph = graph or small_graph()
    return design_files(
        graph,
        plan or small_plan(),
        part="xc7z020clg400-1",
        clock=Clock(period_ns=10),
        target=target,
        vectors=small_vectors(graph),
        report_files={"report.md": "# report\n"},
    )


def emit_small(out: Path, **changes: object) -> tuple[Path, ...]:
    graph = small_graph()
    return emit(
        graph,
        small_plan(),
        part="xc7z020clg400-1",
        clock=Clock(period_ns=10),
        target=Target.VIVADO,
        vectors=small_vectors(graph),
        out=out,
    )


@pytest.mark.parametrize("target", [Target.VIVADO, Target.VITIS])
def test_generated_text_is_as_reviewed(target: Target, update_golden: bool) -> None:
    written = {
        name: content.decode().replace(f"psp-hw {psp_hw.__version__} ", "psp-hw VERSION ")
        for name, content in small_files(target).items()
        if name.startswith(("src/", "tb/testbench"))
        or name.endswith((".tcl", "Makefile", "README.md", "_design.py"))
    }
    folder = GOLDEN / target.value
    if update_golden:
        for name, text in written.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).with_name(Path(name).name + ".golden").write_text(text)
        return
    golden = {
        path.relative_to(folder).as_posix().removesuffix(".golden"): path.read_text()
        for path in sorted(folder.rglob("*.golden"))
    }
    assert sorted(golden) == sorted(written)
    for name, text in written.items():
        difference = "\n".join(
            difflib.unified_diff(golden[name].splitlines(), text.splitlines(), "golden", name)
        )
        assert difference == "", "run pytest --update-golden and review the change"


def test_same_input_same_bytes() -> None:
    assert small_files() == small_files()


def test_no_generated_file_says_when_or_where_it_was_made() -> None:
    for name, content in small_files().items():
        if not name.startswith("include/ap_types") and not name.endswith(".npz"):
            assert not re.search(rb"/home/|/work/|/tmp/|/root/|20[23]\d-\d\d", content), name


def test_what_was_emitted_can_be_read_back(tmp_path: Path) -> None:
    emit_small(tmp_path / "design")

    assert print_graph(small_graph()) == print_graph(load(tmp_path / "design"))
    assert small_plan() == load_plan(tmp_path / "design" / "plan.json")


def test_every_file_of_a_design_is_named_in_its_manifest(tmp_path: Path) -> None:
    files = emit_small(tmp_path / "design")

    manifest = json.loads((tmp_path / "design" / "design.json").read_text())
    named = {tmp_path / "design" / name for name in manifest["files"]} | {tmp_path / "design" / "design.json"}
    assert set(files) == named
    assert {path for path in (tmp_path / "design").rglob("*") if path.is_file()} == named


def test_a_design_takes_the_place_of_an_older_one_whole(tmp_path: Path) -> None:
    emit_small(tmp_path / "design")
    (tmp_path / "design" / "left_over.txt").write_text("old")

    emit_small(tmp_path / "design")

    assert not (tmp_path / "design" / "left_over.txt").exists()
    assert {"design", "design.before"} == {path.name for path in tmp_path.iterdir()}
    assert "old" == (tmp_path / "design.before" / "left_over.txt").read_text()


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")

    with pytest.raises(RunError, match="exists and is no design of psp-hw"):
        emit_small(tmp_path)

    assert [tmp_path / "thesis.tex"] == list(tmp_path.iterdir())


def test_nothing_stays_of_a_design_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    emit_small(tmp_path / "design")
    before = {path: path.read_bytes() for path in (tmp_path / "design").rglob("*") if path.is_file()}
    monkeypatch.setattr("psp_hw.backends.folder.os.fsync", full)

    with pytest.raises(RunError, match="cannot be written: No space left on device"):
        emit_small(tmp_path / "design")

    assert [tmp_path / "design"] == list(tmp_path.iterdir())
    assert before == {path: path.read_bytes() for path in (tmp_path / "design").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name", ["int", "Main", "template", "stdin", "CONV2", "__x__", "a" * 90, "_", "in", "psp", "image_"]
)
def test_names_that_c_plus_plus_keeps_for_itself_become_others(name: str) -> None:
    """CONV2 differs from conv2 by case alone."""
    graph = small_graph(conv=name)

    files = small_files(graph=graph, plan=small_plan(conv=name))

    layers = [path for path in files if path.startswith("src/layers/")]
    assert len(graph.ops) + 1 == len({path.lower() for path in layers})
    assert not any(
        Path(path).stem in {"int", "main", "template", "stdin", "in", "psp", ""} for path in layers
    )


def test_vectors_of_another_shape_are_refused(tmp_path: Path) -> None:
    graph = small_graph()
    vectors = small_vectors(graph)

    with pytest.raises(SpecError, match=r"inputs of shape \(3, 12, 2, 12\) are no frames of 12x12x2:u4.4"):
        Vectors(inputs=vectors.inputs.transpose(0, 1, 3, 2), outputs=vectors.outputs).check(graph)
    with pytest.raises(SpecError, match=r"inputs 0 \.\. 16 leave the range of u4.4"):
        Vectors(inputs=np.where(vectors.inputs == 15, 16, vectors.inputs), outputs=vectors.outputs).check(
            graph
        )
    with pytest.raises(SpecError, match="3 inputs have 2 outputs"):
        dataclasses.replace(vectors, outputs=vectors.outputs[:2]).check(graph)


def test_an_unknown_target_is_named_with_those_that_exist() -> None:
    with pytest.raises(SpecError, match="no target is called 'quartus'"):
        Target.parse("quartus")


@pytest.mark.slow
def test_the_test_of_a_design_passes_and_needs_nothing_but_pytest(tmp_path: Path) -> None:
    emit_small(tmp_path / "design")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "design")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("target", ["test", "test-widths"])
def test_make_test_passes_and_fails_when_a_vector_is_corrupted(tmp_path: Path, target: str) -> None:
    emit_small(tmp_path / "design")
    make = ["make", "-s", "-C", str(tmp_path / "design"), target]

    good = subprocess.run(make, capture_output=True, text=True, check=False)
    outputs = tmp_path / "design" / "tb" / "vectors" / "outputs.txt"
    outputs.write_text(re.sub(r"\n(-?\d+) ", lambda m: f"\n{int(m[1]) + 1} ", outputs.read_text(), count=1))
    bad = subprocess.run(make, capture_output=True, text=True, check=False)

    assert (0, "frames compared: 3, mismatches: 0\n") == (good.returncode, good.stdout)
    assert bad.returncode != 0
    assert "frames compared: 3, mismatches: 1" in bad.stdout
