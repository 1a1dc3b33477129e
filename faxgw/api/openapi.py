"""The description of the native API, OpenAPI 3.1, made from the table that serves it: no second source.

Models become schemas as pydantic writes them (JSON Schema 2020-12); each operation says its parameters, bodies,
answers, scopes and every refusal it can give.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any  # JSON

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from faxgw import __version__
from faxgw.api.answers import PROBLEM
from faxgw.api.v1.problems import PROBLEMS
from faxgw.api.v1.table import PATH_PARAMS, PREFIX, Operation
from faxgw.api.v1.types import Answer
from faxgw.fax.access import Scope
from faxgw.fax.account import MAX_RECIPIENTS

EVENTS = "text/event-stream"
REF = "#/components/schemas/{model}"
EVERYWHERE = (
    "bad_request", "unauthorized", "tls_required", "account_suspended", "interface_not_booked", "scope_missing",
    "not_for_operators", "invalid", "too_many_failures", "rate_limited", "internal_error", "maintenance", "busy",
    "unavailable", "refused",
)  # fmt: skip
"""Refusals that every operation can give."""
WITH_BODY = ("bad_json", "too_large", "unsupported_type", "unsupported_encoding", "unsupported_charset", "too_slow")
"""Refusals of operations that take a body."""
_INTRODUCTION = """\
Send and receive faxes. Everything is JSON; times are RFC 3339 in UTC; errors are `application/problem+json` \
(RFC 9457) with a `code` that programs can tell apart. What is not yours looks exactly like what does not exist.

Credentials: an API token (`Authorization: Bearer fxt_…`) or a login (Basic). Lists go on with `cursor`. A request to \
send may be repeated safely with an `Idempotency-Key`. `RateLimit` tells how many requests are left.\
"""
TAGS: Mapping[str, str] = {
    "Faxes": "One collection, sent and received.",
    "Jobs": "What one request sent, to one or many recipients.",
    "Events": "Everything as it happens.",
    "Webhooks": "Be told of events: signed requests to an address of yours.",
    "Templates": "Cover pages and overlays.",
    "Destinations": "Numbers to dial.",
    "Account": "The caller's own account. It is changed under /api/v1/admin.",
    "Accounts": "Customers, profiles, users, numbers, domains, logins, tokens, keys, senders and their directories.",
    "Routing": "Targets and rules of received faxes, and what would happen to one.",
    "Own templates": "Covers, overlays and mails of a customer or of everybody.",
    "Papers": "Papers of numbers.",
    "Keeping": "Archive, purge, holds, audit and junk.",
}
"""Groups of operations, in the order in which they are shown."""


class Fault(Answer):
    """One thing that is wrong with a request."""

    param: str
    """Where: `to[0].number`."""
    detail: str


class Problem(Answer):
    """An error document (RFC 9457)."""

    type: str
    """`/api/v1/problems#` and the code."""
    title: str
    """The status in words."""
    status: int
    detail: str = ""
    """What happened, in full sentences."""
    code: str = ""
    param: str = ""
    """The part of the request that is at fault."""
    faults: list[Fault] = Field(default_factory=list)
    """Everything that is wrong with it."""


def describe(
    operations: Iterable[Operation],
    *,
    recipients: int,
    summary: str = "The native API of the fax gateway",
    words: str = _INTRODUCTION,
) -> dict[str, Any]:
    """The whole document.

    Args:
        operations: The table.
        recipients: Of one fax at most, on this gateway.
        summary: What is described, in a line.
        words: The introduction.
    """
    rows = list(operations)
    names, schemas = _schemas(rows)
    for schema in schemas.values():
        _bound(schema, recipients)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        paths[PREFIX + row.path][row.method.lower()] = _operation(row, names)
    used = {row.tag for row in rows}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "faxgw",
            "version": __version__,
            "summary": summary,
            "description": words,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This gateway"}],
        "tags": [{"name": name, "description": doc} for name, doc in TAGS.items() if name in used],
        "security": [{"token": []}, {"login": []}],
        "paths": dict(paths),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token; its scopes: " + ", ".join(f"`{scope}`" for scope in Scope) + ".",
                },
                "login": {"type": "http", "scheme": "basic", "description": "A login and its password."},
            },
        },
    }


def _schemas(rows: Iterable[Operation]) -> tuple[Mapping[tuple[type[BaseModel], str], Any], dict[str, Any]]:
    """Reference of each model and way, and all schemas by name."""
    asked: dict[tuple[type[BaseModel], str], None] = {}
    for row in rows:
        for given in (row.body, *(row.content or {}).values()):
            if given is not None:
                asked[given, "validation"] = None
        for outcome in row.outcomes:
            if outcome.model is not None:
                asked[outcome.model, "serialization"] = None
    asked[Problem, "serialization"] = None
    references, definitions = models_json_schema(list(asked), ref_template=REF)  # type: ignore[arg-type]
    return references, {name: _tidied(schema) for name, schema in definitions.get("$defs", {}).items()}  # type: ignore[return-value]


def _tidied(schema: Any) -> Any:
    """Without the titles that pydantic makes of names, and without marks of our own."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "many":
            continue
        found[key] = {name: _tidied(one) for name, one in value.items()} if key == "properties" else _tidied(value)
    if "patternProperties" in found:
        found.setdefault("additionalProperties", False)  # pydantic refuses other names too, and does not say so
    return found


