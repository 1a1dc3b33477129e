"""The operator's socket and the client that speaks to it, over a real Unix socket and a real store."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from sqlalchemy import select, update

from faxgw.api.control import MAX_UPLOAD, SOCKET, ControlServer, Operations
from faxgw.client import Control, NotRunning, Unwilling
from faxgw.dispatch.gate import Gate
from faxgw.fax.ports import MailRecipient, MailSession, MailSubmission, Principal, Receipt, Rejection
from faxgw.store import schema as t
from faxgw.store.errors import ObjectMissing, StoreBusy
from faxgw.store.passwords import Passwords
from faxgw.store.space import Watermark
from tests.house import ALICE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = "0199000001"
MAIL = b"Subject: fax\r\n\r\nHello\r\n"


class Submissions:
    """The real gate, with answers that a test may put before it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.full: Rejection | None = None
        self.answer: Receipt | Rejection | Exception | None = None

    async def authenticate(self, login: str, password: str, session: MailSession) -> bool:
        return False

    async def sender(self, session: MailSession, address: str) -> Principal | Rejection:
        return await self.gate.sender(session, address)

    async def recipient(self, session: MailSession, principal: Principal, address: str) -> MailRecipient | Rejection:
        return await self.gate.recipient(session, principal, address)

    async def room_for(self, octets: int) -> Rejection | None:
        return self.full or await self.gate.room_for(octets)

    async def submit_mail(self, mail: MailSubmission) -> Receipt | Rejection:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or await self.gate.submit_mail(mail)


class Recordings:
    """One recording, of att_1."""

    def ask(self, number: str, who: str) -> str:
        return f"{number} by {who}"

    async def read(self, call: str, form: str) -> bytes:
        if call != "att_1":
            raise ObjectMissing(call, public="There is no recording of this call.")
        return f"{call} as {form}".encode()


@pytest.fixture
def submissions(house: House) -> Submissions:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    return Submissions(Gate(house.seat(), Watermark(1000, render_budget=0, percent=0), Passwords(house.clock, cheap)))


@pytest_asyncio.fixture(loop_scope="session")
async def control(house: House, submissions: Submissions) -> AsyncIterator[Control]:
    operations = Operations(
        house.store,
        house.files,
        submissions,
        house.seat(),
        house.clock,
        lambda: {"version": "1", "calls": []},
        calls=lambda: [{"call": "att_1"}],
        recordings=Recordings(),
    )
    server = ControlServer(house.folder, operations)
    await server.start()
    yield Control(house.folder)
    await server.stop()
    assert not (house.folder / SOCKET).exists()


async def raw(house: House, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    connector = aiohttp.UnixConnector(str(house.folder / SOCKET))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, f"http://gateway{path}", data=body) as answer,
    ):
        return answer.status, json.loads(await answer.read())


async def test_only_the_operator_may_open_the_socket(house: House, control: Control) -> None:
    mode = stat.S_IMODE((house.folder / SOCKET).stat().st_mode)
    assert mode == 0o600


async def test_a_socket_left_by_a_killed_daemon_is_replaced(house: House, control: Control) -> None:
    again = ControlServer(
        house.folder,
        Operations(house.store, house.files, None, house.seat(), house.clock, dict),  # type: ignore[arg-type]
    )
    await again.start()
    assert (await control.status())["faxes"] == {}
    await again.stop()


async def test_status_counts_what_is_open(house: House, control: Control) -> None:
    await house.ready_fax()
    answer = await control.status()
    assert answer == {"version": "1", "calls": [], "faxes": {"ready": 1}, "oldest_open": house.now}


async def test_calls_in_progress_are_told_with_the_time(house: House, control: Control) -> None:
    assert await control.calls() == {"at": house.now, "calls": [{"call": "att_1"}]}


