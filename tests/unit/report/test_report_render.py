"""The three files of a report: what they say, that names cannot break out, that the bytes are reproducible."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from psp_hw.report.glyphs import svg_glyph, text_glyph
from psp_hw.report.model import (
    CheckSummary,
    FifoRow,
    HardwareSummary,
    LayerRow,
    Report,
    ResourceUse,
    TapPlane,
    TrainingSummary,
)
from psp_hw.report.render import render

NAMES = ("DSP", "LUT", "FF", "BRAM18", "URAM")
PLANE = TapPlane(kernel=(3, 3), taps=((0, 0), (1, 1), (1, 2), (2, 2)), heat=(1.0, 0.5, 0.0, 0.25))


def layer(name: str, *, plane: TapPlane | None = PLANE, cycles: int = 1024) -> LayerRow:
    return LayerRow(
        name=name,
        op="add" if plane is None else "conv2d",
        shape_in=(8, 8, 16),
        shape_out=(8, 8, 24),
        bits_in=8,
        bits_weight=None if plane is None else 4,
        bits_out=8,
        plane=plane,
        taps=0 if plane is None else 4,
        macs=0 if plane is None else 4000,
        macs_dense=0 if plane is None else 9000,
        fold="" if plane is None else "4 x 2 x 2",
        memory="" if plane is None else "lutram",
        cycles=cycles,
        resources=tuple((kind, 10 * i) for i, kind in enumerate(NAMES)),
    )


def report(**hardware: object) -> Report:
    known: dict[str, object] = {
        "part": "xc7z020clg400-1",
        "part_note": "Zynq-7000",
        "target": "vivado",
        "clock_ns": 10.0,
        "latency_cycles": 5000,
        "interval_cycles": 4000,
        "resources": tuple(
            ResourceUse(name=name, used=100 * i, available=1000) for i, name in enumerate(NAMES)
        ),
        "control": tuple((name, 7) for name in NAMES),
        "shortages": (),
        "advice": "",
        "layers": (layer("conv1"), layer("add1", plane=None, cycles=64), layer("conv2", cycles=4000)),
        "fifos": (FifoRow(source="conv1", target="add1", depth=17, width=128, memory="lutram"),),
        "statement": "Cycles are exact; LUT within 30 %.",
    }
    return Report(
        title="digits-cnn on digits",
        version="0.1.0",
        source_hash="0123abcd",
        training=TrainingSummary(
            net="digits-cnn",
            data="digits",
            seed=7,
            bits_weight=4,
            bits_activation=6,
            structures=("shape",),
            accuracy=0.9875,
            accuracy_quantized=0.975,
            density=0.625,
            params=12345,
            macs=67890,
        ),
        hardware=HardwareSummary(**{**known, **hardware}),  # type: ignore[arg-type]
        checks=(
            CheckSummary(against="csim", images=355, mismatches=0, accuracy=0.975, images_per_second=900.0),
        ),
        provenance=(("run", "digits-cnn"),),
    )


class Tags(HTMLParser):
    """Collects the tags and the addresses of a page, and checks that they nest."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    return tags


def test_page_is_one_file_without_script_or_network() -> None:
    page = render(report())["report.html"]

    tags = parsed(page)

    assert tags.open == []
    assert tags.addresses == []
    assert "script" not in tags.seen
    assert not re.search(r"url\(|@import|https?:", page)


def test_same_report_gives_the_same_bytes() -> None:
    assert render(report()) == render(report())


HOSTILE = "<script>alert(1)</script>&\"'|`*_[x](y)\n# h"


def test_names_from_files_cannot_become_markup() -> None:
    base = report(
        layers=(replace(layer("x"), stalls=3, name=HOSTILE, fold=HOSTILE, memory=HOSTILE, op=HOSTILE),),
        fifos=(FifoRow(source=HOSTILE, target=HOSTILE, depth=1, width=1, memory=HOSTILE, held=1),),
        part=HOSTILE,
        part_note=HOSTILE,
        target=HOSTILE,
        statement=HOSTILE,
        shortages=(HOSTILE,),
        advice=HOSTILE,
    )
    assert base.training is not None
    hostile = replace(
        base,
        title=HOSTILE,
        provenance=((HOSTILE, HOSTILE),),
        training=replace(base.training, net=HOSTILE, data=HOSTILE, structures=(HOSTILE,)),
        checks=(replace(base.checks[0], against=HOSTILE),),
    )

    files = render(hostile)

    assert "script" not in parsed(files["report.html"]).seen
    assert "<script>alert" not in files["report.html"]
    assert "<script>" not in files["report.md"].replace("\\<script\\>", "")
    assert not any(line.startswith("# h") for line in files["report.md"].splitlines())
    assert HOSTILE == json.loads(files["report.json"])["title"]


