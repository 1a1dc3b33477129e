"""Messages between the daemon and the page server, and between the server and its children (docs/spine.md section 8).

A message is msgpack of a map with `type` and, but for `ready`, the request's number `id`:

| direction | type | further keys | descriptors |
|---|---|---|---|
| daemon → server | walk, render, compose | options, documents, limits, seconds | the documents |
| daemon → server | cancel | – | – |
| server → daemon | ready | sandbox | – |
| server → daemon | progress | value | – |
| server → daemon | result | value | the results |
| server → daemon | refused | value | – |
| server → daemon | failed | detail | – |
| server → daemon | log | text | – |
| server → daemon | conversion | value (without `id`) | – |

Values are the dataclasses of `document.types`. They are read strictly, type by type: a child that was taken over by
its document can send wrong facts, but nothing that is not facts. Descriptors stand in a value as indexes into the
frame's list.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import msgpack

T = TypeVar("T")
Message = dict[str, Any]  # msgpack's own values; every use reads them through `value` or `number`


_SCALARS = frozenset((bool, int, float, str, bytes))
"""Types that travel as they are."""


class BadMessage(Exception):
    """A message that is not one of ours."""


def pack(message: Message) -> bytes:
    """Make a frame's payload."""
    return typing.cast(bytes, msgpack.packb(message))


def unpack(payload: bytes) -> Message:
    """Read a frame's payload.

    Raises:
        BadMessage: If it is no map with a `type`.
    """
    try:
        message = msgpack.unpackb(payload)
    except (ValueError, TypeError, msgpack.UnpackException) as exc:
        raise BadMessage("not msgpack") from exc
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadMessage("no type")
    return message


def number(message: Message, key: str) -> int:
    """An integer of a message.

    Raises:
        BadMessage: If there is none.
    """
    found = message.get(key)
    if type(found) is not int:
        raise BadMessage(f"{key} is no integer")
    return found


def plain(item: object, place: Callable[[int], int] | None = None) -> Any:  # Any: msgpack's own values
    """Turn a dataclass into maps, lists and scalars.

    Args:
        item: A value made of dataclasses, tuples, enums, times and scalars.
        place: Gives a descriptor its index in the frame; fields named `fd` or ending in `_fd` are descriptors.
    """
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {
            f.name: place(found)
            if place is not None and _is_descriptor(f.name) and isinstance(found := getattr(item, f.name), int)
            else plain(getattr(item, f.name), place)
            for f in dataclasses.fields(item)
        }
    if isinstance(item, tuple):
        return [plain(each, place) for each in item]
    if isinstance(item, Enum):
        return item.value
    if isinstance(item, datetime):
        return item.isoformat()
    return item


def value(cls: type[T], data: object, descriptors: Sequence[int] = ()) -> T:
    """Read a dataclass from its plain form.

    Raises:
        BadMessage: If a field is missing, unknown or of another type, or a descriptor's index is none.
    """
    return typing.cast(T, _read(cls, data, descriptors, "", ""))


def _read(expected: Any, data: object, descriptors: Sequence[int], name: str, where: str) -> object:  # Any: a type
    if expected in _SCALARS and type(data) is expected and not _is_descriptor(name):
        return data  # most fields are; a child just forked feels each call
    origin = typing.get_origin(expected)
    if origin in (typing.Union, types.UnionType):
        arguments = typing.get_args(expected)
        if data is None and type(None) in arguments:
            return None
        (expected,) = (each for each in arguments if each is not type(None))
        return _read(expected, data, descriptors, name, where)
    if origin is tuple:
        if not isinstance(data, list):
            raise BadMessage(f"{where} is no list")
        inner = typing.get_args(expected)[0]
        return tuple(_read(inner, each, descriptors, name, where) for each in data)
    if dataclasses.is_dataclass(expected):
        return _read_dataclass(typing.cast(type, expected), data, descriptors, where)
    if isinstance(expected, type) and issubclass(expected, Enum):
        try:
            return expected(data)
        except ValueError as exc:
            raise BadMessage(f"{where} is no {expected.__name__}") from exc
    return _read_scalar(expected, data, descriptors, name, where)


def _read_scalar(expected: type, data: object, descriptors: Sequence[int], name: str, where: str) -> object:
    if expected is datetime:
        try:
            return datetime.fromisoformat(typing.cast(str, data))
        except (TypeError, ValueError) as exc:
            raise BadMessage(f"{where} is no time") from exc
    if expected is float and type(data) is int:
        data = float(data)
    if type(data) is not expected:
        raise BadMessage(f"{where} is no {expected.__name__}")
    if _is_descriptor(name):
        if not 0 <= typing.cast(int, data) < len(descriptors):
            raise BadMessage(f"{where} names descriptor {data} of {len(descriptors)}")
        return descriptors[typing.cast(int, data)]
    return data


def _read_dataclass(cls: type, data: object, descriptors: Sequence[int], where: str) -> object:
    hints = _hints(cls)
    if not isinstance(data, dict) or set(data) != set(hints):
        raise BadMessage(f"{where or cls.__name__} is no {cls.__name__}")
    return cls(**{key: _read(hint, data[key], descriptors, key, f"{where}.{key}") for key, hint in hints.items()})


@cache
def _hints(cls: type) -> dict[str, Any]:  # Any: types
    return typing.get_type_hints(cls)


def _is_descriptor(name: str) -> bool:
    return name == "fd" or name.endswith("_fd")
