"""Plain words for what validation finds: what is wrong and what to write, never the value (it may be a secret)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from faxgw.tomlscan import Path

_MESSAGES = {
    "missing": "is required",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "frozen_set_type": "must be a list",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "path_type": "must be a path in quotes",
}


_BOUNDS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
    "string_too_long": ("max_length", "may have no more characters than"),
    "string_too_short": ("min_length", "must have at least this many characters:"),
    "string_pattern_mismatch": ("pattern", "must match"),
}


def message(error: ErrorDetails, model: type[BaseModel], keys: Path) -> str:
    """What is wrong with the key at `keys` of the model, without the value."""
    if error["type"] == "extra_forbidden":
        return "unknown key" + near(str(keys[-1]), _fields_at(model, keys[:-1]))
    if error["type"] in {"literal_error", "enum"}:
        return f"must be one of {error['ctx']['expected']}"
    if error["type"] in _BOUNDS:
        kind, words = _BOUNDS[error["type"]]
        return f"{words} {error['ctx'][kind]}"
    if error["type"] == "too_short":
        return f"needs {error['ctx']['min_length']} or more entries"
    if error["type"] == "too_long":
        return f"may have {error['ctx']['max_length']} entries at most"
    return _MESSAGES.get(error["type"]) or lowered(error["msg"].removeprefix("Value error, "))


def _fields_at(model: type[BaseModel], keys: Path) -> list[str]:
    """Names that the table at `keys` knows."""
    for key in keys:
        field = model.model_fields.get(str(key))
        if isinstance(key, int) or field is None:
            continue
        inner = next((kind for kind in _kinds(field.annotation) if issubclass(kind, BaseModel)), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _kinds(annotation: object) -> Iterator[type]:
    """The classes in an annotation: `Tls | None`, `tuple[Route, ...]`."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def known(loc: tuple[int | str, ...], raw: object) -> Path:
    """The part of pydantic's location that leads through the raw value (unions add names of their own)."""
    path: Path = ()
    for key in loc:
        if (isinstance(raw, dict) and key in raw) or (isinstance(raw, list) and isinstance(key, int)):
            path, raw = (*path, key), raw[key]  # type: ignore[index]  # mypy cannot follow the pairing of key and kind
    return path


def near(name: str, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def lowered(message: str) -> str:
    """The message as the end of a sentence."""
    return message[:1].lower() + message[1:]
