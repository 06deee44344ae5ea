"""Requantizers and pixels of the headers, alone, against Python integers."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.backends.hls.literals import finish_type
from psp_hw.backends.hls.project import ap_types_dir
from psp_hw.backends.templates import template_dir
from psp_hw.tools import gxx

pytestmark = pytest.mark.slow  # g++ compiles every accumulator

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-unknown-pragmas", "-Wno-unused-label")


def run_program(folder: Path, source: str, *flags: str) -> list[str]:
    include = template_dir() / "include"
    (folder / "program.cpp").write_text(source)
    command = [gxx.compiler(), *STRICT, *flags, f"-I{include}", "-isystem", str(include / "gxx")]
    command += ["-isystem", str(ap_types_dir()), "-o", str(folder / "program"), str(folder / "program.cpp")]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr[:4000]
    return subprocess.run([str(folder / "program")], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )


def random_requantizers(count: int) -> list[tuple[Requantizer, int, int]]:
    """(requantizer, width of the accumulator, left shift that came before)."""
    rng = random.Random(7)
    found = []
    while len(found) < count:
        signed = rng.random() < 0.5
        fmt = FixedPoint(width=rng.randint(2, 12), signed=signed, frac=0)
        shift = rng.choice([*range(-3, 10), 14, 30, 62])
        divisor = rng.choice([1, 1, 3, 5, 7, 9, 25, 49])
        to = Requantizer(
            shift=shift, divisor=divisor, lo=rng.randint(fmt.min, 0), hi=rng.randint(1, fmt.max), fmt=fmt
        )
        left = rng.randint(0, 2) if divisor == 1 else 0
        found.append((to, rng.randint(2, 10), left))
    return found


@pytest.mark.parametrize("standard", ["c++11", "c++14"])
def test_every_accumulator_finishes_as_rational_arithmetic_says(tmp_path: Path, standard: str) -> None:
    cases = random_requantizers(60)
    lines = ["#include <cstdio>", '#include "psp/requantize.h"', "template <class F, int W> void all() {"]
    lines += ["for (int i = -(1 << (W - 1)); i < (1 << (W - 1)); ++i)"]
    lines += ['std::printf("%lld ", (long long)F::finish(ap_int<W>(i)).to_int64());', 'std::printf("\\n"); }']
    lines += ["int main() {"]
    lines += [f"all<psp::{finish_type(to, to.fmt, left=left)}, {width}>();" for to, width, left in cases] + [
        "}"
    ]

    printed = run_program(tmp_path, "\n".join(lines), f"-std={standard}")

    for (to, width, left), line in zip(cases, printed, strict=False):
        accumulators = range(-(1 << (width - 1)), 1 << (width - 1))
        assert [to.exactly(acc << left) for acc in accumulators] == [int(word) for word in line.split()], (
            to,
            width,
        )


def test_wide_accumulators_are_divided_as_rational_arithmetic_says(tmp_path: Path) -> None:
    rng = random.Random(11)
    fmt = FixedPoint(width=32, signed=True, frac=0)
    lines = ["#include <cstdio>", '#include "psp/requantize.h"', "int main() {"]
    expected = []
    for _ in range(120):
        divisor, shift = rng.choice([3, 9, 49, 255]), rng.randint(-6, 50)
        to = Requantizer(shift=shift, divisor=divisor, lo=fmt.min, hi=fmt.max, fmt=fmt)
        width = max(w for w in range(2, 63) if to.divides(w))
        step, most = divisor << max(shift, 0), 2 ** (width - 1) - 1
        near = rng.randint(-most // step, most // step) * step + step // 2 + rng.randint(-1, 1)
        acc = min(max(rng.choice([near, rng.randint(-most, most), most, -most - 1]), -most - 1), most)
        expected.append(to.exactly(acc))
        lines.append(f'std::printf("%lld\\n", (long long)psp::{finish_type(to, fmt)}')
        lines.append(f"    ::finish(ap_int<{width}>({acc}LL)).to_int64());")

    printed = run_program(tmp_path, "\n".join([*lines, "}"]), "-std=c++11")

    assert expected == [int(line) for line in printed if line]


def test_an_exact_result_is_kept() -> None:
    assert finish_type(None, FixedPoint(width=9, signed=True, frac=0)) == "Keep<ap_int<9>>"


def test_pixels_lie_channel_by_channel_from_the_least_significant_bit(tmp_path: Path) -> None:
    rng = random.Random(3)
    shapes = [
        (1, 1),
        (1, 70),
        (3, 5),
        (4, 16),
        (5, 13),
        (8, 8),
        (8, 9),
        (12, 33),
        (20, 4),
        (31, 3),
        (33, 2),
        (64, 2),
    ]
    lines = ["#define AP_INT_MAX_W 4096", "#include <iostream>", '#include "psp/pixel.h"', "int main() {"]
    expected = []
    for width, channels in shapes:
        for kind in ("ap_uint", "ap_int"):
            codes = [rng.getrandbits(width) for _ in range(channels)]
            values = ", ".join(f"{code}ULL" for code in codes)
            element = f"{kind}<{width}>"
            lines.append(
                f"{{ unsigned long long codes[] = {{{values}}}; {element} pixel[{channels}], back[{channels}];"
            )
            lines.append(f"for (int c = 0; c < {channels}; ++c) pixel[c] = {element}(codes[c]);")
            lines.append("psp::unpack(psp::pack(pixel), back); bool same = true;")
            lines.append(f"for (int c = 0; c < {channels}; ++c) same = same && back[c] == pixel[c];")
            lines.append('std::cout << psp::pack(pixel).to_string(16) << " " << same << std::endl; }')
            expected.append(sum(code << (width * c) for c, code in enumerate(codes)))

    printed = run_program(tmp_path, "\n".join([*lines, "}"]), "-std=c++11")

    assert [f"{int(line.split()[0], 16)} {line.split()[1]}" for line in printed if line] == [
        f"{n} 1" for n in expected
    ]
