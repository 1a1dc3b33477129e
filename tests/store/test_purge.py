"""The purge on a real store: in time, complete, held back by holds, never while something is open (features H1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import LargeBinary, cast, delete, insert, select, update

from faxgw.fax.account import from_snapshot
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import EnclosedFile
from faxgw.fax.reception import PageEnd
from faxgw.store import audit, event_feed, holds, outbox, pulls, purge, receptions, sweep, webhook_feed, webhooks
from faxgw.store import schema as t
from faxgw.store.files import Files
from faxgw.store.holds import Hold
from faxgw.store.journal import PLACE
from faxgw.store.webhooks import Try, Webhook
from tests.house import House
from tests.store.test_receptions import deliver, end, items, keep, receiving, route

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY = 86_400.0
MARK = "Zanzibar-Quagga-4711"


async def sent(house: House, *numbers: str, content: bytes = b"", **settings: Any) -> tuple[str, list[str]]:
    """A job of faxes that were sent, with its reports delivered."""
    job, faxes = await house.job(*(numbers or ("+33199000001",)), pages=1, **settings)
    for fax in faxes:
        attempt = await house.plan(fax)
        tiff = await house.keep(b"II*\0 as sent " + content)
        part = t.attempt_faxes.c
        values = {"tiff_key": tiff.key, "tiff_sha256": tiff.sha256, "tiff_size": tiff.size}
        await house.change(update(t.attempt_faxes).where(part.attempt == attempt).values(**values))
        assert await house.answer(attempt)
        assert await house.expose(attempt, fax)
        assert await house.confirm(attempt, fax, 1)
        assert await house.done(attempt, Cause.OK)
    await delivered(house)
    return job, faxes


async def delivered(house: House) -> None:
    """Everything in the outbox was delivered."""
    await house.change(update(t.outbox).values(state="done", done_at=house.now))


async def received(house: House, text: str = "", **settings: Any) -> str:
    """A received fax with its text read, delivered."""
    reception = await receiving(house, to=["alice@example.org"], **settings)
    await keep(house, reception, 1, PageEnd.EOP, await house.keep(f"II*\0 page {text}".encode()))
    assert await route(house, reception)
    await end(house, reception)
    for item in await items(house, reception):
        await deliver(house, item.id)
    read = {"reception": reception, "page": 1, "state": "read", "wanted": {}, "asked_at": house.now}
    await house.change(insert(t.readings).values(**read, reading={"text": text}))
    return reception


async def run(house: House) -> list[purge.Step]:
    """Purge as long as there is something to do, files too."""
    while await house.do(purge.reckon):
        pass
    steps: list[purge.Step] = []
    after = purge.START
    while (step := await house.do(purge.step, now=house.now, after=after)).entity:
        after = step.after
        for key in step.keys:
            await house.files.remove(key)
        steps.append(step)
    return steps


def objects(house: House) -> int:
    return sum(1 for kind in ("spool", "objects") for path in (house.folder / kind).rglob("*") if path.is_file())


async def pass_days(house: House, days: float) -> None:
    house.clock.now += days * DAY


async def left(house: House, what: str) -> list[str]:
    """Tables in which a text still stands, in any column."""
    found = []
    for table in t.metadata.sorted_tables:
        for column in table.columns:
            binary = isinstance(column.type, LargeBinary)
            rows = await house.rows(select(column if binary else cast(column, t.audit.c.data.type)))
            texts = [bytes(row[0]).decode("latin-1") if binary else str(row[0]) for row in rows if row[0] is not None]
            found += [f"{table.name}.{column.name}" for text in texts if what in text]
    return found


async def test_a_fax_goes_in_its_steps_and_nothing_goes_early(house: House) -> None:
    job, (fax,) = await sent(house, keep_days=2, metadata_days=10)
    assert await run(house) == []
    files = objects(house)
    await pass_days(house, 2)
    assert await run(house) == [] and objects(house) == files
    await pass_days(house, 1)
    (step,) = await run(house)
    assert step.entity == job and step.done is not None and objects(house) == 0
    assert (await house.fax(fax)).state == "sent"
    await pass_days(house, 7)
    assert await run(house) == []
    await pass_days(house, 1)
    assert [step.gone for step in await run(house)] == [True]
    for table in (t.jobs, t.faxes, t.attempts, t.attempt_faxes, t.page_ledger, t.outbox, t.job_documents):
        assert await house.rows(select(table)) == [], table.name
    assert await house.rows(select(t.events).where(t.events.c.entity != PLACE)) == []


async def test_the_day_ends_at_midnight_of_the_account(house: House) -> None:
    """Deletion on the next day: not a minute of the agreed days is missing, and not a day more is kept."""
    job, _faxes = await sent(house, keep_days=1, time_zone="Europe/Paris")
    await run(house)
    row = (await house.rows(select(t.jobs.c.purge_at, t.jobs.c.finished_at).where(t.jobs.c.id == job)))[0]
    local = datetime.fromtimestamp(row.purge_at, UTC).strftime("%H:%M")
    assert local == "23:00" and DAY <= row.purge_at - row.finished_at <= 2 * DAY


async def test_the_archive_keeps_the_fax_as_sent_and_nothing_else(house: House) -> None:
    job, _faxes = await sent(house, keep_days=1, archive_days=20, metadata_days=1)
    tiff = (await house.rows(select(t.attempt_faxes.c.tiff_key)))[0].tiff_key
    await pass_days(house, 3)
    await run(house)
    assert objects(house) == 1 and (house.folder / tiff).exists()
    assert await house.rows(select(t.job_documents)) == []
    await pass_days(house, 17)
    assert await run(house) == [] and (house.folder / tiff).exists()
    await pass_days(house, 1)
    await run(house)
    assert objects(house) == 0 and await house.rows(select(t.jobs).where(t.jobs.c.id == job)) == []


@pytest.mark.parametrize("form", ["pdf", "tiff"])
async def test_the_archive_keeps_a_received_fax_in_one_form(house: House, form: str) -> None:
    reception = await received(house, keep_days=1, archive_days=5, archive_format=form)
    row = await house.ask(receptions.row_of, reception)
    page = (await house.rows(select(t.reception_pages.c.key)))[0].key
    await pass_days(house, 3)
    await run(house)
    assert (house.folder / row.document_key).exists() is (form == "pdf")
    assert (house.folder / page).exists() is (form == "tiff")
    await pass_days(house, 5)
    await run(house)
    assert objects(house) == 0


async def test_nothing_goes_while_something_is_to_be_delivered(house: House) -> None:
    job, _faxes = await sent(house, keep_days=1)
    await house.change(update(t.outbox).values(state="due"))
    await pass_days(house, 3)
    steps = await run(house)
    assert [step.held for step in steps] == ["open"] and objects(house) > 0
    await delivered(house)
    await pass_days(house, 1)
    assert [step.entity for step in await run(house)] == [job]


async def test_a_fax_that_is_not_over_stays(house: House) -> None:
    await house.ready_fax("+33199000001", keep_days=1)
    await pass_days(house, 4000)
    assert await run(house) == [] and objects(house) > 0


@pytest.mark.parametrize("by", ["customer", "number", "entity", "period", "caller"])
async def test_what_is_held_is_never_purged_until_it_is_lifted(house: House, by: str) -> None:
    job, (fax,) = await sent(house, keep_days=1, metadata_days=1)
    reception = await received(house, keep_days=1, metadata_days=1)
    given: dict[str, dict[str, Any]] = {
        "customer": {"customer": "acme"},
        "number": {"number": "+33199000001"},
        "entity": {"entity": fax},
        "period": {"since": house.now - 10, "until": house.now + 10},
        "caller": {"number": "+4989555"},
    }
    nothing: dict[str, Any] = {"customer": "", "number": "", "entity": "", "since": None, "until": None}
    hold = Hold("hold_1", **{**nothing, **given[by]}, reason="case 7")
    await house.do(holds.put, hold, who="operator", now=house.now)
    await pass_days(house, 3)
    keeps = {"number": {job}, "entity": {job}, "caller": {reception}}.get(by, {job, reception})
    assert {one.entity for one in await house.ask(purge.due, now=house.now)} == set()  # nothing is reckoned yet
    steps = await run(house)
    assert {step.entity for step in steps if step.held} == keeps
    await pass_days(house, 500)
    await run(house)
    rows = {*await house.rows(select(t.jobs.c.id)), *await house.rows(select(t.receptions.c.id))}
    assert {row.id for row in rows} == keeps and objects(house) > 0
    await house.do(holds.lift, "hold_1", why="settled", who="operator", now=house.now)
    await pass_days(house, 2)
    await run(house)
    assert objects(house) == 0 and await house.rows(select(t.jobs)) == await house.rows(select(t.receptions)) == []
    whats = [record.what for record in await house.ask(audit.listed, entity="hold_1")]
    assert whats == ["account.hold.set", "account.hold.lifted"]


async def test_a_purged_fax_leaves_no_word_anywhere_but_its_id_in_the_audit(house: House) -> None:
    """A mark planted in text, document, subject, numbers, reports and tries is gone from every table and file."""
    await received(house, text=MARK, keep_days=1, metadata_days=2)
    job, (fax,) = await sent(house, content=MARK.encode(), keep_days=1, metadata_days=2)
    await house.change(update(t.jobs).where(t.jobs.c.id == job).values(subject=MARK, cover_text=MARK, owner=MARK))
    await house.change(update(t.jobs).values(thumbnail=MARK.encode(), page_facts=[{"words": MARK}]))
    left_out = {"parts": [{"name": MARK, "why": "empty"}], "count": 1}
    await house.change(update(t.jobs).where(t.jobs.c.id == job).values(left_out=left_out))
    await house.change(update(t.faxes).values(reason=MARK, numbers=[{"typed": MARK, "e164": "+33199000001"}]))
    await house.change(update(t.attempts).values(outcome={"remote_ident": MARK}, trace=[[0.1, MARK]]))
    await house.change(update(t.receptions).values(display=MARK, ident=MARK[:20], thumbnail=MARK.encode()))
    await house.change(update(t.outbox).values(payload={"subject": MARK}, detail=MARK, target=MARK))
    await house.change(update(t.events).where(t.events.c.job == job).values(data={"why": MARK}))
    item = (await house.rows(select(t.outbox.c.id)))[0].id
    hook = {"id": "wh_1", "customer": "acme", "url": "https://x", "secret": "s", "events": [], "description": ""}
    await house.change(insert(t.webhooks).values(**hook, active=True, created_at=0, created_by="x"))
    tried = {"webhook": "wh_1", "item": item, "event": "fax.sent", "entity": fax, "at": 0, "number": 1, "status": 500}
    await house.change(insert(t.webhook_tries).values(**tried, ms=1, detail=MARK, delivered=False))
    assert len(await left(house, MARK)) > 10
    await pass_days(house, 2)
    await run(house)
    assert objects(house) == 0
    assert not {"readings.reading", "jobs.thumbnail", "receptions.thumbnail"} & set(await left(house, MARK))
    await pass_days(house, 2)
    await run(house)
    assert await left(house, MARK) == []
    assert await left(house, fax) == []
    whats = [record.what for record in await house.ask(audit.listed, entity=job)]
    assert whats == ["purge.documents", "purge.metadata"]


async def test_a_job_of_many_faxes_goes_in_slices_and_each_can_be_the_last_before_a_kill(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("SLICE", 2), ("FAXES", 2), ("ROWS", 40)):
        monkeypatch.setattr(purge, name, size)
    await sent(house, *(f"+3319900{n:04d}" for n in range(7)), keep_days=1, metadata_days=1)
    await pass_days(house, 3)
    await house.do(purge.reckon)
    for _ in range(500):
        step = await house.do(purge.step, now=house.now)
        if not step.entity:
            break
        await house.next_life()  # killed behind the commit: its files are orphans now
    assert await house.rows(select(t.jobs)) == await house.rows(select(t.attempts)) == []
    files = Files(house.folder, "n1", 1_000_000)

    async def known(keys: Any) -> Any:
        return await house.ask(sweep.known_keys, keys)

    assert (await files.sweep(known)).orphans > 0
    await files.close()
    assert objects(house) == 0


async def test_a_mail_of_which_no_job_came_goes_with_its_file(house: House) -> None:
    message = await house.accept(await house.mail("0199000001"))
    assert message == ""
    await house.change(update(t.messages).values(state="refused"))
    await pass_days(house, 30)
    assert await run(house) == []
    await pass_days(house, 2)
    assert len(await run(house)) == 1
    assert objects(house) == 0 and await house.rows(select(t.messages)) == []
    assert await house.rows(select(t.message_recipients)) == await house.rows(select(t.dedupe)) == []


async def test_mails_under_a_hold_do_not_keep_those_behind_them(house: House) -> None:
    """However many there are, a step looks at some of them and the next goes on behind."""
    many = holds.MAX_HOLDS + 1
    row = {"customer": "acme", "state": "refused", "received_at": house.now}
    (accepted,) = await house.rows(select(t.messages).where(t.messages.c.id == await refused_mail(house)))
    fixed = dict(accepted._mapping)
    copies = [fixed | row | {"id": f"msg_held{number:04}"} for number in range(many)]
    for first in range(0, many, 100):  # the server ends a transaction in which nothing is asked for 2 s
        await house.change(insert(t.messages).values(copies[first : first + 100]))
    last = fixed | row | {"id": "msg_free", "customer": "beta", "received_at": house.now + 1}
    await house.change(insert(t.messages).values(last))
    await house.do(holds.put, Hold("hold_1", "acme", "", "", None, None, "court"), who="op", now=house.now)
    await pass_days(house, 40)
    steps = await run(house)
    assert [step.entity for step in steps if step.gone] == ["msg_free"]
    assert [step.held for step in steps if not step.gone] == ["hold_1"] * (many // purge.SLICE)
    assert len(await house.rows(select(t.messages.c.id))) == many + 1
    await house.change(delete(t.messages).where(t.messages.c.id.like("msg_held%"), t.messages.c.id > "msg_held0001"))
    await house.do(holds.lift, "hold_1", why="over", who="op", now=house.now)
    await run(house)
    assert await house.rows(select(t.messages.c.id)) == []


async def refused_mail(house: House) -> str:
    """A mail of which no job came."""
    mail = await house.mail("0199000001")
    await house.accept(mail)
    await house.change(update(t.messages).values(state="refused"))
    return mail.message


async def test_the_mail_of_a_job_goes_with_it(house: House) -> None:
    await house.accept(mail := await house.mail("+33199000001"))
    (fax,) = await house.walk(mail.message, ready=True)
    await house.call(fax, Cause.OK, confirmed=2)
    await delivered(house)
    await pass_days(house, 33)
    await run(house)
    assert objects(house) == 0 and len(await house.rows(select(t.messages))) == 1
    await pass_days(house, 150)
    await run(house)
    assert await house.rows(select(t.messages)) == await house.rows(select(t.jobs)) == []


async def test_a_job_whose_mail_another_job_names_leaves_the_mail(house: House) -> None:
    await sent(house, keep_days=1, metadata_days=1)
    other, _more = await house.job("+33199000002", keep_days=900)
    await house.accept(mail := await house.mail("+33199000001"))
    await house.change(update(t.messages).values(state="walked"))
    await house.change(update(t.jobs).values(message=mail.message))
    await pass_days(house, 3)
    await run(house)
    assert [row.id for row in await house.rows(select(t.jobs.c.id))] == [other]
    assert len(await house.rows(select(t.messages))) == 1


async def test_deliveries_to_webhooks_that_are_over_go_after_a_month(house: House) -> None:
    await house.do(outbox.put, "out_1", "webhook", "https://x", customer="acme", payload={"a": MARK}, now=house.now)
    await pass_days(house, 31)
    assert await run(house) == []
    await delivered(house)
    assert len(await run(house)) == 1 and await left(house, MARK) == []


async def test_every_table_with_files_or_references_is_known(house: House) -> None:
    """A later revision's table hangs on a fax by a reference, or the purge would leave it; some end by themselves."""
    parents = {t.jobs: "job", t.receptions: "reception", t.faxes: "fax", t.messages: "message", t.attempts: "attempt"}
    reached = {table for parent in parents for table, _column in purge._children(parent)}
    loose = {
        t.outbox,
        t.events,
        t.webhook_tries,
        t.job_keys,
        t.junk_verdicts,
        t.audit,
        t.pulls,
        t.staged_faxes,
        t.callable_jobs,
        t.job_cancels,
    }
    for table in t.metadata.sorted_tables:
        named = {name for name in parents.values() if name in table.columns} - {"message"}
        if named and table not in parents:
            assert table in reached | loose, table.name


