"""Covers before the body: counted, headed, marked and cut off like any page of the fax."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from faxgw.document import bitmap
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.document.types import ComposeOptions, Cover, Document, Kind, Overlay, Rendered, RenderOptions, Resolution
from faxgw.fax.header import HeaderContext
from faxgw.fax.overlay import OverlayMode
from tests.document.conftest import A4, Make

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTEXT = HeaderContext(datetime(2026, 11, 18, tzinfo=UTC))


async def covers(client: PageClient, make: Make, *texts: str, options: RenderOptions | None = None) -> Rendered:
    """A file with a page for each text."""
    documents = [
        Document(make.fd(f"<html><body><h1>{text}</h1>".encode()), f"cover {n}", Kind.HTML)
        for n, text in enumerate(texts, 1)
    ]
    made = await client.render(documents, options)
    assert isinstance(made, Rendered)
    return made


async def body_of(client: PageClient, make: Make, pages: int = 2) -> Rendered:
    made = await client.render([Document(make.fd(make.pdf(*[A4] * pages)), "a.pdf", Kind.PDF)])
    assert isinstance(made, Rendered)
    return made


async def test_the_covers_pages_come_first_and_are_counted(client: PageClient, make: Make) -> None:
    both, body = await covers(client, make, "Durand", "Miller", "Meier"), await body_of(client, make)
    options = ComposeOptions(CONTEXT, "%r%P/%T", cover=Cover(both.fd, first=2))
    composed = await client.compose(body.fd, options)
    assert [page.page for page in composed.pages] == [1, 2, 3]
    cover, first, second = make.pages(composed.fd)
    for page, source in ((cover, make.pages(both.fd)[1]), (first, make.pages(body.fd)[0])):
        assert np.array_equal(page[60:], source[60:])
        assert not np.array_equal(page[:60], source[:60]), "the header line stands above"
    alone = await client.compose(body.fd, ComposeOptions(CONTEXT, "%r%P/%T"))
    assert not np.array_equal(make.pages(alone.fd)[1], second), "page 3 of 3, not 2 of 2"
    for result in (both, body, composed, alone):
        result.close()


async def test_a_fax_may_be_its_cover_alone(client: PageClient, make: Make) -> None:
    one = await covers(client, make, "Durand")
    composed = await client.compose(make.fd(b""), ComposeOptions(CONTEXT, cover=Cover(one.fd)))
    assert len(composed.pages) == 1
    assert np.array_equal(make.pages(composed.fd)[0], make.pages(one.fd)[0])
    with pytest.raises(PagesDamaged):
        await client.compose(make.fd(b""), ComposeOptions(CONTEXT))
    composed.close()
    one.close()


async def test_a_resumed_fax_leaves_the_cover_out_and_a_coarse_one_takes_it_along(
    client: PageClient, make: Make
) -> None:
    one, body = await covers(client, make, "Durand"), await body_of(client, make)
    options = ComposeOptions(CONTEXT, "%r%P/%T", 2, None, (2,), cover=Cover(one.fd), resolution=Resolution.STANDARD)
    resumed = await client.compose(body.fd, options)
    assert [page.page for page in resumed.pages] == [2, 3]
    whole = await client.compose(body.fd, ComposeOptions(CONTEXT, cover=Cover(one.fd), resolution=Resolution.STANDARD))
    assert whole.resolution is Resolution.STANDARD
    wanted = bitmap.rescale(make.pages(one.fd)[0], Resolution.FINE, Resolution.STANDARD)
    assert np.array_equal(make.pages(whole.fd)[0], wanted)
    for result in (one, body, resumed, whole):
        result.close()


async def test_a_letterhead_for_the_first_file_spares_the_cover(client: PageClient, make: Make) -> None:
    one, body, head = (
        await covers(client, make, "Durand"),
        await body_of(client, make),
        await covers(client, make, "Head"),
    )
    overlay = Overlay(head.fd, OverlayMode.FIRST_FILE, first_file=2)
    composed = await client.compose(body.fd, ComposeOptions(CONTEXT, cover=Cover(one.fd), overlay=overlay))
    pages = make.pages(composed.fd)
    assert np.array_equal(pages[0], make.pages(one.fd)[0])
    assert all(not np.array_equal(page, bare) for page, bare in zip(pages[1:], make.pages(body.fd), strict=True))
    for result in (one, body, head, composed):
        result.close()


@pytest.mark.parametrize(("first", "pages"), [(0, 1), (2, 1), (1, 2), (1, 0)])
async def test_a_cover_that_is_not_in_its_file_is_damage(
    client: PageClient, make: Make, first: int, pages: int
) -> None:
    one, body = await covers(client, make, "Durand"), await body_of(client, make)
    with pytest.raises(PagesDamaged, match="damaged"):
        await client.compose(body.fd, ComposeOptions(CONTEXT, cover=Cover(one.fd, first, pages)))
    with pytest.raises(PagesDamaged, match="damaged"):
        await client.compose(body.fd, ComposeOptions(CONTEXT, cover=Cover(make.fd(b"II*\0rubbish"))))
    one.close()
    body.close()
