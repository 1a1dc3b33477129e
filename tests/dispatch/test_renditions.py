"""Bodies rendered again for a far end that takes another resolution: once, and only where page k stays page k."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Any, cast

import pytest
from sqlalchemy import select, update

from faxgw.dispatch import outbound as module
from faxgw.dispatch.outbound import Outbound, wanted
from faxgw.dispatch.renditions import Renditions
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.fax.account import Effective, Level, Origin, resolve
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause, FarEnd, Outcome
from faxgw.fax.ports import CallDocument, CallMarks, CallPlan, StoredFile
from faxgw.fax.resolution import Resolution
from faxgw.store import ledger, renditions
from faxgw.store import schema as t
from tests.dispatch.doubles import Pages, ScriptedLine, memory, receives_well, until
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"
STANDARD, FINE, SUPERFINE = Resolution
PLACES = ((0, 1), (0, 2))
STANDARD_ONLY = ("204x98",)


def made(content: bytes = b"II*\0again", places: Sequence[tuple[int, int]] = PLACES) -> pages.Rendered:
    facts = tuple(pages.PageFacts(1728, 1143, 90, 0.1, document, page) for document, page in places)
    return pages.Rendered(memory(content), facts, STANDARD)


class Seeing(Pages):
    """Remembers which bodies were composed, and how documents were to be rendered."""

    def __init__(self, *renders: Any) -> None:
        super().__init__(renders=list(renders))
        self.bodies: list[bytes] = []
        self.options: list[pages.RenderOptions] = []
        self.release: asyncio.Event | None = None

    async def render(
        self, documents: Sequence[pages.Document], options: pages.RenderOptions | None = None
    ) -> pages.Rendered | pages.Refused:
        assert options is not None
        self.options.append(options)
        if self.release is not None:
            await self.release.wait()
        return await super().render(documents, options)

    async def compose(self, body_fd: int, options: pages.ComposeOptions) -> pages.Composed:
        self.bodies.append(os.pread(body_fd, 100, 0))
        return await super().compose(body_fd, options)


async def job(house: House, *numbers: str, places: Sequence[tuple[int, int]] = PLACES, **more: Any) -> Any:
    """A job whose body's pages came from these places."""
    made, faxes = await house.job(*(numbers or (FAR,)), pages=len(places), **more)
    facts = [{"rows": 2286, "octets": 100, "document": document, "page": page} for document, page in places]
    await house.change(update(t.jobs).where(t.jobs.c.id == made).values(page_facts=facts))
    return made, faxes


def build(house: House, client: Pages) -> Renditions:
    return Renditions(house.seat(), cast(PageClient, client))


async def content(house: House, file: StoredFile | None) -> bytes:
    assert file is not None
    descriptor = await house.files.open_read(file)
    try:
        return os.pread(descriptor, 100, 0)
    finally:
        os.close(descriptor)


async def test_a_body_is_rendered_again_from_the_documents_as_the_account_wants_it(house: House) -> None:
    name, _faxes = await job(house, paper="Letter", mode="text", suppress_blank=True)
    client = Seeing(made())
    assert await content(house, await build(house, client).body(name, STANDARD)) == b"II*\0again"
    assert client.seen == [b"%PDF document"]
    (options,) = client.options
    assert options == pages.RenderOptions(STANDARD, pages.Paper.LETTER, pages.Mode.TEXT, suppress_blank=True)
    (kept,) = await house.ask(renditions.find, name, renditions.Kind.BODY)
    assert (kept.resolution, kept.first, kept.pages, kept.fax) == ("standard", 1, 2, "")
    assert [fact["rows"] for fact in kept.facts] == [1143, 1143]