async def test_what_a_program_did_not_fetch_goes_with_the_fax(house: House) -> None:
    """A document that waits in a topic is a copy like any other: seven days there do not outlast the agreed days."""
    reception = await received(house, keep_days=1)
    file = await house.keep(b"%PDF " + MARK.encode())
    document = EnclosedFile("fax.pdf", "application/pdf", file)
    await house.do(
        pulls.lay, "out_pull", customer="acme", topic="inbox", reception=reception, told={"from": MARK},
        documents=[document], now=house.now,
    )  # fmt: skip
    await pass_days(house, 3)
    await run(house)
    assert await house.rows(select(t.pulls)) == await house.rows(select(t.pull_documents)) == []
    assert await left(house, MARK) == [] and not (house.folder / file.key).exists()


async def test_a_fax_that_cannot_be_purged_holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is put off by a day and said so; what is due after it goes."""
    first, _faxes = await sent(house, keep_days=1, metadata_days=1)
    house.clock.now += 60
    second, _faxes = await sent(house, keep_days=1, metadata_days=1)
    await pass_days(house, 5)
    while await house.do(purge.reckon):
        pass

    def broken(snapshot: Any) -> Any:
        if snapshot.get("broken"):
            raise KeyError("colour")
        return from_snapshot(snapshot)

    monkeypatch.setattr(purge, "from_snapshot", broken)
    await house.change(update(t.jobs).where(t.jobs.c.id == first).values(settings={"broken": True}))
    steps = await run(house)
    assert [step.held for step in steps if step.entity == first] == ["fault: KeyError"]
    assert [row.id for row in await house.rows(select(t.jobs.c.id))] == [first]
    assert any(step.entity == second and step.gone for step in steps)
    assert any(getattr(record, "event", "") == "purge.fault" for record in caplog.records)
    await house.change(update(t.jobs).values(purge_at=None))
    assert await house.do(purge.reckon) == 1, "one that cannot be reckoned is not looked at for ever"
    assert await house.do(purge.reckon) == 0


@pytest.mark.parametrize("most", [1_000, 4])
async def test_what_webhooks_were_told_of_a_fax_goes_with_it(
    house: House, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Messages name numbers and reasons: a month of their own would outlast the agreed days. Others' stay."""
    monkeypatch.setattr(purge, "TOLD", most)
    house.clock.now += event_feed.SETTLE_S + 1
    await house.do(webhook_feed.spread, now=house.now)
    for name in ("wh_1", "wh_2"):
        made = Webhook(name, "acme", "", "https://x.example/", "s", "", 0.0, ("*",), "", True, house.now, "x")
        await house.do(webhooks.create, "acme", made, now=house.now)
    house.clock.now += 1
    first, (fax,) = await sent(house, keep_days=1, metadata_days=1)
    reception = await received(house, keep_days=1, metadata_days=1)
    second, _faxes = await sent(house, keep_days=90)
    house.clock.now += event_feed.SETTLE_S + 1
    while await house.do(webhook_feed.spread, now=house.now):
        pass
    told = await house.rows(select(t.outbox.c.payload).where(t.outbox.c.kind == "webhook"))
    about = [(row.payload["event"]["job"], row.payload["event"]["fax"]) for row in told]
    assert (first, fax) in about and (None, reception) in [(None, fax) for _job, fax in about]
    await delivered(house)
    await pass_days(house, 5)
    await run(house)
    left_ = await house.rows(select(t.outbox.c.payload).where(t.outbox.c.kind == "webhook"))
    assert {row.payload["event"]["job"] for row in left_} == {second}
    assert await left(house, fax) == [] and set(await left(house, reception)) == {"audit.entity"}


