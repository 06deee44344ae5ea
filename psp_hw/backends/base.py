"""What every back end is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

from psp_hw.arith.requantize import IntArray
from psp_hw.backends.plan_file import print_plan
from psp_hw.errors import SpecError
from psp_hw.folding.bindable import Bindable
from psp_hw.folding.plan import FoldPlan, MemoryKind
from psp_hw.ir.graph import Graph
from psp_hw.ir.text import print_graph
from psp_hw.ir.types import TensorType
from psp_hw.spec.names import suggestion

DESIGN_KIND = "psp-hw design"
DESIGN_FORMAT = 1


class Target(Enum):
    """The tool that a design is written for; the value is its word on the command line."""

    VIVADO = "vivado"
    VITIS = "vitis"
    HLS4ML = "hls4ml"

    @property
    def tool(self) -> str:
        """Name and oldest version of the tool."""
        return {
            Target.VIVADO: "Vivado HLS 2019.2",
            Target.VITIS: "Vitis HLS 2021.1",
            Target.HLS4ML: "hls4ml 1.3",
        }[self]

    @property
    def bindable(self) -> Bindable:
        """Everything but maps and FIFOs: the layer of hls4ml takes a pixel at once, so no map is folded there, and not every tool
        knows how to keep a FIFO in UltraRAM (delays are arrays, `psp/delay.h`).

        Vitis HLS has ``impl=uram`` for ``type=fifo`` (UG1399, "BIND_STORAGE", "config_storage"). The FIFO cores of Vivado HLS are
        FIFO_BRAM, FIFO_LUTRAM and FIFO_SRL; its XPM_MEMORY is a RAM (UG902, "RESOURCE"). hls4ml binds no FIFO at all.
        """
        return Bindable(folded_maps=self is not Target.HLS4ML, ultra_fifos=self is Target.VITIS)

    @classmethod
    def parse(cls, word: str) -> Target:
        """The target of a word.

        Raises:
            SpecError: there is no such target.
        """
        for target in cls:
            if target.value == word:
                return target
        hint = suggestion(word, [target.value for target in cls])
        raise SpecError(f"no target is called {word!r}", where="target", hint=hint)


def check_bindable(plan: FoldPlan, target: Target) -> None:
    """No FIFO is asked to be where the tool of a target cannot put it.

    Raises:
        SpecError: names those that are.
    """
    names = [name for name, kind in plan.fifo_memories.items() if kind is MemoryKind.URAM]
    if not names or target.bindable.ultra_fifos:
        return
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    raise SpecError(
        f"{target.tool} cannot keep a FIFO in UltraRAM; the plan asks it to for {some}",
        where="fold plan",
        hint="use --target vitis, or ask for a goal (such as --max), so that memories are chosen anew",
    )


def source_hash(graph: Graph, plan: FoldPlan) -> str:
    """What a design is made from, in 16 characters: the hash that its files carry.

    Of the graph as text, which names its constants by digest, and the plan; not of compressed files, whose bytes depend
    on the version of zlib.
    """
    parts = (print_graph(graph), print_plan(plan))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """Golden vectors: frames and what must come out.

    Args:
        inputs: codes [N, H, W, C].
        outputs: codes [N, Ho, Wo, Co].
    """

    inputs: IntArray
    outputs: IntArray

    def check(self, graph: Graph) -> None:
        """The vectors have the shapes and ranges of the graph's ends.

        Raises:
            SpecError: they do not.
        """
        for noun, codes, kind in (
            ("inputs", self.inputs, graph.input.type),
            ("outputs", self.outputs, graph.types[graph.output.name]),
        ):
            if len(codes) == 0 or codes.shape[1:] != kind.shape:
                raise SpecError(f"{noun} of shape {codes.shape} are no frames of {kind}", where="vectors")
            if not _fits(codes, kind):
                raise SpecError(
                    f"{noun} {codes.min()} .. {codes.max()} leave the range of {kind.fmt}", where="vectors"
                )
        if len(self.inputs) != len(self.outputs):
            raise SpecError(f"{len(self.inputs)} inputs have {len(self.outputs)} outputs", where="vectors")


def _fits(codes: IntArray, kind: TensorType) -> bool:
    return kind.fmt.min <= int(codes.min()) and int(codes.max()) <= kind.fmt.max
