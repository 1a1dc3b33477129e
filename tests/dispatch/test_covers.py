"""Covers: whose template is meant, what is the same is made once, one bad cover fails one fax."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from faxgw.dispatch import covers as module
from faxgw.dispatch.covers import Covers, NoCover, lacking, shipped
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.fax.account import Effective, Level, Origin, from_snapshot, resolve
from faxgw.formats import covers
from faxgw.formats.cover_values import sample, values
from faxgw.store import rendering, templates
from faxgw.store.rendering import About, LeasedJob, Recipient
from faxgw.store.renditions import Rendition
from faxgw.store.templates import EVERYBODY, Kind
from tests.dispatch.doubles import memory
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABOUT = About("acme", "Acme SARL", "alice@example.org", "Offer", 1_795_000_000.0, "Dear all")


def settings(**given: object) -> Effective:
    return resolve([(Origin(Level.JOB), given)])


def job(*recipients: tuple[tuple[str, str], ...]) -> LeasedJob:
    people = tuple(
        Recipient(f"FN{n}", f"+3319900000{n}", f"019900000{n}", properties)
        for n, properties in enumerate(recipients, 1)
    )
    return LeasedJob("F1", 1, {}, (), people, ABOUT)


def named(*names: str) -> LeasedJob:
    return job(*((("ToName", name),) for name in names))


async def template(house: House, content: str, name: str = "mine", customer: str = "acme") -> None:
    await house.do(
        templates.keep, customer, Kind.COVER, name, format="html", content=content.encode(), who="op", now=house.now
    )


class Printer:
    """A page client that makes a page of each line of a document; `bad` words refuse, `slow` ones without a name."""

    def __init__(self) -> None:
        self.requests: list[list[bytes]] = []
        self.options: list[pages.RenderOptions] = []
        self.failure: Exception | None = None

    async def render(
        self, documents: Sequence[pages.Document], options: pages.RenderOptions
    ) -> pages.Rendered | pages.Refused:
        said = [os.pread(document.fd, 10_000, 0) for document in documents]
        self.requests.append(said)
        self.options.append(options)
        if self.failure is not None:
            raise self.failure
        for document, octets in zip(documents, said, strict=True):
            if b"bad" in octets:
                return pages.Refused(pages.Reason.DAMAGED, f"“{document.name}” is bad.", document.name)
            if b"slow" in octets:
                return pages.Refused(pages.Reason.TOO_SLOW, "It takes too long.")
        facts = tuple(
            pages.PageFacts(1728, 2292, 9, 0.1, index, page)
            for index, octets in enumerate(said)
            for page, _line in enumerate(octets.splitlines(), 1)
        )
        return pages.Rendered(memory(b"|".join(said)), facts, options.resolution, memory(b"\x89PNG"))


def build(house: House, printer: Printer | None = None) -> Covers:
    return Covers(house.seat(), cast(PageClient, printer or Printer()))


async def test_a_name_means_the_customers_own_then_everybodys_then_ours(house: House) -> None:
    found = build(house)
    ours = await found.choose("acme", settings(cover="letter"))
    await template(house, "everybody", "letter", EVERYBODY)
    everybodys = await found.choose("acme", settings(cover="letter"))
    await template(house, "own", "letter")
    own = await found.choose("acme", settings(cover="letter"))
    assert ours is not None and everybodys is not None and own is not None
    assert b"<!DOCTYPE html>" in ours.template.fill(values(sample()))
    assert (everybodys.template.fill({}), own.template.fill({})) == (b"everybody", b"own")
    assert await found.choose("acme", settings()) is None
    assert await found.choose("acme", settings(cover="none")) is None


@pytest.mark.parametrize("name", ["plain", "Plain", "plain.ftl.html", "plain.html", "coverpage-default.ftl.html"])
async def test_ours_are_found_by_the_names_of_files_and_the_vendors_name(name: str) -> None:
    assert shipped(name) is not None and shipped(name) == shipped("plain")


@pytest.mark.parametrize("name", ["nothing", "../covers/plain", "plain.docx", "", ".html"])
async def test_there_is_nothing_else(name: str) -> None:
    assert shipped(name) is None


async def test_an_unknown_name_and_a_wrong_template_are_refused_in_the_senders_language(house: House) -> None:
    with pytest.raises(NoCover) as unknown:
        await build(house).choose("acme", settings(cover="nowhere", language="fr"))
    assert unknown.value.public == "Il n’y a pas de page de garde « nowhere »." and not unknown.value.temporary
    await template(house, "<#macro x>")
    with pytest.raises(NoCover, match="line 1"):
        await build(house).choose("acme", settings(cover="mine"))


async def test_values_that_somebody_has_to_give_are_known(house: House) -> None:
    await template(house, "${Case} ${FromName} ${subject} ${Court} ${Room!}")
    chosen = await build(house).choose("acme", settings(cover="mine", cover_values=["Court=Paris"]))
    assert chosen is not None and chosen.required == {"Case"}
    assert lacking(chosen, {"ToName": "Ann"}) == {"Case"}
    assert not lacking(chosen, {"Case": "4711"})


async def test_each_recipient_gets_a_cover_with_what_is_known(house: House) -> None:
    await template(house, "${recipient}/${recipient_number}/${sender_company}/${subject}/${pages}/${comment}/${Court}")
    printer = Printer()
    found, given = build(house, printer), settings(cover="mine", cover_values=["Court=Paris"], paper="Letter")
    chosen = await found.choose("acme", given)
    assert chosen is not None
    made = await found.make(named("Ann", "Bob"), chosen, given, 3)
    assert printer.requests == [
        [
            b"Ann/+33 1 99 00 00 01/Acme SARL/Offer/4/Dear all/Paris",
            b"Bob/+33 1 99 00 00 02/Acme SARL/Offer/4/Dear all/Paris",
        ]
    ]
    assert [(one.fax, one.first, one.pages, one.resolution) for one in made.covers] == [
        ("FN1", 1, 1, "fine"),
        ("FN2", 2, 1, "fine"),
    ]
    assert printer.options[0].paper is pages.Paper.LETTER
    assert made.thumbnail == b"\x89PNG" and not made.refused
    (key,) = made.keys
    assert (house.folder / key).read_bytes() == b"|".join(printer.requests[0])


async def test_covers_that_say_the_same_are_made_once(house: House) -> None:
    await template(house, "${ToName}")
    printer = Printer()
    found, given = build(house, printer), settings(cover="mine")
    chosen = await found.choose("acme", given)
    assert chosen is not None
    made = await found.make(named("Ann", "Bob", "Ann"), chosen, given, 1)
    assert printer.requests == [[b"Ann", b"Bob"]]
    assert {one.fax: one.first for one in made.covers} == {"FN1": 1, "FN2": 2, "FN3": 1}


async def test_a_long_cover_says_how_many_pages_there_are_in_the_end(house: House) -> None:
    await template(house, "${ToName?upper_case} ${pages}<#list ToName?lines as line>\n</#list>")
    printer = Printer()
    found, given = build(house, printer), settings(cover="mine")
    chosen = await found.choose("acme", given)
    assert chosen is not None
    made = await found.make(named("Ann", "a\nb"), chosen, given, 4)
    assert [one.pages for one in made.covers] == [1, 3]
    assert [request[0][:6] for request in printer.requests] == [b"ANN 5\n", b"A\nB 7\n"]
    assert printer.requests[0][1].startswith(b"A\nB 5")
    first, second = (house.folder / one.file.key for one in made.covers)
    assert first != second and b"A\nB 7" in second.read_bytes()
    assert set(house.folder.glob("objects/*/*")) >= {first, second}


async def test_a_cover_that_cannot_be_made_fails_its_own_fax(house: House) -> None:
    await template(house, "${recipient}")
    printer = Printer()
    found, given = build(house, printer), settings(cover="mine")
    chosen = await found.choose("acme", given)
    assert chosen is not None
    made = await found.make(
        job((("ToName", "Ann"),), (("ToName", "bad"),), (), (("ToName", "slow"),), (("ToName", "Zoë"),)),
        chosen,
        given,
        1,
    )
    assert sorted(one.fax for one in made.covers) == ["FN1", "FN3", "FN5"]
    assert set(made.refused) == {"FN2", "FN4"}
    assert "is bad" in made.refused["FN2"] and made.refused["FN4"] == "It takes too long."


async def test_a_missing_value_fails_its_own_fax(house: House) -> None:
    await template(house, "${Case}")
    found, given = build(house), settings(cover="mine")
    chosen = await found.choose("acme", given)
    assert chosen is not None
    made = await found.make(job((("Case", "1"),), ()), chosen, given, 1)
    assert [one.fax for one in made.covers] == ["FN1"]
    assert "${Case}" in made.refused["FN2"]


async def test_what_was_made_before_a_failure_does_not_stay(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)
    await template(house, "${ToName}")
    printer = Printer()
    found, given = build(house, printer), settings(cover="mine")
    chosen = await found.choose("acme", given)
    assert chosen is not None
    before = set(house.folder.glob("objects/*/*"))
    once = printer.render

    async def fails_later(documents: Any, options: Any) -> Any:
        if printer.requests:
            raise PagesUnavailable("gone")
        return await once(documents, options)

    monkeypatch.setattr(printer, "render", fails_later)
    with pytest.raises(PagesUnavailable):
        await found.make(named("Ann", "Bob"), chosen, given, 1)
    assert set(house.folder.glob("objects/*/*")) == before


async def test_a_template_is_read_again_only_when_it_has_changed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[bytes] = []
    read = covers.read

    def counted(form: str, content: bytes) -> Any:
        reads.append(content)
        return read(form, content)

    monkeypatch.setattr(covers, "read", counted)
    monkeypatch.setattr(module, "MAX_READ", 2)
    found = build(house)
    for content in ("a", "a", "b", "a", "c", "b"):
        await template(house, content)
        await found.choose("acme", settings(cover="mine"))
    assert reads == [b"a", b"b", b"c", b"b"]


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("alice@example.org", "alice@example.org"),
        ("login:erp", "Acme SARL"),
        ("login:bob@example.org", "bob@example.org"),
    ],
)
async def test_the_sender_is_a_mail_address_or_the_customer(house: House, owner: str, said: str) -> None:
    await template(house, "${sender_name}|${FromName}|${sender_mail}")
    printer = Printer()
    found, given = build(house, printer), settings(cover="mine")
    chosen = await found.choose("acme", given)
    assert chosen is not None
    await found.make(replace(named("Ann"), about=replace(ABOUT, owner=owner)), chosen, given, 1)
    mail = said if "@" in said else ""
    assert printer.requests == [[f"{said}|{said}|{mail}".encode()]]


async def covered(house: House, found: Covers) -> tuple[str, str, Effective, Rendition]:
    """A fax that is ready with its cover: job, fax, settings, cover."""
    job, (fax,) = await house.job(ready=False, cover="mine")
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    given = from_snapshot(leased.settings)
    chosen = await found.choose("acme", given)
    assert chosen is not None
    made = await found.make(leased, chosen, given, 2)
    body = await house.keep(b"body")
    assert await house.do(
        rendering.rendered, job, fence=house.fence, body=body, pages=2, facts=(), thumbnail=b"", now=house.now,
        covers=made.covers,
    )  # fmt: skip
    return job, fax, given, made.covers[0]


async def test_a_cover_is_rendered_again_for_a_coarser_far_end_once(house: House) -> None:
    await template(house, "${recipient_number} ${pages}")
    printer = Printer()
    found = build(house, printer)
    job, fax, given, first = await covered(house, found)
    again = await found.again(job, fax, given, first, pages.Resolution.STANDARD)
    assert again is not None and (again.resolution, again.pages, again.fax) == ("standard", 1, fax)
    assert printer.options[-1].resolution is pages.Resolution.STANDARD
    assert printer.requests == [[b"+33 1 99 00 00 01 3"]] * 2, "the same, said at another resolution"
    assert await found.again(job, fax, given, first, pages.Resolution.STANDARD) == again
    assert len(printer.requests) == 2
    assert await house.ask(rendering.cover_of, job, fax) == first, "the finest is the fax's own"


async def test_a_cover_whose_template_has_changed_is_not_made_anew(house: House) -> None:
    """A retry bears the cover that was made first; it is rescaled."""
    await template(house, "${recipient_number}")
    printer = Printer()
    found = build(house, printer)
    job, fax, given, first = await covered(house, found)
    await template(house, "other")
    assert await found.again(job, fax, given, first, pages.Resolution.STANDARD) is None
    assert len(printer.requests) == 1


async def test_a_cover_that_would_have_other_pages_is_not_taken(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await template(house, "${recipient_number}")
    printer = Printer()
    found = build(house, printer)
    job, fax, given, first = await covered(house, found)
    before, once = set(house.folder.glob("objects/*/*")), printer.render

    async def longer(documents: Any, options: Any) -> Any:
        rendered = await once(documents, options)
        assert isinstance(rendered, pages.Rendered)
        return replace(rendered, pages=rendered.pages * 2)

    monkeypatch.setattr(printer, "render", longer)
    assert await found.again(job, fax, given, first, pages.Resolution.STANDARD) is None
    assert set(house.folder.glob("objects/*/*")) == before
