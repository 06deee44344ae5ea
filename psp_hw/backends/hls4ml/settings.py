"""What an hls4ml project is made for: part, clock, back end and the joining of layers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from psp_hw.errors import SpecError
from psp_hw.spec.target import check_part_name
from psp_hw.units import Clock


class Backend(Enum):
    """The back end of hls4ml; the value is its name there."""

    VIVADO = "Vivado"
    VITIS = "Vitis"

    @classmethod
    def parse(cls, word: str) -> Backend:
        """The back end of a word, in letters of any size.

        Raises:
            SpecError: there is no such back end.
        """
        for backend in cls:
            if backend.value.lower() == word.lower():
                return backend
        known = ", ".join(backend.value.lower() for backend in cls)
        raise SpecError(
            f"hls4ml has no back end {word!r} that we write for", where="--backend", hint=f"there are {known}"
        )


class IoType(Enum):
    """How layers of hls4ml are joined: streams of pixels, or arrays of whole frames."""

    STREAM = "io_stream"
    PARALLEL = "io_parallel"

    @classmethod
    def parse(cls, word: str) -> IoType:
        """The member of a word, as ``io_stream`` or ``stream``.

        Raises:
            SpecError: there is none.
        """
        for io_type in cls:
            if word in (io_type.value, io_type.value.removeprefix("io_")):
                return io_type
        known = ", ".join(io_type.value for io_type in cls)
        raise SpecError(
            f"hls4ml joins layers in no way {word!r}", where="--io-type", hint=f"there are {known}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a project is made for.

    Args:
        part: full name of the part.
        clock: the clock to aim at.
        io_type: how layers are joined.
        backend: the back end of hls4ml.
    """

    part: str
    clock: Clock
    io_type: IoType = IoType.STREAM
    backend: Backend = Backend.VITIS

    def __post_init__(self) -> None:
        check_part_name(self.part)
