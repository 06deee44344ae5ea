"""C++ identifiers from any names."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from psp_hw.backends.names import MOST_LETTERS, identifiers, pascal


@given(st.lists(st.text(max_size=80), unique=True, max_size=12))
def test_identifiers_are_legal_and_differ_even_as_type_names(names: list[str]) -> None:
    found = identifiers(names, taken=["top"])

    assert names == list(found)
    assert len(names) == len({pascal(word).lower() for word in found.values()})
    for word in found.values():
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", word)
        assert len(word) <= MOST_LETTERS + 12
        assert word != "top"


def test_names_that_differ_by_case_or_underscores_alone_stay_apart() -> None:
    found = identifiers(["conv_1", "Conv1", "CONV__1"])

    assert {"conv_1": "conv_1", "Conv1": "conv1_v2", "CONV__1": "conv_1_v3"} == found


def test_what_the_language_keeps_for_itself_is_not_used() -> None:
    found = identifiers(["int", "template", "stdin", "main", "math", "ap_int", "9lives", ""])

    assert ["int_layer", "template_layer", "stdin_layer", "main_layer", "math_layer", "ap_int_layer"] == list(
        found.values()
    )[:6]
    assert ["layer_9lives", "layer"] == list(found.values())[6:]