async def test_more_recipients_than_the_account_may_have_are_refused(control: Control, house: House) -> None:
    await house.change(update(t.customers).values(settings={"max_recipients": 1}))
    status, answer = await raw(house, "POST", "/send?customer=acme&number=0199000001&number=0199000002", b"%PDF")
    assert (status, answer["error"]) == (422, "The fax has 2 recipients; the limit of this account is 1.")
    assert not await house.rows(select(t.messages))


async def test_recordings_are_asked_for_and_read(house: House, control: Control) -> None:
    assert await control.record("+33199000001", "root") == "+33199000001 by root"
    assert await control.recording("att_1", "pcap") == b"att_1 as pcap"
    with pytest.raises(Unwilling, match="no recording"):
        await control.recording("att_2", "pcap")


async def test_a_gateway_that_records_nothing_says_so(house: House, control: Control) -> None:
    folder = house.folder / "other"
    folder.mkdir()
    bare = Operations(house.store, house.files, None, house.seat(), house.clock, dict)  # type: ignore[arg-type]
    server = ControlServer(folder, bare)
    await server.start()
    with pytest.raises(Unwilling, match="Nothing is recorded"):
        await Control(folder).record("+33199000001", "root")
    with pytest.raises(Unwilling, match="no recording"):
        await Control(folder).recording("att_1", "pcap")
    assert (await Control(folder).calls())["calls"] == []
    await server.stop()


async def test_faxes_are_listed_within_bounds(house: House, control: Control) -> None:
    _job, faxes = await house.job(*(f"+3319900000{n}" for n in range(3)))
    assert [f["id"] for f in await control.faxes(limit=2, final=False)] == faxes[:2]
    assert len(await control.faxes(limit=-5, final=True)) == 1
    assert await raw(house, "GET", "/faxes?limit=many") == (
        400, {"error": "bad request: invalid literal for int() with base 10: 'many'"},
    )  # fmt: skip


async def test_a_mail_is_sent_and_found(house: House, control: Control) -> None:
    receipt = await control.send(MAIL, [FAR, "+33199000002"], customer="acme", subject="s" * 2000, **{"from": ALICE})
    assert receipt["duplicate_of"] == ""
    found = await control.find(receipt["message"])
    assert found["message"]["state"] == "received"
    assert [r["number_e164"] for r in found["message"]["recipients"]] == ["+33199000001", "+33199000002"]
    (row,) = await house.rows(select(t.messages))
    assert (row.how, row.sender, len(row.subject)) == ("operator", ALICE, 998)
    assert (house.folder / row.file_key).read_bytes() == MAIL


async def test_the_same_mail_again_names_the_first(control: Control) -> None:
    first = await control.send(MAIL, [FAR], message_id="<1@x>")
    again = await control.send(MAIL, [FAR], message_id="<1@x>")
    assert again == {"message": first["message"], "duplicate_of": first["message"]}


@pytest.mark.parametrize(
    "numbers, query, words",
    [
        (["abc"], {}, "is not a telephone number"),
        (["112"], {}, "Emergency"),
        ([], {}, "No number was given"),
        ([FAR], {"customer": "nobody"}, "There is no customer 'nobody'; there are acme, beta"),
        ([FAR], {"user": "ghost"}, "may not send faxes"),
    ],
)
async def test_what_cannot_be_sent_is_refused_in_words(
    house: House, control: Control, numbers: list[str], query: dict[str, str], words: str
) -> None:
    with pytest.raises(Unwilling) as refused:
        await control.send(MAIL, numbers, **query)
    assert words in refused.value.public
    assert await house.rows(select(t.messages)) == []


async def test_a_refusal_at_the_promise_has_the_status_of_its_kind(
    house: House, control: Control, submissions: Submissions
) -> None:
    for answer, status in (
        (Rejection(451, "4.3.0", "try again"), 503),
        (Rejection(550, "5.5.3", "too many"), 422),
        (StoreBusy("lock"), 503),
    ):
        submissions.answer = answer
        code, content = await raw(house, "POST", f"/send?number={FAR}", MAIL)
        assert (code, set(content)) == (status, {"error"})
    submissions.full = Rejection(452, "4.3.1", "no space")
    assert await raw(house, "POST", f"/send?number={FAR}", MAIL) == (507, {"error": "no space"})


