"""What the two clients have in common: requests, when they are tried again, and how answers are read. No I/O.

A piece of work is a generator: it yields `Request` and is sent an `Answer` or a `Lost`, or it yields `Pause`. The
clients differ only in how they carry these out. Nothing is tried again that could be done twice: requests that send a
fax bear an Idempotency-Key, made here unless the program gives its own.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar  # JSON
from urllib.parse import quote

from pydantic import BaseModel

from faxgw.sdk.errors import ApiError, NoAnswer

BASE = "/api/v1"
MAX_TRIES = 5
"""Times that a request is made at most."""
FIRST_PAUSE_S = 0.5
"""Seconds before the second try; doubled before each further one."""
MAX_PAUSE_S = 60.0
"""Seconds that `Retry-After` is followed at most."""
AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may be made again."""
IN_PROGRESS = "in_progress"
"""Code of a request whose twin is being worked on: its answer will be ours."""

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    method: str
    path: str
    """Under BASE."""
    query: Sequence[tuple[str, str]] = ()
    json: object = None
    files: Sequence[tuple[str, tuple[str | None, bytes, str]]] = ()
    """Parts of a form: name, (file name, octets, media type)."""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: nobody knows whether the request arrived."""

    why: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds to wait."""

    seconds: float


Steps = Generator[Request | Pause, Any, T]
"""Work; the client sends it an Answer or Lost for each Request, None for each Pause."""


def ask(request: Request) -> Steps[Answer]:
    """Make a request until there is an answer that counts.

    Raises:
        ApiError: If it is refused.
        NoAnswer: If none came.
    """
    pause = FIRST_PAUSE_S
    for attempt in range(1, MAX_TRIES + 1):
        got = yield request
        last = attempt == MAX_TRIES
        if isinstance(got, Lost):
            if last:
                raise NoAnswer(got.why)
            yield Pause(pause)
        elif got.status < 400:
            answer: Answer = got
            return answer
        else:
            error = _error(got)
            if last or not (got.status in AGAIN or error.code == IN_PROGRESS) or error.code == "quota":
                raise error
            yield Pause(_retry_after(got, pause))
        pause *= 2
    raise NoAnswer("tries used up")  # not reached: the last try returns or raises


def read(model: type[M], request: Request) -> Steps[M]:
    """Make a request and read its answer."""
    answer = yield from ask(request)
    return model.model_validate_json(answer.body)


def get(path: str, **query: object) -> Request:
    """A request that looks; None is left out, lists are repeated."""
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None:
                pairs.append((name, str(one)))
    return Request("GET", path, tuple(pairs))


def sending(to: object, documents: Sequence[object], key: str | None, fields: Mapping[str, object]) -> Request:
    """The request that sends a fax, as a form: documents go as they are."""
    numbers = [to] if isinstance(to, str | Mapping) else list(to)  # type: ignore[call-overload]
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    said = {name: value for name, value in fields.items() if value is not None}
    linked = [one for one in documents if isinstance(one, Mapping)]
    if linked or not documents or not all(isinstance(one, str) and one[:1] in "+0" for one in numbers):
        inline = [_inline(one) for one in documents]
        return Request("POST", "/faxes", json={"to": numbers, "documents": inline, **said}, headers=headers)
    parts: list[tuple[str, tuple[str | None, bytes, str]]] = [
        ("to", (None, str(number).encode(), "text/plain")) for number in numbers
    ]
    parts += [("document", _file(one)) for one in documents]
    if said:
        parts.append(("fax", (None, json.dumps(said).encode(), "application/json")))
    return Request("POST", "/faxes", files=tuple(parts), headers=headers)


def _file(given: object) -> tuple[str, bytes, str]:
    """A document as a part of a form: a path, octets, or a name with octets."""
    if isinstance(given, bytes):
        return "document", given, "application/octet-stream"
    if isinstance(given, tuple):
        name, octets = given
        return str(name), bytes(octets), "application/octet-stream"
    path = Path(str(given))
    return path.name, path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _inline(given: object) -> Mapping[str, object]:
    """A document within JSON."""
    if isinstance(given, Mapping):
        return given
    name, octets, _kind = _file(given)
    return {"name": name, "data": base64.b64encode(octets).decode()}


def segment(part: str) -> str:
    """A part of a path."""
    return quote(part, safe="")


def _error(answer: Answer) -> ApiError:
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = {}
    return ApiError(answer.status, problem if isinstance(problem, dict) else {})


def _retry_after(answer: Answer, otherwise: float) -> float:
    given = answer.headers.get("retry-after", "")
    return min(MAX_PAUSE_S, float(given)) if given.isascii() and given.isdecimal() else otherwise


def counted(got: Answer | Lost) -> Answer:
    """The answer to a request that is made once.

    Raises:
        ApiError: If it was refused.
        NoAnswer: If none came.
    """
    if isinstance(got, Lost):
        raise NoAnswer(got.why)
    if got.status >= 400:
        raise _error(got)
    return got
