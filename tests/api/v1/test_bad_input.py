"""What the native API refuses: the table of docs/api.md, a request for each code."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select, update

from faxgw.api.v1 import events
from faxgw.api.v1.problems import PROBLEMS
from faxgw.fax.limits import Buckets
from faxgw.store import outbox, webhooks
from faxgw.store import schema as t
from faxgw.store.errors import CommitUncertain, StoreDown
from faxgw.store.passwords import TooManyChecks
from faxgw.store.space import Watermark
from tests.api.desk import basic
from tests.api.v1.world import FAR, PDF, Got, Native, fax, inline, native, received
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCS = Path(__file__).parents[3] / "docs/api.md"
NONE = "/faxes/FN" + "0" * 20

INVALID: dict[str, tuple[Any, str]] = {
    # what → (body of POST /faxes, param)
    "an array": ([], ""),
    "no recipients": ({"documents": [inline()]}, "to"),
    "empty recipients": (fax() | {"to": []}, "to"),
    "10,000 recipients": (fax(*(f"+331990{n:05}" for n in range(10_000))), "to"),
    "1,001 recipients": (fax(*(f"+331990{n:05}" for n in range(1_001))), "to"),
    "a number that is a number": (fax(33199), "to[0]"),
    "a number of letters": (fax("+33 FAX"), "to[0]"),
    "a recipient without number": (fax({"properties": {}}), "to[0].number"),
    "six alternatives": (fax({"number": FAR, "alternatives": [FAR] * 6}), "to[0].alternatives"),
    "a blank in a name": (fax({"number": FAR, "properties": {"A B": "x"}}), "to[0].properties.A B"),
    "an unknown member": (fax(resolutoin="fine"), "resolutoin"),
    "an unknown member deep down": (fax(options={"res": "fine"}), "options.res"),
    "malformed base64": (fax() | {"documents": [{"data": "JVB*"}]}, "documents[0].data"),
    "an empty document": (fax() | {"documents": [{"data": ""}]}, "documents[0].data"),
    "a document with data and URL": (fax() | {"documents": [inline(url="https://example.org/a")]}, "documents[0].url"),
    "a path for a name": (fax() | {"documents": [inline(name="../etc/passwd")]}, "documents[0].name"),
    "61 documents": (fax() | {"documents": [inline()] * 61}, "documents"),
    "a document by file": (fax() | {"documents": [{"url": "file:///etc/passwd"}]}, "documents[0].url"),
    "a document by address": (fax() | {"documents": [{"url": "http://169.254.169.254/latest"}]}, "documents[0].url"),
    "an unknown charset": (fax() | {"documents": [inline(charset="KOI8-R")]}, "documents[0].charset"),
    "a resolution that is none": (fax(options={"resolution": "ultra"}), "options.resolution"),
    "a flag in words": (fax(options={"ecm": "yes"}), "options.ecm"),
    "13 dials": (fax(options={"max_dials": 13}), "options.max_dials"),
    "an identification of letters": (fax(options={"station_id": "ACME"}), "options.station_id"),
    "a time without zone": (fax(send_at="2026-11-22T08:00:00"), "send_at"),
    "a time that is none": (fax(send_at="tomorrow"), "send_at"),
    "the 31st of February": (fax(send_at="2026-02-31T08:00:00Z"), "send_at"),
    "an address that is none": (fax(status_mails={"failure": ["ops"]}), "status_mails.failure[0]"),
    "a reference with a line end": (fax(reference="a\nb"), "reference"),
    "half a surrogate pair": (fax(subject="\ud800"), "subject"),
}  # fmt: skip


@pytest.mark.parametrize("what", INVALID)
async def test_what_the_schema_forbids_is_told_with_its_place(api: Native, what: str) -> None:
    body, param = INVALID[what]
    got = await api.call("POST", "/faxes", body)
    assert (got.status, got.body["code"], got.body.get("param", "")) == (422, "invalid", param), got.body
    assert not await api.house.rows(select(t.jobs.c.id)) and not files_of(api.house)


def files_of(house: House) -> list[Path]:
    """Documents that a refused request left behind."""
    return [path for path in (house.folder / "objects").rglob("*") if path.is_file()]


QUERIES = {
    "/faxes?limit=0": "limit",
    "/faxes?limit=201": "limit",
    "/faxes?limit=ten": "limit",
    "/faxes?limit=5&limit=6": "limit",
    "/faxes?state=lost": "state[0]",
    "/faxes?direction=up": "direction",
    "/faxes?sort=asc": "sort",
    "/faxes?since=yesterday": "since",
    "/account?x=1": "x",
    "/events?after=-1": "after",
}


@pytest.mark.parametrize("path", QUERIES)
async def test_parameters_are_checked_too(api: Native, path: str) -> None:
    got = await api.call("GET", path)
    assert (got.status, got.body["code"], got.body["param"]) == (422, "invalid", QUERIES[path])


# ------------------------------------------------------------------------------------------------ a row for each code


Case = Callable[[Native], Awaitable[Got]]
CASES: dict[str, Case] = {}


def refuses(code: str) -> Callable[[Case], Case]:
    def keep(case: Case) -> Case:
        CASES[code] = case
        return case

    return keep


@refuses("unauthorized")
async def _(api: Native) -> Got:
    """Before a bad body."""
    return await api.by({}).call("POST", "/faxes", b"{")


@refuses("scope_missing")
async def _(api: Native) -> Got:
    return await api.by(await api.desk.token(scopes=["faxes:read"])).call("POST", "/faxes", b"{")


@refuses("not_for_operators")
async def _(api: Native) -> Got:
    """An operator's token with a scope that it cannot be given by any interface."""
    return await api.by(await api.desk.token(customer=None, scopes=["faxes:read"])).call("GET", "/faxes")


