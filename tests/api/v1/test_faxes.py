"""The collection of faxes: sent, listed, looked at, cancelled, sent again, acknowledged."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from faxgw.store import schema as t
from faxgw.store import templates
from tests.api.v1.world import FAR, Native, fax, received

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_fax_is_sent_and_looked_at(api: Native) -> None:
    accepted = await api.send(fax(reference="invoice 7", cost_centre="A1", subject="Hello"))
    (one,) = accepted["faxes"]
    assert (one["state"], one["number"], accepted["count"]) == ("accepted", FAR, 1)
    seen = await api.get(f"/faxes/{one['id']}")
    assert (seen["direction"], seen["state"], seen["final"]) == ("out", "accepted", False)
    assert (seen["reference"], seen["cost_centre"], seen["subject"]) == ("invoice 7", "A1", "Hello")
    assert (seen["number"], seen["job"], seen["pages"]) == (FAR, accepted["job"], None)
    assert await api.get(f"/jobs/{accepted['job']}") == {
        "id": accepted["job"],
        "created_at": accepted["created_at"],
        "finished_at": None,
        "user": "",
        "subject": "Hello",
        "reference": "invoice 7",
        "resend_of": None,
        "count": 1,
        "states": {"accepted": 1},
        "left_out": [],
        "left_out_count": 0,
    }


async def test_what_of_a_mail_is_not_faxed_is_told_of_fax_and_job_and_of_what_is_sent_again(api: Native) -> None:
    accepted = await api.send(fax())
    assert (await api.get(f"/faxes/{accepted['faxes'][0]['id']}"))["left_out"] == []
    part = {"name": "anna.vcf", "why": "business_card"}
    await api.house.change(update(t.jobs).values(left_out={"parts": [part], "count": 30}))
    again = await api.post(f"/faxes/{accepted['faxes'][0]['id']}/resend", {}, 202)
    told = (await api.get("/faxes"))["faxes"]
    told += [await api.get(f"/faxes/{sent['faxes'][0]['id']}") for sent in (accepted, again)]
    told += [await api.get(f"/jobs/{sent['job']}") for sent in (accepted, again)]
    assert [(one["left_out"], one["left_out_count"]) for one in told] == [([part], 30)] * 6


async def test_a_number_that_cannot_be_dialled_fails_alone_and_the_answer_says_so(api: Native) -> None:
    accepted = await api.send(fax(FAR, "+33112"))
    good, bad = accepted["faxes"]
    assert (good["state"], bad["state"]) == ("accepted", "failed")
    assert "cannot be dialled" in bad["detail"]
    seen = await api.get(f"/faxes/{bad['id']}")
    assert (seen["state"], seen["cause"], seen["detail"]) == ("failed", "number_refused", bad["detail"])


async def test_options_reach_the_job(api: Native) -> None:
    accepted = await api.send(
        fax(
            {"number": FAR, "alternatives": ["+33199000002"], "properties": {"ToName": "Mme Durand"}},
            options={"resolution": "standard", "station_id": "+33 1", "max_dials": 3, "ecm": False},
            priority="express",
            send_at="2026-11-19T08:00:00+01:00",
            valid_hours=5,
            status_mails={"success": [], "failure": ["ops@example.org"]},
        )
    )
    (job,) = await api.house.rows(select(t.jobs))
    (row,) = await api.house.rows(select(t.faxes))
    chosen = {key: job.settings[key]["value"] for key in ("resolution", "csid", "max_dials", "ecm", "priority")}
    assert chosen == {"resolution": "standard", "csid": "+33 1", "max_dials": 3, "ecm": False, "priority": "express"}
    assert job.report_to == {"success": [], "failure": ["ops@example.org"]}
    assert [n["e164"] for n in row.numbers] == [FAR, "+33199000002"]
    seen = await api.get(f"/faxes/{accepted['faxes'][0]['id']}")
    assert (seen["next_call_at"], seen["expires_at"]) == ("2026-11-19T07:00:00.000Z", "2026-11-19T12:00:00.000Z")
    assert (seen["properties"], seen["priority"]) == ({"ToName": "Mme Durand"}, "express")


async def test_pages_of_the_list_stay_where_they_are_when_faxes_come_in(api: Native) -> None:
    """Every fax of before is told once, in order, though two come in between; and both directions are one list."""
    made = []
    for number in range(5):
        api.house.clock.now += 1
        made.append((await api.send(fax(subject=str(number))))["faxes"][0]["id"])
    api.house.clock.now += 1
    made.append(await received(api.house))
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await api.get("/faxes", limit=2, **cursor)
        seen += [one["id"] for one in page["faxes"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
        api.house.clock.now += 1
        await api.send()
    assert seen == made[::-1]


async def test_faxes_accepted_at_the_same_moment_are_paged_by_their_ids(api: Native) -> None:
    accepted = await api.send(fax(*(f"+331990000{n:02}" for n in range(9))))
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    for _ in range(3):
        page = await api.get("/faxes", limit=3, **cursor)
        seen += [one["id"] for one in page["faxes"]]
        cursor = {"cursor": page["next"]} if page["next"] else {}
    assert not cursor and sorted(seen) == sorted(one["id"] for one in accepted["faxes"])


async def test_each_filter_lets_its_own_through(api: Native) -> None:
    first = (await api.send(fax("+33199000001", reference="one", cost_centre="A")))["faxes"][0]["id"]
    api.house.clock.now += 60
    second = await api.send(fax("+33199000002", reference="two"))
    other = second["faxes"][0]["id"]
    inbound = await received(api.house, caller="+33199000055")

    async def ids(**query: Any) -> set[str]:
        return {one["id"] for one in (await api.get("/faxes", **query))["faxes"]}

    assert await ids(direction="out") == {first, other}
    assert await ids(direction="in") == {inbound}
    assert await ids(state="delivered") == {inbound}
    assert await ids(state="accepted") == {first, other}
    assert await ids(number="+33199000001") == {first}
    assert await ids(number="+33199000055") == {inbound}
    assert await ids(reference="two") == {other}
    assert await ids(cost_centre="A") == {first}
    assert await ids(job=second["job"]) == {other}
    assert await ids(since="2026-11-18T11:07:00Z") == {other, inbound}
    assert await ids(until="2026-11-18T11:07:00Z") == {first}
    assert await ids(own_number="+33199000099") == {inbound}
    assert await ids(user="bert") == set()


async def test_a_user_sees_its_own_faxes_and_what_came_to_numbers_of_its_profile(api: Native) -> None:
    await api.house.change(insert(t.profiles).values(id="acme/sales", customer="acme", name="sales", settings={}))
    bert = api.by(await api.desk.token(user="acme/bert"))
    mine, theirs = (await bert.send())["faxes"][0]["id"], (await api.send())["faxes"][0]["id"]
    open_number = await received(api.house, number="+33199000098")
    closed_number = await received(api.house, number="+33199000099", caller="+33199000056")
    await api.house.change(update(t.numbers).where(t.numbers.c.e164 == "+33199000099").values(profile="acme/sales"))
    assert {one["id"] for one in (await bert.get("/faxes"))["faxes"]} == {mine, open_number}
    for hidden in (theirs, closed_number):
        await bert.get(f"/faxes/{hidden}", 404)
    assert {one["id"] for one in (await api.get("/faxes"))["faxes"]} == {mine, theirs, open_number, closed_number}
    assert [one["id"] for one in (await api.get("/faxes", user="bert"))["faxes"]] == [mine]


async def test_credentials_see_the_direction_that_their_scopes_name(api: Native) -> None:
    sent, came = (await api.send())["faxes"][0]["id"], await received(api.house)
    outward = api.by(await api.desk.token(scopes=["faxes:read"]))
    inward = api.by(await api.desk.token(scopes=["inbox:read"]))
    assert [one["id"] for one in (await outward.get("/faxes"))["faxes"]] == [sent]
    assert [one["id"] for one in (await inward.get("/faxes"))["faxes"]] == [came]
    assert (await outward.get(f"/faxes/{came}", 403))["code"] == "scope_missing"


async def test_a_fax_is_cancelled_once(api: Native) -> None:
    ident = (await api.send())["faxes"][0]["id"]
    assert (await api.post(f"/faxes/{ident}/cancel"))["state"] == "cancelled"
    assert (await api.post(f"/faxes/{ident}/cancel", status=409))["code"] == "final"


async def test_a_fax_in_a_call_is_cancelled_with_its_call(api: Native) -> None:
    ident = await api.house.ready_fax()
    await api.house.plan(ident)
    assert (await api.post(f"/faxes/{ident}/cancel", status=202))["state"] == "calling"
    assert (await api.house.fax(ident)).wish == "cancel"


async def test_a_job_is_cancelled_in_slices(api: Native) -> None:
    accepted = await api.send(fax(*(f"+3319900{n:04}" for n in range(60))))
    path = f"/jobs/{accepted['job']}"
    assert await api.post(path + "/cancel") == {"cancelled": 60, "calling": 0}
    assert (await api.get(path))["states"] == {"cancelled": 60}
    assert await api.post(path + "/cancel") == {"cancelled": 0, "calling": 0}


async def test_a_fax_is_sent_again_with_its_documents_and_says_what_it_repeats(api: Native) -> None:
    first = await api.send(fax({"number": FAR, "alternatives": ["+33199000002"]}, reference="r", subject="s"))
    again = await api.post(f"/faxes/{first['faxes'][0]['id']}/resend", {}, 202)
    seen = await api.get(f"/faxes/{again['faxes'][0]['id']}")
    assert (seen["resend_of"], seen["reference"], seen["subject"]) == (first["job"], "r", "s")
    rows = await api.house.rows(select(t.job_documents).order_by(t.job_documents.c.job))
    assert len({row.sha256 for row in rows}) == 1 and len({row.key for row in rows}) == 2, "a copy of its own"
    (row,) = await api.house.rows(select(t.faxes).where(t.faxes.c.id == seen["id"]))
    assert [n["typed"] for n in row.numbers] == [FAR, "+33199000002"] and row.mark_to == 0


async def test_a_fax_whose_fate_is_unknown_is_sent_again_marked_unless_told_otherwise(api: Native) -> None:
    ident = await api.house.ready_fax()
    await api.house.change(update(t.faxes).values(state="unknown", finished_at=api.house.now, cause="in_doubt"))
    marked = await api.post(f"/faxes/{ident}/resend", {}, 202)
    plain = await api.post(f"/faxes/{ident}/resend", {"marked": False, "to": ["+33199000007"]}, 202)
    rows = {row.id: row for row in await api.house.rows(select(t.faxes))}
    assert rows[marked["faxes"][0]["id"]].mark_from == 1
    other = rows[plain["faxes"][0]["id"]]
    assert (other.mark_from, other.e164) == (0, "+33199000007")


async def test_the_words_on_the_cover_are_sent_again_too(api: Native) -> None:
    first = await api.send(fax(FAR, cover="letter", cover_text="Dear Ann"))
    again = await api.post(f"/faxes/{first['faxes'][0]['id']}/resend", {}, 202)
    rows = await api.house.rows(select(t.jobs.c.id, t.jobs.c.cover_text))
    assert {row.id: row.cover_text for row in rows} == {first["job"]: "Dear Ann", again["job"]: "Dear Ann"}


async def test_a_number_that_was_dialled_instead_of_a_wrong_one_is_sent_again_too(api: Native) -> None:
    first = await api.send(fax({"number": "+999123", "alternatives": ["+999124", "+33199000002", "+33199000003"]}))
    again = await api.post(f"/faxes/{first['faxes'][0]['id']}/resend", {}, 202)
    rows = await api.house.rows(select(t.faxes.c.job, t.faxes.c.numbers))
    dialled = {row.job: [(number["typed"], number["e164"]) for number in row.numbers] for row in rows}
    assert dialled[again["job"]] == dialled[first["job"]]
    assert dialled[first["job"]] == [("+999123", "+33199000002"), ("+33199000003", "+33199000003")]


async def ended(api: Native, *states: str) -> Any:
    """A job whose faxes ended so."""
    people = [{"number": f"+3319900000{place}", "properties": {"name": f"Ann {place}"}} for place in range(len(states))]
    sent = await api.send(fax(*people, reference="r", subject="s"))
    for one, state in zip(sent["faxes"], states, strict=True):
        final = {"state": state, "finished_at": api.house.now, "cause": "busy"}
        await api.house.change(update(t.faxes).where(t.faxes.c.id == one["id"]).values(**final))
    return sent


async def test_a_job_is_sent_again_to_those_who_did_not_get_it(api: Native) -> None:
    first = await ended(api, "sent", "failed", "cancelled", "expired", "failed")
    again = await api.post(f"/jobs/{first['job']}/resend", {}, 202)
    rows = await api.house.rows(select(t.faxes).where(t.faxes.c.job == again["job"]).order_by(t.faxes.c.position))
    assert [row.e164 for row in rows] == ["+33199000001", "+33199000003", "+33199000004"]
    assert [row.properties for row in rows] == [[["name", f"Ann {place}"]] for place in (1, 3, 4)]
    assert {row.mark_to for row in rows} == {0}
    seen = await api.get(f"/jobs/{again['job']}")
    assert (seen["resend_of"], seen["reference"], seen["subject"]) == (first["job"], "r", "s")


async def test_a_job_is_sent_again_marked_to_those_who_may_have_it(api: Native) -> None:
    first = await ended(api, "sent", "failed", "unknown")
    path = f"/jobs/{first['job']}/resend"
    marked = await api.post(path, {"states": ["failed", "unknown"]}, 202)
    plain = await api.post(path, {"states": ["unknown"], "marked": False}, 202)
    rows = await api.house.rows(select(t.faxes).where(t.faxes.c.job.in_([marked["job"], plain["job"]])))
    found = sorted((row.job == marked["job"], row.e164, row.mark_from) for row in rows)
    assert found == [(False, "+33199000002", 0), (True, "+33199000001", 1), (True, "+33199000002", 1)]


async def test_a_job_that_reached_everybody_is_not_sent_again(api: Native) -> None:
    first = await ended(api, "sent", "sent")
    answer = await api.post(f"/jobs/{first['job']}/resend", {}, 409)
    assert (answer["code"], answer["detail"]) == ("conflict", "No fax of this job is failed or expired.")


async def test_a_key_makes_it_safe_to_send_a_job_again(api: Native) -> None:
    first = await ended(api, "failed")
    path, key = f"/jobs/{first['job']}/resend", {"Idempotency-Key": "again-1"}
    answers = [await api.call("POST", path, {}, headers=key) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    assert answers[0].body["job"] == answers[1].body["job"]
    other = await api.call("POST", path, {"states": ["failed", "sent"]}, headers=key)
    assert (other.status, other.body["code"]) == (422, "key_reused")


async def test_a_received_fax_is_acknowledged_and_the_first_one_stands(api: Native) -> None:
    ident = await received(api.house)
    seen = await api.post(f"/faxes/{ident}/acknowledge")
    api.house.clock.now += 60
    assert await api.post(f"/faxes/{ident}/acknowledge") == seen
    assert seen["acknowledged_at"] and seen["acknowledged_by"].startswith("token:")
    assert (seen["direction"], seen["complete"], seen["number"]) == ("in", True, "+33199000055")


async def test_what_has_not_changed_is_not_sent_again(api: Native) -> None:
    """RFC 9110 section 13.1.2."""
    ident = (await api.send())["faxes"][0]["id"]
    first = await api.call("GET", f"/faxes/{ident}")
    again = await api.call("GET", f"/faxes/{ident}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.octets) == (304, b"")
    await api.post(f"/faxes/{ident}/cancel")
    changed = await api.call("GET", f"/faxes/{ident}", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status == 200


async def test_each_answer_tells_how_many_requests_are_left(api: Native) -> None:
    first, second = [await api.call("GET", "/account") for _ in range(2)]
    assert first.headers["RateLimit-Policy"] == '"requests";q=1000;w=2'
    assert (first.headers["RateLimit"], second.headers["RateLimit"]) == ('"requests";r=999;t=0', '"requests";r=998;t=0')


@pytest.mark.parametrize("name", ["Lettre à en-tête", "cover page (2).rtf", "x" * 200])
async def test_a_template_is_named_as_it_is_called(api: Native, name: str) -> None:
    await api.house.do(
        templates.keep, "acme", templates.Kind.COVER, name, format="html", content=b"Hi", who="op", now=api.house.now
    )
    accepted = await api.send(fax(FAR, cover=name))
    (row,) = await api.house.rows(select(t.jobs.c.settings).where(t.jobs.c.id == accepted["job"]))
    assert row.settings["cover"]["value"] == name