async def test_it_is_rendered_once_however_many_ask(house: House) -> None:
    """A broadcast: the calls ask at the same time, the next life of the gateway asks again."""
    name, _faxes = await job(house)
    client = Seeing(made())
    client.release = asyncio.Event()
    asked = build(house, client)
    waiting = [asyncio.create_task(asked.body(name, STANDARD)) for _ in range(5)]
    await until(lambda: bool(client.options))
    client.release.set()
    files = await asyncio.gather(*waiting)
    assert len(set(files)) == 1 and len(client.options) == 1
    assert await build(house, client).body(name, STANDARD) == files[0] and len(client.options) == 1


async def test_who_gives_up_waiting_leaves_the_work_to_the_next_call(house: House) -> None:
    name, _faxes = await job(house)
    client = Seeing(made())
    client.release = asyncio.Event()
    asked = build(house, client)
    first = asyncio.create_task(asked.body(name, STANDARD))
    await until(lambda: bool(client.options))
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    client.release.set()
    assert await content(house, await asked.body(name, STANDARD)) == b"II*\0again"
    assert len(client.options) == 1


@pytest.mark.parametrize(
    ("body", "again"),
    [
        (PLACES, ((0, 1),)),
        (PLACES, ((0, 1), (0, 2), (0, 3))),
        (PLACES, ((0, 1), (1, 1))),
        (((0, 1), (0, 1)), ((0, 1), (0, 1))),
    ],
    ids=["fewer pages", "more pages", "another document", "a page cut in two"],
)
async def test_pages_that_do_not_begin_alike_are_no_rendition(
    house: House, body: Sequence[tuple[int, int]], again: Sequence[tuple[int, int]]
) -> None:
    """docs/spine.md section 2: page k is fixed at `ready`; where a long page is cut depends on its rows."""
    name, _faxes = await job(house, places=body)
    client = Seeing(made(places=again), made())
    asked = build(house, client)
    assert await asked.body(name, STANDARD) is None
    assert await asked.body(name, STANDARD) is None
    assert len(client.options) == 1, "it is not tried again"
    assert await house.ask(renditions.find, name, renditions.Kind.BODY) == []


async def test_a_document_that_is_refused_now_has_no_rendition(house: House) -> None:
    name, _faxes = await job(house)
    client = Seeing(pages.Refused(pages.Reason.TOO_SLOW, "The document took too long."))
    assert await build(house, client).body(name, STANDARD) is None


async def test_a_page_process_that_failed_is_asked_again(house: House) -> None:
    name, _faxes = await job(house)
    client = Seeing(PagesUnavailable("gone"), made())
    asked = build(house, client)
    with pytest.raises(PagesUnavailable):
        await asked.body(name, STANDARD)
    assert await asked.body(name, STANDARD) is not None


async def test_what_another_node_made_meanwhile_is_taken(house: House) -> None:
    name, _faxes = await job(house)
    other = await house.keep(b"II*\0other")
    client = Seeing(made())
    client.release = asyncio.Event()
    asked = asyncio.create_task(build(house, client).body(name, STANDARD))
    await until(lambda: bool(client.options))
    one = renditions.Rendition(renditions.Kind.BODY, "standard", other, 1, 2)
    await house.do(renditions.keep, name, (one,))
    client.release.set()
    assert await asked == other


async def test_closing_gives_up_what_is_being_made(house: House) -> None:
    name, _faxes = await job(house)
    client = Seeing(made())
    client.release = asyncio.Event()
    asked = build(house, client)
    waiting = asyncio.create_task(asked.body(name, STANDARD))
    await until(lambda: bool(client.options))
    await asked.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# ------------------------------------------------------------------------------------------------------------ calls


def settings(**given: object) -> Effective:
    return resolve([(Origin(Level.JOB), given)])


