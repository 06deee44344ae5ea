"""Reports of Vivado HLS, Vitis HLS and Vivado as they are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from psp_hw.cost.prices import Stage
from psp_hw.errors import DataError
from psp_hw.tools import synthesis
from psp_hw.tools.synthesis import SynthesisReport, read_reports

CSYNTH_XML = """<?xml version="1.0"?>
<profile>
<ReportVersion><Version>2019.2</Version></ReportVersion>
<UserAssignments><unit>ns</unit><ProductFamily>zynq</ProductFamily><Part>xc7z020clg400-1</Part>
<TopModelName>conv0</TopModelName><TargetClockPeriod>10.00</TargetClockPeriod></UserAssignments>
<PerformanceEstimates><SummaryOfOverallLatency>
<Best-caseLatency>undef</Best-caseLatency><Worst-caseLatency>120</Worst-caseLatency><Interval-max>118</Interval-max>
</SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates>
<Resources><BRAM_18K>2</BRAM_18K><DSP48E>7</DSP48E><FF>1200</FF><LUT>3400</LUT></Resources>
<AvailableResources><BRAM_18K>280</BRAM_18K><DSP48E>220</DSP48E><FF>106400</FF><LUT>53200</LUT></AvailableResources>
</AreaEstimates>
</profile>
"""
CSYNTH_RPT = """
================================================================
== Vivado HLS Report for 'conv0'
================================================================
* Date:           Fri Nov 20 10:00:00 2020

* Version:        2019.2 (Build 2704478 on Wed Nov 06 22:10:23 MST 2019)
* Product family: zynq
* Target device:  xc7z020-clg400-1

================================================================
== Performance Estimates
================================================================
+ Timing (ns):
    * Summary:
    +--------+-------+----------+------------+
    |  Clock | Target| Estimated| Uncertainty|
    +--------+-------+----------+------------+
    |ap_clk  |  10.00|     8.217|        1.25|
    +--------+-------+----------+------------+

================================================================
== Utilization Estimates
================================================================
* Summary:
+-----------------+---------+-------+--------+-------+-----+
|       Name      | BRAM_18K| DSP48E|   FF   |  LUT  | URAM|
+-----------------+---------+-------+--------+-------+-----+
|DSP              |        -|      -|       -|      -|    -|
|Expression       |        -|      3|       0|    800|    -|
+-----------------+---------+-------+--------+-------+-----+
|Total            |        2|      7|    1200|   3400|    0|
+-----------------+---------+-------+--------+-------+-----+
|Available        |      280|    220|  106400|  53200|    0|
+-----------------+---------+-------+--------+-------+-----+
    * Memory:
    |Total          |        9|      9|       9|      9|    9|
"""
UTILIZATION = """Copyright 1986-2019 Xilinx, Inc. All Rights Reserved.
--------------------------------------------------------
| Tool Version : Vivado v.2019.2 (lin64) Build 2708876 Wed Nov  6 21:39:14 MST 2019
| Date         : Fri Nov 20 10:00:00 2020
| Design       : sample
| Device       : 7z020clg400-1
--------------------------------------------------------
1. Slice Logic
+----------------------------+------+-------+-----------+-------+
|          Site Type         | Used | Fixed | Available | Util% |
+----------------------------+------+-------+-----------+-------+
| Slice LUTs*                | 2,100 |     0 |     53200 |  3.94 |
|   LUT as Logic             | 2000 |     0 |     53200 |  3.75 |
| Slice Registers            |  900 |     0 |    106400 |  0.84 |
+----------------------------+------+-------+-----------+-------+
| Block RAM Tile    |  1.5 |     0 |       140 |  1.07 |
|   RAMB18          |    1 |     0 |       280 |  0.36 |
| DSPs           |    7 |     0 |       220 |  3.18 |
"""


EXPORT = """<profile>
<RunData>
  <RUN_TYPE>synth</RUN_TYPE>
  <VIVADO_VERSION>v.2022.1</VIVADO_VERSION>
  <ROOT_MODULE_CELL>inst</ROOT_MODULE_CELL>
</RunData>
<TimingReport><TargetClockPeriod>10.000</TargetClockPeriod></TimingReport>
<AreaReport>
  <Resources>
    <BRAM>3</BRAM><CLB>0</CLB><DSP>7</DSP><FF>900</FF><LATCH>0</LATCH><LUT>2100</LUT><SRL>12</SRL><URAM>0</URAM>
  </Resources>
  <AvailableResources><BRAM>280</BRAM><DSP>220</DSP><FF>106400</FF><LUT>53200</LUT></AvailableResources>
</AreaReport>
<RtlModules>
  <RtlModule CELL="inst/conv0_U0" DEPTH="1" FILE_NAME="sample_conv0.v" ORIG_REF_NAME="sample_conv0">
    <SubModules count="1">mul_U1</SubModules>
    <Resources BRAM="2" DSP="4" FF="300" LUT="800" LogicLUT="790" RAMB36="1" SRL="10"/>
    <LocalResources FF="20" LUT="9"/>
  </RtlModule>
  <RtlModule CELL="inst/conv0_U0/mul_U1" DEPTH="2"><Resources DSP="4"/></RtlModule>
  <RtlModule CELL="inst/nothing_U0" DEPTH="1"/>
