"""The sample configuration: every section and key that exists, commented out, with its default and what it means.

Made from the models themselves, so it is neither incomplete nor out of date. A field without a default, or whose
default is nothing, shows `Field(examples=[...])`, else something of its type.
"""

from __future__ import annotations

import enum
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from faxgw.settings import ByteSize, Duration, Listener, Many, Maybe, Secret, Sections, shown

WIDTH = 110
"""Characters of a line at most."""

_HEAD = """\
# Settings of faxgw.
#
# Every key is named here with its default; remove the # to set one. Files in conf.d/*.toml beside this one are read
# after it, in the order of their names, and outrank it; the environment outranks all: FAXGW_SMTP__MESSAGE_LIMIT=5MB,
# FAXGW_TRUNK__0__HOST=sip.example.
# Spans of time are "250ms", "30s", "5m", "1h30m", "2d"; sizes are "30MB" or "30MiB".
# A password is a text (in a file that not everybody can read), or says where it lies: { file = "/path" },
# { env = "NAME" }, or { credential = "name" } for systemd's LoadCredential.
"""


Rows = Iterable[tuple[str, object, str]]
"""Key, default and meaning of what may stand in a table whose keys no model declares."""


def sample(sections: Sections, tables: Mapping[str, Rows]) -> str:
    """The whole sample file.

    Args:
        sections: As `load` takes them.
        tables: For fields that are open tables, by dotted key such as `settings.values`: what may stand in them.
    """
    text = _HEAD
    for name, declared in sections.items():
        many = isinstance(declared, Many)
        model = declared.model if isinstance(declared, Many | Maybe) else declared
        text += "".join(f"{line}\n" for line in _table(name, model, tables, many=many))
    return text


def _table(name: str, model: type[BaseModel], tables: Mapping[str, Rows], *, many: bool) -> Iterator[str]:
    """A table's own keys, then the tables within it (TOML allows no other order)."""
    yield ""
    yield from _comment(model.__doc__ or "")
    yield f"#[[{name}]]" if many else f"#[{name}]"
    inner: list[tuple[str, type[BaseModel], bool]] = []
    for key, field in model.model_fields.items():
        if f"{name}.{key}" in tables:
            continue
        found = _inner_model(field)
        if found is not None:
            inner.append((f"{name}.{key}", *found))
            continue
        yield from _comment(field.description or "")
        yield f"#{key} = {_value(field)}"
    for path, kind, several in inner:
        yield from _table(path, kind, tables, many=several)
    for key, field in model.model_fields.items():
        rows = tables.get(f"{name}.{key}")
        if rows is not None:
            yield from ("", *_comment(field.description or ""), f"#[{name}.{key}]")
            for row, default, meaning in rows:
                yield from (*_comment(meaning), f"#{row} = {shown(default)}")


def _inner_model(field: FieldInfo) -> tuple[type[BaseModel], bool] | None:
    """The model of a field that is a table or an array of tables, and whether it is an array."""
    parts = list(_parts(field.annotation))
    model = next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)
    return None if model is None else (model, tuple in parts or list in parts)


def _parts(annotation: object) -> Iterator[object]:
    """An annotation taken apart: `tuple[Route, ...] | None` gives tuple, Route, None."""
    origin = getattr(annotation, "__origin__", None)
    if origin is not None:
        yield origin
    if not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _comment(text: str) -> Iterator[str]:
    yield from textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent="# ", subsequent_indent="# ")


def _value(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if field.examples and (default is None or field.is_required()):
        return shown(field.examples[0])
    if default is not None and not field.is_required():
        return shown(default)
    kinds = set(_parts(field.annotation))
    for kind, example in _EXAMPLES.items():
        if kind in kinds:
            return example
    members = next((k for k in kinds if isinstance(k, type) and issubclass(k, enum.Enum)), None)
    return json.dumps(str(next(iter(members)).value)) if members else '""'


_EXAMPLES: Mapping[Any, str] = {  # Any: classes
    Secret: '{ file = "/etc/faxgw/password" }',
    Listener: '"127.0.0.1:0"',
    Duration: '"5m"',
    ByteSize: '"30MB"',
    Path: '"/etc/faxgw/file"',
    bool: "false",
    int: "1",
    float: "1.0",
    tuple: "[]",
    dict: "{}",
    Mapping: "{}",
}