def _bound(schema: Any, recipients: int) -> None:
    """Put this gateway's limit of recipients in place of the highest that there is."""
    if isinstance(schema, dict):
        if schema.get("maxItems") == MAX_RECIPIENTS:
            schema["maxItems"] = recipients
        for value in schema.values():
            _bound(value, recipients)
    elif isinstance(schema, list):
        for value in schema:
            _bound(value, recipients)


def _operation(row: Operation, names: Mapping[tuple[type[BaseModel], str], Any]) -> dict[str, Any]:
    scopes = " or ".join(f"`{scope}`" for scope in row.scopes)
    found: dict[str, Any] = {
        "operationId": row.name,
        "tags": [row.tag],
        "summary": row.summary,
        "description": "\n\n".join(filter(None, [row.doc, f"Scope: {scopes}."])),
        "x-scopes": [scope.value for scope in row.scopes],
    }
    if parameters := [*_path(row), *_query(row), *_headers(row)]:
        found["parameters"] = parameters
    content = dict(row.content or ({"application/json": row.body} if row.body else {}))
    if row.octets:
        file = {"schema": {"type": "string", "format": "binary"}}
        found["requestBody"] = {"required": not row.optional_body, "content": {row.octets: file}}
    elif content:
        found["requestBody"] = {
            "required": not row.optional_body,
            "content": {media: {"schema": names[model, "validation"]} for media, model in content.items()},
        }
    found["responses"] = {str(outcome.status): _outcome(outcome, names) for outcome in row.outcomes}
    found["responses"] |= _refusals(row, bool(content))
    return found


def _path(row: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMS[name].doc,
            "schema": {"type": "string", "pattern": f"^{PATH_PARAMS[name].pattern}$"},
            "example": PATH_PARAMS[name].example,
        }
        for name in row.params
    ]


def _query(row: Operation) -> list[dict[str, Any]]:
    if row.query is None:
        return []
    schema = _tidied(row.query.model_json_schema(ref_template=REF))
    required = schema.get("required", ())
    found = []
    for name, value in schema["properties"].items():
        plain = _without_null(value)
        doc = plain.pop("description", "")
        item: dict[str, Any] = {"name": name, "in": "query", "schema": plain, "required": name in required}
        if doc:
            item["description"] = doc
        found.append(item)
    return found


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Of a parameter that may be left out: what it is when it is there."""
    found = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("default") is not None:
        found["default"] = schema["default"]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return found | dict(kinds[0]) if len(kinds) == 1 else found | ({"anyOf": kinds} if kinds else {})


def _headers(row: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "description": doc, "schema": dict(schema)}
        for name, (doc, schema) in row.headers.items()
    ]


def _outcome(outcome: Any, names: Mapping[tuple[type[BaseModel], str], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": outcome.doc}
    content: dict[str, Any] = {}
    model = None if outcome.model is None else names[outcome.model, "serialization"]
    for media in outcome.media:
        content[media] = {"schema": {"type": "string", "format": "binary"}}
        if media == EVENTS and model is not None:
            content[media] = {"schema": _event(model)}
    if model is not None and EVENTS not in outcome.media:
        content["application/json"] = {"schema": model}
    if content:
        found["content"] = content
    if outcome.headers:
        found["headers"] = {
            name: {"description": doc, "schema": {"type": "string"}} for name, doc in outcome.headers.items()
        }
    return found


def _event(data: Mapping[str, Any]) -> dict[str, Any]:
    """One server-sent event."""
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string"},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"anyOf": [dict(data), {"type": "object", "maxProperties": 0}]},
            },
            "retry": {"type": "integer"},
        },
    }


def _refusals(row: Operation, body: bool) -> dict[str, Any]:
    """One answer a status, naming the codes that it can have."""
    codes = [*EVERYWHERE, *(WITH_BODY if body else ()), *row.problems]
    codes += ["not_found"] if row.params else []
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys(codes):
        by_status[PROBLEMS[code].status].append(code)
    return {
        str(status): {
            "description": "\n".join(f"- `{code}`: {PROBLEMS[code].when}" for code in some),
            "content": {PROBLEM: {"schema": {"$ref": REF.format(model="Problem")}}},
        }
        for status, some in sorted(by_status.items())
    }
