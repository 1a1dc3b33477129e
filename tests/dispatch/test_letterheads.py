"""Letterheads of jobs: durable before the job is ready, rendered once, the same at every attempt."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, cast

import pytest
from sqlalchemy import select

from faxgw.dispatch import letterheads as module
from faxgw.dispatch.jobs import JobGate
from faxgw.dispatch.letterheads import LetterheadRefused, Letterheads
from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.worker import PageWorker
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.fax.account import Effective, Level, Origin, resolve
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.overlay import OverlayMode
from faxgw.fax.ports import Principal
from faxgw.fax.submission import JobDocument, JobReceipt, JobRecipient, JobRefused, JobSubmission
from faxgw.store import rendering, renditions, templates
from faxgw.store import schema as t
from faxgw.store.renditions import Kind
from tests.dispatch.doubles import Pages, ScriptedLine, document, is_busy, memory, receives_well, rendered
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = "+33199000001"


def settings(**given: object) -> Effective:
    return resolve([(Origin(Level.JOB), given)])


def letterhead(content: bytes) -> pages.Rendered:
    facts = (pages.PageFacts(1728, 2292, 100, 0.1),)
    return pages.Rendered(memory(content), facts, pages.Resolution.FINE)


async def template(house: House, content: bytes = b"%PDF head", name: str = "head", customer: str = "acme") -> None:
    kind = templates.Kind.OVERLAY
    await house.do(templates.keep, customer, kind, name, format="pdf", content=content, who="operator", now=house.now)


def build(house: House, client: Pages) -> Letterheads:
    return Letterheads(house.seat(), cast(PageClient, client))


async def render(worker: PageWorker) -> None:
    (leased,) = await worker.renderer.take(5)
    await worker.renderer.render(leased)


async def kept(house: House, job: str) -> dict[str, bytes]:
    found = await house.ask(renditions.find, job, Kind.OVERLAY)
    return {one.resolution: (house.folder / one.file.key).read_bytes() for one in found}


async def test_a_job_is_ready_with_its_letterhead_at_both_resolutions(house: House) -> None:
    """docs/spine.md section 2: body, cover, overlay durable before ready."""
    await template(house)
    job, (fax,) = await house.job(FAR, ready=False, overlay="head", overlay_mode="first_page")
    client = Pages(renders=[letterhead(b"standard head"), letterhead(b"fine head"), rendered(3)])
    worker = PageWorker(house.seat(), cast(PageClient, client))
    await render(worker)
    assert await house.state(fax) == FaxState.READY
    assert await kept(house, job) == {"fine": b"fine head", "standard": b"standard head"}
    assert client.seen[:2] == [b"%PDF head"] * 2


async def test_the_second_job_finds_it_rendered(house: House) -> None:
    await template(house)
    client = Pages(renders=[letterhead(b"standard"), letterhead(b"fine")])
    made = build(house, client)
    jobs = [(await house.job(FAR))[0] for _ in range(3)]
    for job in jobs[:2]:
        await made.keep_for(job, "acme", settings(overlay="head"))
    await made.keep_for(jobs[0], "acme", settings(overlay="head"))
    assert await kept(house, jobs[1]) == {"fine": b"fine", "standard": b"standard"}
    assert len(client.seen) == 2
    keys = {(row.job, row.key) for row in await house.rows(select(t.renditions.c.job, t.renditions.c.key))}
    assert len({key for _job, key in keys}) == 2, "one object, named by both jobs"


async def test_another_paper_is_another_letterhead(house: House) -> None:
    await template(house)
    client = Pages(renders=[letterhead(b"A4"), letterhead(b"Letter")])
    made = build(house, client)
    for paper in ("A4", "Letter"):
        job, _faxes = await house.job(FAR)
        await made.keep_for(job, "acme", settings(overlay="head", paper=paper, resolution="standard"))
        assert await kept(house, job) == {"standard": paper.encode()}


async def test_a_retry_bears_the_letterhead_that_the_job_began_with(house: House) -> None:
    """The template is replaced, then removed, between two calls; the far end takes no fine resolution at the second."""
    await template(house, b"%PDF old")
    given: dict[str, Any] = {"overlay": "head", "overlay_mode": "all_but_first_page"}
    job, (fax,) = await house.job(FAR, **given)
    client = Pages(renders=[letterhead(b"standard old"), letterhead(b"fine old")])
    made = build(house, client)
    await made.keep_for(job, "acme", settings(**given))
    await template(house, b"%PDF new")
    await house.do(templates.remove, "acme", templates.Kind.OVERLAY, "head", who="operator", now=house.now)
    seen: list[tuple[bytes, OverlayMode]] = []

    async def compose(body_fd: int, options: pages.ComposeOptions) -> pages.Composed:
        assert options.overlay is not None
        seen.append((os.pread(options.overlay.fd, 100, 0), options.overlay.mode))
        return pages.Composed(memory(b"II*\0composed"), (), pages.Resolution.FINE)

    client.compose = compose  # type: ignore[method-assign]
    outbound = Outbound(house.seat(), cast(PageClient, client), ScriptedLine([is_busy, receives_well]))
    await outbound.call(fax)
    await house.wait(fax)
    await outbound.call(fax)
    assert seen == [(b"fine old", OverlayMode.ALL_BUT_FIRST_PAGE)] * 2
    async with made.opened(job, settings(**given), pages.Resolution.STANDARD) as overlay:
        assert overlay is not None and os.pread(overlay.fd, 100, 0) == b"standard old"


async def test_pages_of_the_first_document_are_counted(house: House) -> None:
    await template(house)
    job, _faxes = await house.job(FAR, ready=False)
    made = build(house, Pages(renders=[letterhead(b"standard"), letterhead(b"fine")]))
    await made.keep_for(job, "acme", settings(overlay="head"))
    await house.do(rendering.lease, fence=house.fence, now=house.now, limit=5)
    facts = [{"document": 0, "page": 1}, {"document": 0, "page": 2}, {"document": 1, "page": 1}]
    body = await house.keep(b"body")
    await house.do(
        rendering.rendered, job, fence=house.fence, body=body, pages=3, facts=facts, thumbnail=b"", now=house.now
    )
    async with made.opened(job, settings(overlay="head"), pages.Resolution.FINE) as overlay:
        assert overlay is not None and overlay.first_file == 2


@pytest.mark.parametrize("given", [{}, {"overlay": "none"}, {"overlay": "gone", "overlay_mode": "no_overlay"}])
async def test_no_letterhead_is_asked_for(house: House, given: dict[str, str]) -> None:
    made, chosen = build(house, Pages()), settings(**given)
    job, _faxes = await house.job(FAR)
    await made.keep_for(job, "acme", chosen)
    assert await module.refusal(house.seat(), "acme", chosen) == ""
    async with made.opened(job, chosen, pages.Resolution.FINE) as overlay:
        assert overlay is None


async def test_a_lost_letterhead_fails_the_fax_and_is_never_left_out(house: House) -> None:
    _job, (fax,) = await house.job(FAR, overlay="head")
    outbound = Outbound(house.seat(), cast(PageClient, Pages()), line := ScriptedLine())
    await outbound.call(fax)
    found = await house.fax(fax)
    assert (found.state, Cause(found.cause), line.calls) == (FaxState.FAILED, Cause.DOCUMENT_DAMAGED, [])


async def test_a_damaged_one_is_rendered_again_for_the_next_job(house: House) -> None:
    await template(house)
    client = Pages(renders=[letterhead(b"one"), letterhead(b"two")])
    made, chosen = build(house, client), settings(overlay="head", resolution="standard")
    first, _faxes = await house.job(FAR)
    await made.keep_for(first, "acme", chosen)
    (row,) = await house.rows(select(t.letterheads.c.key))
    (house.folder / row.key).chmod(0o600)
    (house.folder / row.key).write_bytes(b"rot")
    second, _faxes = await house.job(FAR)
    await made.keep_for(second, "acme", chosen)
    assert await kept(house, second) == {"standard": b"two"}


@pytest.mark.parametrize(
    "step, why",
    [
        (rendered(2), "one page; this one has 2"),
        (pages.Refused(pages.Reason.EMPTY, "nothing"), "blank"),
        (pages.Refused(pages.Reason.DAMAGED, "“head” is damaged."), "“head” is damaged."),
    ],
)
async def test_what_cannot_be_a_letterhead_is_refused_with_its_reason(
    house: House, step: pages.Rendered | pages.Refused, why: str
) -> None:
    made = build(house, Pages(renders=[step]))
    with pytest.raises(LetterheadRefused) as refused:
        await made.render("head", b"x", "A4", "fine")
    assert why in refused.value.public


async def test_a_template_that_is_gone_fails_the_job_in_words_and_a_page_process_that_is_gone_does_not(
    house: House,
) -> None:
    _job, (fax,) = await house.job(FAR, ready=False, overlay="head")
    worker = PageWorker(house.seat(), cast(PageClient, Pages()))
    await render(worker)
    found = await house.fax(fax)
    assert (found.state, found.reason) == (FaxState.FAILED, "There is no overlay “head”.")
    await template(house)
    _job, (fax,) = await house.job(FAR, ready=False, overlay="head")
    worker = PageWorker(house.seat(), cast(PageClient, Pages(renders=[PagesUnavailable("x")])))
    await render(worker)
    assert await house.state(fax) == FaxState.ACCEPTED


# ------------------------------------------------------------------------------------------------------ at the door


def submission(house: House, **given: object) -> JobSubmission:
    return JobSubmission(
        job="FA" + "0" * 20,
        principal=Principal("acme", "", "", "", "login"),
        owner="acme",
        recipients=(JobRecipient((FAR,)),),
        documents=(),
        accepted_at=house.now,
        settings=given,
    )


async def test_an_unknown_name_is_refused_at_submission(house: House) -> None:
    await template(house, name="ours")
    await template(house, name="theirs", customer="beta")
    await template(house, name="everybodys", customer=templates.EVERYBODY)
    for name, good in (("ours", True), ("everybodys", True), ("theirs", False), ("Ours", False), ("none", True)):
        file = await house.keep(b"%PDF")
        job = replace(
            submission(house, overlay=name, overlay_mode="last_page"),
            job="FA" + name.upper().ljust(20, "0"),
            documents=(JobDocument("a.pdf", None, None, file),),
        )
        answer = await JobGate(house.seat()).submit(job)
        if good:
            assert isinstance(answer, JobReceipt)
        else:
            assert answer == JobRefused("unknown_overlay", f"There is no overlay “{name}”.", "overlay")


async def test_a_mail_with_an_unknown_one_is_refused_at_the_walk_in_its_language(house: House) -> None:
    await house.accept(await house.mail(FAR))
    seat = house.seat({"overlay": "head", "language": "fr"})
    worker = PageWorker(seat, cast(PageClient, Pages(walks=[pages.Walked((document(),))])))
    (leased,) = await worker._take_messages(5)
    await worker._walk(leased)
    (row,) = await house.rows(select(t.messages.c.state, t.messages.c.reason))
    assert (row.state, row.reason) == ("refused", "Il n’y a pas de fond de page « head ».")
