"""Pages for people: the API's description to browse, and the list of its problems. Nothing is fetched from elsewhere.

The reference is one HTML page made from the same description that is served as openapi.json; it needs no script to be
read. A small script of its own adds search and trying out, with a token that stays in the page's memory.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any  # JSON

from aiohttp import web

from faxgw.api.v1.problems import PROBLEMS

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is always the same."""

    text: str
    policy: str
    """What it may run: its own style and script and nothing else."""

    def answer(self) -> web.Response:
        """The page as an answer."""
        headers = {"Content-Security-Policy": self.policy, "Cache-Control": "public, max-age=300"}
        return web.Response(text=self.text, content_type="text/html", headers=headers)


def reference(description: Mapping[str, Any]) -> Page:
    """The reference.

    Args:
        description: The OpenAPI document.
    """
    info, schemas = description["info"], description["components"]["schemas"]
    groups = "".join(_group(tag, description, schemas) for tag in description["tags"])
    menu = "".join(_menu(tag, description) for tag in description["tags"])
    models = "".join(
        f'<section class="model" id="model-{_text(name)}"><h3>{_text(name)}</h3>{_prose(schema.get("description", ""))}'
        f"{_members(schema, schemas)}</section>"
        for name, schema in sorted(schemas.items())
    )
    body = (
        f'<header><p class="brand">faxgw <span>{_text(info["version"])}</span></p>'
        '<label class="find"><span>Find</span><input id="find" type="search" placeholder="operation, field, code" '
        'autocomplete="off" aria-keyshortcuts="/"></label></header>'
        f'<div class="frame"><nav aria-label="Operations">{menu}'
        '<p class="more"><a href="/api/v1/problems">All problems</a> '
        '<a href="/api/v1/openapi.json">openapi.json</a></p></nav>'
        f'<main id="main" tabindex="-1"><h1>The API</h1>{_prose(info["description"])}{_signing_in()}'
        f'<p id="nothing" hidden>Nothing here has these words.</p>{groups}<h2 id="models">Documents</h2>{models}'
        "</main></div>"
    )
    return _page("API of this fax gateway", body, script=True)


def problems() -> Page:
    """The list of problems."""
    rows = "".join(
        f'<tr id="{code}"><td><code>{code}</code></td><td>{kind.status}</td><td>{_text(kind.when)}'
        f"{' Retry-After says when to come again.' if kind.retry else ''}</td></tr>"
        for code, kind in sorted(PROBLEMS.items(), key=lambda item: (item[1].status, item[0]))
    )
    body = (
        '<header><p class="brand">faxgw</p></header><div class="frame"><main id="main"><h1>Problems</h1>'
        "<p>Every error is a document <code>application/problem+json</code> (RFC 9457) with a <code>code</code> that "
        'programs can tell apart, and a text for people. <a href="/api/v1/docs">The reference</a> says which operation '
        "can have which.</p><table><thead><tr><th scope=col>code</th><th scope=col>status</th><th scope=col>when</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></main></div>"
    )
    return _page("Problems", body, script=False)


# ------------------------------------------------------------------------------------------------------- operations


