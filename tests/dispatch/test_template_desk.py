"""The desk for templates: what is taken in, what is refused and why, what an example shows."""

from __future__ import annotations

from typing import cast

import pytest

from faxgw.dispatch.template_desk import TemplateDesk
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.fax.errors import Refused
from faxgw.store import templates
from faxgw.store.templates import EVERYBODY, Kind, UnknownTemplate
from tests.dispatch.doubles import Pages, memory, rendered
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

HTML = b"<p>${ToName} ${Matter} ${FromName}</p>"


def build(house: House, client: Pages, **system: object) -> TemplateDesk:
    return TemplateDesk(house.seat(system), cast(PageClient, client))


async def test_a_cover_is_filled_with_example_values_before_it_is_kept(house: House) -> None:
    client = Pages(renders=[rendered(2)])
    shown = await build(house, client).keep("acme", Kind.COVER, "letter", HTML, who="carol", given=["Matter"])
    assert (shown.template.format, shown.needs, shown.pages, shown.template.content) == ("html", ("Matter",), 2, b"")
    (page,) = client.seen
    assert b"Ms Jane Miller" in page and "«Matter»".encode() in page
    kept = await house.ask(templates.find, "acme", Kind.COVER, "letter")
    assert kept is not None and (kept.content, kept.changed_by) == (HTML, "carol")


async def test_a_name_that_nobody_gives_is_refused_unless_the_accounts_settings_do(house: House) -> None:
    with pytest.raises(Refused) as refused:
        await build(house, Pages()).keep("acme", Kind.COVER, "letter", HTML, who="carol")
    assert "Matter" in refused.value.public
    assert await house.ask(templates.find, "acme", Kind.COVER, "letter") is None
    desk = build(house, Pages(), cover_values=["Matter=one"])
    assert (await desk.keep("acme", Kind.COVER, "letter", HTML, who="carol")).needs == ("Matter",)


@pytest.mark.parametrize(
    "step", [pages.Refused(pages.Reason.DAMAGED, "It is damaged."), PagesUnavailable("no page process")]
)
@pytest.mark.parametrize("kind", [Kind.COVER, Kind.OVERLAY])
async def test_what_cannot_be_rendered_is_not_kept(
    house: House, kind: Kind, step: pages.Refused | PagesUnavailable
) -> None:
    expected = Refused if isinstance(step, pages.Refused) else PagesUnavailable
    with pytest.raises(expected):
        await build(house, Pages(renders=[step])).keep("acme", kind, "x", b"<p>hello</p>", who="carol")
    assert await house.ask(templates.find, "acme", kind, "x") is None


@pytest.mark.parametrize("content", [b"", b"x" * (templates.MAX_CONTENT + 1)])
async def test_a_template_has_a_size(house: House, content: bytes) -> None:
    client = Pages()
    with pytest.raises(Refused):
        await build(house, client).keep("acme", Kind.OVERLAY, "x", content, who="carol")
    assert not client.seen


@pytest.mark.parametrize(
    "content, form",
    [(b"%PDF", "pdf"), (b"II*\0", "tiff"), (b"\x89PNG", "png"), (b"PK\x03\x04", "package"), (b"?", "other")],
)
async def test_a_list_says_what_an_overlay_is(house: House, content: bytes, form: str) -> None:
    desk = build(house, Pages(renders=[rendered(1)]))
    await desk.keep(EVERYBODY, Kind.OVERLAY, "head", content, who="carol")
    listed = {(one.kind.value, one.name): one for one in await desk.listed("acme")}
    assert listed["overlay", "head"].format == form
    assert {name for kind, name in listed if kind == "cover"} == {"plain", "letter", "form"}


async def test_ones_own_hides_the_shipped_design_and_removed_shows_it_again(house: House) -> None:
    desk = build(house, Pages())
    await desk.keep("acme", Kind.COVER, "plain", b"<p>own</p>", who="carol")
    assert (await desk.find("acme", Kind.COVER, "plain")).content == b"<p>own</p>"
    assert len([one for one in await desk.listed("acme") if one.name == "plain"]) == 1
    await desk.remove("acme", Kind.COVER, "plain", who="carol")
    found = await desk.find("acme", Kind.COVER, "plain")
    assert (found.sha256, found.changed_by) == ("", "faxgw") and b"<html" in found.content
    for name in ("plain", "nothing"):
        with pytest.raises(UnknownTemplate):
            await desk.remove("acme", Kind.COVER, name, who="carol")


async def test_a_page_that_is_not_there_is_told_and_nothing_stays_open(house: House) -> None:
    desk = build(house, Pages(renders=[rendered(1), rendered(1)]))
    with pytest.raises(UnknownTemplate, match="page 2"):
        await desk.picture("acme", Kind.COVER, "plain", 2)
    with pytest.raises(UnknownTemplate):
        await desk.picture("acme", Kind.OVERLAY, "plain", 1)


async def test_an_example_has_the_values_that_are_given(house: House) -> None:
    client = Pages()

    async def compose(body_fd: int, options: pages.ComposeOptions) -> pages.Composed:
        facts = (pages.PageFacts(1728, 2292, 100, 0.1),)
        picture = (pages.Picture(0, 4),)
        return pages.Composed(memory(b"II"), facts, pages.Resolution.FINE, None, memory(b"\x89PNG"), picture)

    client.compose = compose  # type: ignore[method-assign]
    desk = build(house, client)
    await desk.keep("acme", Kind.COVER, "letter", HTML, who="carol", given=["Matter"])
    png, count = await desk.picture("acme", Kind.COVER, "letter", 1, language="fr", values={"Matter": "one & two"})
    assert (png, count) == (b"\x89PNG", 2)
    assert b"one &amp; two" in client.seen[-1] and "Hélène".encode() in client.seen[-1]


async def test_a_mail_template_is_tried_and_kept(house: House) -> None:
    desk = build(house, Pages())
    shown = await desk.keep("acme", Kind.MAIL, "house", b'organisation = "Acme"', who="carol")
    assert (shown.template.kind, shown.template.format, shown.needs, shown.pages) == (Kind.MAIL, "toml", (), 0)
    listed = [(one.name, one.changed_by) for one in await desk.listed("acme") if one.kind is Kind.MAIL]
    assert listed == [("house", "carol"), ("default", "faxgw")]
    assert (await desk.find("acme", Kind.MAIL, "house")).content == b'organisation = "Acme"'
    assert (await desk.find("acme", Kind.MAIL, "default")).content == b""


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("house", b"organisation = 5", "organisation"),
        ("house", b"<p>hello</p>", "no TOML"),
        ("default", b"", "size"),
        ("default", b'organisation = "Acme"', "shipped"),
    ],
)
async def test_a_mail_template_with_a_fault_is_not_kept(house: House, name: str, content: bytes, said: str) -> None:
    with pytest.raises(Refused) as refused:
        await build(house, Pages()).keep("acme", Kind.MAIL, name, content, who="carol")
    assert said in refused.value.public or said in str(refused.value)
    assert await house.ask(templates.find, "acme", Kind.MAIL, name) is None


async def test_a_mail_template_has_no_pages(house: House) -> None:
    desk = build(house, Pages())
    with pytest.raises(Refused, match="no pages"):
        await desk.picture("acme", Kind.MAIL, "default", 1)
