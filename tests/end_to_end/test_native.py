"""The native API on a real gateway, by its own client: faxes of a sandbox account over real calls, pages, events."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from pypdf import PdfReader

from faxgw.sdk import ApiError, AsyncClient
from tests.end_to_end.world import Gateway, gateway_at, pdf

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

ACCOUNT = """addresses = ["{alice}"]
settings = {{ sandbox = "far-end" }}

[[customer.user]]
name = "ci"
login = "ci"
password = "secret"

[[trunk]]
name = "carrier"
host = "127.0.0.1"
port = 9
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    changes = {'addresses = ["{alice}"]\n': ACCOUNT, "channels = 16\n": "channels = 16\nsandbox = true\n"}
    async with gateway_at(tmp_path_factory.mktemp("native"), "34000-34999", changes=changes) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(gateway.http, login=("ci", "secret")) as made:
        yield made


async def test_a_fax_is_sent_followed_and_looked_at(gateway: Gateway, client: AsyncClient, tmp_path: Path) -> None:
    """What the machine received, what the preview showed and what the API hands out have the same pages."""
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(pdf(2, 3))
    kinds: list[str] = []

    async def follow() -> None:
        async for event in client.events(after="0"):
            kinds.append(event.type)
            if event.type == "job.finished":
                return

    following = asyncio.create_task(follow())
    sent = await client.send("+33199000000", [letter], reference="order 7")
    ident = sent.faxes[0].id
    (fax,) = await client.wait(sent.job, within=120.0, every=0.5)
    assert (fax.state, fax.pages, fax.pages_confirmed, fax.reference) == ("sent", 2, 2, "order 7")
    assert fax.station_id and fax.dials == 1
    await asyncio.wait_for(following, 30.0)
    assert kinds[0] == "job.accepted" and kinds[-1] == "job.finished"
    assert [kind for kind in kinds if kind in ("fax.calling", "fax.sent")] == ["fax.calling", "fax.sent"]
    picture = Image.open(io.BytesIO(await client.page(ident, 2)))
    assert picture.format == "PNG" and picture.width >= 1728
    tiff = Image.open(io.BytesIO(await client.file(ident, format="tiff")))
    assert (tiff.n_frames, tiff.width) == (2, 1728)  # type: ignore[attr-defined]
    assert len(PdfReader(io.BytesIO(await client.file(ident))).pages) == 2
    assert len(PdfReader(io.BytesIO(await client.page(ident, 1, format="pdf"))).pages) == 1
    one = Image.open(io.BytesIO(await client.page(ident, 2, format="tiff")))
    assert one.n_frames == 1  # type: ignore[attr-defined]
    async with asyncio.timeout(30.0):  # the fax is sent with its last page; the call still says goodbye
        while (attempt := (await client.attempts(ident)).attempts[0]).ended_at is None:  # noqa: ASYNC110  # told by none
            await asyncio.sleep(0.5)
    assert (attempt.cause and attempt.cause.value, attempt.pages_confirmed, attempt.transport) == ("ok", 2, "t38")
    ladder = await client.ladder(ident, attempt.id)
    names = [entry.name for entry in ladder.entries]
    assert "DIS" in names and "MCF" in names and not any("127.0.0.1" in entry.words for entry in ladder.entries)
    (record,) = await gateway.records("0000")
    assert len(gateway.pages_received(record)) == 2
    known = await client.destination("+33199000000")
    assert (known.open, known.sent, known.last_cause and known.last_cause.value) == (True, 1, "ok")


async def test_magic_numbers_reach_what_they_promise(client: AsyncClient, tmp_path: Path) -> None:
    """docs/api.md: busy, no such number, every page refused; and a number of a person is not called at all."""
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(pdf(1, 3))
    promised = {"+33199000010": "busy", "+33199000013": "wrong_number", "+33199000096": "bad_lines"}
    sent = await client.send([*promised, "+33145678901"], [letter], options={"max_dials": 1})
    refused = sent.faxes[-1]
    assert refused.state == "failed" and "sandbox" in refused.detail
    faxes = await client.wait(sent.job, within=300.0, every=1.0)
    found = {fax.number: fax.cause.value if fax.cause else "" for fax in faxes[:-1]}
    assert found == promised
    assert [fax.state for fax in faxes] == ["failed"] * 4
    assert faxes[-1].dials == 0


async def test_others_are_kept_out(gateway: Gateway) -> None:
    async with AsyncClient(gateway.http, login=("ci", "wrong")) as wrong:
        with pytest.raises(ApiError) as refused:
            await wrong.account()
    assert refused.value.status == 401