@refuses("account_suspended")
async def _(api: Native) -> Got:
    await api.house.change(update(t.customers).values(state="suspended"))
    return await api.call("GET", "/faxes")


@refuses("interface_not_booked")
async def _(api: Native) -> Got:
    await api.house.change(update(t.customers).values(settings={"interfaces": ["smtp"]}))
    return await api.call("GET", "/faxes")


@refuses("account_inactive")
async def _(api: Native) -> Got:
    """The user was suspended between the look at the token and the look at the account."""
    bert = api.by(await api.desk.token(user="acme/bert"))
    await bert.send()
    standing = bert.api._sending._submissions._known  # type: ignore[attr-defined]  # at most a second old
    for key, (until, known) in list(standing.items()):
        standing[key] = (until, replace(known, standing=replace(known.standing, active=False)))
    return await bert.call("POST", "/faxes", fax(FAR))


@refuses("express_not_open")
async def _(api: Native) -> Got:
    await api.house.change(update(t.customers).values(settings={"may_express": False}))
    return await api.call("POST", "/faxes", fax(priority="express"))


@refuses("caller_not_open")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", fax(options={"caller": "+33123456789"}))


@refuses("not_found")
async def _(api: Native) -> Got:
    return await api.call("GET", NONE)


@refuses("unknown_cursor")
async def _(api: Native) -> Got:
    """A cursor of a list with other filters."""
    await api.send(fax(*(f"+3319900000{n}" for n in range(3))))
    page = await api.get("/faxes", limit=1, direction="out")
    return await api.call("GET", "/faxes", query={"cursor": page["next"], "limit": 1})


@refuses("unknown_cover")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", fax(cover="nowhere"))


@refuses("unknown_overlay")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", fax(overlay="nowhere"))


@refuses("nothing_to_send")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", {"to": [FAR]})


@refuses("missing_property")
async def _(api: Native) -> Got:
    page = b"<!DOCTYPE html><html><body><p>${ContractNumber}</p></body></html>"
    kept = await api.call("PUT", "/templates/cover/contract?given=ContractNumber", page)
    assert kept.status == 200, kept.body
    return await api.call("POST", "/faxes", fax(cover="contract"))


@refuses("bad_template")
async def _(api: Native) -> Got:
    return await api.call("PUT", "/templates/cover/mine", PDF)


@refuses("bad_setting")
async def _(api: Native) -> Got:
    """A job that came another way, with a setting that jobs may not have."""
    _job, (ident,) = await api.house.job(header_policy="fr")
    return await api.call("POST", f"/faxes/{ident}/resend", {})


