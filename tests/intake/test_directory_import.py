"""Imports of directories on a real store: what is made, changed, ended, refused, and who is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from sqlalchemy import select, update

from faxgw.fax.account import AccountState
from faxgw.fax.directory import name_of
from faxgw.formats.directory_csv import INBOUND, OUTBOUND
from faxgw.intake import directory_source as source
from faxgw.intake.directory_import import MAIL, DirectoryImports
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.store import accounts, directory, synchronise
from faxgw.store import schema as t
from faxgw.store.accounts import NUMBER, USER, Author
from tests.house import House, house, house_store
from tests.postgres import postgres

__all__ = ["house", "house_store", "postgres"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

TO = "it@gamma.example"


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def house_engine(request: pytest.FixtureRequest) -> str:
    """The units of work are the same on each engine."""
    engine: str = request.param
    return engine


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def gamma(house: House) -> None:
    by = Author("operator", house.now)
    await house.do(accounts.create_customer, "gamma", name="Gamma", settings={"language": "fr"}, by=by)
    await house.do(accounts.create, "gamma", accounts.PROFILE, "office", {"settings": {}}, by=by)


def imports(house: House, **more: Any) -> DirectoryImports:
    given: dict[str, Any] = {"name": "people", "customer": "gamma", "notify": [TO], **more}
    settings = DirectorySettings.model_validate(given)
    return DirectoryImports(house.store, [settings], house.clock, {})


def line(columns: tuple[str, ...], **given: str) -> str:
    values = {name.replace("_", "-"): value for name, value in given.items()}
    return ",".join(f'"{values.get(column, "")}"' for column in columns)


def people(*names: str, **more: str) -> bytes:
    return "\n".join(line(OUTBOUND, e_mail=f"{name}@gamma.example", **more) for name in names).encode()


async def states(house: House) -> dict[str, str]:
    return {row["name"].partition("@")[0]: row["state"] for row in await house.ask(accounts.rows, "gamma", USER)}


async def mails(house: House) -> list[dict[str, Any]]:
    return [dict(row.payload) for row in await house.outbox() if (row.kind, row.target) == (MAIL, TO)]


async def test_senders_come_go_and_come_again(house: House) -> None:
    made = imports(house, max_deletion=50)
    row = {"csid": "+33 1", "resolution": "LOW", "profile_name": "office", "timezone": "Europe/Paris"}
    row |= {"default_country_code": "+49", "reply_to": "a@x.example;b@x.example", "only_attachments": "yes"}
    result = await made.take("people", people("anna", "bert", **row), "folder")
    assert (result.created, result.refused) == (2, "")
    found = await house.ask(directory.sender, "Anna@gamma.example", "")
    assert found is not None and found[0] == directory.Sender("gamma", "gamma/anna@gamma.example")
    settings = await house.ask(directory.effective, {}, "gamma", "gamma/anna@gamma.example")
    assert (settings["csid"], settings["resolution"], settings["country"]) == ("+33 1", "standard", "DE")
    assert settings["report_addresses"] == ("a@x.example", "b@x.example") and settings["attachments_only"]
    again = await made.take("people", people("anna", "bert", **row), "folder")
    assert (again.created, again.changed, again.ended, again.unchanged) == (0, 0, 0, 2)
    changed = await made.take("people", people("anna", **row | {"csid": "+33 2"}), "folder")
    assert (changed.changed, changed.ended) == (1, 1)
    assert await states(house) == {"anna": "active", "bert": "ended"}
    assert await house.ask(directory.sender, "bert@gamma.example", "") is None
    back = await made.take("people", people("anna", "bert", **row | {"csid": "+33 2"}), "folder")
    assert (back.created, back.changed) == (0, 1) and (await states(house))["bert"] == "active"
    assert await house.ask(directory.sender, "bert@gamma.example", "") is not None


async def test_an_address_longer_than_a_name_is_a_sender_as_it_is(house: House) -> None:
    """RFC 5321 section 4.5.3.1: up to 254 characters; a user's name has 64."""
    made = imports(house, max_deletion=100)
    long = f"{'firstname.lastname.of.a.very.long.department.name'}@{'sub.' * 20}gamma.example"
    rows = "\n".join(line(OUTBOUND, e_mail=address) for address in (long, "/s=bert/@gamma.example")).encode()
    assert (await made.take("people", rows, "folder")).created == 2
    found = await house.ask(directory.sender, long.upper(), "")
    assert found is not None and found[0].user == f"gamma/{name_of(long)}"
    assert await house.ask(directory.sender, "/s=bert/@gamma.example", "") is not None
    again = await made.take("people", rows, "folder")
    assert (again.unchanged, again.created, again.changed) == (2, 0, 0)
    assert (await made.take("people", people("anna"), "folder")).ended == 2
    assert await house.ask(directory.sender, long, "") is None


