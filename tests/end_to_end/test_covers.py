"""Covers over real calls: what the far machine got begins with the right recipient's cover, pixel by pixel."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from faxgw.document.client import PageClient
from faxgw.document.types import Document, Kind, Rendered
from tests.api.desk import basic
from tests.end_to_end.world import Gateway, gateway_at, mail_with, pages_of, pdf, submit
from tests.sdk.client import drive

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

USER = """addresses = ["{alice}"]

[[customer.user]]
name = "erp"
login = "erp"
password = "secret"

[[customer]]
id = "law"
name = "Durand & Miller"
domains = ["law.example.org"]
addresses = ["bob@law.example.org"]
[customer.settings]
cover = "letter"
cover_text = true
cover_values = ["FromName=Claire Durand"]
language = "fr"

[api]
retarus = true
"""
LAW = "law.example.org"
BOB = "bob@law.example.org"
TEMPLATE = "<html><body><h1>${ToName}</h1><p>${recipient_number}</p><p>${FromName} ${Case} ${pages}</p></body></html>"
NUMBERS = {"+33199000000": "Mme Durand", "+33199000001": "Herr Müller", "+33199000002": "Ms Jane Miller"}
SHOWN = {number: f"+33 1 99 00 00 0{number[-1]}" for number in NUMBERS}
ROWS_OF_HEADER = 80
"""Rows at 196 an inch in which the header line stands."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    changes = {'addresses = ["{alice}"]\n': USER}
    async with gateway_at(tmp_path_factory.mktemp("covers"), "34000-34999", changes=changes) as made:
        file = made.folder / "hello.html"
        file.write_text(TEMPLATE)
        await faxgw(
            made, "template", "add", "cover", "hello.ftl.html", str(file), "--customer", "acme", "--given", "Case"
        )
        yield made


