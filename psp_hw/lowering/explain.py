"""What happens to every node of a model, also where some are not supported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psp_hw.errors import ModelError
from psp_hw.lowering.builder import Builder, Options, Outcome
from psp_hw.lowering.lower import LISTED, Lowered, finish, lower_node
from psp_hw.lowering.onnx_file import Node, read

_WORST_FIRST = (Outcome.UNSUPPORTED, Outcome.SKIPPED, Outcome.ROUNDED, Outcome.EXACT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One node.

    Args:
        name, op: as in the file.
        outcome: how it is computed.
        text: what it becomes, or why it is not supported and what to do.
    """

    name: str
    op: str
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A model, node by node.

    Args:
        nodes: in order.
        lowered: the graph; None where a node is not supported.
        problem: the first that is not.
    """

    nodes: tuple[Explained, ...]
    lowered: Lowered | None
    problem: ModelError | None

    @property
    def exact(self) -> bool:
        """Whether every node is computed exactly."""
        return all(node.outcome is Outcome.EXACT for node in self.nodes)


def explain(path: Path, options: Options) -> Explanation:
    """What will happen to every node of a file.

    Raises:
        ModelError: the file is no usable ONNX file at all.
    """
    model = read(path)
    builder = Builder(model, options)
    lost: set[str] = set()
    problem: ModelError | None = None
    for node in model.nodes:
        missing = next((tensor for tensor in node.inputs if tensor in lost), None)
        if missing is not None:
            builder.remark(node, f"reads {missing!r}, which cannot be computed", Outcome.SKIPPED)
            lost |= set(node.outputs)
            continue
        try:
            lower_node(node, builder)
        except ModelError as error:
            builder.remark(node, _why(error), Outcome.UNSUPPORTED)
            lost |= set(node.outputs)
            problem = problem or error
    lowered = None
    if problem is None:
        try:
            lowered = finish(builder, str(path))
        except ModelError as error:
            output = Node(name=model.output, op_type="Output", inputs=(), outputs=(), attributes={})
            builder.remark(output, _why(error), Outcome.UNSUPPORTED)
            problem = error
    return Explanation(nodes=_by_node(builder), lowered=lowered, problem=problem)


def _why(error: ModelError) -> str:
    listed = error.hint is not None and error.hint.startswith(LISTED)
    return error.what + (f" ({error.hint})" if error.hint and not listed else "")


def _by_node(builder: Builder) -> tuple[Explained, ...]:
    """All remarks on a node as one, with the worst of its outcomes."""
    found: dict[tuple[str, tuple[str, ...]], Explained] = {}
    for remark in builder.remarks:
        key = (remark.node.name, remark.node.outputs)
        before = found.get(key)
        outcomes = [remark.outcome] if before is None else [remark.outcome, before.outcome]
        found[key] = Explained(
            name=remark.node.name,
            op=remark.node.op_type,
            outcome=next(outcome for outcome in _WORST_FIRST if outcome in outcomes),
            text=remark.text if before is None else f"{before.text}; {remark.text}",
        )
    return tuple(found.values())