async def test_an_upload_is_bounded(house: House, control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_UPLOAD == 100 * 1024 * 1024
    monkeypatch.setattr("faxgw.api.control.MAX_UPLOAD", 10)
    code, content = await raw(house, "POST", f"/send?number={FAR}", MAIL)
    assert (code, content) == (422, {"error": "This is larger than the gateway accepts."})
    assert list(house.folder.glob("tmp/*")) == []


async def test_wishes_reach_a_fax_or_all_faxes_of_a_job(house: House, control: Control) -> None:
    job, faxes = await house.job("+33199000001", "+33199000002")
    assert await control.wish(job, "hold", "bert") == dict.fromkeys(faxes, "held")
    assert await control.wish(faxes[0], "release", "bert") == {faxes[0]: "ready"}
    await house.plan(faxes[0])
    assert await control.wish(faxes[0], "cancel", "bert") == {faxes[0]: "calling; ends with the call"}
    assert await control.wish(faxes[1], "cancel", "bert") == {faxes[1]: "cancelled"}
    again = await control.wish(faxes[1], "cancel", "bert")
    assert again[faxes[1]].startswith("not done: ")
    (event,) = await house.rows(select(t.events).where(t.events.c.what == "fax.cancelled"))
    assert event.who == "bert"


async def test_an_ambiguous_beginning_cancels_nothing(house: House, control: Control) -> None:
    _job, (one, two) = await house.job("+33199000001", "+33199000002", ready=False)
    await house.change(update(t.faxes).where(t.faxes.c.id == one).values(id="FNSAME1"))
    await house.change(update(t.faxes).where(t.faxes.c.id == two).values(id="FNSAME2"))
    with pytest.raises(Unwilling, match="Several begin"):
        await control.wish("FNSAME", "cancel", "bert")
    assert {row.state for row in await house.rows(select(t.faxes.c.state))} == {"accepted"}


@pytest.mark.parametrize("path", ["/find/FN000000", "/tiff/FN000000", "/nowhere"])
async def test_what_does_not_exist_is_404_in_json(house: House, control: Control, path: str) -> None:
    code, content = await raw(house, "GET", path)
    assert code == 404 and content["error"]


async def test_what_does_not_exist_cannot_be_cancelled(control: Control) -> None:
    with pytest.raises(Unwilling, match="no fax or job FN000000"):
        await control.wish("FN000000", "cancel", "bert")


async def test_the_pages_of_the_newest_attempt_are_given_whole(house: House, control: Control) -> None:
    fax = await house.ready_fax()
    with pytest.raises(Unwilling, match="No pages"):
        await control.tiff("FN000000")
    await house.plan(fax)
    tiff = await house.keep(b"II*\0" + b"x" * 300_000)
    await house.change(update(t.attempt_faxes).values(tiff_key=tiff.key, tiff_sha256=tiff.sha256, tiff_size=tiff.size))
    assert (await control.tiff(fax)) == b"II*\0" + b"x" * 300_000
    path = house.folder / tiff.key
    path.chmod(0o600)
    path.write_bytes(b"rot")
    with pytest.raises(Unwilling, match="damaged"):
        await control.tiff(fax)


async def test_nobody_on_the_socket_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match=r"control\.sock"):
        await Control(tmp_path).status()


async def test_every_setting_in_force_is_shown_with_its_origin(control: Control, house: House) -> None:
    """Features B1: the effective value and where it comes from."""
    await house.store.run(
        lambda conn: conn.execute(
            update(t.customers).where(t.customers.c.id == "acme").values(settings={"csid": "+33 7"})
        )
    )
    shown = await control.settings("acme")
    assert shown["csid"] == {"value": "+33 7", "origin": "customer acme"}
    assert shown["resolution"]["origin"] == "default"
    with pytest.raises(Unwilling, match="no account"):
        await control.settings("nobody")
