from __future__ import annotations

import asyncio
import re
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from faxgw import demo
from faxgw.demo import MailboxSink
from faxgw.formats.status_mail import status_mail
from tests.formats import samples
from tests.patience import PATIENCE_S


def status(subject: str = "Invoice 4711") -> bytes:
    return status_mail(
        samples.job([samples.DELIVERED], subject=subject),
        to="ann@example.org",
        sender="fax@gw.example.org",
        message_id="<out_1@gw.example.org>",
        date=samples.T,
    )


EVIL = (
    b"Subject: ../../etc/<script>alert(1)</script>\r\nTo: =?utf-8?q?x=0D=0AY?= <a@b>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
    b'<script>alert(2)</script><img src="cid:p"><img src="http://evil.example/">\r\n'
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <p>\r\n\r\n<svg onload=alert(3)>\r\n--b--\r\n"
)


async def deliver(sink: MailboxSink, octets: bytes, sender: str = "", to: str = "ann@example.org") -> None:
    def send() -> None:
        with smtplib.SMTP("127.0.0.1", sink.port) as client:
            client.sendmail(sender, [to], octets)

    await asyncio.to_thread(send)


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[MailboxSink]:
    box = MailboxSink(tmp_path / "mails")
    await box.start()
    yield box
    await box.stop()


@pytest.fixture
async def browser(sink: MailboxSink) -> AsyncIterator[ClientSession]:
    application = web.Application()
    application.add_routes(sink.routes())
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with ClientSession(f"http://{host}:{port}") as session:
        yield session
    await runner.cleanup()


async def test_a_mail_is_stored_as_it_came(sink: MailboxSink) -> None:
    await deliver(sink, status())
    [path] = sink.folder.iterdir()
    assert path.name == "000001-delivered-3-pages-to-33-1-99-00-00-01-invoice-4711.eml"
    block, _, rest = path.read_bytes().partition(b"From: ")
    assert block == b"Return-Path: <>\r\nDelivered-To: ann@example.org\r\n"
    assert b"From: " + rest == status()


async def test_who_waits_for_a_mail_gets_it(sink: MailboxSink) -> None:
    async with asyncio.timeout(PATIENCE_S):
        waiting = asyncio.create_task(sink.wait_for(2))
        await deliver(sink, status("one"))
        await deliver(sink, status("two"))
        mails = await waiting
    assert [m.number for m in mails] == [1, 2]
    assert str(mails[1].message["Subject"]).endswith("(two)")


