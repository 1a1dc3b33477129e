"""What an operator asks; a beginning that means several things means none."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from faxgw.fax.errors import Refused
from faxgw.fax.job import Wish
from faxgw.store import lookup
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_fax_a_job_a_message_and_an_attempt_lead_to_the_same_job(house: House) -> None:
    mail = await house.mail("+33199000001")
    await house.accept(mail)
    (fax,) = await house.walk(mail.message, ready=True)
    attempt = await house.plan(fax)
    (job,) = [row.id for row in await house.rows(select(t.jobs.c.id))]
    whats: list[str] = []
    for ident in (fax, fax[:8], fax.lower(), job, job[:10], mail.message, attempt, attempt.upper()):
        found = await house.ask(lookup.find, ident)
        assert found is not None, ident
        assert (found["job"]["id"], found["message"]["id"]) == (job, mail.message)
        assert [f["id"] for f in found["faxes"]] == [fax]
        assert found["faxes"][0]["attempts"][0]["id"] == attempt
        whats = [event["what"] for event in found["events"]]
    assert "message.received" in whats and "attempt.planned" in whats
    assert await house.ask(lookup.fax_ids, job) == await house.ask(lookup.fax_ids, fax) == [fax]
    assert [tiff["attempt"] for tiff in await house.ask(lookup.tiffs_of, fax)] == [attempt]


async def test_a_message_without_a_job_is_found(house: House) -> None:
    mail = await house.mail("+33199000001")
    await house.accept(mail)
    found = await house.ask(lookup.find, mail.message)
    assert found is not None
    assert (found["message"]["state"], found["job"], found["faxes"]) == ("received", None, [])
    assert found["message"]["recipients"][0]["number_e164"] == "+33199000001"
    assert await house.ask(lookup.fax_ids, mail.message) == []


@pytest.mark.parametrize("ident", ["", "FN", "FNAAA", "FNZZZZZZ", "%%%%%%%%", "FN____%", "FN\\\\\\\\\\", "../../x"])
async def test_what_does_not_exist_is_not_found(house: House, ident: str) -> None:
    await house.ready_fax()
    assert await house.ask(lookup.find, ident) is None
    assert await house.ask(lookup.fax_ids, ident) == []


async def test_a_beginning_of_two_faxes_is_refused(house: House) -> None:
    """Otherwise a cancel would hit a fax that was not meant."""
    _job, (first, second) = await house.job("+33199000001", "+33199000002", ready=False)
    await house.change(update(t.faxes).where(t.faxes.c.id == first).values(id="FNSAME1"))
    await house.change(update(t.faxes).where(t.faxes.c.id == second).values(id="FNSAME2"))
    with pytest.raises(Refused, match="FNSAME"):
        await house.ask(lookup.fax_ids, "FNSAME")
    with pytest.raises(Refused):
        await house.ask(lookup.find, "fnsame")
    assert await house.ask(lookup.fax_ids, "fnsame2") == ["FNSAME2"]


async def test_of_a_crowd_the_fax_that_was_asked_for_is_shown_and_all_are_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MAX_FOUND", 3)
    job, faxes = await house.job(*(f"+33199{place:06}" for place in range(6)))
    await house.wish(faxes[5], Wish.CANCEL)
    found = await house.ask(lookup.find, faxes[4])
    assert found is not None
    assert [fax["id"] for fax in found["faxes"]] == [*faxes[:2], faxes[4]]
    assert found["states"] == {"cancelled": 1, "ready": 5}
    whole = await house.ask(lookup.find, job)
    assert whole is not None and [fax["id"] for fax in whole["faxes"]] == faxes[:3]