async def test_above_the_tolerated_deletion_rate_the_whole_import_is_refused(house: House) -> None:
    made = imports(house, max_deletion=25)
    await made.take("people", people("a", "b", "c", "d"), "folder")
    refused = await made.take("people", people("a", "b", "new"), "folder")
    assert refused.refused == "It would end 2 of 4 entries, 50.0 %; at most 25 % may end."
    assert set(await states(house)) == {"a", "b", "c", "d"}, "nothing of it was done"
    assert (await made.take("people", b"", "folder")).refused.startswith("It would end 4 of 4")
    assert (await made.take("people", people("a", "b", "c", "new"), "folder")).ended == 1
    assert sorted(bool(mail["refused"]) for mail in await mails(house)) == [False, False, True, True]
    assert {mail["language"] for mail in await mails(house)} == {"fr"}


async def test_a_dry_run_says_what_would_happen_and_does_nothing(house: House) -> None:
    made = imports(house)
    result = await made.take("people", people("a", "b"), "cli", dry_run=True)
    assert (result.created, result.dry_run) == (2, True)
    assert (await made.take("people", b"x", "cli", dry_run=True)).refused
    assert await states(house) == {} and await mails(house) == []


@pytest.mark.parametrize(
    "octets, words",
    [
        (b'"a@x.example","b"', "do not have 25 columns: 1"),
        (people("a") + b'\n"open', "not closed"),
        (people("no address"), "line 1: e-mail must be"),
        (people("a", "a"), "line 2: a@gamma.example stands twice"),
        (people("a", resolution="ultra"), "resolution must be HIGH or LOW"),
        (people("a", timezone="Mars"), "time_zone: must be a time zone"),
        (people("a", csid="+33 1 23 45 67 89 0 1 2"), "csid: must have at most 20 characters"),
        (people("a", default_country_code="999"), "default-country-code"),
        (people("a", only_attachments="perhaps"), "only-attachments must be true or false"),
        (people("a", reply_to="nobody"), "reply-to must be mail addresses"),
        (people("a", profile_name="none"), "there is no profile none"),
        (b"\0" + people("a"), "no text"),
    ],
)
async def test_a_faulty_entry_refuses_the_whole_file(house: House, octets: bytes, words: str) -> None:
    """Leaving it out would end it."""
    made = imports(house)
    result = await made.take("people", octets, "folder")
    assert words in result.refused
    assert "a" not in await states(house)


async def test_what_people_or_the_settings_file_made_is_left_alone(house: House) -> None:
    by = Author("operator", house.now)
    await house.do(accounts.create, "gamma", USER, "anna@gamma.example", {"settings": {}}, by=by)
    made = imports(house, max_deletion=100)
    assert "kept in the accounts" in (await made.take("people", people("anna"), "folder")).refused
    await made.take("people", people("bert"), "folder")
    await made.take("people", b"", "folder")
    assert await states(house) == {"anna": "active", "bert": "ended"}


async def test_what_the_directory_made_is_changed_there(house: House) -> None:
    made = imports(house)
    await made.take("people", people("anna"), "folder")
    with pytest.raises(accounts.Conflict, match="comes from the directory"):
        await house.do(
            accounts.change, "gamma", USER, "anna@gamma.example", {"settings": {}}, by=Author("x", house.now)
        )


async def test_an_address_of_another_customer_is_refused(house: House) -> None:
    made = imports(house)
    octets = line(OUTBOUND, e_mail="carol@example.net").encode()
    assert "carol@example.net is somebody else's" in (await made.take("people", octets, "folder")).refused
    found = await house.ask(directory.sender, "carol@example.net", "")
    assert found is not None and found[0].customer == "beta"


