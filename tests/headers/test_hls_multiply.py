"""Every kind of multiplier of psp/multiply.h gives the product, for every pair of operands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.backends.hls.multipliers import multiplier_type
from psp_hw.backends.hls.project import ap_types_dir, template_dir
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, FoldPlan, MultiplierKind, NodePlan
from psp_hw.tools import gxx

pytestmark = pytest.mark.slow  # g++ compiles every pair of operands

PROGRAM = """
#include <cstdio>

#include "psp/multiply.h"

// Adds x * w0 and x * w1 to sums that are not zero; any that differs is counted.
template <class KIND>
long differing(int x_least, int x_most, int w_least, int w_most, int step) {
    long wrong = 0;
    for (int x = x_least; x <= x_most; ++x) {
        for (int w0 = w_least; w0 <= w_most; ++w0) {
            for (int w1 = w_least; w1 <= w_most; w1 += step) {
                const int w[2] = {w0, w1};
                int sums[2] = {5, -7};
                Apply<KIND, KIND::kAtOnce>::to(x, w, sums);
                wrong += sums[0] != 5 + x * w0;
                wrong += sums[1] != -7 + x * w1;
            }
        }
    }
    return wrong;
}
"""
APPLY = """
#include "psp/multiply.h"

template <class KIND, int AT_ONCE>
struct Apply {
    static void to(int x, const int (&w)[2], int (&sums)[2]) { KIND::add(x, w, sums); }
};

template <class KIND>
struct Apply<KIND, 1> {
    static void to(int x, const int (&w)[2], int (&sums)[2]) {
        for (int s = 0; s < 2; ++s) {
            const int one[1] = {w[s]};
            int sum[1] = {sums[s]};
            KIND::add(x, one, sum);
            sums[s] = sum[0];
        }
    }
};
"""


def count_differing(folder: Path, kind: str, call: str, *flags: str) -> int:
    main = f'int main() {{ std::printf("%ld", differing<{kind} >({call})); return 0; }}'
    return printed(folder, APPLY + PROGRAM + main, *flags)


def printed(folder: Path, program: str, *flags: str) -> int:
    (folder / "main.cpp").write_text(program)
    include = template_dir() / "include"
    command = [gxx.compiler(), "-std=c++14", "-O2", "-Wno-unknown-pragmas", *flags, f"-I{include}"]
    command += ["-isystem", str(ap_types_dir()), "-o", str(folder / "main"), str(folder / "main.cpp")]
    subprocess.run(command, check=True, capture_output=True)
    return int(subprocess.run([str(folder / "main")], check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("flags", [(), ("-DPSP_EXACT_WIDTHS",)])
@pytest.mark.parametrize(
    "kind", ["psp::ByTool", "psp::InLuts<4, 4>", "psp::InDsp<4, 4>", "psp::InDspPairs<4, 4, 8>"]
)
def test_signed_products_of_four_bits(tmp_path: Path, kind: str, flags: tuple[str, ...]) -> None:
    assert 0 == count_differing(tmp_path, kind, "-8, 7, -8, 7, 1", *flags)


def test_pairs_with_an_unsigned_operand_of_four_bits(tmp_path: Path) -> None:
    assert 0 == count_differing(tmp_path, "psp::InDspPairs<5, 4, 8>", "0, 15, -8, 7, 1")


@pytest.mark.parametrize("flags", [(), ("-DPSP_EXACT_WIDTHS",)])
@pytest.mark.parametrize("x", ["<8, 8, 16>:-128, 127", "<9, 8, 16>:0, 255"])
def test_pairs_of_eight_bits(tmp_path: Path, x: str, flags: tuple[str, ...]) -> None:
    widths, extent = x.split(":")

    assert 0 == count_differing(tmp_path, f"psp::InDspPairs{widths}", f"{extent}, -128, 127, 15", *flags)


@pytest.mark.parametrize("kind", [MultiplierKind.LUT, MultiplierKind.DSP, MultiplierKind.DSP_PAIR])
@pytest.mark.parametrize("weights", [(-8, 7), (0, 15)])
@pytest.mark.parametrize("signed", [False, True])
def test_a_layer_is_given_operands_of_enough_bits_also_where_no_weight_is_negative(
    tmp_path: Path, kind: MultiplierKind, weights: tuple[int, int], signed: bool
) -> None:
    make = Builder(1, 1, 2, fmt=FixedPoint(width=4, signed=signed, frac=0))  # two words of weights
    make.conv(2, taps=((1, 1),), weight=np.array([[weights, weights]]))
    plan = FoldPlan(nodes={"conv0": NodePlan(fold=Fold(pe=2), multipliers=kind)})
    (engine,) = (e for e in build(make.graph(), plan).engines if isinstance(e, ConvEngine))
    fmt = make.fmt
    call = f"{fmt.min}, {fmt.max}, {weights[0]}, {weights[1]}, 1"

    assert 0 == count_differing(tmp_path, f"psp::{multiplier_type(engine)}", call, "-DPSP_EXACT_WIDTHS")


WIDE = """
int main() {
    const long long ends[2][2] = {{-(1LL << 23), (1LL << 23) - 1}, {-(1LL << 14), (1LL << 14) - 1}};
    long wrong = 0;
    for (int i = 0; i < 4; ++i) {
        const long long x = ends[0][i % 2];
        const long long w[2] = {ends[1][i / 2], ends[1][1 - i / 2]};
        long long sums[2] = {5, -7};
        for (int s = 0; s < 2; s += KIND::kAtOnce) KIND::add(x, *reinterpret_cast<const long long(*)[KIND::kAtOnce]>(w + s),
                                                             *reinterpret_cast<long long(*)[KIND::kAtOnce]>(sums + s));
        wrong += sums[0] != 5 + x * w[0];
        wrong += sums[1] != -7 + x * w[1];
    }
    std::printf("%ld", wrong);
    return 0;
}
"""


@pytest.mark.parametrize("flags", [(), ("-DPSP_EXACT_WIDTHS",)])
@pytest.mark.parametrize("kind", ["InLuts<24, 15>", "InDsp<24, 15>", "InDspPairs<24, 15, 39>", "ByTool"])
def test_products_of_more_bits_than_an_int_has(tmp_path: Path, kind: str, flags: tuple[str, ...]) -> None:
    program = f'#include <cstdio>\n#include "psp/multiply.h"\ntypedef psp::{kind} KIND;\n{WIDE}'

    assert 0 == printed(tmp_path, program, *flags)


def test_a_lane_one_bit_too_narrow_is_seen(tmp_path: Path) -> None:
    assert count_differing(tmp_path, "psp::InDspPairs<4, 4, 7>", "-8, 7, -8, 7, 1") > 0