async def faxgw(gateway: Gateway, *words: str) -> str:
    """The operator's command, as a process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw", "--config", str(gateway.config), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _none = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def drawn(texts: Sequence[str]) -> list[bytes]:
    """Pages of HTML as the gateway's page processes draw them, without what stands in the header's rows."""
    client = PageClient()
    try:
        documents = []
        for text in texts:
            fd = os.memfd_create("html")
            os.write(fd, text.encode())
            documents.append(Document(fd, "cover", Kind.HTML, "utf-8"))
        rendered = await client.render(documents)
        assert isinstance(rendered, Rendered)
        return [below_header(page) for page in pages_of(os.pread(rendered.fd, 10_000_000, 0))]
    finally:
        await client.close()


def below_header(page: tuple[tuple[int, int], bytes]) -> bytes:
    (width, _rows), pixels = page
    return pixels[ROWS_OF_HEADER * width // 8 :]


def pairs(**given: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in given.items()]


async def post(gateway: Gateway, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession(headers=basic("erp", "secret")) as client,
        client.post(f"{gateway.http}/rest/v1/acme/fax", json=body) as answer,
    ):
        return answer.status, await answer.json()


async def test_each_recipient_of_a_broadcast_gets_the_cover_with_his_name(gateway: Gateway, tmp_path: Path) -> None:
    """Issue 5 point 6: per-recipient properties; the body is the same for all."""
    status, answer = await post(
        gateway,
        {
            "recipients": [
                {"number": number, "properties": pairs(ToName=name, Case="4711")} for number, name in NUMBERS.items()
            ],
            "documents": [{"name": "letter.txt", "data": "UGxlYXNlIHBheS4K"}],
            "renderingOptions": {"paperFormat": "A4", "coverpageTemplate": "hello.ftl.html"},
        },
    )
    assert status == 200, answer
    wanted = await drawn(
        [
            TEMPLATE.replace("${ToName}", name)
            .replace("${recipient_number}", SHOWN[number])
            .replace("${FromName} ${Case}", "Acme 4711")
            .replace("${pages}", "2")
            for number, name in NUMBERS.items()
        ]
    )
    bodies = set()
    for number, cover in zip(NUMBERS, wanted, strict=True):
        (record,) = await gateway.records(number[-4:], within=60.0)
        received = gateway.pages_received(record)
        assert len(received) == 2
        assert below_header(received[0]) == cover, NUMBERS[number]
        bodies.add(below_header(received[1]))
    assert len(set(wanted)) == 3 and len(bodies) == 1
    found = await gateway.control.find(answer["jobId"])
    for fax in found["faxes"]:
        (record,) = gateway.received_by(fax["e164"][-4:])
        assert pages_of(await gateway.control.tiff(fax["id"])) == gateway.pages_received(record)
        assert fax["pages"] == 2 and fax["pages_confirmed"] == 2


async def test_the_vendors_client_sends_a_cover_with_properties(gateway: Gateway, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(pdf(1, 3))
    number = "+33199000004"
    steps: list[list[Any]] = [["send", number, str(letter), "letter", {"ToName": "Mme Durand"}], ["poll"]]
    _sent, done = await drive("sync", gateway.http, steps, login="erp")
    (recipient,) = done["recipientStatus"]
    assert (recipient["status"], done["pages"]) == ("OK", 2)
    assert recipient["properties"] == [{"key": "ToName", "value": "Mme Durand"}]
    (record,) = await gateway.records(number[-4:])
    assert len(gateway.pages_received(record)) == 2


async def test_a_cover_alone_is_a_fax(gateway: Gateway) -> None:
    number = "+33199000005"
    body = {
        "recipients": [{"number": number, "properties": [{"key": "ToName", "value": "Ann"}]}],
        "renderingOptions": {"paperFormat": "LETTER", "coverpageTemplate": "plain"},
    }
    status, answer = await post(gateway, body)
    assert status == 200, answer
    (record,) = await gateway.records(number[-4:], within=60.0)
    (page,) = gateway.pages_received(record)
    assert page[0] == (1728, 2150)


async def test_what_a_cover_needs_is_asked_for_at_once(gateway: Gateway) -> None:
    people = [{"number": "+33199000006", "properties": pairs(Case="4711")}, {"number": "+33199000007"}]
    rendering = {"paperFormat": "A4", "coverpageTemplate": "hello.ftl.html"}
    status, answer = await post(gateway, {"recipients": people, "renderingOptions": rendering})
    assert (status, answer["code"], answer["param"]) == (400, "missing_property", "recipients[1].properties")
    assert "Case" in answer["detail"] and "+33199000007" in answer["detail"]
    status, answer = await post(
        gateway, {"recipients": people[:1], "renderingOptions": {**rendering, "coverpageTemplate": "nowhere"}}
    )
    assert (status, answer["code"], answer["param"]) == (400, "unknown_cover", "renderingOptions.coverpageTemplate")


async def test_an_account_cannot_name_a_cover_that_is_not_there(gateway: Gateway) -> None:
    """By the command, and so over the control socket and the accounts interface behind it."""
    for name in ("nowhere", "hello.ftl.html"):  # the second one is another customer's
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "faxgw", "--config", str(gateway.config), "account", "create", "gamma",
            "--set", f'cover="{name}"', stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _none = await process.communicate()
        assert process.returncode and f"cover: there is no cover page “{name}”; there are" in said.decode(), said
    assert "gamma" in await faxgw(gateway, "account", "create", "gamma", "--set", 'cover="form"')


async def test_a_mail_has_the_cover_of_its_account_with_its_text(gateway: Gateway) -> None:
    number = "+33199000008"
    mail = mail_with(pdf(1, 3), f"{number}@{LAW}", subject="Offer")
    text = EmailMessage()
    text.set_content("Dear Ann,\n\nplease find our offer.\n")
    mail.set_payload([text, *mail.iter_attachments()])
    message = submit(gateway.smtp_port, mail, [f"{number}@{LAW}"], BOB)
    found = await gateway.finished(message)
    (fax,) = found["faxes"]
    assert (fax["state"], fax["pages"]) == ("sent", 2)
    (record,) = await gateway.records(number[-4:])
    assert pages_of(await gateway.control.tiff(fax["id"])) == gateway.pages_received(record)