async def test_the_oldest_mails_give_way(sink: MailboxSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MAX_MAILS", 3)
    for number in range(5):
        await deliver(sink, f"Subject: n{number}\r\n\r\nx\r\n".encode())
    assert sorted(p.name for p in sink.folder.iterdir()) == ["000003-n2.eml", "000004-n3.eml", "000005-n4.eml"]


async def test_numbers_go_on_after_a_restart_and_torn_files_are_swept(tmp_path: Path) -> None:
    first = MailboxSink(tmp_path)
    await first.start()
    await deliver(first, status())
    await first.stop()
    (tmp_path / ".000002-torn.eml.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("not a mail")
    second = MailboxSink(tmp_path)
    await second.start()
    await deliver(second, b"Subject: b\r\n\r\nx\r\n")
    await second.stop()
    assert [m.number for m in second.mails()] == [1, 2]
    assert not list(second.folder.glob(".*"))
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("octets", [b"", b"\x00\xff\r\n", b"Subject: =?x?q?\r\n\r\n", b"Subject: \xe9\r\n\r\nx", EVIL])
async def test_any_mail_is_stored_and_can_be_looked_at(
    octets: bytes, sink: MailboxSink, browser: ClientSession
) -> None:
    await deliver(sink, octets)
    for page in ("/mailbox", "/mailbox/1", "/mailbox/1/html", "/mailbox/1/mail.eml"):
        async with browser.get(page) as response:
            assert response.status == 200
    [path] = sink.folder.iterdir()
    assert re.fullmatch(r"000001-[a-z0-9-]+\.eml", path.name)


async def test_the_list_shows_the_newest_first_and_looks_again(sink: MailboxSink, browser: ClientSession) -> None:
    async with browser.get("/mailbox") as response:
        assert "No mail yet." in await response.text()
    await deliver(sink, status("one"))
    await deliver(sink, status("two"))
    async with browser.get("/mailbox") as response:
        page = await response.text()
    assert page.index("(two)") < page.index("(one)")
    assert '<meta http-equiv="refresh" content="3">' in page
    assert "2026-11-21 13:43:20 +0100" in page


async def test_a_mail_is_shown_with_text_picture_and_html(sink: MailboxSink, browser: ClientSession) -> None:
    await deliver(sink, status())
    async with browser.get("/mailbox/1") as response:
        page = await response.text()
        assert "frame-src 'self'" in response.headers["Content-Security-Policy"]
    assert "All 3 pages were delivered and confirmed by the far end." in page
    assert '<iframe sandbox title="HTML part of the mail" src="/mailbox/1/html">' in page
    assert '<meta http-equiv="refresh"' not in page
    async with browser.get("/mailbox/1/picture.png") as response:
        assert response.content_type == "image/png"
        assert await response.read() == samples.PNG
    async with browser.get("/mailbox/1/html") as response:
        html = await response.text()
    assert "cid:" not in html and 'src="data:image/png;base64,iVBOR' in html


async def test_a_hostile_mail_can_do_nothing(sink: MailboxSink, browser: ClientSession) -> None:
    """Headers and text are escaped; the HTML part runs nothing and loads nothing; what is no PNG is no picture."""
    await deliver(sink, EVIL)
    for path in ("/mailbox", "/mailbox/1"):
        async with browser.get(path) as response:
            page = await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert "<script" not in page and "&lt;script&gt;alert(1)" in page
        assert "default-src 'none'" in policy and "script-src" not in policy
    async with browser.get("/mailbox/1/html") as response:
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox; default-src 'none'") and "img-src data:;" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with browser.get("/mailbox/1/picture.png") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "path", ["/mailbox/7", "/mailbox/7/html", "/mailbox/x", "/mailbox/..%2f..%2fetc", "/mailbox/-1"]
)
async def test_what_is_not_there_is_not_found(path: str, browser: ClientSession) -> None:
    async with browser.get(path) as response:
        assert response.status == 404


async def test_one_connection_too_many_is_told_so(sink: MailboxSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MAX_CONNECTIONS", 1)
    async with asyncio.timeout(PATIENCE_S):
        first, keep = await asyncio.open_connection("127.0.0.1", sink.port)
        assert (await first.readline()).startswith(b"220 ")
        second, other = await asyncio.open_connection("127.0.0.1", sink.port)
        assert await second.read() == b"421 4.3.2 Too many connections\r\n"
        keep.write(b"QUIT\r\n")
        assert (await first.readline()).startswith(b"221 ")
        await first.read()
        keep.close()
        other.close()
        await asyncio.gather(keep.wait_closed(), other.wait_closed())
        third, last = await asyncio.open_connection("127.0.0.1", sink.port)
        assert (await third.readline()).startswith(b"220 ")
        last.close()
        await last.wait_closed()


async def test_stopping_ends_open_connections(tmp_path: Path) -> None:
    sink = MailboxSink(tmp_path)
    await sink.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
    await reader.readline()
    async with asyncio.timeout(PATIENCE_S):
        await sink.stop()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()
    with pytest.raises(RuntimeError):
        _ = sink.port
    await sink.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "relay.example"])
def test_the_mailbox_is_for_this_machine_alone(host: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        MailboxSink(tmp_path, host)


async def test_a_mail_above_the_limit_is_refused(sink: MailboxSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MAX_OCTETS", 1_000)
    with pytest.raises(smtplib.SMTPResponseException) as caught:
        await deliver(sink, b"Subject: x\r\n\r\n" + b"x" * 2_000 + b"\r\n")
    assert caught.value.smtp_code == 552
    assert sink.mails() == []
