"""``psp-hw calibrate`` on a design with reports, and ``--calibration``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sample_graphs import Builder

from psp_hw.backends.base import Target, Vectors
from psp_hw.backends.hls import emit
from psp_hw.cli.main import run
from psp_hw.cost.devices import Fabric
from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.cost.resources import Resource
from psp_hw.dse.search import plan
from psp_hw.errors import DataError, RunError, SpecError
from psp_hw.flow.calibrate import calibrate_site
from psp_hw.sim.values import Simulator
from psp_hw.units import Clock

PART = "xc7z020clg400-1"
CLOCK = Clock(period_ns=10.0)

XML = """<profile><ReportVersion><Version>2019.2</Version></ReportVersion>
<UserAssignments><TopModelName>{module}</TopModelName></UserAssignments>
<AreaEstimates><Resources><BRAM_18K>{bram}</BRAM_18K><DSP48E>{dsp}</DSP48E><FF>{ff}</FF><LUT>{lut}</LUT></Resources></AreaEstimates>
</profile>"""
UTILIZATION = """| Tool Version : Vivado v.2019.2 (lin64)
| Design       : {module}
|          Site Type         | Used |
| Slice LUTs*                | {lut} |
| Slice Registers            | {ff} |
"""


def made(folder: Path):
    """A design, and its estimate."""
    make = Builder(6, 6, 2)
    make.conv(4, source="image")
    make.conv(4)
    graph = make.graph()
    codes = np.random.default_rng(1).integers(0, 4, size=(1, 6, 6, 2))
    vectors = Vectors(inputs=codes, outputs=Simulator(graph).run(codes))
    chosen = plan(graph, find_part(PART), CLOCK)
    emit(
        graph,
        chosen,
        part=PART,
        clock=CLOCK,
        target=Target.VIVADO,
        vectors=vectors,
        out=folder,
        report_files={},
    )
    return estimate(graph, chosen, find_part(PART), CLOCK)


@pytest.fixture
def design(tmp_path: Path) -> Path:
    """A design beside which the tools left reports: twice the LUTs in C synthesis, 1.5 times after RTL synthesis."""
    folder = tmp_path / "design"
    found = made(folder)
    top = json.loads((folder / "design.json").read_text())["top"]
    reports = folder / "project" / "solution1" / "syn" / "report"
    reports.mkdir(parents=True)
    whole = found.c_synthesis
    text = XML.format(module=top, bram=whole.bram18, dsp=whole.dsp, ff=whole.ff, lut=2 * whole.lut)
    (reports / f"{top}_csynth.xml").write_text(text)
    (reports / "conv0_Pipeline_Frame_csynth.xml").write_text(
        XML.format(module="conv0_Pipeline_Frame", bram=0, dsp=0, ff=1, lut=1)
    )
    (folder / f"{top}_utilization_synth.rpt").write_text(
        UTILIZATION.format(module=top, lut=round(1.5 * found.resources.lut), ff=found.resources.ff)
    )
    return folder


EXPORT = """<profile><RunData><VIVADO_VERSION>v.2022.1</VIVADO_VERSION></RunData>
<AreaReport><Resources><BRAM>{bram}</BRAM><DSP>{dsp}</DSP><FF>{ff}</FF><LUT>{lut}</LUT></Resources></AreaReport>
<RtlModules>
<RtlModule CELL="inst/{engine}_U0" ORIG_REF_NAME="{top}_{engine}"><Resources FF="{engine_ff}" LUT="{engine_lut}"/></RtlModule>
<RtlModule CELL="inst/regslice" ORIG_REF_NAME="{top}_regslice_both"><Resources FF="3" LUT="4"/></RtlModule>
</RtlModules></profile>"""


def test_the_xml_of_an_export_is_read_engine_by_engine(tmp_path):
    folder = tmp_path / "design"
    found = made(folder)
    top = json.loads((folder / "design.json").read_text())["top"]
    layer = found.layers[0]
    own = layer.resources.lut - sum(one.resources.lut for one in found.fifos if one.target == layer.name)
    whole = found.resources
    (folder / "export_syn.xml").write_text(
        EXPORT.format(
            top=top,
            engine=layer.name,
            engine_lut=3 * own,
            engine_ff=layer.resources.ff,
            bram=whole.bram18,
            dsp=whole.dsp,
            ff=whole.ff,
            lut=3 * whole.lut,
        )
    )

    summary = calibrate_site([folder], out=tmp_path / "calibration.json")

    assert {top.replace("_", ""), f"{top}_{layer.name}"} == {sample.module for sample in summary.samples}
    assert ("Vivado 2022.1",) == summary.calibration.tools
    assert () == summary.ignored
    luts = next(
        factor for (_, resource), factor in summary.calibration.factors.items() if resource.value == "LUT"
    )
    assert (3.0, 1) == (luts.value, luts.samples)


def test_a_design_for_a_part_that_no_table_has_is_calibrated(design, tmp_path):
    manifest = json.loads((design / "design.json").read_text()) | {"part": "xc7a999t"}
    (design / "design.json").write_text(json.dumps(manifest))

    with pytest.raises(SpecError, match="'xc7a999t' is not known"):
        calibrate_site([design], out=tmp_path / "calibration.json")

    available = {"DSP": 100, "LUT": 30000, "FF": 60000, "BRAM18": 100, "URAM": 0}
    remembered = {"available": available, "budget": {}, "calibration": None, "optimality": None}
    (design / "design.json").write_text(json.dumps({**manifest, "made_for": remembered}))
    assert calibrate_site([design], out=tmp_path / "calibration.json").samples


def factors(document):
    return {(one["stage"], one["resource"]): one["factor"] for one in document["factors"]}


def test_a_design_with_reports_gives_its_factors(design, tmp_path, capsys):
    assert 0 == run(["calibrate", str(design), "--out", str(tmp_path / "site.json"), "--json"])

    document = json.loads(capsys.readouterr().out)
    found = factors(document)
    assert 2.0 == found["c-synthesis", "LUT"]
    assert 1.5 == pytest.approx(found["rtl-synthesis", "LUT"], abs=0.001)
    assert 1.0 == found["rtl-synthesis", "FF"]
    assert ["HLS 2019.2", "Vivado 2019.2"] == document["tools"]
    assert ["conv0_Pipeline_Frame_csynth.xml"] == [Path(path).name for path in document["ignored"]]


def test_an_estimate_takes_the_calibration(design, tmp_path, capsys):
    file = tmp_path / "site.json"
    assert 0 == run(["calibrate", str(design), "--out", str(file)])
    capsys.readouterr()
    assert 0 == run(["estimate", str(design), "--json"])
    plain = json.loads(capsys.readouterr().out)
    assert 0 == run(["estimate", str(design), "--json", "--calibration", str(file)])

    found = json.loads(capsys.readouterr().out)
    assert 1.5 == pytest.approx(found["resources"]["LUT"] / plain["resources"]["LUT"], rel=0.02)
    assert plain["resources"]["FF"] == found["resources"]["FF"]
    assert "how far off that is is not known yet: LUT (1 module)" in found["expected_error"]
    assert "Expect a factor of 1.5 to 2 for LUT and FF" in found["expected_error"]


def test_a_search_under_a_calibration_stays_within_the_part(design, tmp_path, capsys):
    file = tmp_path / "site.json"
    assert 0 == run(["calibrate", str(design), "--out", str(file)])
    capsys.readouterr()
    assert 0 == run(
        ["estimate", str(design), "--max", "--budget", "lut=6000", "--calibration", str(file), "--json"]
    )

    assert json.loads(capsys.readouterr().out)["resources"]["LUT"] <= 6000


def test_estimate_stands_beside_synthesis(design, tmp_path, capsys):
    assert 0 == run(["calibrate", str(design), "--out", str(tmp_path / "site.json")])

    said = capsys.readouterr().out
    assert "estimated / reported:" in said
    assert "LUT in c-synthesis: times 2 " in said


def test_the_report_shows_estimate_beside_synthesis(design, tmp_path, capsys):
    (design / "broken_csynth.xml").write_text("<profile>")
    assert 0 == run(["report", str(design), "--out", str(tmp_path / "report"), "--json"])
    capsys.readouterr()

    rows = json.loads((tmp_path / "report" / "report.json").read_text())["synthesis"]
    assert ["c-synthesis", "rtl-synthesis"] == [row["stage"] for row in rows]
    assert 2 * rows[0]["estimated"]["LUT"] == rows[0]["reported"]["LUT"]
    shown = f"{rows[0]['estimated']['LUT']:,} / {rows[0]['reported']['LUT']:,}"
    assert shown in (tmp_path / "report" / "report.md").read_text()
    assert "Estimated / reported by synthesis" in (tmp_path / "report" / "report.html").read_text()


def test_a_single_report_finds_its_design(design, tmp_path):
    (report,) = design.glob("*utilization*.rpt")

    found = calibrate_site([report], out=tmp_path / "site.json")

    assert 1 == len(found.samples)


def test_a_design_without_reports_says_so(tmp_path):
    made(tmp_path / "bare")

    with pytest.raises(DataError, match="holds no synthesis report"):
        calibrate_site([tmp_path / "bare"], out=tmp_path / "site.json")


def test_a_report_outside_a_design_is_refused(tmp_path):
    path = tmp_path / "alone_csynth.xml"
    path.write_text(XML.format(module="x", bram=0, dsp=0, ff=1, lut=1))

    with pytest.raises(DataError, match="lies in no design"):
        calibrate_site([path], out=tmp_path / "site.json")


def test_a_folder_that_is_no_design_is_refused(tmp_path):
    with pytest.raises(RunError, match="is neither a run"):
        calibrate_site([tmp_path], out=tmp_path / "site.json")


MADE_FOR = """<profile><ReportVersion><Version>{tool}</Version></ReportVersion>
<UserAssignments><Part>{part}</Part><TopModelName>{module}</TopModelName><TargetClockPeriod>{clock}</TargetClockPeriod></UserAssignments>
<AreaEstimates><Resources><BRAM_18K>{bram}</BRAM_18K><DSP48E>0</DSP48E><FF>{ff}</FF><LUT>{lut}</LUT></Resources></AreaEstimates>
</profile>"""


def synthesized(folder: Path, *, part: str = PART, clock: str = "10.00", tool: str = "2020.1", bram: int = 0):
    """A design with a report of every engine, which took 1.3 times the LUTs, and one of the whole that took 5 times as many."""
    found = made(folder)
    top = json.loads((folder / "design.json").read_text())["top"]
    reports = folder / "r"
    reports.mkdir()
    for layer in found.layers:
        fifos = [fifo for fifo in found.fifos if fifo.target == layer.name]
        lut = layer.c_synthesis.lut - sum(fifo.c_synthesis.lut for fifo in fifos)
        ff = layer.c_synthesis.ff - sum(fifo.c_synthesis.ff for fifo in fifos)
        text = MADE_FOR.format(
            tool=tool, part=part, clock=clock, module=layer.name, bram=bram, ff=ff, lut=round(1.3 * lut)
        )
        (reports / f"{layer.name}_csynth.xml").write_text(text)
    whole = MADE_FOR.format(
        tool=tool, part=part, clock=clock, module=top, bram=bram, ff=1, lut=5 * found.c_synthesis.lut
    )
    (reports / f"{top}_csynth.xml").write_text(whole)
    return found


def lut_factor(summary):
    return next(one for (_, kind), one in summary.calibration.factors.items() if kind is Resource.LUT)


def test_the_report_of_the_whole_does_not_decide_where_engines_have_their_own(tmp_path):
    synthesized(tmp_path / "d")

    found = lut_factor(calibrate_site([tmp_path / "d"], out=tmp_path / "site.json"))

    assert 1.3 == pytest.approx(found.value, rel=0.01)


def test_what_is_named_twice_counts_once(tmp_path):
    synthesized(tmp_path / "d")
    once = calibrate_site([tmp_path / "d"], out=tmp_path / "site.json")
    report = next((tmp_path / "d" / "r").glob("conv0_csynth.xml"))
    (tmp_path / "link").symlink_to("d")

    again = calibrate_site(
        [tmp_path / "d", tmp_path / "d", report, tmp_path / "link"], out=tmp_path / "b.json"
    )

    assert (tmp_path / "site.json").read_text() == (tmp_path / "b.json").read_text()
    assert len(once.samples) == len(again.samples)


@pytest.mark.parametrize(
    ("made_with", "says"),
    [
        (
            {"part": "xcku115-flvb2104-2-i"},
            r"is a report of xcku115-flvb2104-2-i \(ultrascale\), the design is for xc7z020clg400-1 \(7-series\)",
        ),
        ({"clock": "5.00"}, r"is a report at 5 ns, the design is for 10 ns"),
        ({"part": "quartus1"}, r"is a report of quartus1, the design is for xc7z020clg400-1"),
    ],
)
def test_reports_of_another_fabric_or_clock_are_refused(tmp_path, made_with, says):
    synthesized(tmp_path / "d", **made_with)

    with pytest.raises(DataError, match=says):
        calibrate_site([tmp_path / "d"], out=tmp_path / "site.json")
    assert not (tmp_path / "site.json").exists()


def test_a_report_of_another_clock_among_others_is_left_out_by_name(tmp_path, capsys):
    synthesized(tmp_path / "d")
    report = tmp_path / "d" / "r" / "conv0_csynth.xml"
    report.write_text(report.read_text().replace("10.00", "5.00"))

    assert 0 == run(["calibrate", str(tmp_path / "d"), "--out", str(tmp_path / "site.json")])

    assert f"{report} is a report at 5 ns, the design is for 10 ns: it is left out" in capsys.readouterr().out


def test_another_part_of_the_same_fabric_counts_and_is_said(tmp_path):
    synthesized(tmp_path / "d", part="xc7z010clg400-1")

    found = calibrate_site([tmp_path / "d"], out=tmp_path / "site.json")

    assert found.notes == (
        "reports are of xc7z010clg400-1, the design is for xc7z020clg400-1: they count, both are 7-series",
    )
    assert found.calibration.fabric is Fabric.SERIES7


def test_several_tools_are_said(tmp_path):
    synthesized(tmp_path / "d")
    synthesized(tmp_path / "e", tool="2022.2")

    found = calibrate_site([tmp_path / "d", tmp_path / "e"], out=tmp_path / "site.json")

    assert found.notes == (
        "reports of c-synthesis are of HLS 2020.1 and HLS 2022.2: a calibration of each says more",
    )


def test_a_calibration_of_other_devices_is_warned_of(tmp_path, capsys):
    synthesized(tmp_path / "d")
    file = tmp_path / "site.json"
    assert 0 == run(["calibrate", str(tmp_path / "d"), "--out", str(file)])
    capsys.readouterr()

    assert 0 == run(["estimate", str(tmp_path / "d"), "--part", "xczu7ev", "--calibration", str(file)])

    said = capsys.readouterr()
    warned = "The calibration was made from reports of 7-series devices, xczu7ev is ultrascale+"
    assert warned in said.err
    assert warned in said.out


def test_the_report_scales_what_stands_beside_synthesis(design, tmp_path):
    file = tmp_path / "site.json"
    assert 0 == run(["calibrate", str(design), "--out", str(file)])

    def rows(*options):
        assert 0 == run(["report", str(design), "--out", str(tmp_path / "report"), *options])
        return json.loads((tmp_path / "report" / "report.json").read_text())["synthesis"]

    plain, scaled = rows(), rows("--calibration", str(file))

    assert plain[0]["reported"] == scaled[0]["reported"]
    assert plain[0]["estimated"]["LUT"] < scaled[0]["estimated"]["LUT"]
    assert scaled[0]["reported"]["LUT"] == scaled[0]["estimated"]["LUT"]


def test_an_estimate_shows_what_the_report_of_c_synthesis_will_say(design, capsys):
    assert 0 == run(["estimate", str(design), "--json"])
    found = json.loads(capsys.readouterr().out)["c_synthesis"]
    assert 0 == run(["estimate", str(design)])

    said = capsys.readouterr().out
    assert "In the C synthesis report" in said
    (row,) = [line for line in said.splitlines() if line.strip().startswith("LUT ")]
    assert f"{found['LUT']:,}" == row.split()[-1]


def test_a_point_is_emitted_in_the_amounts_that_explore_showed(design, tmp_path, capsys):
    file = tmp_path / "site.json"
    factors = [
        {"stage": "rtl-synthesis", "resource": kind, "factor": 1.45, "samples": 9}
        for kind in ("LUT", "FF", "BRAM18")
    ]
    file.write_text(json.dumps({"kind": "psp-hw calibration", "tools": [], "factors": factors}))
    asked = [str(design), "--calibration", str(file), "--json"]
    assert 0 == run(["explore", *asked, "--out", str(tmp_path / "front")])
    point = json.loads(capsys.readouterr().out)["points"][0]
    assert 0 == run(["emit", *asked, "--point", "1", "--out", str(tmp_path / "made")])
    capsys.readouterr()

    emitted = json.loads((tmp_path / "made" / "report.json").read_text())["hardware"]
    assert point["resources"] == emitted["resources"]
    layers = [*(layer["resources"] for layer in emitted["layers"]), emitted["control"]]
    assert emitted["resources"] == {kind: sum(one[kind] for one in layers) for kind in emitted["resources"]}
