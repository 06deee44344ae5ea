"""g++: compile a design and run frames through it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray
from psp_hw.errors import RunError, ToolError, reason
from psp_hw.ir.types import TensorType
from psp_hw.spec.files import read_text_bounded

STANDARD = "-std=c++14"
MAX_MANIFEST_BYTES = 16 << 20
# On resnet8 -O1 compiles in 6 s and runs 360 million products a second; -O2 takes 10 s for 440. Neither matters more.
OPTIMIZATION = "-O1"
INCLUDES = ("-Isrc", "-Iinclude", "-isystem", "include/gxx", "-isystem", "include/ap_types")
# Frames per process: long enough that starting it does not matter, short enough that its files stay small.
CHUNK_BYTES = 1 << 25
CHUNK_FRAMES = 256


class Widths(Enum):
    """The words in which counters, operands, products and constants are computed (psp/number.h)."""

    MACHINE = "machine"
    """C integers that hold the same values."""
    SYNTHESIS = "synthesis"
    """Words of exactly their width, as in hardware; a program of them takes several times as long."""


DEFINITIONS: Mapping[Widths, tuple[str, ...]] = {
    Widths.MACHINE: (),
    Widths.SYNTHESIS: ("-DPSP_EXACT_WIDTHS",),
}


def compiler() -> str:
    """The C++ compiler: ``$CXX``, or g++.

    Raises:
        ToolError: it is not on PATH.
    """
    name = os.environ.get("CXX") or "g++"
    found = shutil.which(name)
    if found is None:
        raise ToolError(
            f"{name} is not on PATH",
            where="C simulation",
            hint="install it (Debian, Ubuntu: apt install g++)",
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """A stream of a design.

    Args:
        value: the value of the graph that it carries.
        type: one token is one pixel of this type.
    """

    value: str
    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What the manifest of a design says of its ends and its streams."""

    top: str
    source: TensorType
    result: TensorType
    streams: Mapping[str, StreamInfo]


def read_interface(design: Path) -> Interface:
    """Read the manifest of a design.

    Raises:
        RunError: it is missing or not ours.
    """
    path = design / "design.json"
    try:
        document = json.loads(read_text_bounded(path, MAX_MANIFEST_BYTES))
        return Interface(
            top=document["top"],
            source=_type(document["input"]),
            result=_type(document["output"]),
            streams={
                name: StreamInfo(value=entry["value"], type=_type(entry))
                for name, entry in document["streams"].items()
            },
        )
    except FileNotFoundError as error:
        raise RunError(
            "is missing", where=str(path), hint="name a design folder, or emit it again"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"is no manifest of a design: {reason(error)}", where=str(path), hint="emit the design again"
        ) from error


def _type(entry: Mapping[str, object]) -> TensorType:
    shape = entry["shape"]
    if not isinstance(shape, list):
        raise TypeError("a shape is a list")
    height, width, channels = (int(extent) for extent in shape)
    return TensorType(
        height=height, width=width, channels=channels, fmt=FixedPoint.parse(str(entry["format"]))
    )