# -------------------------------------------------------------------------------------------------------- inbound


def number(extension: str, **more: str) -> str:
    given = {"user_number": "+33 1 99 00 00", "extension": extension, "recipients": "in@gamma.example"} | more
    return line(INBOUND, **given)


async def test_numbers_are_entered_changed_and_ended(house: House) -> None:
    made = imports(house, direction="inbound", numbers=["+3319900"], max_deletion=50)
    lines = [number("01", language="fr", billing_code="CC1"), number("02", active="false", comment="later")]
    result = await made.take("people", "\n".join(lines).encode(), "folder")
    assert result.created == 2
    entry = await house.ask(directory.number, {}, ["+33199000001"])
    assert entry is not None and entry.customer == "gamma" and entry.settings["deliver_to"] == ("in@gamma.example",)
    assert (entry.settings["csid"], entry.state) == ("+33199000001", AccountState.ACTIVE)
    rows = {row["e164"]: row for row in await house.ask(accounts.rows, "gamma", NUMBER)}
    assert rows["+33199000002"]["state"] == "suspended" and not rows["+33199000002"]["clip"]
    await made.take("people", number("01").encode(), "folder")
    after = {row["e164"]: row["state"] for row in await house.ask(accounts.rows, "gamma", NUMBER)}
    assert after == {"+33199000001": "active", "+33199000002": "ended"}


async def test_only_numbers_that_it_may_enter_are_taken(house: House) -> None:
    made = imports(house, direction="inbound", numbers=["+33199"])
    foreign = line(INBOUND, user_number="+49891234567").encode()
    assert "none of the numbers that this directory may enter" in (await made.take("people", foreign, "x")).refused
    by = Author("operator", house.now)
    await house.do(accounts.create, "beta", NUMBER, "+33199000001", {"settings": {}}, by=by)
    assert "somebody else's" in (await made.take("people", number("01").encode(), "x")).refused
    block = {"settings": {}, "last": "+33199000019"}
    await house.do(accounts.create, "beta", NUMBER, "+33199000010", block, by=by)
    refused = (await made.take("people", number("15").encode(), "x")).refused
    assert refused == "+33199000015 is somebody else's.", "in a range of theirs"
    assert (await made.take("people", number("20").encode(), "x")).created == 1
    nothing = imports(house, direction="inbound")
    assert "may enter" in (await nothing.take("people", number("02").encode(), "x")).refused


# ----------------------------------------------------------------------------------------------------- ways and news


async def test_columns_without_effect_are_named(house: House) -> None:
    made = imports(house)
    result = await made.take("people", people("a", "b", blacklist="true", reply_format="HTML"), "folder")
    assert result.unused == {"blacklist": 2, "reply-format": 2}
    assert (await mails(house))[0]["unused"] == {"blacklist": 2, "reply-format": 2}


async def test_a_dropped_file_is_imported_and_put_away(house: House, tmp_path: Path) -> None:
    made = imports(house, folder=str(tmp_path))
    for name, octets in (("a.csv", people("anna")), ("b.csv", b"x")):
        (tmp_path / name).write_bytes(octets)
        os.utime(tmp_path / name, (house.now - 60, house.now - 60))
    await made._look(made._all["people"])
    assert await states(house) == {"anna": "active"}
    assert [len(list((tmp_path / place).iterdir())) for place in ("done", "refused")] == [1, 1]
    assert len(await mails(house)) == 2


async def test_the_same_news_of_a_pull_is_told_once(house: House) -> None:
    made = imports(house, url="http://127.0.0.1:1/people.csv")
    for _ in range(3):
        result = await made.pull("people", "pull")
        assert result is not None and "could not be reached" in result.refused
    assert len(await mails(house)) == 1


async def test_why_a_directory_could_not_be_had_stands_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    made = imports(house, url="http://127.0.0.1:1/people.csv")
    for _ in range(2):
        await made.pull("people", "pull")
    (line,) = [record for record in caplog.records if getattr(record, "event", "") == "directory.refused"]
    assert "127.0.0.1:1" in line.__dict__["why"]


