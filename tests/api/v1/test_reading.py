"""The pages for people: whole, without anything from elsewhere, readable without a script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from faxgw.api.v1.problems import PROBLEMS
from tests.api.v1.world import Native

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Page(HTMLParser):
    """Ids, links, and what is open at the end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []  # type: ignore[list-item]
        self.links += [given[name] for name in ("href", "src") if given.get(name)]  # type: ignore[misc]
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_each_operation_and_document_has_its_place(api: Native) -> None:
    got = await api.by({}).call("GET", "/docs")
    page = Page(got.octets.decode())
    document = json.loads((await api.by({}).call("GET", "/openapi.json")).octets)
    names = [row["operationId"] for path in document["paths"].values() for row in path.values()]
    assert got.status == 200 and set(names) <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert {f"model-{name}" for name in document["components"]["schemas"]} <= set(page.ids)
    assert not page.open
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert inner <= set(page.ids), "every link within the page leads somewhere"
    assert not [link for link in page.links if re.match(r"[a-z]+:|//", link)], "nothing from elsewhere"


async def test_only_its_own_script_runs(api: Native) -> None:
    """The policy names the very script and style that the page has, by their hashes."""
    got = await api.by({}).call("GET", "/docs")
    text, policy = got.octets.decode(), got.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy and not re.search(r" on[a-z]+=| style=", text)


async def test_every_problem_is_explained(api: Native) -> None:
    page = Page((await api.by({}).call("GET", "/problems")).octets.decode())
    assert set(PROBLEMS) <= set(page.ids)
