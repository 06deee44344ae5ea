"""YAML to TrainSpec and back. Every problem of a file is reported at once; no YAML tag creates an object."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from psp_hw.errors import SpecError, reason
from psp_hw.spec.files import read_text_bounded
from psp_hw.spec.names import first_line, shown, suggestion
from psp_hw.spec.presets import preset
from psp_hw.spec.problems import SpecProblemsError
from psp_hw.spec.train import StructureSpec, TrainSpec

MAX_SPEC_BYTES = 1 << 20  # a spec is a page of text; anything larger is another file


def load_spec(path: Path, *, base: TrainSpec | None = None) -> TrainSpec:
    """Read a training spec.

    Args:
        path: the YAML file.
        base: the spec whose values hold for every key that the file leaves out; None: the recipe of the
            network and the data set that the file names.

    Raises:
        SpecError: the file is missing, too large, not YAML, or any of its values is not legal; the message
            names every problem that was found.
    """
    values = read_mapping(path)
    if base is None:
        base = preset(_name_below(values, "net"), _name_below(values, "data"))
    return spec_from_dict(values, where=path.name, base=base)


def _name_below(values: Mapping[str, object], key: str) -> str | None:
    """The ``name`` below a key, where it is there and is text."""
    section = values.get(key)
    name = section.get("name") if isinstance(section, Mapping) else None
    return name if isinstance(name, str) and name else None


def read_mapping(path: Path) -> Mapping[str, object]:
    """Read a YAML file whose top level is a mapping."""
    try:
        loaded = yaml.safe_load(read_text_bounded(path, MAX_SPEC_BYTES, pipes=True))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot be read: {reason(error)}", where=str(path)) from error
    except Exception as error:  # a tag such as !!int on other text makes the reader raise anything
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        says_nothing = isinstance(error, RecursionError)
        problem = getattr(error, "problem", None) or (
            "not a YAML document" if says_nothing else first_line(error)
        )
        raise SpecError(f"not valid YAML: {problem}", where=f"{path}{line}") from error
    if loaded is None:
        raise SpecError(
            "the file holds nothing",
            where=str(path),
            hint="start with keys such as 'net:', 'data:', 'pruning:'",
        )
    if not isinstance(loaded, dict):
        raise SpecError(
            f"the file holds a {type(loaded).__name__}, a spec is a mapping",
            where=str(path),
            hint="start with keys such as 'net:', 'data:', 'pruning:'",
        )
    return loaded


def spec_from_dict(
    values: Mapping[str, object], *, where: str = "spec", base: TrainSpec | None = None
) -> TrainSpec:
    """Build a TrainSpec from plain values; see `load_spec`."""
    problems: _Found = []
    result = _build(TrainSpec, values, "", base, problems)
    if len(problems) == 1:
        key, what, hint = problems[0]
        raise SpecError(what, where=f"{where}: {key}" if key else where, hint=hint)
    if problems:
        raise SpecError("; ".join(_sentence(*problem) for problem in problems), where=where)
    assert isinstance(result, TrainSpec)
    return result


def _sentence(key: str, what: str, hint: str | None) -> str:
    advice = f" ({hint})" if hint else ""
    return f"{key}: {what}{advice}"


_Found = list[tuple[str, str, str | None]]


def _build(cls: type[Any], values: object, key: str, base: Any, problems: _Found) -> Any:
    """One dataclass from a mapping, appending what is wrong to `problems`; None where it cannot be made."""
    if not isinstance(values, Mapping):
        problems.append((key, f"{shown(values)} is not a mapping of keys", None))
        return None
    hints = get_type_hints(cls)
    given: dict[str, object] = {}
    for name, value in values.items():
        below = f"{key}.{name}" if key else str(name)
        if name not in hints:
            problems.append((below, f"unknown key '{name}'", suggestion(str(name), hints)))
            continue
        current = getattr(base, str(name)) if base is not None else None
        before = len(problems)
        converted = _convert(hints[str(name)], value, below, current, problems)
        if len(problems) == before:
            given[str(name)] = converted
    try:
        return dataclasses.replace(base, **given) if base is not None else cls(**given)
    except SpecProblemsError as error:
        for place, what in error.found:
            local = place.rsplit(".", 1)[-1]
            problems.append((f"{key}.{local}" if key else local, what, error.hint))
        return None


def _convert(kind: Any, value: object, key: str, base: Any, problems: _Found) -> Any:
    """One value of the declared type `kind`."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build(kind, value, key, base, problems)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (arg for arg in get_args(kind) if arg is not type(None))
        return _convert(kind, value, key, base, problems)
    if origin is tuple:
        return _convert_tuple(get_args(kind)[0], value, key, problems)
    if isinstance(kind, type) and issubclass(kind, Enum):
        words = [str(member.value) for member in kind]
        if not isinstance(value, str) or value not in words:
            problems.append(
                (key, f"unknown value {shown(value)}", suggestion(shown(value).strip("'"), words))
            )
            return None
        return kind(value)
    if kind is float and isinstance(value, str):
        value = _number(value)
    legal = (int, float) if kind is float else (kind,)
    if not isinstance(value, legal) or (isinstance(value, bool) and kind is not bool):
        problems.append((key, f"{shown(value)} is not of type {kind.__name__}", None))
        return None
    return float(value) if kind is float else value


def _convert_tuple(kind: Any, value: object, key: str, problems: _Found) -> tuple[Any, ...]:
    """A list of values; a structure may be given by its bare name."""
    if not isinstance(value, list):
        problems.append((key, f"{shown(value)} is not a list", None))
        return ()
    result = []
    for index, item in enumerate(value):
        if kind is StructureSpec and isinstance(item, str):
            item = {"kind": item}
        result.append(_convert(kind, item, f"{key}[{index}]", None, problems))
    return tuple(result)


def _number(text: str) -> object:
    """YAML 1.1 reads ``1e-4`` as text; take it as the number that it is."""
    try:
        return float(text)
    except ValueError:
        return text


def spec_to_dict(spec: object) -> dict[str, Any]:
    """A spec as plain values (for YAML and JSON), in the order of its fields."""
    assert dataclasses.is_dataclass(spec)
    return {f.name: _plain(getattr(spec, f.name)) for f in dataclasses.fields(spec)}


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value):
        return spec_to_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def spec_to_yaml(spec: TrainSpec) -> str:
    """A spec as YAML text that `load_spec` reads back to an equal spec."""
    return yaml.safe_dump(spec_to_dict(spec), sort_keys=False, allow_unicode=True)