def test_markdown_tables_have_one_cell_per_column() -> None:
    text = render(report(layers=(replace(layer("a"), name="a|b"),)))["report.md"]

    rows = [re.sub(r"\\\|", "", line) for line in text.splitlines() if line.startswith("|")]
    table: list[int] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            assert len(set(table)) <= 1
            table = []
        else:
            table.append(re.sub(r"\\\|", "", line).count("|"))
    assert rows


def test_json_holds_every_number_of_the_page() -> None:
    made = json.loads(render(report())["report.json"])

    assert {"latency": 5000, "interval": 4000} == made["hardware"]["cycles"]
    assert round(made["hardware"]["fps"]) == 25_000
    assert "conv2" == made["hardware"]["bottleneck"]
    assert made["hardware"]["fits"] is True
    assert {"DSP": 0.0, "LUT": 0.1, "FF": 0.2, "BRAM18": 0.3, "URAM": 0.4} == made["hardware"]["utilization"]
    assert [[0, 0], [1, 1], [1, 2], [2, 2]] == made["hardware"]["layers"][0]["positions"]
    assert 0 == made["mismatches"]
    assert 0.975 == made["training"]["accuracy_quantized"]


def test_the_accuracy_before_fine_tuning_is_said_where_it_was_measured() -> None:
    known = report()
    assert known.training is not None
    files = render(replace(known, training=replace(known.training, accuracy_calibrated=0.9625)))

    assert "before fine-tuning 96.25 %" in files["report.html"]
    assert "| Accuracy, quantized before fine-tuning | 96.25% |" in files["report.md"]
    assert 0.9625 == json.loads(files["report.json"])["training"]["accuracy_calibrated"]
    for name in ("report.html", "report.md"):
        assert "before fine-tuning" not in render(known)[name]


def test_a_resource_that_the_part_lacks_does_not_fit_and_is_no_number() -> None:
    uses = (ResourceUse(name="URAM", used=3, available=0), ResourceUse(name="DSP", used=0, available=0))
    made = report(resources=uses, layers=())

    files = render(made)

    assert made.hardware is not None
    assert not made.hardware.fits
    assert {"URAM": None, "DSP": 0.0} == json.loads(files["report.json"])["hardware"]["utilization"]
    assert "does not fit" in files["report.html"]
    assert "none there" in files["report.html"]


@pytest.mark.parametrize("part", ["training", "hardware"])
def test_a_report_without_one_half_still_renders(part: str) -> None:
    files = render(replace(report(), **{part: None}, checks=()))  # type: ignore[arg-type]

    assert parsed(files["report.html"]).open == []
    assert json.loads(files["report.json"])[part] is None
    assert json.loads(files["report.json"])["mismatches"] is None


def test_text_glyph_draws_every_position_two_characters_wide() -> None:
    assert "██░░░░\n░░████\n░░░░██" == text_glyph(PLANE)


def test_svg_glyph_fills_survivors_the_fuller_the_heavier() -> None:
    drawn = svg_glyph(PLANE)

    assert 4 == drawn.count('class="kept"')
    assert 5 == drawn.count('class="gone"')
    assert ["1.00", "0.68", "0.35", "0.51"] == re.findall(r'fill-opacity="([\d.]+)"', drawn)


def test_page_says_what_sets_the_pace_and_what_the_multipliers_do() -> None:
    busy = replace(layer("slow_one", cycles=4000), multipliers=2)
    page = render(report(layers=(busy,)))["report.html"]

    assert "slow_<wbr>one</b><span>is the bottleneck · 4,000 of 4,000 cycles" in page
    assert "2 multipliers, busy 50.0% of the time" in page  # 4,000 of 2 x 4,000
    assert "100 MMAC/s" in page  # 4,000 a frame, 25,000 frames a second


def test_page_warns_where_the_part_has_less_room_than_the_estimate_may_be_off() -> None:
    uses = (
        ResourceUse(name="LUT", used=700, available=1000, factor=2.0),
        ResourceUse(name="FF", used=500, available=1000, factor=2.0),
        ResourceUse(name="DSP", used=999, available=1000),
    )
    written = render(report(resources=uses))

    warnings = re.findall(r'class="note caution">([^<]*)<', str(written["report.html"]))
    assert warnings == [
        "Synthesis may need up to 2 times the LUT estimate; the part has room for 1.43 times."
    ]
    assert json.loads(written["report.json"])["hardware"]["at_worst"] == {"LUT": 1400, "FF": 1000, "DSP": 999}
    assert "| LUT | 700 | 1,400 | 1,000 | 70.0% |" in str(written["report.md"])