@refuses("header_policy")
async def _(api: Native) -> Got:
    await api.house.change(update(t.customers).values(settings={"header_policy": "us-tcpa", "header": "%d"}))
    return await api.call("POST", "/faxes", fax())


@refuses("bad_reference")
async def _(api: Native) -> Got:
    return await api.call("POST", "/webhooks", {"url": "https://xn--0.example/", "events": ["*"]})


@refuses("address_closed")
async def _(api: Native) -> Got:
    """When it is changed as when it is made."""
    made = await api.post("/webhooks", {"url": "https://app.example.org/", "events": ["*"]}, 201)
    return await api.call("PATCH", f"/webhooks/{made['id']}", {"url": "http://169.254.169.254/latest"})


@refuses("quota")
async def _(api: Native) -> Got:
    await api.house.change(update(t.customers).values(settings={"faxes_per_day": 1}))
    return await api.call("POST", "/faxes", fax(FAR, "+33199000002"))


@refuses("key_reused")
async def _(api: Native) -> Got:
    await api.send(Idempotency_Key="k")
    return await api.call("POST", "/faxes", fax(subject="other"), headers={"Idempotency-Key": "k"})


@refuses("in_progress")
async def _(api: Native) -> Got:
    """The first one's body has not come yet."""
    begun, gone = asyncio.Event(), asyncio.Event()

    class Keys(set[str]):
        def add(self, key: str) -> None:
            super().add(key)
            begun.set()

    api.api._sending._keys = Keys()

    async def slowly() -> Any:
        yield b'{"to": '
        await gone.wait()
        yield b"1}"

    fields = {**api.auth, "Idempotency-Key": "k", "Content-Type": "application/json"}
    first = asyncio.create_task(api.desk.client.post("/api/v1/faxes", data=slowly(), headers=fields))
    await begun.wait()
    got = await api.call("POST", "/faxes", fax(), headers={"Idempotency-Key": "k"})
    gone.set()
    (await first).close()
    return got


@refuses("final")
async def _(api: Native) -> Got:
    ident = (await api.send())["faxes"][0]["id"]
    await api.post(f"/faxes/{ident}/cancel")
    return await api.call("POST", f"/faxes/{ident}/cancel")


@refuses("not_outbound")
async def _(api: Native) -> Got:
    return await api.call("POST", f"/faxes/{await received(api.house)}/cancel")


@refuses("not_inbound")
async def _(api: Native) -> Got:
    ident = (await api.send())["faxes"][0]["id"]
    return await api.call("POST", f"/faxes/{ident}/acknowledge")


@refuses("documents_pending")
async def _(api: Native) -> Got:
    made = await api.send(fax() | {"documents": [{"url": "https://www.example.org/a.pdf"}]})
    return await api.call("POST", f"/faxes/{made['faxes'][0]['id']}/resend", {})


@refuses("conflict")
async def _(api: Native) -> Got:
    """Its documents were purged."""
    made = await api.send()
    await api.house.change(t.job_documents.delete())
    return await api.call("POST", f"/faxes/{made['faxes'][0]['id']}/resend", {})


@refuses("not_ready")
async def _(api: Native) -> Got:
    return await api.call("GET", f"/faxes/{(await api.send())['faxes'][0]['id']}/file")


@refuses("on_its_way")
async def _(api: Native) -> Got:
    made = await api.post("/webhooks", {"url": "https://app.example.org/", "events": ["*"]}, 201)
    item = "out_" + "0" * 32
    put: dict[str, Any] = {"customer": "acme", "payload": {"webhook": "w"}, "now": api.house.now}
    await api.house.do(outbox.put, item, "webhook", "https://app.example.org/", **put)
    done = webhooks.Try(item, "fax.sent", "FN1", api.house.now, 1, 503, 12, "why", False)
    await api.house.do(webhooks.record, made["id"], done)
    return await api.call("POST", f"/webhooks/{made['id']}/deliveries/{item}/again")


@refuses("too_many_webhooks")
async def _(api: Native) -> Got:
    for _number in range(webhooks.MAX_WEBHOOKS):
        await api.post("/webhooks", {"url": "https://app.example.org", "events": ["*"]}, 201)
    return await api.call("POST", "/webhooks", {"url": "https://app.example.org", "events": ["*"]})


