"""The Tcl scripts of a design, run by a Tcl interpreter in which the vendor's commands only write down what they are asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hls_batch import PART, write_design
from oracle import execute
from sample_graphs import Builder

from psp_hw.backends.base import Target
from psp_hw.backends.hls.project import SCRIPTS
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan

MOCK = Path(__file__).resolve().parents[2] / "mock_tools" / "vendor_hls.tcl"


def write_tiny(folder: Path, target: Target) -> None:
    """A design of one convolution."""
    make = Builder(4, 4, 1)
    make.conv(2)
    graph = make.graph("tiny")
    codes = np.zeros((1, 4, 4, 1), dtype=np.int64)
    plan = FoldPlan(nodes={"conv0": NodePlan(fold=Fold())})
    write_design(folder, graph, plan, codes, execute(graph, codes)["result"], target)


def run_script(folder: Path, target: Target, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Let the mock read the script of a new design; what it is asked stands in folder/log."""
    write_tiny(folder, target)
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        pytest.skip("there is no tclsh to read Tcl with")
    log = folder / "log"
    command = [tclsh, str(MOCK), str(folder / SCRIPTS[target]), *arguments]
    environment = {**os.environ, "MOCK_LOG": str(log), "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def commands_of(folder: Path, target: Target, *arguments: str) -> list[str]:
    """What the script of a design asks of the vendor tool, paths of the design shown as $root."""
    done = run_script(folder, target, *arguments)
    assert done.returncode == 0, done.stderr
    return (folder / "log").read_text().replace(str(folder.resolve()), "$root").splitlines()


def test_vivado_hls_is_asked_for_simulation_synthesis_and_export(tmp_path: Path) -> None:
    assert [
        "open_project -reset tiny_prj",
        "set_top tiny",
        "add_files src/tiny.cpp -cflags {-std=c++0x -I$root/src -I$root/include}",
        "add_files -tb tb/testbench.cpp -cflags {-std=c++0x -I$root/src -I$root/include}",
        "open_solution -reset solution1",
        f"set_part {PART}",
        "create_clock -period 10 -name default",
        "config_array_partition -maximum_size 1024",
        "csim_design -O -argv $root/tb/vectors",
        "csynth_design",
        "export_design -format ip_catalog",
    ] == commands_of(tmp_path, Target.VIVADO)


def test_vitis_hls_is_asked_for_what_was_named(tmp_path: Path) -> None:
    commands = commands_of(tmp_path, Target.VITIS, "-tclargs", "csynth", "cosim")

    assert "open_solution -reset -flow_target vivado solution1" in commands
    assert "config_compile -pipeline_style stp" in commands
    assert ["csynth_design", "cosim_design -O -argv $root/tb/vectors"] == commands[-2:]


def steps_of(folder: Path, *arguments: str) -> list[str]:
    """The steps that the script of a design asks for."""
    commands = commands_of(folder, Target.VIVADO, *arguments)
    return [
        name.removesuffix("_design") for name in (line.split()[0] for line in commands) if "_design" in name
    ]


@pytest.mark.parametrize(
    "before",
    [(), ("-f", "vivado_hls.tcl"), ("vivado_hls.tcl",), ("-nosplash", "-f", "vivado_hls.tcl", "-l", "log")],
)
@pytest.mark.parametrize("word", [("-tclargs",), ()])
def test_steps_are_found_behind_the_options_of_the_tool(
    tmp_path: Path, before: tuple[str, ...], word: tuple[str, ...]
) -> None:
    assert ["csim", "cosim"] == steps_of(tmp_path, *before, *word, "cosim", "csim")


@pytest.mark.parametrize(
    "arguments", [("-tclargs",), ("-f", "vivado_hls.tcl"), ("-i", "-f", "x.tcl", "-tclargs")]
)
def test_steps_that_are_not_named_are_the_usual_ones(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert ["csim", "csynth", "export"] == steps_of(tmp_path, *arguments)


@pytest.mark.parametrize("target", list(SCRIPTS))
@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("-tclargs", "csinth"), "csinth"),
        (("-tclargs", "csim", "exprot"), "exprot"),
        (("-f", "hls.tcl", "-tclargs", "-csynth"), "-csynth"),
        (("-f", "hls.tcl", "csinth"), "csinth"),
        (("-f", "hls.tcl", "-nosplash", "cosim,export"), "cosim,export"),
    ],
)
def test_a_misspelt_step_is_refused_before_anything_is_done(
    tmp_path: Path, target: Target, arguments: tuple[str, ...], wrong: str
) -> None:
    done = run_script(tmp_path, target, *arguments)

    assert done.returncode == 2
    assert f"-tclargs: '{wrong}' is no step: name any of csim, csynth, cosim, export\n" == done.stderr
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.parametrize("target", list(SCRIPTS))
@pytest.mark.parametrize("name", ["a b", "entwürfe"])
def test_a_path_that_the_tool_cannot_take_is_said_before_anything_is_done(
    name: str, target: Target, tmp_path: Path
) -> None:
    folder = tmp_path / name

    done = run_script(folder, target)

    assert done.returncode == 2
    assert f"takes no path with spaces or letters beyond ASCII: move {folder}" in done.stderr
    assert (folder / "log").read_text() == ""


@pytest.mark.parametrize("header", ["src/tiny.h", "src/layers/conv0.h", "include/psp/conv.h"])
def test_make_compiles_again_what_a_changed_header_is_in(
    header: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAKEFLAGS", raising=False)  # of the make that runs the tests, which may be silent
    write_tiny(tmp_path, Target.VIVADO)
    (tmp_path / "build").mkdir()
    for name in ("tiny.o", "testbench.o", "testbench"):
        (tmp_path / "build" / name).touch()
    make = ["make", "--dry-run", "build/testbench"]
    assert (
        "up to date" in subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )

    later = (tmp_path / "build/testbench").stat().st_mtime + 10
    os.utime(tmp_path / header, (later, later))

    again = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "-c -o build/tiny.o src/tiny.cpp" in again