def test_a_warning_under_a_budget_speaks_of_the_budget() -> None:
    use = ResourceUse(name="LUT", used=700, available=1000, factor=2.0, limited=True)

    assert "the budget has room for 1.43 times." in use.caution


def test_the_bar_of_a_resource_is_as_long_as_what_its_engines_take() -> None:
    layers = tuple(replace(layer(f"l{i}"), resources=(("LUT", 100 * i),)) for i in range(4))
    for available, full in ((1000, 61.0), (305, 100.0)):
        uses = (ResourceUse(name="LUT", used=610, available=available),)
        page = str(
            render(report(layers=layers, resources=uses, control=(("LUT", 10),), shortages=("LUT",)))[
                "report.html"
            ]
        )
        bar = page.partition('<span class="n">LUT</span>')[2].partition("</div>")[0]

        assert sum(float(length) for length in re.findall(r"<i [^>]*width: ([\d.]+)%", bar)) == pytest.approx(
            full, abs=0.05
        )
        assert re.findall(r'<i [^>]*title="([^"]*)"', bar) == [
            "l1: 100",
            "l2: 200",
            "l3: 300",
            "AXI4-Lite control: 10",
        ]


@pytest.mark.parametrize("taps", [4, 9])
def test_kernels_are_drawn_large_only_where_a_tap_is_gone(taps: int) -> None:
    every = tuple((r, s) for r in range(3) for s in range(3))
    plane = PLANE if taps == 4 else TapPlane(kernel=(3, 3), taps=every, heat=(1.0,) * 9)
    page = str(render(report(layers=(layer("a", plane=plane),)))["report.html"])

    assert ("<h2>Surviving taps</h2>" in page) == (taps < 9)


@pytest.mark.parametrize(("used", "marked"), [(4000, ["25.00"]), (1000, [])])
def test_the_bar_of_what_does_not_fit_shows_where_the_part_ends(used: int, marked: list[str]) -> None:
    page = str(
        render(report(resources=(ResourceUse(name="LUT", used=used, available=1000),), shortages=("LUT",)))[
            "report.html"
        ]
    )

    assert re.findall(r'<b style="width: ([\d.]+)%" title="what the part has: 1,000">', page) == marked


@pytest.mark.parametrize(("cycles", "said"), [(5000, "50.0 µs"), (2_855_903, "28.6 ms")])
def test_latency_in_the_unit_that_keeps_it_short(cycles: int, said: str) -> None:
    assert f"<b>{said}</b><span>latency" in str(render(report(latency_cycles=cycles))["report.html"])


def simulated(stalls: int) -> dict[str, str]:
    layers = (
        replace(layer("conv1"), stalls=1500),
        replace(layer("add1", plane=None, cycles=64), stalls=0),
        replace(layer("conv2", cycles=4000), stalls=stalls),
    )
    fifos = (
        FifoRow(source="conv1", target="add1", depth=16, width=128, memory="lutram", held=4),
        FifoRow(source="add1", target="conv2", depth=2000, width=128, memory="bram", held=2000),
    )
    return render(report(layers=layers, fifos=fifos))


def test_what_fifos_held_and_who_stands_still_is_on_the_page() -> None:
    files = simulated(stalls=50)

    page = files["report.html"]
    assert (
        "conv2, the bottleneck, stands still 50 of 4,000 cycles within a frame (1.25%); the others wait for it."
        in page
    )
    assert '<i style="width: 25.0%"></i></div><span>4 of 16</span>' in page
    assert '<i style="width: 100.0%"></i></div><span>2,000 of 2,000</span>' in page
    assert 'title="writer still" class="amount" style="--heat: 0.375">1,500</td>' in page
    assert "| conv1 to add1 | 16 | 4 | 1,500 | 0 | 128 | lutram |" in files["report.md"]
    assert "| add1 to conv2 | 2,000 | 2,000 | 0 | 50 | 128 | bram |" in files["report.md"]
    hardware = json.loads(files["report.json"])["hardware"]
    assert [4, 2000] == [fifo["most_held"] for fifo in hardware["fifos"]]
    assert [1500, 0, 50] == [row["stalls"] for row in hardware["layers"]]


def test_a_bottleneck_that_never_waits_is_said() -> None:
    said = "conv2, the bottleneck, never stands still within a frame: no FIFO costs speed."

    assert said in simulated(stalls=0)["report.html"]
    assert said in simulated(stalls=0)["report.md"]


def test_nothing_is_said_of_fifos_that_nobody_simulated() -> None:
    files = render(report())

    assert "still" not in files["report.md"].partition("## Streams")[2]
    assert "| conv1 to add1 | 17 | 128 | lutram |" in files["report.md"]
    assert json.loads(files["report.json"])["hardware"]["fifos"][0]["most_held"] is None