@refuses("too_many_streams")
async def _(api: Native) -> Got:
    api.api.events._streams["acme"] = events.MAX_STREAMS
    return await api.call("GET", "/events")


@refuses("too_large")
async def _(api: Native) -> Got:
    """200 MB that are announced: refused before the first octet of them."""
    asked = 0

    async def body() -> Any:
        nonlocal asked
        asked += 1
        yield b"{"

    fields = {**api.auth, "Content-Length": "200000000", "Content-Type": "application/json", "Expect": "100-continue"}
    async with api.desk.client.post("/api/v1/faxes", data=body(), headers=fields, expect100=True) as answer:
        octets = await answer.read()
        assert asked == 0, "nobody asked for the body"
        return Got(answer.status, json.loads(octets), answer.headers, octets)


@refuses("unsupported_type")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", b"to=1", headers={"Content-Type": "application/x-www-form-urlencoded"})


@refuses("unsupported_encoding")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", b"\x8b\x03", headers={"Content-Encoding": "br"})


@refuses("unsupported_charset")
async def _(api: Native) -> Got:
    return await api.call("POST", "/webhooks", b"{}", headers={"Content-Type": "application/json; charset=utf-16"})


@refuses("bad_json")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", json.dumps(fax()).encode("utf-16"))


@refuses("bad_form")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", b"no form", headers={"Content-Type": "multipart/form-data"})


@refuses("too_many_failures")
async def _(api: Native) -> Got:
    for _number in range(10):
        await api.by(basic("somebody", "wrong")).call("GET", "/account")
    return await api.by(basic("somebody", "wrong")).call("GET", "/account")


@refuses("rate_limited")
async def _(api: Native) -> Got:
    object.__setattr__(api.desk.ground, "buckets", Buckets(1, 1))
    await api.get("/account")
    return await api.call("GET", "/account")


@refuses("maintenance")
async def _(api: Native) -> Got:
    api.desk.ground.maintenance.reason = "Back at noon."
    return await api.call("GET", "/account")


@refuses("busy")
async def _(api: Native) -> Got:
    async def check(*_given: object) -> bool:
        raise TooManyChecks

    api.desk.ground.access._passwords.check = check  # type: ignore[method-assign,assignment]
    return await api.by(basic("somebody", "x")).call("GET", "/account")


@refuses("unavailable")
async def _(api: Native) -> Got:
    api.api._sending._submissions = Broken(StoreDown("away"))
    return await api.call("POST", "/faxes", fax())


@refuses("uncertain")
async def _(api: Native) -> Got:
    api.api._sending._submissions = Broken(CommitUncertain("nobody knows"))
    return await api.call("POST", "/faxes", fax())


@refuses("internal_error")
async def _(api: Native) -> Got:
    api.api._sending._submissions = Broken(RuntimeError("a defect"))
    return await api.call("POST", "/faxes", fax())


@refuses("no_room")
async def _(api: Native) -> Got:
    object.__setattr__(api.desk.ground, "watermark", Watermark(1 << 60))
    return await api.call("POST", "/faxes", fax())


@refuses("tls_required")
async def _(api: Native) -> Got:
    """Another machine, by the address of its connection."""
    from faxgw.api import http

    near, http._is_near = http._is_near, lambda address, proxies: False
    try:
        return await api.call("GET", "/account")
    finally:
        http._is_near = near


@refuses("refused")
async def _(api: Native) -> Got:
    """What a lower layer refuses for good in its own words."""
    from faxgw.fax.errors import Refused

    api.api._sending._submissions = Broken(Refused("no", public="It cannot be done."))
    return await api.call("POST", "/faxes", fax())


@refuses("invalid")
async def _(api: Native) -> Got:
    return await api.call("POST", "/faxes", fax(unknown=1))


class Broken:
    """A funnel that raises."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def submit(self, job: object) -> Any:
        raise self._error


BY_THE_SERVER = {"method_not_allowed", "too_slow", "bad_request"}
"""Refused before a route is found, or by the server's timer: `tests/test_webserver.py`."""