class Simulation:
    """A compiled design; closing it removes what was compiled.

    Use ``compile_design`` to make one.
    """

    def __init__(
        self, binary: Path, interface: Interface, folder: tempfile.TemporaryDirectory[str] | None
    ) -> None:
        self.binary = binary
        self.interface = interface
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the compiled program, if nobody asked to keep it."""
        if self._folder is not None:
            self._folder.cleanup()

    def run(
        self, codes: IntArray, *, jobs: int | None = None, on_chunk: Callable[[int], None] | None = None
    ) -> IntArray:
        """Codes of the output; the frames of a chunk pass through the design back to back.

        Args:
            codes: [N, H, W, C] in the format of the input.
            jobs: processes at the same time; None takes every core.
            on_chunk: called with the number of frames done, after every chunk.

        Returns:
            [N, Ho, Wo, Co].

        Raises:
            ToolError: the program failed.
        """
        source, result = self.interface.source, self.interface.result
        self._check(codes)
        workers = jobs or os.cpu_count() or 1
        most = max(
            1,
            min(
                CHUNK_FRAMES, CHUNK_BYTES // (8 * source.pixels * source.channels), -(-len(codes) // workers)
            ),
        )
        parts = [slice(at, min(at + most, len(codes))) for at in range(0, len(codes), most)]
        out = np.empty((len(codes), *result.shape), dtype=np.int64)
        with ThreadPoolExecutor(workers) as pool:
            for part, values in zip(
                parts, pool.map(lambda part: self._stream(codes[part]), parts), strict=True
            ):
                out[part] = values
                if on_chunk is not None:
                    on_chunk(part.stop - part.start)
        return out

    def trace(self, codes: IntArray) -> dict[str, IntArray]:
        """Codes of every value that passes a stream, by name: [N, H, W, C] each.

        Raises:
            ToolError: the program failed, or was not compiled to be traced.
        """
        self._check(codes)
        with tempfile.TemporaryDirectory(prefix="psp-hw-") as place:
            self._stream(codes, {"PSP_TRACE_DIR": place})
            found: dict[str, IntArray] = {}
            for name, stream in self.interface.streams.items():
                path = Path(place) / f"{name}.bin"
                if not path.exists():
                    raise ToolError("the program was not compiled to be traced", where=str(self.binary))
                if stream.value not in found:
                    found[stream.value] = unpack_tokens(path.read_bytes(), stream.type)
        return found

    def _check(self, codes: IntArray) -> None:
        source = self.interface.source
        if codes.ndim != 4 or codes.shape[1:] != source.shape:
            raise ValueError(f"codes of shape {codes.shape} are no frames of {source}")
        if codes.size and not (source.fmt.min <= codes.min() and codes.max() <= source.fmt.max):
            raise ValueError(f"codes {codes.min()} .. {codes.max()} leave the range of {source.fmt}")

    def _stream(self, codes: IntArray, environment: Mapping[str, str] | None = None) -> IntArray:
        with tempfile.TemporaryDirectory(prefix="psp-hw-") as place:
            source, target = Path(place) / "in.bin", Path(place) / "out.bin"
            source.write_bytes(np.ascontiguousarray(codes, dtype="<i8").tobytes())
            command = [str(self.binary), "--stream", str(source), str(target)]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env={**os.environ, **(environment or {})},
            )
            if done.returncode != 0:
                raise ToolError(f"failed: {_first_line(done.stderr)}", where=str(self.binary))
            if "WARNING" in done.stdout:
                raise ToolError(
                    f"read an empty stream or left one full: {_first_line(done.stdout)}",
                    where=str(self.binary),
                )
            values = np.frombuffer(target.read_bytes(), dtype="<i8").astype(np.int64)
        shape = (len(codes), *self.interface.result.shape)
        if values.size != np.prod(shape):
            raise ToolError(
                f"{values.size} values came out where {np.prod(shape)} should", where=str(self.binary)
            )
        return values.reshape(shape)


def unpack_tokens(data: bytes, kind: TensorType) -> IntArray:
    """Codes [N, H, W, C] of tokens as psp/trace.h writes them."""
    size = (kind.pixel_bits + 7) // 8
    tokens = np.frombuffer(data, dtype=np.uint8).reshape(-1, size)
    bits = np.unpackbits(tokens, axis=1, bitorder="little")[:, : kind.pixel_bits]
    elements = bits.reshape(-1, kind.channels, kind.fmt.width).astype(np.uint64)
    weights = np.uint64(1) << np.arange(kind.fmt.width, dtype=np.uint64)
    values = (elements * weights).sum(axis=-1, dtype=np.uint64).astype(np.int64)
    if kind.fmt.signed:
        negative = bits.reshape(elements.shape)[..., -1].astype(np.int64)
        values = values - (negative << np.int64(kind.fmt.width)) if kind.fmt.width < 64 else values
    return np.asarray(values.reshape(-1, *kind.shape), dtype=np.int64)


def compile_design(
    design: Path, *, keep: Path | None = None, traced: bool = False, widths: Widths = Widths.MACHINE
) -> Simulation:
    """Compile a design folder.

    Args:
        design: the folder; it is only read.
        keep: where the program goes; None takes a temporary folder that lives as long as the simulation.
        traced: compile so that ``Simulation.trace`` works; slower.
        widths: the words to compute in.

    Raises:
        RunError: the folder is no design.
        ToolError: g++ is missing or fails; says its first error.
    """
    interface = read_interface(design)
    program = compiler()
    folder = tempfile.TemporaryDirectory(prefix="psp-hw-") if keep is None else None
    place = Path(folder.name) if folder is not None else keep
    assert place is not None
    place.mkdir(parents=True, exist_ok=True)
    sources = {
        f"src/{interface.top}.cpp": place.resolve() / "top.o",
        "tb/testbench.cpp": place.resolve() / "testbench.o",
    }
    definitions = [*DEFINITIONS[widths], *(["-DPSP_TRACE"] if traced else [])]
    flags = [program, STANDARD, OPTIMIZATION, *INCLUDES, *definitions]
    binary = place.resolve() / "testbench"
    try:
        _compile([[*flags, "-c", source, "-o", str(out)] for source, out in sources.items()], design)
        _compile([[program, *map(str, sources.values()), "-o", str(binary)]], design)
        if not binary.is_file():
            raise ToolError(f"{program} said nothing, but made no program", where=str(design))
    except BaseException:
        if folder is not None:
            folder.cleanup()
        raise
    return Simulation(binary, interface, folder)


def _compile(commands: Sequence[Sequence[str]], design: Path) -> None:
    """Run compilers at the same time; none outlives an interruption.

    Raises:
        ToolError: one cannot be started, fails or is killed.
    """
    with contextlib.ExitStack() as running:
        started = [running.enter_context(_started(command, design)) for command in commands]
        for process, _ in started:
            process.wait()
        for process, said in started:
            if process.returncode != 0:
                said.seek(0)
                raise _failure(process.returncode, said.read().decode(errors="replace"), design)


@contextlib.contextmanager
def _started(command: Sequence[str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A process and what it says on stderr, in English; it and its children end with the block."""
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd=folder,
                env={**os.environ, "LC_ALL": "C"},
                process_group=0,
            )
        except OSError as error:
            raise ToolError(f"cannot be started: {error.strerror}", where=command[0]) from error
        try:
            yield process, said
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failure(code: int, stderr: str, design: Path) -> ToolError:
    """What to say of a compiler that failed."""
    if killed := _killed(code, stderr):
        return ToolError(killed, where=str(design), hint="is there too little memory?")
    errors = [line for line in stderr.splitlines() if "error" in line]
    return ToolError(
        f"g++ failed: {_first_line(errors[0] if errors else stderr)}",
        where=str(design),
        hint="emit the design again; if that fails too, this is a bug of psp-hw",
    )


def _killed(code: int, stderr: str) -> str:
    """That somebody ended a compiler, or its worker, which it reports; empty where nobody did."""
    if code < 0:
        return f"g++ was ended by {signal.Signals(-code).name}"
    reported = re.search(r"Killed signal terminated program (\S+)", stderr)
    return f"g++ failed: its {reported[1]} was killed" if reported else ""


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0] if lines else "nothing was said"
