"""Hostile documents beside honest ones (P-07, P-13, P-14): each costs its own process, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from faxgw.document.client import PageClient
from faxgw.document.limits import Limits
from faxgw.document.types import Document, PageSettings, Reason, Refused, Rendered, RenderOptions, Walked
from tests.document.test_hostile import _flat_png, flate_bomb, multipart, nested_forms, tiff

Make = Any  # conftest's class; tests import nothing from one another

BOMBS: dict[str, tuple[Callable[[], bytes], set[Reason]]] = {
    "forms.pdf": (lambda: nested_forms(10), {Reason.TOO_SLOW, Reason.TOO_LARGE, Reason.DAMAGED}),
    "flate.pdf": (flate_bomb, {Reason.TOO_SLOW, Reason.TOO_LARGE, Reason.DAMAGED}),
    "memory.png": (lambda: _flat_png(9_000, 9_000), {Reason.TOO_LARGE}),
    "table.html": (lambda: b"<html><table>" + (b"<tr>" + b"<td>x" * 100) * 500, {Reason.TOO_SLOW}),
    "pages.tif": (lambda: tiff(100_500), {Reason.TOO_MANY_PAGES}),
}
GOOD = 12


async def test_honest_documents_are_done_while_hostile_ones_are_being_decided(make: Make) -> None:
    """P-07: limits decide, the child alone is killed, the daemon and the other documents do not notice."""
    client = PageClient(PageSettings(children=3, limits=Limits(page_cpu=4, job_seconds=90.0, memory=300 * 1024 * 1024)))
    try:
        await client.start()
        server = client.pid
        slow = [Document(make.fd(BOMBS["forms.pdf"][0]()), "forms.pdf") for _ in range(2)]
        hostile = [asyncio.create_task(client.render([each], RenderOptions())) for each in slow]
        await asyncio.sleep(0)
        ahead = 0
        for number in range(GOOD):
            found = await client.render([Document(make.fd(make.pdf()), f"good-{number}.pdf")])
            assert isinstance(found, Rendered) and len(found.pages) == 1
            found.close()
            walked = await client.walk(make.fd(bytes(make.mail())))
            assert isinstance(walked, Walked)
            walked.close()
            ahead += not any(task.done() for task in hostile)
        assert ahead, "the honest ones waited for the hostile ones"
        for outcome in await asyncio.gather(*hostile):
            assert isinstance(outcome, Refused) and outcome.reason in BOMBS["forms.pdf"][1], outcome
            assert outcome.document == "forms.pdf" and outcome.page == 1
        assert client.pid == server
    finally:
        await client.close()


@pytest.mark.parametrize("name", BOMBS)
async def test_each_kind_of_bomb_is_decided_by_its_limit_and_leaves_the_server_alone(make: Make, name: str) -> None:
    """The reason names the document; a mail of a thousand parts beside it is decided too."""
    client = PageClient(PageSettings(limits=Limits(page_cpu=2, job_seconds=90.0, memory=300 * 1024 * 1024)))
    try:
        await client.start()
        server = client.pid
        data, reasons = BOMBS[name]
        mail = multipart(b"b", *[b""] * 100_000)
        outcome, walked = await asyncio.gather(
            client.render([Document(make.fd(data()), name)], RenderOptions()), client.walk(make.fd(mail))
        )
        assert isinstance(walked, Refused) and walked.reason is Reason.TOO_MANY_PARTS
        if isinstance(outcome, Rendered):  # HTML that cannot be set is printed as text
            outcome.close()
            assert name == "table.html"
        else:
            assert outcome.reason in reasons and outcome.document == name and name in outcome.public
        good = await client.render([Document(make.fd(make.pdf()), "good.pdf")])
        assert isinstance(good, Rendered)
        good.close()
        assert client.pid == server
    finally:
        await client.close()
