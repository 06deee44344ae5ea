"""The device table: what each FPGA has, and where the numbers are from.

Columns: device, 6-input LUTs, RAMB36, UltraRAM, DSP48. Flip-flops are twice the LUTs on every device here (a 7-series slice
has 4 LUTs and 8 flip-flops, UG474; an UltraScale CLB has 8 and 16, UG574). Sources are the selection tables of the AMD data
sheets named per family: DS180 (7 series), DS190 (Zynq-7000), DS890 (UltraScale, UltraScale+), DS891 (Zynq UltraScale+), DS987
(Kria K26), DS985 (Kria K24), DS965 (Alveo U50), DS962 (Alveo U200, U250), DS963 (Alveo U280), DS978 (Alveo U55C). An Alveo or
Kria device is the renamed device that stands behind it and has its whole fabric; the shell of a platform takes a share of it.
"""

from __future__ import annotations

from enum import Enum

Row = tuple[str, int, int, int, int]


class Family(Enum):
    """A device family, as vendor reports call it."""

    SPARTAN7 = "spartan7"
    ARTIX7 = "artix7"
    KINTEX7 = "kintex7"
    VIRTEX7 = "virtex7"
    ZYNQ = "zynq"
    KINTEXU = "kintexu"
    VIRTEXU = "virtexu"
    ARTIXUPLUS = "artixuplus"
    KINTEXUPLUS = "kintexuplus"
    VIRTEXUPLUS = "virtexuplus"
    ZYNQUPLUS = "zynquplus"


class Fabric(Enum):
    """Families with the same LUTs, DSPs and memories: the unit in which prices are kept."""

    SERIES7 = "7-series"  # DSP48E1, no UltraRAM
    ULTRASCALE = "ultrascale"  # DSP48E2, no UltraRAM
    ULTRASCALE_PLUS = "ultrascale+"  # DSP48E2, UltraRAM on some


FABRICS: dict[Family, Fabric] = {
    Family.SPARTAN7: Fabric.SERIES7,
    Family.ARTIX7: Fabric.SERIES7,
    Family.KINTEX7: Fabric.SERIES7,
    Family.VIRTEX7: Fabric.SERIES7,
    Family.ZYNQ: Fabric.SERIES7,
    Family.KINTEXU: Fabric.ULTRASCALE,
    Family.VIRTEXU: Fabric.ULTRASCALE,
    Family.ARTIXUPLUS: Fabric.ULTRASCALE_PLUS,
    Family.KINTEXUPLUS: Fabric.ULTRASCALE_PLUS,
    Family.VIRTEXUPLUS: Fabric.ULTRASCALE_PLUS,
    Family.ZYNQUPLUS: Fabric.ULTRASCALE_PLUS,
}