async def test_what_happens_after_everything_was_purged_is_told_all_the_same(house: House) -> None:
    """Webhooks and event streams go on where they stopped: no number of the journal is given a second time."""
    house.clock.now += event_feed.SETTLE_S + 1
    await house.do(webhook_feed.spread, now=house.now)
    made = Webhook("wh_1", "acme", "", "https://x.example/", "s", "", 0.0, ("fax.sent",), "", True, house.now, "x")
    await house.do(webhooks.create, "acme", made, now=house.now)
    fax = ""
    for _ in range(2):
        house.clock.now += 1
        _job, (fax,) = await sent(house, keep_days=1, metadata_days=1)
        house.clock.now += event_feed.SETTLE_S + 1
        while await house.do(webhook_feed.spread, now=house.now):
            pass
        told = await house.rows(select(t.outbox.c.payload).where(t.outbox.c.kind == "webhook"))
        assert [row.payload["event"]["fax"] for row in told] == [fax]
        await delivered(house)
        await pass_days(house, 5)
        await run(house)
    assert await left(house, fax) == []


async def test_what_a_webhook_was_never_told_is_given_up_and_emptied_and_its_log_says_why(house: House) -> None:
    """An endpoint that is away keeps no number and no reason longer than the fax itself is kept."""
    house.clock.now += event_feed.SETTLE_S + 1
    await house.do(webhook_feed.spread, now=house.now)
    made = Webhook("wh_1", "acme", "", "https://x.example/", "s", "", 0.0, ("fax.sent",), "", True, house.now, "x")
    await house.do(webhooks.create, "acme", made, now=house.now)
    house.clock.now += 1
    _job, (fax,) = await sent(house, keep_days=1, metadata_days=1)
    await sent(house, keep_days=90)
    house.clock.now += event_feed.SETTLE_S + 1
    while await house.do(webhook_feed.spread, now=house.now):
        pass
    c = t.outbox.c
    first, other = await house.rows(select(t.outbox).where(c.kind == "webhook").order_by(c.created_at, c.id))
    if first.payload["event"]["fax"] != fax:
        first, other = other, first
    tried = Try(first.id, "fax.sent", fax, house.now, 1, 500, 3, MARK, False)
    await house.do(webhooks.record, "wh_1", tried)
    payload = {**first.payload, "event": {**first.payload["event"], "data": {"number": MARK}}}
    await house.change(update(t.outbox).where(c.id == first.id).values(payload=payload, tries=1))
    await pass_days(house, 5)
    await run(house)
    assert await left(house, MARK) == []
    given_up, kept = [(await house.rows(select(t.outbox).where(c.id == item.id)))[0] for item in (first, other)]
    assert (given_up.state, given_up.payload, given_up.detail) == ("dead", {}, webhook_feed.PURGED)
    assert (kept.state, kept.payload) == ("due", other.payload)
    (said,) = await house.ask(webhooks.tries, "wh_1", before=0, limit=10)
    assert (said.item, said.entity, said.number, said.status) == (first.id, fax, 1, 0)
    assert said.detail == webhook_feed.PURGED and not said.delivered
    assert await house.do(webhooks.again, "wh_1", first.id, who="x", now=house.now) is None
    await pass_days(house, 31)
    await run(house)
    assert await house.rows(select(t.outbox).where(c.id == first.id)) == []
    assert await house.ask(webhooks.tries, "wh_1", before=0, limit=10) == []
