"""What is wrong with a spec: collected, so that all of it is said at once."""

from __future__ import annotations

from psp_hw.errors import SpecError


class SpecProblemsError(SpecError):
    """Several violations at once.

    Args:
        found: key (from the root of the spec) and sentence of each violation.
    """

    def __init__(self, found: tuple[tuple[str, str], ...]) -> None:
        self.found = found
        if len(found) == 1:
            super().__init__(found[0][1], where=found[0][0])
        else:
            super().__init__("; ".join(f"{key}: {what}" for key, what in found))


class Problems:
    """Collects violations below one key of a spec and raises them together."""

    __slots__ = ("_found", "_where")

    def __init__(self, where: str) -> None:
        self._where = where
        self._found: list[tuple[str, str]] = []

    def check(self, ok: bool, key: str, what: str) -> None:
        """Note a violation of `key` unless `ok`."""
        if not ok:
            self._found.append((key, what))

    def in_range(self, key: str, value: float, low: float, high: float) -> None:
        """Note a value of `key` that is not from `low` to `high`."""
        self.check(low <= value <= high, key, f"{key}={value} is outside {low} .. {high}")

    def finish(self) -> None:
        """Raise one SpecProblemsError that names every violation, if there is any."""
        if self._found:
            raise SpecProblemsError(tuple((f"{self._where}.{key}", what) for key, what in self._found))
