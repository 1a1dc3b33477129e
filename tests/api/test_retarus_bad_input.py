"""What the vendor's REST interface refuses: the table of docs/rest-retarus.md, row by row."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from faxgw.store import schema as t
from tests.api.desk import basic
from tests.api.retarus_world import BASE, FAR, PDF, Vendor, document, job, vendor
from tests.house import House
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCS = Path(__file__).parents[2] / "docs/rest-retarus.md"


@pytest_asyncio.fixture(loop_scope="session")
async def erp(house: House) -> AsyncIterator[Vendor]:
    async with vendor(house) as made:
        yield made


def rendering(**fields: Any) -> dict[str, Any]:
    return job(renderingOptions=fields)


def valid(**fields: Any) -> dict[str, Any]:
    return job(meta={"customerReference": "x", "jobValid": fields})


def mail(**fields: Any) -> dict[str, Any]:
    return job(statusReportOptions={"reportMail": fields})


REFUSED: dict[str, tuple[Any, int, str, str]] = {
    # what → (body, status, code, param)
    "not JSON": (b"{", 400, "bad_json", ""),
    "empty body": (b"", 400, "bad_json", ""),
    "not UTF-8": (b'{"recipients": "\xff"}', 400, "bad_json", ""),
    "UTF-16": (json.dumps(job()).encode("utf-16"), 400, "bad_json", ""),
    "NaN": (b'{"recipients": NaN}', 400, "bad_json", ""),
    "too deep": (b"[" * 100_000, 400, "bad_json", ""),
    "a number of 5,000 digits": (b'{"x": ' + b"9" * 5_000 + b"}", 400, "bad_json", ""),
    "an array": ([], 400, "bad_request", ""),
    "no recipients": ({"documents": [document()]}, 400, "bad_request", "recipients"),
    "empty recipients": ({"recipients": [], "documents": [document()]}, 400, "bad_request", "recipients"),
    "recipients are an object": (job(recipients={"number": FAR}), 400, "bad_request", "recipients"),
    "a recipient is a string": (job(recipients=[FAR]), 400, "bad_request", "recipients[0]"),
    "a number is a number": (job(recipients=[{"number": 33199}]), 400, "bad_request", "recipients[0].number"),
    "a number is empty": (job(recipients=[{"number": " "}]), 400, "bad_request", "recipients[0].number"),
    "a number is long": (job("1" * 129), 400, "bad_request", "recipients[0].number"),
    "10,000 recipients": (job(*[f"+331990{n:05}" for n in range(10_000)]), 400, "bad_request", "recipients"),
    "a property without key": (
        job(recipients=[{"number": FAR, "properties": [{"value": "x"}]}]),
        400, "bad_request", "recipients[0].properties[0].key",
    ),
    "no document and no cover": ({"recipients": [{"number": FAR}]}, 400, "nothing_to_send", "documents"),
    "malformed base64": (job(documents=[{"name": "a.pdf", "data": "JVB*"}]), 400, "bad_request", "documents[0].data"),
    "malformed base64 in a large body": (
        job(documents=[{"name": "a.pdf", "data": "A" * 400_000 + "*" + "A" * 90_000}]), 400, "bad_json", "",
    ),
    "a document without data": (job(documents=[{"name": "a.pdf"}]), 400, "bad_request", "documents[0].data"),
    "a document without name": (job(documents=[{"data": "JVBE"}]), 400, "bad_request", "documents[0].name"),
    "data is no string": (job(documents=[{"name": "a.pdf", "data": 1}]), 400, "bad_request", "documents[0].data"),
    "61 documents": (job(documents=[document()] * 61), 400, "bad_request", "documents"),
    "an unknown charset of a text": (
        job(documents=[document("a.txt", charset="KOI8-R")]), 400, "bad_request", "documents[0].charset",
    ),
    "a reference by file": (
        job(documents=[{"name": "a", "reference": "file:///etc/passwd"}]),
        400, "bad_reference", "documents[0].reference",
    ),
    "a reference to ourselves": (
        job(documents=[{"name": "a", "reference": "http://127.0.0.1/x"}]),
        400, "bad_reference", "documents[0].reference",
    ),
    "a reference to the cloud's metadata": (
        job(documents=[{"name": "a", "reference": "http://169.254.169.254/latest"}]),
        400, "bad_reference", "documents[0].reference",
    ),
    "an unknown cover page": (
        rendering(coverpageTemplate="nowhere.ftl.html"), 400, "unknown_cover", "renderingOptions.coverpageTemplate",
    ),
    "an unknown overlay": (
        rendering(overlay={"name": "letterhead", "mode": "FIRST_PAGE"}),
        400, "unknown_overlay", "renderingOptions.overlay.name",
    ),
    "an unknown overlay mode": (
        rendering(overlay={"name": "x", "mode": "SOME"}), 400, "bad_request", "renderingOptions.overlay.mode",
    ),
    "an unknown paper": (rendering(paperFormat="A3"), 400, "bad_request", "renderingOptions.paperFormat"),
    "an unknown resolution": (rendering(resolution="ULTRA"), 400, "bad_request", "renderingOptions.resolution"),
    "a header with a lone percent sign": (rendering(header="100 %"), 400, "bad_request", "renderingOptions.header"),
    "a csid too long": (job(transportOptions={"csid": "1" * 21}), 400, "bad_request", "transportOptions.csid"),
    "a flag that is none": (
        job(transportOptions={"isExpress": "yes"}), 400, "bad_request", "transportOptions.isExpress",
    ),
    "a reference too long": (
        job(reference={"customerDefinedId": "x" * 257}), 400, "bad_request", "reference.customerDefinedId",
    ),
    "a billing code that cannot be printed": (
        job(reference={"billingCode": "a\u0000b"}), 400, "bad_request", "reference.billingCode",
    ),
    "half a surrogate pair": (job(reference={"billingInfo": "\ud800"}), 400, "bad_request", "reference.billingInfo"),
    "a start without zone": (valid(start="2026-11-22T08:00:00"), 400, "bad_request", "meta.jobValid.start"),
    "a start that is no time": (valid(start="tomorrow"), 400, "bad_request", "meta.jobValid.start"),
    "an end before the start": (valid(start="PT2H", end="PT1H"), 400, "bad_request", "meta.jobValid.end"),
    "an end in the past": (valid(end="2001-01-01T00:00:00Z"), 400, "bad_request", "meta.jobValid.end"),
    "a duration without time": (valid(end="PT"), 400, "bad_request", "meta.jobValid.end"),
    "an address that is none": (
        mail(failureAddress="ops"), 400, "bad_request", "statusReportOptions.reportMail.failureAddress",
    ),
    "a push into our own network": (
        job(statusReportOptions={"httpStatusPush": {"targetUrl": "https://10.0.0.1/hook"}}),
        400, "bad_push_url", "statusReportOptions.httpStatusPush.targetUrl",
    ),
}  # fmt: skip
BULK: dict[str, tuple[Any, str]] = {
    "no action": ({"jobIds": ["F1"]}, "action"),
    "an unknown action": ({"action": "PATCH", "jobIds": ["F1"]}, "action"),
    "no ids": ({"action": "DELETE"}, "jobIds"),
    "empty ids": ({"action": "DELETE", "jobIds": []}, "jobIds"),
    "1,001 ids": ({"action": "GET", "jobIds": [f"F{n}" for n in range(1_001)]}, "jobIds"),
    "an id that is no string": ({"action": "GET", "jobIds": [1]}, "jobIds[0]"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_job_that_is_refused_says_why_and_leaves_nothing_behind(erp: Vendor, what: str) -> None:
    body, status, code, param = REFUSED[what]
    answer = await erp.call("POST", "", body)
    assert (answer[0], answer[1]["code"], answer[1].get("param", "")) == (status, code, param), answer
    assert answer[1]["detail"].endswith(".")
    assert await erp.house.rows(select(t.jobs.c.id)) == []
    assert list((erp.house.folder / "objects").glob("*/*")) == list((erp.house.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("what", BULK)
async def test_a_bulk_request_that_is_refused_says_why(erp: Vendor, what: str) -> None:
    body, param = BULK[what]
    status, answer = await erp.call("POST", "/reports", body)
    assert (status, answer["code"], answer["param"]) == (400, "bad_request", param)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/xml"])
async def test_another_type_than_json_is_415(erp: Vendor, kind: str) -> None:
    status, answer = await erp.call("POST", "", job(), {"Content-Type": kind})
    assert (status, answer["code"]) == (415, "unsupported_type")


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1", "nonsense"])
async def test_another_charset_than_utf_8_is_415(erp: Vendor, charset: str) -> None:
    kind = f"application/json; charset={charset}"
    status, answer = await erp.call("POST", "", job(), {"Content-Type": kind})
    assert (status, answer["code"]) == (415, "unsupported_charset")


@pytest.mark.parametrize("auth", [{}, basic("erp", "wrong"), basic("nobody", "secret"), {"Authorization": "Basic !"}])
@pytest.mark.parametrize("body", [b"{", b"x" * 1_000, json.dumps(job()).encode()])
async def test_bad_credentials_are_told_before_a_bad_body(erp: Vendor, auth: dict[str, str], body: bytes) -> None:
    headers = {"Content-Type": "text/xml", **auth}
    async with erp.desk.client.post(BASE, data=body, headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_a_body_of_200_mb_is_refused_before_it_comes(erp: Vendor) -> None:
    """Only its length is looked at; with bad credentials it is not even that."""
    url = erp.desk.client._base_url
    assert url is not None
    for auth, status in ((erp.auth, b"413"), (basic("erp", "wrong"), b"401")):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        lines = [
            f"POST {BASE} HTTP/1.1",
            "Host: x",
            f"Authorization: {auth['Authorization']}",
            "Content-Length: 200000000",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        assert (await asyncio.wait_for(reader.readline(), PATIENCE_S)).split()[1] == status
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_does_not_say_its_length_ends_at_the_limit(house: House) -> None:
    async with vendor(house, max_body=1_000_000) as erp:

        async def pieces() -> AsyncIterator[bytes]:
            yield b'{"documents": [{"name": "a.pdf", "data": "'
            for _ in range(100):
                yield b"A" * 65_536

        async with erp.desk.client.post(BASE, data=pieces(), headers=erp.auth) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (413, "too_large")
        assert list((house.folder / "tmp").iterdir()) == []


async def test_a_small_body_that_unpacks_to_a_large_one_ends_at_the_limit(house: House) -> None:
    async with vendor(house, max_body=1_000_000) as erp:
        packed = gzip.compress(b'{"x": "' + b"A" * 50_000_000 + b'"}')
        assert len(packed) < 100_000
        status, answer = await erp.call("POST", "", packed, {"Content-Encoding": "gzip"})
        assert status in (400, 413), answer
        assert await house.rows(select(t.jobs.c.id)) == []


async def test_a_document_of_unknown_type_is_taken_for_its_content_decides(erp: Vendor) -> None:
    """Refused by the renderer with RENDERING_ERROR when it is none that can be faxed."""
    ident = await erp.send(job(documents=[document("x.exe", b"MZ\x00")]))
    assert (await erp.report(ident))["recipientStatus"][0]["status"] == "PENDING"


async def test_an_ended_or_suspended_account_does_not_send(erp: Vendor) -> None:
    out = Vendor(erp.desk, await erp.desk.login("out", state="outbound_suspended"))
    assert (await out.call("POST", "", job()))[0] == 403
    assert (await out.call("GET", "/reports"))[0] == 200
    gone = Vendor(erp.desk, await erp.desk.login("gone", state="suspended"))
    assert (await gone.call("GET", "/reports"))[0] == 403


async def test_wrong_methods_and_paths_are_told(erp: Vendor) -> None:
    assert (await erp.call("PUT", "", job()))[0] == 405
    assert (await erp.call("GET", ""))[0] == 405
    assert (await erp.call("GET", "/nothing"))[0] == 404


@pytest.mark.parametrize(
    "data", [base64.urlsafe_b64encode(b"\xff\xfe\xfd" * 9).decode(), base64.encodebytes(PDF).decode(), "JVBERi0xLjQ"]
)
async def test_base64_may_be_url_safe_wrapped_or_unpadded(erp: Vendor, data: str) -> None:
    await erp.send(job(documents=[{"name": "a.pdf", "data": data}]))


async def test_every_code_is_documented() -> None:
    text = DOCS.read_text()
    codes = {row[2] for row in REFUSED.values()} | {"duplicate_job", "too_large", "uncertain", "unsupported_charset"}
    assert [code for code in sorted(codes) if f"`{code}`" not in text] == []