def _rows(tag: Mapping[str, Any], description: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in description["paths"].items():
        for method in _METHODS:
            if method in methods and tag["name"] in methods[method]["tags"]:
                yield method, path, methods[method]


def _menu(tag: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<li><a href="#{_text(row["operationId"])}"><b class="{method}">{method}</b> {_text(row["summary"])}</a></li>'
        for method, _path, row in _rows(tag, description)
    )
    return f"<h2>{_text(tag['name'])}</h2><ul>{rows}</ul>"


def _group(tag: Mapping[str, Any], description: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    rows = "".join(_operation(method, path, row, schemas) for method, path, row in _rows(tag, description))
    return f"<section><h2>{_text(tag['name'])}</h2>{_prose(tag['description'])}{rows}</section>"


def _operation(method: str, path: str, row: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    shown = re.sub(r"\{(\w+)\}", r"<i>{\1}</i>", _text(path))
    good = {status: answer for status, answer in row["responses"].items() if status < "400"}
    bad = {status: answer for status, answer in row["responses"].items() if status >= "400"}
    answers = "".join(_answer(status, answer, schemas) for status, answer in good.items())
    refusals = "".join(f"<dt>{status}</dt><dd>{_list(answer['description'])}</dd>" for status, answer in bad.items())
    ident = _text(row["operationId"])
    return (
        f'<article id="{ident}" data-method="{method}" data-path="{_text(path)}"><h3><a href="#{ident}">'
        f"{_text(row['summary'])}</a></h3>"
        f'<p class="line"><b class="{method}">{method}</b> <code>{shown}</code></p>{_prose(row["description"])}'
        f"{_parameters(row)}{_body(row, schemas)}<h4>Answers</h4><dl>{answers}</dl>"
        f"<details><summary>Problems</summary><dl>{refusals}</dl></details>"
        f"<h4>On the command line</h4><pre tabindex=0><code>{_text(_curl(method, path, row))}</code></pre></article>"
    )


def _parameters(row: Mapping[str, Any]) -> str:
    found = "".join(
        f"<tr><td><code>{_text(one['name'])}</code><small>{one['in']}{', required' if one.get('required') else ''}"
        f"</small></td><td>{_kind(one['schema'])}</td><td>{_prose(one.get('description', ''))}</td></tr>"
        for one in row.get("parameters", ())
    )
    return f"<h4>Parameters</h4><table><tbody>{found}</tbody></table>" if found else ""


def _body(row: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "requestBody" not in row:
        return ""
    parts = "".join(
        f"<p><code>{_text(media)}</code> {_kind(content['schema'])}</p>"
        f"{_members(_followed(content['schema'], schemas), schemas)}"
        for media, content in row["requestBody"]["content"].items()
    )
    return f"<h4>Body{'' if row['requestBody']['required'] else ' (may be left out)'}</h4>{parts}"


def _answer(status: str, answer: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    media = "".join(
        f"<p><code>{_text(kind)}</code> {_kind(content['schema'])}</p>"
        for kind, content in answer.get("content", {}).items()
    )
    headers = "".join(
        f"<p>Header <code>{_text(name)}</code>: {_text(one['description'])}</p>"
        for name, one in answer.get("headers", {}).items()
    )
    return f"<dt>{status}</dt><dd>{_prose(answer['description'])}{media}{headers}</dd>"


def _curl(method: str, path: str, row: Mapping[str, Any]) -> str:
    """An example for a shell."""
    for one in row.get("parameters", ()):
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", str(one.get("example", one["name"])).replace("+", "%2B"))
    words = ["curl" + ("" if method == "get" else f" -X {method.upper()}"), '-H "Authorization: Bearer $TOKEN"']
    content = row.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        words += ["-F to=+33199000000", "-F document=@letter.pdf"]
    elif "application/json" in content:
        words += ["-H 'Content-Type: application/json'", "-d '{}'"]
    elif content:
        words += ["--data-binary @file"]
    return " \\\n  ".join([*words, f'"$SERVER{path}"'])


# ---------------------------------------------------------------------------------------------------------- schemas


def _followed(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference_to = schema.get("$ref", "")
    return schemas[reference_to.rpartition("/")[2]] if reference_to else schema


def _members(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{_text(name)}</code>{'<small>required</small>' if name in required else ''}</td>"
        f"<td>{_kind(one)}</td><td>{_prose(one.get('description', ''))}</td></tr>"
        for name, one in sorted(schema.get("properties", {}).items(), key=lambda item: item[0] not in required)
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value is, in a few words."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#model-{name}">{name}</a>'
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(_kind(one) for one in schema[choice])
    if "enum" in schema:
        return " ".join(f"<code>{_text(str(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{_text(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}{_bounds(schema, 'Items')}"
    kind = {"integer": "whole number", "string": "text", "object": "object"}.get(schema.get("type", ""), "")
    kind = kind or str(schema.get("type", "anything"))
    if schema.get("format") == "date-time":
        kind = "time"
    if schema.get("format") == "binary":
        kind = "file"
    least, most = schema.get("minimum"), schema.get("maximum")
    numbers = f", {least if least is not None else '…'} to {most if most is not None else '…'}" if most else ""
    default = (
        f", default {_text(json.dumps(schema['default']))}" if schema.get("default") not in (None, "", [], {}) else ""
    )
    default = "" if isinstance(schema.get("default"), dict) else default
    return f"{kind}{numbers}{_bounds(schema, 'Length')}{default}"


def _bounds(schema: Mapping[str, Any], what: str) -> str:
    most = schema.get("max" + what)
    return "" if most is None else f", at most {most:,}"


# ------------------------------------------------------------------------------------------------------------ pages


def _text(words: str) -> str:
    return html.escape(words, quote=True)


def _prose(words: str) -> str:
    """Paragraphs, with `code` between backticks."""
    return "".join(f"<p>{_inline(part)}</p>" for part in words.split("\n\n") if part.strip())


def _inline(words: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(words))


def _list(words: str) -> str:
    lines = [line.removeprefix("- ") for line in words.splitlines()]
    return "<ul>" + "".join(f"<li>{_linked(line)}</li>" for line in lines) + "</ul>"


def _linked(line: str) -> str:
    code, _, when = line.partition(": ")
    name = _text(code.strip("`"))
    return f'<a href="/api/v1/problems#{name}"><code>{name}</code></a> {_inline(when)}'


def _signing_in() -> str:
    return (
        '<form id="sign" hidden><label>Token <input id="token" type="password" autocomplete="off" spellcheck="false">'
        "</label><p>It stays in this page and is forgotten with it. With a token, requests that only look can be "
        "tried here.</p></form>"
    )


def _source(name: str) -> str:
    return (files("faxgw.api.v1") / "static" / name).read_text()


def _page(title: str, body: str, *, script: bool) -> Page:
    style, code = _source("docs.css"), _source("docs.js") if script else ""
    policy = [
        "default-src 'none'",
        f"style-src {_hash(style)}",
        f"script-src {_hash(code)}" if script else "script-src 'none'",
        "connect-src 'self'",
        "img-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    text = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#main">To the text</a>{body}'
        f"{f'<script>{code}</script>' if script else ''}</body></html>"
    )
    return Page(text, "; ".join(policy))


def _hash(text: str) -> str:
    return "'sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