@pytest.mark.parametrize(
    ("own", "taken", "refused", "made"),
    [
        ("superfine", (), False, SUPERFINE),
        ("superfine", ("204x98", "204x196"), False, FINE),
        ("superfine", STANDARD_ONLY, False, STANDARD),
        ("superfine", ("204x98", "204x196"), True, FINE),
        ("fine", ("204x98", "204x196", "204x391"), False, FINE),
        ("fine", (), True, STANDARD),
        ("superfine", (), True, STANDARD),
        ("standard", (), True, STANDARD),
    ],
)
async def test_the_resolution_of_a_call_follows_from_what_is_known_of_the_far_end(
    own: str, taken: Sequence[str], refused: bool, made: Resolution
) -> None:
    assert wanted(settings(resolution=own), taken, refused=refused).resolution is made


async def says_what_it_takes(plan: CallPlan, marks: CallMarks) -> Outcome:
    """A machine for standard only, of which nothing was known; no coarser pages are asked for."""
    far = FarEnd(resolutions=STANDARD_ONLY, dis_after=4.0)
    return Outcome(Cause.NO_COMMON_MODE, connected=True, answered_at=1.0, t30_code=11, resume=True, far=far)


async def test_a_known_far_end_gets_pages_rendered_for_it_before_it_is_dialled(house: House) -> None:
    _name, (fax,) = await job(house)
    client = Seeing(made())
    line = ScriptedLine([says_what_it_takes, receives_well])
    outbound = Outbound(house.seat(), cast(PageClient, client), line)
    await outbound.call(fax)
    await house.wait(fax)
    await outbound.call(fax)
    assert await house.state(fax) == FaxState.SENT
    assert client.bodies == [b"II*\0 body", b"II*\0again"]
    assert [options.resolution for options in client.composed] == [FINE, STANDARD]
    assert [plan.coarser_within for plan in line.calls] == [module.COARSER_WITHIN, 0.0]
    manners = await house.rows(select(t.attempts.c.manner).order_by(t.attempts.c.planned_at))
    assert [row.manner["resolution"] for row in manners] == ["fine", "standard"]
    _second, (other,) = await job(house)
    await outbound.call(other)
    assert client.composed[-1].resolution is STANDARD, "the next job knows, too"


async def test_without_a_rendition_the_body_is_rescaled(house: House) -> None:
    _name, (fax,) = await job(house)
    client = Seeing(pages.Refused(pages.Reason.TOO_SLOW, "The document took too long."))
    outbound = Outbound(house.seat(), cast(PageClient, client), ScriptedLine([says_what_it_takes, receives_well]))
    await outbound.call(fax)
    await house.wait(fax)
    await outbound.call(fax)
    assert client.bodies == [b"II*\0 body"] * 2 and client.composed[-1].resolution is STANDARD


