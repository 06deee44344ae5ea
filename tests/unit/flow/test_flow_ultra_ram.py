"""UltraRAM from the command line: what a design asks for, its tool can bind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_graphs import Builder
from small_designs import design_of

from psp_hw.cli.main import run

# So few LUTs that a FIFO of the design has to leave them, and too little block RAM for it.
TIGHT = ["--part", "xczu7ev", "--budget", "dsp=20,lut=1450,ff=20000,bram18=1,uram=2", "--min-area"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A convolution over rows of 60 pixels of 72 bits, its input beside it."""
    make = Builder(4, 60, 9)
    make.conv(9)
    make.add("image", "conv0")
    return design_of(make.graph(), tmp_path / "source")


@pytest.mark.slow
def test_vitis_hls_keeps_fifos_in_ultraram_and_vivado_hls_does_not(source, tmp_path, capsys):
    assert 1 == run(["estimate", str(source), *TIGHT, "--json"])  # written for Vivado HLS
    assert 0 == json.loads(capsys.readouterr().out)["resources"]["URAM"]
    assert 0 == run(["estimate", str(source), *TIGHT, "--target", "vitis", "--json"])
    asked = json.loads(capsys.readouterr().out)
    out = tmp_path / "d"

    assert 0 == run(["emit", str(source), *TIGHT, "--target", "vitis", "--out", str(out), "--json"])
    capsys.readouterr()

    assert 1 == asked["resources"]["URAM"]
    assert 1 == [fifo["memory"] for fifo in asked["fifos"]].count("uram")
    text = "".join(path.read_text() for path in sorted((out / "src").rglob("*.*")))
    assert 1 == text.count("type=FIFO impl=URAM")
    assert 0 == run(["estimate", str(out), "--json"])
    again = json.loads(capsys.readouterr().out)
    assert asked["resources"] == again["resources"]
    assert asked["optimality"] == again["optimality"]

    other = ["emit", str(out), "--target", "vivado", "--out", str(tmp_path / "e")]
    assert 2 == run(other)
    said = capsys.readouterr().err
    assert "Vivado HLS 2019.2 cannot keep a FIFO in UltraRAM" in said
    assert "--target vitis" in said
    assert not (tmp_path / "e").exists()


def test_a_target_that_is_none_is_said(source, capsys):
    assert 2 == run(["estimate", str(source), "--target", "vitiss"])
    assert "no target is called 'vitiss'" in capsys.readouterr().err