async def test_what_was_refused_is_fetched_again_though_it_has_not_changed(house: House) -> None:
    """What stood in its way may be mended where we are: a profile, a number, the tolerated rate."""
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers.get("If-None-Match"))
        if asked[-1] == '"1"':
            return web.Response(status=304)
        return web.Response(body=people("anna", profile_name="later"), headers={"ETag": '"1"'})

    app = web.Application()
    app.router.add_get("/people.csv", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        made = imports(house, url=f"http://127.0.0.1:{runner.addresses[0][1]}/people.csv")
        refused = await made.pull("people", "pull")
        assert refused is not None and "no profile later" in refused.refused
        by = Author("operator", house.now)
        await house.do(accounts.create, "gamma", accounts.PROFILE, "later", {"settings": {}}, by=by)
        taken = await made.pull("people", "pull")
        assert taken is not None and taken.created == 1
        assert await made.pull("people", "pull") is None
        assert asked == [None, None, '"1"']
    finally:
        await runner.cleanup()


async def test_a_directory_without_a_source_is_not_fetched(house: House) -> None:
    made = imports(house)
    found = await made.pull("people", "operator")
    assert found is not None and "not fetched from anywhere" in found.refused
    await made._look(made._all["people"])
    assert await mails(house) == []


async def test_a_file_that_cannot_be_moved_away_is_imported_and_told_once(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, place: str, now: float) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(source, "put_away", refuse)
    made = imports(house, folder=str(tmp_path), max_deletion=100)
    for name in ("bert", "carl"):
        (tmp_path / "a.csv").write_bytes(people("anna", name))
        os.utime(tmp_path / "a.csv", (house.now - 60, house.now - 60))
        for _ in range(3):
            await made._look(made._all["people"])
        assert name in await states(house)
    assert len(await mails(house)) == 2
    stuck = [record for record in caplog.records if getattr(record, "event", "") == "directory.stuck"]
    assert len(stuck) == 2


async def test_a_folder_that_cannot_be_read_is_told_once(house: House, tmp_path: Path) -> None:
    made = imports(house, folder=str(tmp_path / "none"))
    for _ in range(3):
        await made._look(made._all["people"])
    assert [mail["refused"] for mail in await mails(house)] == ["The directory's folder cannot be read."]


async def test_how_many_faults_are_not_shown_is_said(house: House) -> None:
    octets = people(*(f"u{n}" for n in range(60)), profile_name="none")
    refused = (await imports(house).take("people", octets, "folder")).refused
    assert refused.count("there is no profile") == synchronise.MAX_FAULTS
    assert refused.endswith("; and 10 more faults.")
    octets = people(*(f"u{n}" for n in range(60)), language="xx")
    assert (await imports(house).take("people", octets, "folder")).refused.endswith("; and 10 more faults.")


async def test_a_big_directory_is_written_in_slices(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spine section 7: a unit lasts 100 ms at most."""
    monkeypatch.setattr(synchronise, "SLICE", 10)
    made = imports(house, max_deletion=100)
    await made.take("people", people(*(f"u{n}" for n in range(35))), "folder")
    applied = select(t.events).where(t.events.c.what == "account.directory.applied")
    assert len(await house.rows(applied)) == 4 and len(await states(house)) == 35


async def test_a_slice_done_twice_is_done_once(house: House) -> None:
    made = imports(house)
    await made.take("people", people("anna"), "folder")
    plan = await house.ask(synchronise.plan, "gamma", USER, [])
    for _ in range(2):
        for create, change, end in synchronise.slices(plan):
            by = Author("x", house.now)
            await house.do(synchronise.apply, "gamma", USER, create, change, end, by=by)
    assert await states(house) == {"anna": "ended"}


async def test_an_ended_customer_or_none_is_told(house: House) -> None:
    made = imports(house, customer="nobody")
    assert (await made.take("people", people("a"), "folder")).refused == "There is no customer nobody."
    assert made.customer_of("people") == "nobody" and made.customer_of("none") == ""
    assert made.owned("") == ["people"] and made.owned("gamma") == []


async def test_a_state_that_an_operator_set_is_not_the_directorys_to_undo(house: House) -> None:
    made = imports(house)
    await made.take("people", people("anna"), "folder")
    await house.change(update(t.users).where(t.users.c.customer == "gamma").values(state="outbound_suspended"))
    await made.take("people", people("anna"), "folder")
    assert await states(house) == {"anna": "outbound_suspended"}
