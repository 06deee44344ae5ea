"""Legal, unique C++ identifiers from the names of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Keywords of C++11 and C++14, and alternative spellings of operators.
_KEYWORD_LIST = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
    constexpr const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern false
    float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
    while xor xor_eq
"""
_KEYWORDS = frozenset(_KEYWORD_LIST.split())
# Macros of compilers and C libraries that are written in small letters, the namespaces in use, and words of ours.
_TAKEN_LIST = """
    assert bool complex errno getc i386 imaginary isfinite isinf isnan linux main major makedev minor offsetof putc
    setjmp signbit stderr stdin stdout unix va_arg va_copy va_end va_start
    ap_fixed ap_int ap_uint hls layers psp std ssdm in out
"""
_TAKEN = frozenset(_TAKEN_LIST.split())
# Headers of the C library, which a file of ours must not stand before.
_HEADER_LIST = """
    complex ctype fenv float inttypes iso646 limits locale malloc math memory pthread semaphore setjmp signal stdalign
    stdarg stdbool stddef stdint stdio stdlib string strings tgmath time uchar unistd wchar wctype
"""
_HEADERS = frozenset(_HEADER_LIST.split())
MOST_LETTERS = 64


def identifiers(names: Iterable[str], *, taken: Iterable[str] = ()) -> dict[str, str]:
    """An identifier for every name.

    Small letters, digits and single underscores; no keyword, no common macro; at most ``MOST_LETTERS`` long; two of them
    differ even without their underscores, so that the type names made from them differ as well.

    Args:
        names: distinct names, in any script.
        taken: identifiers that are already in use.

    Returns:
        Identifiers by name, in the order of the names.
    """
    used = {_folded(word) for word in taken}
    found: dict[str, str] = {}
    for name in names:
        base = _legal(name)
        candidate, number = base, 1
        while _folded(candidate) in used:
            number += 1
            candidate = f"{base}_v{number}"
        used.add(_folded(candidate))
        found[name] = candidate
    return found


def pascal(identifier: str) -> str:
    """``conv_1`` as ``Conv1``."""
    return "".join(part[:1].upper() + part[1:] for part in identifier.split("_"))


def _legal(name: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:MOST_LETTERS].rstrip("_")
    if not word or word[0].isdigit():
        word = f"layer_{word}".rstrip("_")
    if word in _KEYWORDS | _TAKEN | _HEADERS or word.startswith("ap_"):
        word = f"{word}_layer"
    return word


def _folded(identifier: str) -> str:
    return identifier.replace("_", "")