TABLE: tuple[tuple[Family, str, tuple[Row, ...]], ...] = (
    (
        Family.SPARTAN7,
        "DS180",
        (
            ("xc7s6", 3750, 5, 0, 10),
            ("xc7s15", 8000, 10, 0, 20),
            ("xc7s25", 14600, 45, 0, 80),
            ("xc7s50", 32600, 75, 0, 120),
            ("xc7s75", 48000, 90, 0, 140),
            ("xc7s100", 64000, 120, 0, 160),
        ),
    ),
    (
        Family.ARTIX7,
        "DS180",
        (
            ("xc7a12t", 8000, 20, 0, 40),
            ("xc7a15t", 10400, 25, 0, 45),
            ("xc7a25t", 14600, 45, 0, 80),
            ("xc7a35t", 20800, 50, 0, 90),
            ("xc7a50t", 32600, 75, 0, 120),
            ("xc7a75t", 47200, 105, 0, 180),
            ("xc7a100t", 63400, 135, 0, 240),
            ("xc7a200t", 134600, 365, 0, 740),
        ),
    ),
    (
        Family.KINTEX7,
        "DS180",
        (
            ("xc7k70t", 41000, 135, 0, 240),
            ("xc7k160t", 101400, 325, 0, 600),
            ("xc7k325t", 203800, 445, 0, 840),
            ("xc7k355t", 222600, 715, 0, 1440),
            ("xc7k410t", 254200, 795, 0, 1540),
            ("xc7k420t", 260600, 835, 0, 1680),
            ("xc7k480t", 298600, 955, 0, 1920),
        ),
    ),
    (
        Family.VIRTEX7,
        "DS180",
        (
            ("xc7v585t", 364200, 795, 0, 1260),
            ("xc7v2000t", 1221600, 1292, 0, 2160),
            ("xc7vx330t", 204000, 750, 0, 1120),
            ("xc7vx415t", 257600, 880, 0, 2160),
            ("xc7vx485t", 303600, 1030, 0, 2800),
            ("xc7vx550t", 346400, 1180, 0, 2880),
            ("xc7vx690t", 433200, 1470, 0, 3600),
            ("xc7vx980t", 612000, 1500, 0, 3600),
            ("xc7vx1140t", 712000, 1880, 0, 3360),
        ),
    ),
    (
        Family.ZYNQ,
        "DS190",
        (
            ("xc7z007s", 14400, 50, 0, 66),
            ("xc7z010", 17600, 60, 0, 80),
            ("xc7z012s", 34400, 72, 0, 120),
            ("xc7z014s", 40600, 107, 0, 170),
            ("xc7z015", 46200, 95, 0, 160),
            ("xc7z020", 53200, 140, 0, 220),
            ("xc7z030", 78600, 265, 0, 400),
            ("xc7z035", 171900, 500, 0, 900),
            ("xc7z045", 218600, 545, 0, 900),
            ("xc7z100", 277400, 755, 0, 2020),
        ),
    ),
    (
        Family.KINTEXU,
        "DS890",
        (
            ("xcku025", 145440, 360, 0, 1152),
            ("xcku035", 203128, 540, 0, 1700),
            ("xcku040", 242400, 600, 0, 1920),
            ("xcku060", 331680, 1080, 0, 2760),
            ("xcku085", 497520, 1620, 0, 4100),
            ("xcku095", 537600, 1680, 0, 768),
            ("xcku115", 663360, 2160, 0, 5520),
        ),
    ),
    (
        Family.VIRTEXU,
        "DS890",
        (
            ("xcvu065", 358080, 1260, 0, 600),
            ("xcvu080", 445712, 1421, 0, 672),
            ("xcvu095", 537600, 1728, 0, 768),
            ("xcvu125", 716160, 2520, 0, 1200),
            ("xcvu160", 926400, 3276, 0, 1560),
            ("xcvu190", 1074240, 3780, 0, 1800),
            ("xcvu440", 2532960, 2520, 0, 2880),
        ),
    ),
    (
        Family.ARTIXUPLUS,
        "DS890",
        (
            ("xcau7p", 37440, 108, 0, 216),
            ("xcau10p", 44000, 100, 0, 400),
            ("xcau15p", 77760, 144, 0, 576),
            ("xcau20p", 109000, 200, 0, 900),
            ("xcau25p", 141000, 300, 0, 1200),
        ),
    ),
    (
        Family.KINTEXUPLUS,
        "DS890",
        (
            ("xcku3p", 162720, 360, 48, 1368),
            ("xcku5p", 216960, 480, 64, 1824),
            ("xcku9p", 274080, 912, 0, 2520),
            ("xcku11p", 298560, 600, 80, 2928),
            ("xcku13p", 341280, 744, 112, 3528),
            ("xcku15p", 522720, 984, 128, 1968),
            ("xcku19p", 842400, 1728, 288, 1080),
        ),
    ),
    (
        Family.VIRTEXUPLUS,
        "DS890",
        (
            ("xcvu3p", 394080, 720, 320, 2280),
            ("xcvu5p", 600577, 1024, 470, 3474),
            ("xcvu7p", 788160, 1440, 640, 4560),
            ("xcvu9p", 1182240, 2160, 960, 6840),
            ("xcvu11p", 1296000, 2016, 960, 9216),
            ("xcvu13p", 1728000, 2688, 1280, 12288),
            ("xcvu19p", 4085760, 2160, 320, 3840),
            ("xcvu23p", 1029600, 2112, 352, 1320),
            ("xcvu27p", 1296000, 2016, 960, 9216),
            ("xcvu29p", 1728000, 2688, 1280, 12288),
            ("xcvu31p", 439680, 672, 320, 2880),
            ("xcvu33p", 439680, 672, 320, 2880),
            ("xcvu35p", 871680, 1344, 640, 5952),
            ("xcvu37p", 1303680, 2016, 960, 9024),
            ("xcvu45p", 871680, 1344, 640, 5952),
            ("xcvu47p", 1303680, 2016, 960, 9024),
        ),
    ),
    (Family.VIRTEXUPLUS, "DS965 (Alveo U50 = VU35P)", (("xcu50", 871680, 1344, 640, 5952),)),
    (Family.VIRTEXUPLUS, "DS978 (Alveo U55C = VU47P)", (("xcu55c", 1303680, 2016, 960, 9024),)),
    (Family.VIRTEXUPLUS, "DS962 (Alveo U200 = VU9P)", (("xcu200", 1182240, 2160, 960, 6840),)),
    (Family.VIRTEXUPLUS, "DS962 (Alveo U250 = VU13P)", (("xcu250", 1728000, 2688, 1280, 12288),)),
    (Family.VIRTEXUPLUS, "DS963 (Alveo U280 = VU37P)", (("xcu280", 1303680, 2016, 960, 9024),)),
    (
        Family.ZYNQUPLUS,
        "DS891",
        (
            *((f"xczu1{kind}", 37440, 108, 0, 216) for kind in ("cg", "eg")),
            *((f"xczu2{kind}", 47232, 150, 0, 240) for kind in ("cg", "eg")),
            *((f"xczu3{kind}", 70560, 216, 0, 360) for kind in ("cg", "eg")),
            *((f"xczu4{kind}", 87840, 128, 48, 728) for kind in ("cg", "eg", "ev")),
            *((f"xczu5{kind}", 117120, 144, 64, 1248) for kind in ("cg", "eg", "ev")),
            *((f"xczu6{kind}", 214604, 714, 0, 1973) for kind in ("cg", "eg")),
            *((f"xczu7{kind}", 230400, 312, 96, 1728) for kind in ("cg", "eg", "ev")),
            *((f"xczu9{kind}", 274080, 912, 0, 2520) for kind in ("cg", "eg")),
            ("xczu11eg", 298560, 600, 80, 2928),
            ("xczu15eg", 341280, 744, 112, 3528),
            ("xczu17eg", 423403, 796, 102, 1590),
            ("xczu19eg", 522720, 984, 128, 1968),
            ("xczu21dr", 425280, 1080, 80, 4272),
            ("xczu25dr", 310088, 792, 48, 3145),
            ("xczu27dr", 425280, 1080, 80, 4272),
            ("xczu28dr", 425280, 1080, 80, 4272),
            ("xczu29dr", 425280, 1080, 80, 4272),
        ),
    ),
    (Family.ZYNQUPLUS, "DS987 (Kria K26 = ZU5EV)", (("xck26", 117120, 144, 64, 1248),)),
    (Family.ZYNQUPLUS, "DS985 (Kria K24 = ZU3EG)", (("xck24", 70560, 216, 0, 360),)),
)