@pytest.mark.parametrize("code", sorted(PROBLEMS.keys() - BY_THE_SERVER))
async def test_each_refusal_is_as_the_table_says(house: House, code: str, caplog: pytest.LogCaptureFixture) -> None:
    async with native(house) as api:
        got = await CASES[code](api)
    kind = PROBLEMS[code]
    assert (got.status, got.body["code"], got.body["status"]) == (kind.status, code, kind.status), got.body
    assert got.body["type"] == f"/api/v1/problems#{code}" and got.body["detail"].endswith(".")
    assert got.headers["Content-Type"].startswith("application/problem+json")
    assert ("Retry-After" in got.headers) == kind.retry
    if code == "unauthorized":
        assert got.headers["WWW-Authenticate"].startswith("Bearer ")


async def test_a_method_that_a_path_does_not_know(api: Native) -> None:
    got = await api.call("DELETE", "/account")
    assert (got.status, got.headers["Allow"]) == (405, "GET,HEAD")
    assert got.headers["Content-Type"].startswith("application/problem+json")


async def test_the_documentation_has_a_row_for_each_code() -> None:
    table = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", DOCS.read_text(), re.MULTILINE))
    assert {code: int(status) for code, status in table.items()} == {c: kind.status for c, kind in PROBLEMS.items()}


# ------------------------------------------------------------------------------------------------------------ bodies


async def test_a_form_is_taken_as_curl_sends_it(api: Native) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("to", FAR)
    form.add_field("to", "+33199000002")
    form.add_field("document", PDF, filename="letters/a.pdf", content_type="application/pdf")
    form.add_field("fax", json.dumps({"reference": "r"}), content_type="application/json")
    got = await api.call("POST", "/faxes", form=form)
    assert (got.status, got.body["count"], got.body["reference"]) == (202, 2, "r")
    (row,) = await api.house.rows(select(t.job_documents))
    assert (row.name, row.size) == ("a.pdf", len(PDF))


FORMS: dict[str, tuple[list[tuple[str, Any, str | None]], str]] = {
    "an unknown part": ([("to", FAR, None), ("document", PDF, "a"), ("colour", "red", None)], "colour"),
    "no file name": ([("to", FAR, None), ("document", "text", None)], "document"),
    "an empty file": ([("to", FAR, None), ("document", b"", "a")], "document"),
    "no recipient": ([("document", PDF, "a")], "to"),
    "no document": ([("to", FAR, None)], "document"),
    "fax twice": ([("to", FAR, None), ("fax", "{}", None), ("fax", "{}", None)], "fax"),
    "recipients in fax": ([("to", FAR, None), ("document", PDF, "a"), ("fax", '{"to": ["1"]}', None)], "fax.to"),
}


@pytest.mark.parametrize("what", FORMS)
async def test_a_form_that_cannot_be_taken(api: Native, what: str) -> None:
    parts, param = FORMS[what]
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value, filename in parts:
        form.add_field(name, value, filename=filename)
    got = await api.call("POST", "/faxes", form=form)
    assert (got.status, got.body["code"], got.body["param"]) == (422, "invalid", param), got.body
    assert not files_of(api.house)


async def test_a_form_beyond_the_limit_is_refused_while_it_comes(house: House) -> None:
    async with native(house, max_body=200_000) as api:
        form = aiohttp.FormData()
        form.add_field("to", FAR)
        form.add_field("document", b"x" * 300_000, filename="a")
        async with api.desk.client.post("/api/v1/faxes", data=form, headers=api.auth) as answer:
            assert answer.status == 413
        assert not files_of(house)


async def test_a_large_document_in_json_goes_to_the_spool(api: Native) -> None:
    big = base64.b64encode(b"%PDF" + bytes(500_000)).decode()
    accepted = await api.send(fax() | {"documents": [{"data": big, "name": "big.pdf"}]})
    (row,) = await api.house.rows(select(t.job_documents))
    assert (accepted["count"], row.size) == (1, 500_004)