</RtlModules>
</profile>
"""
HIERARCHY = """| Tool Version : Vivado v.2022.1 (lin64) Build 3526262
| Design       : bd_0_wrapper
1. Utilization by Hierarchy
+------------------+------------------------------+------------+------------+-----+--------+--------+------+------------+
|     Instance     |            Module            | Total LUTs | Logic LUTs | FFs | RAMB36 | RAMB18 | URAM | DSP Blocks |
+------------------+------------------------------+------------+------------+-----+--------+--------+------+------------+
| bd_0_i           |                         bd_0 |       2100 |       2100 | 900 |      1 |      1 |    0 |          7 |
|   inst           |       bd_0_hls_inst_0_sample |       2090 |       2090 | 890 |      1 |      1 |    0 |          7 |
|     (inst)       |       bd_0_hls_inst_0_sample |         10 |         10 |   5 |      0 |      0 |    0 |          0 |
|     conv0_U0     | bd_0_hls_inst_0_sample_conv0 |        800 |        790 | 300 |      1 |      0 |    0 |          4 |
+------------------+------------------------------+------------+------------+-----+--------+--------+------+------------+
"""


def read_report(path: Path) -> SynthesisReport:
    """The whole of a report."""
    return read_reports(path)[0]


def as_xml(text: str) -> str:
    """Tables of a text as ``report_utilization -format xml`` has them."""
    rows = [
        line.strip("|").split("|")
        for line in text.splitlines()
        if line.startswith("|") and line.endswith("|")
    ]
    tables = [
        "".join(
            f'<{"tablecell" if number else "tableheader"} class="" contents="{cell.rstrip()}" halign="3" width="-1"/>'
            for cell in row
        )
        for number, row in enumerate(rows)
    ]
    return f"<RptDoc><section><table>{''.join(f'<tablerow>{row}</tablerow>' for row in tables)}</table></section></RptDoc>"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_xml_of_c_synthesis(tmp_path):
    found = read_report(written(tmp_path, "conv0_csynth.xml", CSYNTH_XML))

    assert (7, 3400, 1200, 2, 0) == found.resources.amounts
    assert (Stage.C_SYNTHESIS, "conv0", "HLS 2019.2") == (found.stage, found.module, found.tool)
    assert (120, 118) == (found.latency, found.interval)


def test_text_of_c_synthesis_says_the_same(tmp_path):
    found = read_report(written(tmp_path, "conv0_csynth.rpt", CSYNTH_RPT))

    assert (7, 3400, 1200, 2, 0) == found.resources.amounts
    assert (Stage.C_SYNTHESIS, "conv0", "HLS 2019.2") == (found.stage, found.module, found.tool)


def test_utilization_of_vivado_counts_a_tile_as_two_blocks(tmp_path):
    found = read_report(written(tmp_path, "sample_utilization_synth.rpt", UTILIZATION))

    assert (7, 2100, 900, 3, 0) == found.resources.amounts
    assert (Stage.RTL_SYNTHESIS, "sample", "Vivado 2019.2") == (found.stage, found.module, found.tool)


def test_xml_of_an_export_lists_the_whole_and_its_modules(tmp_path):
    whole, engine, product = read_reports(written(tmp_path, "export_syn.xml", EXPORT))

    assert (7, 2100, 900, 3, 0) == whole.resources.amounts
    assert (Stage.RTL_SYNTHESIS, "", "Vivado 2022.1") == (whole.stage, whole.module, whole.tool)
    assert ("sample_conv0", (4, 800, 300, 2, 0)) == (engine.module, engine.resources.amounts)
    assert ("mul_U1", (4, 0, 0, 0, 0)) == (product.module, product.resources.amounts)


def test_hierarchical_utilization_lists_modules_with_what_is_inside_them(tmp_path):
    found = read_reports(written(tmp_path, "sample_utilization_hierarchical.rpt", HIERARCHY))

    assert [
        ("bd_0", (7, 2100, 900, 3, 0)),
        ("bd_0_hls_inst_0_sample", (7, 2090, 890, 3, 0)),
        ("bd_0_hls_inst_0_sample_conv0", (4, 800, 300, 2, 0)),
    ] == [(one.module, one.resources.amounts) for one in found]
    assert {"Vivado 2022.1"} == {one.tool for one in found}


def test_hierarchical_utilization_names_the_top_by_its_instance(tmp_path):
    text = HIERARCHY.replace("|                         bd_0 |", "|                        (top) |")

    whole, *_ = read_reports(written(tmp_path, "sample_utilization_hierarchical.rpt", text))

    assert "bd_0_i" == whole.module


def test_utilization_as_xml_says_what_the_text_says(tmp_path):
    (flat,) = read_reports(written(tmp_path, "sample_utilization.xml", as_xml(UTILIZATION)))
    listed = read_reports(written(tmp_path, "sample_utilization_hierarchical.xml", as_xml(HIERARCHY)))

    text = read_reports(written(tmp_path, "sample_utilization_hierarchical.rpt", HIERARCHY))
    assert (7, 2100, 900, 3, 0) == flat.resources.amounts
    assert (Stage.RTL_SYNTHESIS, "Vivado") == (flat.stage, flat.tool)
    assert [(one.module, one.resources) for one in text] == [(one.module, one.resources) for one in listed]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xml", "<profile>", "is no XML"),
        ("a.xml", "<profile/>", "has neither AreaEstimates nor AreaReport"),
        ("a.xml", CSYNTH_XML.replace("<LUT>3400", "<LUT>many"), "'many' is no amount"),
        ("a.xml", CSYNTH_XML.replace("LUT", "CLB"), "says nothing of LUT"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]>' + CSYNTH_XML, "declares entities"),
        ("a.xml", EXPORT.replace("<FF>900", "<FF>-9"), "'-9' is no amount"),
        ("a.xml", EXPORT.replace("<LUT>2100</LUT>", ""), "says nothing of LUT"),
        ("a.rpt", "| Instance | Module | Total LUTs |", "lists no module"),
        ("a.rpt", "nothing", "is no synthesis report"),
        ("a.rpt", UTILIZATION.replace("Slice Registers", "Something"), "says nothing of FF"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        read_report(written(tmp_path, name, text))


def test_a_report_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_report(tmp_path / "none.rpt")


@pytest.mark.parametrize("digits", [13, 400, 6000])
@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.xml", CSYNTH_XML, "<LUT>3400"),
        ("a.xml", EXPORT, "<FF>900"),
        ("a.rpt", CSYNTH_RPT, "|Total"),
        ("a.rpt", UTILIZATION, "| Slice LUTs"),
        ("a.rpt", UTILIZATION, "| Block RAM Tile"),
    ],
)
def test_an_amount_that_no_part_holds_is_none(tmp_path, name, text, place, digits):
    start = text.index(place)
    changed = text[:start] + re.sub(r"\d+(?![\w>])", "9" * digits, text[start:], count=1)
    assert changed != text

    with pytest.raises(DataError, match=r"'9{13,40}.* is no amount"):
        read_report(written(tmp_path, name, changed))


@pytest.mark.parametrize("latency", ["undef", "", "-3", "1e3", "²", "٣", "9" * 19, "9" * 6000])
def test_a_latency_that_is_no_number_of_cycles_is_not_known(tmp_path, latency):
    text = CSYNTH_XML.replace("<Worst-caseLatency>120", f"<Worst-caseLatency>{latency}")

    assert read_report(written(tmp_path, "a.xml", text)).latency is None


@pytest.mark.parametrize(("name", "limit"), [("a.xml", "MAX_XML_BYTES"), ("a.rpt", "MAX_BYTES")])
def test_a_report_larger_than_reports_are_is_refused(tmp_path, monkeypatch, name, limit):
    monkeypatch.setattr(synthesis, limit, 100)

    with pytest.raises(DataError, match="is larger than 100 bytes"):
        read_report(written(tmp_path, name, CSYNTH_XML))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
def test_what_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(synthesis, "MAX_BYTES", 1 << 16)

    with pytest.raises(DataError, match="is larger than 65536 bytes"):
        read_report(Path("/dev/zero"))


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 64, "<a/>".encode("utf-16"), b"<a>" * 50_000])
@pytest.mark.parametrize("name", ["a.xml", "a.rpt"])
def test_what_is_neither_xml_nor_text_of_a_tool_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"is no (XML|synthesis report)"):
        read_report(path)


def test_reports_say_of_what_part_and_clock_they_are(tmp_path):
    xml = read_report(written(tmp_path, "conv0_csynth.xml", CSYNTH_XML))
    text = read_report(written(tmp_path, "conv0_csynth.rpt", CSYNTH_RPT))
    vitis = read_report(written(tmp_path, "b.rpt", CSYNTH_RPT.replace("10.00|", "10.00 ns|")))
    flat = read_report(written(tmp_path, "utilization.rpt", UTILIZATION))
    export = read_reports(written(tmp_path, "export_syn.xml", EXPORT))

    assert ("xc7z020clg400-1", 10.0) == (xml.part, xml.clock_ns)
    assert ("xc7z020-clg400-1", 10.0) == (text.part, text.clock_ns) == (vitis.part, vitis.clock_ns)
    assert ("7z020clg400-1", None) == (flat.part, flat.clock_ns)
    assert [("", 10.0)] * len(export) == [(one.part, one.clock_ns) for one in export]


@pytest.mark.parametrize("clock", ["", "0", "-1", "fast", "1e999", "nan"])
def test_a_clock_that_is_none_is_not_said(tmp_path, clock):
    found = read_report(written(tmp_path, "x_csynth.xml", CSYNTH_XML.replace("10.00", clock)))

    assert found.clock_ns is None


def test_a_part_that_is_none_is_not_said(tmp_path):
    text = CSYNTH_XML.replace("xc7z020clg400-1", "x; exec rm")

    assert "" == read_report(written(tmp_path, "x_csynth.xml", text)).part