@pytest.mark.parametrize("fault", ["late", "processes"])
async def test_a_body_not_rendered_in_time_is_rescaled(
    house: House, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it is done, the next call has it."""
    _name, (fax,) = await job(house)
    client = Seeing(*([PagesUnavailable("gone")] if fault == "processes" else []), made())
    client.release = asyncio.Event()
    if fault == "processes":
        client.release.set()
    outbound = Outbound(house.seat(), cast(PageClient, client), ScriptedLine())
    prepared = await house.prepared(fax)
    composer = outbound._composer
    await composer.attempt(prepared, settings(), STANDARD, patience=0.01)
    assert client.bodies == [b"II*\0 body"]
    client.release.set()
    await composer.attempt(prepared, settings(), STANDARD, patience=5.0)
    assert client.bodies[-1] == b"II*\0again"
    await outbound.close()


@contextlib.asynccontextmanager
async def dialogue(given: list[Sequence[CallDocument]], taken: tuple[str, ...]) -> Any:  # a script's end
    """A machine that says in the call what it takes."""

    async def script(plan: CallPlan, marks: CallMarks) -> Outcome:
        assert await marks.answered({"to_tag": "x"})
        given.append(await marks.coarser(taken))
        for document in given[-1]:
            os.close(document.descriptor)
        (document,) = given[-1] or plan.documents
        if not await marks.exposed(document.fax, document.first):
            return Outcome(Cause.LINE_FAULT, connected=True)
        for page in range(document.first, document.last + 1):
            await marks.confirmed(document.fax, page)
        return Outcome(Cause.OK, connected=True, exposed=True)

    yield script


async def in_the_call(
    house: House, client: Pages, fax: str, taken: tuple[str, ...] = STANDARD_ONLY
) -> Sequence[CallDocument]:
    """One call in which coarser pages are asked for."""
    given: list[Sequence[CallDocument]] = []
    async with dialogue(given, taken) as script:
        outbound = Outbound(house.seat(), cast(PageClient, client), ScriptedLine([script]))
        await outbound.call(fax)
        await outbound.close()
    return given[0]


async def attempt_file(house: House) -> StoredFile:
    parts = t.attempt_faxes.c
    (row,) = await house.rows(select(parts.tiff_key, parts.tiff_sha256, parts.tiff_size))
    return StoredFile(row.tiff_key, row.tiff_sha256, row.tiff_size)


async def test_a_far_end_that_says_so_in_the_call_gets_pages_rendered_for_it(house: House) -> None:
    _name, (fax,) = await job(house)
    client = Seeing(made())
    (document,) = await in_the_call(house, client, fax)
    assert (document.fax, document.pages_in_file, document.first, document.last) == (fax, 2, 1, 2)
    assert client.bodies == [b"II*\0 body", b"II*\0again"]
    assert [options.resolution for options in client.composed] == [FINE, STANDARD]
    assert await house.state(fax) == FaxState.SENT
    assert await content(house, await attempt_file(house)) == b"II*\0composed"
    objects = [row.key for row in await house.rows(select(t.attempt_faxes.c.tiff_key.label("key")))]
    assert len(objects) == 1
    events = await house.rows(select(t.events.c.what).where(t.events.c.what == "attempt.recomposed"))
    assert len(events) == 1


async def test_it_asks_for_nothing_finer_than_it_had(house: House) -> None:
    _name, (fax,) = await job(house)
    client = Seeing()
    assert await in_the_call(house, client, fax, ("204x98", "204x196", "204x391")) == ()
    assert client.options == []


async def test_pages_that_come_too_late_are_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _name, (fax,) = await job(house)
    client = Seeing(made())
    client.release = asyncio.Event()
    monkeypatch.setattr(module, "RECOMPOSE_WITHIN", 0.01)
    before = await house.prepared(fax)
    assert await in_the_call(house, client, fax) == ()
    assert before.first == 1 and client.bodies == [b"II*\0 body"]


async def test_in_the_call_the_body_is_rescaled_when_rendering_takes_too_long(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _name, (fax,) = await job(house)
    client = Seeing(made())
    client.release = asyncio.Event()
    monkeypatch.setattr(module, "RENDER_WITHIN", 0.01)
    (document,) = await in_the_call(house, client, fax)
    assert document.fax == fax and client.bodies == [b"II*\0 body"] * 2
    assert client.composed[-1].resolution is STANDARD


# ------------------------------------------------------------------------------------------------------------ ledger


async def recompose(house: House, attempt: str, fax: str, file: StoredFile, fence: int | None = None) -> str | None:
    return await house.do(
        ledger.recomposed,
        attempt,
        fax=fax,
        tiff=file,
        fence=house.fence if fence is None else fence,
        now=house.now,
    )


async def test_the_pages_of_an_attempt_are_replaced_before_anything_is_exposed(house: House) -> None:
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    old, new = await attempt_file(house), await house.keep(b"new")
    assert await recompose(house, attempt, fax, new, house.fence + 1) is None, "another incarnation's"
    assert await recompose(house, attempt, "FNX", new) is None
    assert await recompose(house, attempt, fax, new) == old.key
    assert await attempt_file(house) == new
    assert await recompose(house, attempt, fax, new) == "", "the unit may be repeated"
    assert await house.answer(attempt) and await house.expose(attempt, fax)
    assert await recompose(house, attempt, fax, await house.keep(b"newer")) is None
    assert await attempt_file(house) == new