async def test_a_compressed_body_is_read(api: Native) -> None:
    body = gzip.compress(json.dumps(fax()).encode())
    got = await api.call("POST", "/faxes", body, headers={"Content-Encoding": "gzip"})
    assert got.status == 202


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", ["/faxes", "/webhooks"])
async def test_a_body_that_is_not_coded_as_it_says_is_the_clients_fault(
    api: Native, path: str, coding: str, caplog: pytest.LogCaptureFixture
) -> None:
    got = await api.call("POST", path, b"no such coding at all", headers={"Content-Encoding": coding})
    assert (got.status, got.body["code"]) == (400, "bad_request") and "Content-Encoding" in got.body["detail"]
    assert not [record for record in caplog.records if record.name == "faxgw.api.http"], "no fault of ours"


@pytest.mark.parametrize("coding", ["br", "bogus", "gzip, gzip"])
async def test_another_coding_is_refused_with_those_that_are_taken(api: Native, coding: str) -> None:
    """RFC 9110 section 15.5.16, RFC 7694 section 3."""
    got = await api.call("POST", "/faxes", fax(), headers={"Content-Encoding": coding})
    assert (got.status, got.body["code"]) == (415, "unsupported_encoding")
    assert got.headers["Accept-Encoding"] == "gzip, deflate"
    assert not await api.house.rows(select(t.jobs.c.id))


# -------------------------------------------------------------------------------------------------------------- keys


async def test_the_same_key_and_body_are_answered_alike_and_sent_once(api: Native) -> None:
    first = await api.call("POST", "/faxes", fax(FAR, "+33112"), headers={"Idempotency-Key": "order-7"})
    second = await api.call("POST", "/faxes", fax(FAR, "+33112"), headers={"Idempotency-Key": "order-7"})
    assert (first.status, first.octets) == (second.status, second.octets)
    assert "Idempotent-Replayed" not in first.headers and second.headers["Idempotent-Replayed"] == "true"
    assert len(await api.house.rows(select(t.jobs.c.id))) == 1 and len(files_of(api.house)) == 1


async def test_a_form_may_come_again_with_another_boundary(api: Native) -> None:
    answers = []
    for _ in range(2):
        form = aiohttp.FormData()
        form.add_field("to", FAR)
        form.add_field("document", PDF, filename="a.pdf")
        answers.append(await api.call("POST", "/faxes", form=form, headers={"Idempotency-Key": "k"}))
    assert answers[0].octets == answers[1].octets


async def test_keys_of_one_account_are_not_anothers(api: Native) -> None:
    mine = await api.send(Idempotency_Key="k")
    other = await api.by(await api.desk.token(customer="beta")).send(Idempotency_Key="k")
    assert mine["job"] != other["job"]


async def test_a_key_is_replayed_though_the_quota_is_used_up(api: Native) -> None:
    first = await api.send(Idempotency_Key="k")
    await api.house.change(update(t.customers).values(settings={"faxes_per_day": 1}))
    assert await api.send(Idempotency_Key="k") == first


async def test_a_key_is_forgotten_after_a_day(api: Native) -> None:
    first = await api.send(Idempotency_Key="k")
    api.house.clock.now += 86_401
    assert (await api.send(Idempotency_Key="k"))["job"] != first["job"]


async def test_of_twenty_at_the_same_moment_one_is_accepted(api: Native) -> None:
    calls = [api.call("POST", "/faxes", fax(), headers={"Idempotency-Key": "k"}) for _ in range(20)]
    found = await asyncio.gather(*calls)
    assert {got.status for got in found} <= {202, 409}
    assert {got.body["code"] for got in found if got.status == 409} <= {"in_progress"}
    assert len({got.body["job"] for got in found if got.status == 202}) == 1
    assert len(await api.house.rows(select(t.jobs.c.id))) == 1


async def test_an_account_with_fewer_recipients_is_refused_more(api: Native) -> None:
    """Of a new fax, and of one that is sent again."""
    await api.house.change(update(t.customers).values(settings={"max_recipients": 1}))
    sent = (await api.send())["faxes"][0]["id"]
    for path, body in (("/faxes", fax(FAR, "+33199000002")), (f"/faxes/{sent}/resend", {"to": [FAR, "+33199000002"]})):
        got = await api.call("POST", path, body)
        assert (got.status, got.body["code"], got.body["param"]) == (422, "invalid", "to"), got.body
        assert got.body["detail"] == "The fax has 2 recipients; the limit of this account is 1."
    assert len(await api.house.rows(select(t.jobs.c.id))) == 1
