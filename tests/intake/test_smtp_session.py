"""Sessions over loopback: encryption, logins, deadlines, caps, stress, and the stop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import smtplib
import ssl
from pathlib import Path

import pytest

from faxgw.fax.ports import MailRecipient, MailSession, Principal, Rejection
from faxgw.intake.smtp_link import LINES_IN_A_ROW
from faxgw.settings import Tls
from tests.conftest import MakeCertificate
from tests.intake.world import DOMAIN, Client, Connect, Start, World, listener, settings
from tests.patience import PATIENCE_S

NUMBER = f"+33123456789@{DOMAIN}"
MAIL = b"Subject: Offer\r\n\r\nHello\r\n"


def plain(login: str, password: str) -> str:
    return base64.b64encode(f"\0{login}\0{password}".encode()).decode()


@pytest.fixture
def tls(make_certificate: MakeCertificate) -> Tls:
    certificate, key = make_certificate()
    return Tls(certificate=certificate, key=key)


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


async def upgraded(client: Client, tls: Tls) -> None:
    """STARTTLS with a client that checks the certificate."""
    assert (await client.say("STARTTLS")).startswith("220")
    await client.writer.start_tls(trusting(tls.certificate), server_hostname="localhost")


# ------------------------------------------------------------------------------------------------- encryption


async def test_a_mail_goes_through_starttls_and_auth(start: Start, tls: Tls) -> None:
    """RFC 3207, RFC 4954, with Python's client."""
    world = await start(settings(tls=tls, listeners=(listener(security="starttls", require_tls=True),)))

    def send() -> None:
        with smtplib.SMTP("localhost", world.port, "client", timeout=PATIENCE_S) as client:
            client.starttls(context=trusting(tls.certificate))
            client.ehlo()
            assert "starttls" not in client.esmtp_features
            client.login("bert", "secret")
            client.sendmail("whoever@x.example", [NUMBER], MAIL)

    await asyncio.to_thread(send)
    [mail] = world.gate.mails
    assert (mail.principal.how, mail.principal.login, mail.sender) == ("auth", "bert", "whoever@x.example")
    assert world.content(mail) == MAIL


async def test_a_mail_goes_through_a_connection_encrypted_from_the_start(start: Start, tls: Tls) -> None:
    """RFC 8314 section 3.3."""
    world = await start(settings(tls=tls, listeners=(listener(security="tls"),)))

    def send() -> None:
        with smtplib.SMTP_SSL(
            "localhost", world.port, "c", timeout=PATIENCE_S, context=trusting(tls.certificate)
        ) as client:
            client.login("bert", "secret")
            client.sendmail("whoever@x.example", [NUMBER], MAIL * 20_000)

    await asyncio.to_thread(send)
    assert world.content(world.gate.mails[0]) == MAIL * 20_000
    await world.until_ended(1)
    assert world.sessions == ["quit"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_old_tls_is_refused(start: Start, connect: Connect, tls: Tls, security: str) -> None:
    world = await start(settings(tls=tls, listeners=(listener(security=security),)))
    old = trusting(tls.certificate)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        if security == "tls":
            await connect(world.port, ssl=old, server_hostname="localhost")
        else:
            client = await connect(world.port)
            assert (await client.say("STARTTLS")).startswith("220")
            await client.writer.start_tls(old, server_hostname="localhost")
    await world.until_ended(1)
    assert world.sessions == ["tls_failed"]


async def test_nothing_is_said_before_starttls_where_it_is_required(start: Start, connect: Connect, tls: Tls) -> None:
    world = await start(settings(tls=tls, listeners=(listener(security="starttls", require_tls=True),)))
    client = await connect(world.port)
    assert "STARTTLS" in (greeting := await client.say("EHLO client"))
    assert "AUTH" not in greeting
    assert (await client.say("MAIL FROM:<anna@example.com>")).startswith("530 5.7.0")
    assert (await client.say("AUTH PLAIN " + plain("anna", "päss"))).startswith("530 5.7.0")
    assert world.gate.asked == []


@pytest.mark.parametrize(
    "injected",
    [b"EHLO evil\r\n", b"NOOP\r\n", b"AUTH PLAIN AGFubmEAcA==\r\n", b"MAIL FROM:<anna@example.com>\r\n", b"X" * 70_000],
)
async def test_what_stands_behind_starttls_in_clear_is_never_executed(
    start: Start, connect: Connect, tls: Tls, injected: bytes
) -> None:
    """P-04; RFC 3207 section 4.2 and CVE-2011-0411."""
    world = await start(settings(tls=tls, listeners=(listener(security="starttls"),)))
    client = await connect(world.port)
    await client.say("EHLO client")
    await client.send(b"STARTTLS\r\n" + injected)
    assert (await client.reply()).startswith("220")
    if len(injected) > 1000:
        await asyncio.sleep(0.05)  # what is still under way would be taken for TLS, and is no handshake
    try:
        await client.writer.start_tls(trusting(tls.certificate), server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        assert len(injected) > 1000
        return
    assert (await client.say("MAIL FROM:<anna@example.com>")).startswith("503 5.5.1")
    assert (await client.say("EHLO client")).startswith("250")
    assert (await client.say("MAIL FROM:<anna@example.com>")).startswith("250")
    assert world.gate.asked == []


async def test_encryption_forgets_what_was_said_and_begins_once(start: Start, connect: Connect, tls: Tls) -> None:
    world = await start(settings(tls=tls, listeners=(listener(security="starttls"),)))
    client = await connect(world.port)
    await client.begin()
    await upgraded(client, tls)
    assert (await client.say(f"RCPT TO:<{NUMBER}>")).startswith("503")
    assert "STARTTLS" not in await client.say("EHLO client")
    assert (await client.say("STARTTLS")).startswith("503 5.5.1")
    await client.begin()
    assert (await client.data(MAIL)).startswith("250")


async def test_a_handshake_that_does_not_come_is_cut(start: Start, connect: Connect, tls: Tls) -> None:
    both = (listener("one", security="tls"), listener("two", security="starttls"))
    world = await start(settings(tls=tls, command_deadline=1.0, listeners=both))
    silent = await connect(world.ports["one"], greeting=False)
    halfway = await connect(world.ports["two"])
    await halfway.say("STARTTLS")
    assert world.server.connections == 2
    assert await silent.ended()
    assert await halfway.ended()
    await world.until_ended(2)
    assert world.sessions == ["tls_failed", "tls_failed"]


async def test_a_new_certificate_is_used_without_a_restart(
    start: Start, connect: Connect, make_certificate: MakeCertificate, tls: Tls
) -> None:
    world = await start(settings(tls=tls, listeners=(listener(security="tls"),)))
    certificate, key = make_certificate()
    tls.certificate.write_bytes(certificate.read_bytes())
    tls.key.write_bytes(key.read_bytes())
    world.server.reload_tls()
    client = await connect(world.port, ssl=trusting(certificate), server_hostname="localhost")
    assert (await client.say("NOOP")).startswith("250")
    tls.key.write_bytes(b"")
    with pytest.raises(OSError, match="PEM"):
        world.server.reload_tls()
    await connect(world.port, ssl=trusting(certificate), server_hostname="localhost")


# ------------------------------------------------------------------------------------------------------- AUTH


async def loopback(start: Start, **values: object) -> World:
    return await start(settings(listeners=(listener(plain_auth_on_loopback=True),), **values))


async def test_auth_is_not_offered_in_clear(start: Start, connect: Connect) -> None:
    world = await start()
    client = await connect(world.port)
    assert "AUTH" not in await client.say("EHLO client")
    assert (await client.say("AUTH PLAIN " + plain("anna", "päss"))).startswith("538 5.7.11")
    assert world.gate.asked == []


async def test_every_form_of_auth_works(start: Start, connect: Connect) -> None:
    """RFC 4954 section 4, RFC 4616; LOGIN as clients speak it."""
    world = await loopback(start)
    login, password = base64.b64encode(b"anna").decode(), base64.b64encode("päss".encode()).decode()
    for dialog in (
        [("AUTH PLAIN " + plain("anna", "päss"), "235")],
        [("auth plain", "334 "), (plain("anna", "päss"), "235")],
        [("AUTH LOGIN", "334 VXNlcm5hbWU6"), (login, "334 UGFzc3dvcmQ6"), (password, "235")],
        [("AUTH LOGIN " + login, "334 UGFzc3dvcmQ6"), (password, "235 2.7.0")],
    ):
        client = await connect(world.port)
        assert "250-AUTH LOGIN PLAIN" in await client.say("EHLO client")
        for command, reply in dialog:
            assert (await client.say(command)).startswith(reply)
        assert (await client.say("AUTH PLAIN " + plain("anna", "päss"))).startswith("503")
        await client.say("MAIL FROM:<x@y.example>")
        assert (await client.say(f"RCPT TO:<{NUMBER}>")).startswith("250")


@pytest.mark.parametrize(
    ("dialog", "reply"),
    [
        (["AUTH PLAIN " + plain("anna", "wrong")], "535 5.7.8"),
        (["AUTH PLAIN " + plain("nobody", "päss")], "535 5.7.8"),
        (["AUTH PLAIN " + plain("", "")], "535 5.7.8"),
        (["AUTH PLAIN ="], "501 5.5.2"),
        (["AUTH PLAIN !!!!"], "501 5.5.2"),
        (["AUTH PLAIN", "*"], "501 5.7.0"),
        (["AUTH PLAIN", "é"], "501 5.5.2"),
        (["AUTH PLAIN", "A" * 13_000], "500 5.5.6"),
        (["AUTH LOGIN", "*"], "501 5.7.0"),
        (["AUTH CRAM-MD5"], "504 5.5.4"),
        (["AUTH"], "501 5.5.4"),
        (["AUTH PLAIN a b"], "501 5.5.4"),
        (["MAIL FROM:<anna@example.com>", "AUTH PLAIN " + plain("anna", "päss")], "503 5.5.1"),
    ],
)
async def test_auth_that_fails_says_so(start: Start, connect: Connect, dialog: list[str], reply: str) -> None:
    world = await loopback(start)
    client = await connect(world.port)
    await client.say("EHLO client")
    for command in dialog:
        answer = await client.say(command)
    assert answer.startswith(reply)
    assert (await client.say("NOOP")).startswith("250")


async def test_a_failed_login_is_answered_late_and_at_the_same_time_whatever_was_wrong(
    start: Start, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    world = await loopback(start, auth_delay=1.0)
    loop = asyncio.get_running_loop()
    times = []

    async def slow(login: str, password: str, session: MailSession) -> bool:
        await asyncio.sleep(0.9 if login == "anna" else 0)
        return False

    world.gate.authenticate = slow  # type: ignore[method-assign]
    for login in ("anna", "nobody"):
        client = await connect(world.port)
        await client.say("EHLO client")
        started = loop.time()
        assert (await client.say("AUTH PLAIN " + plain(login, "sesame"))).startswith("535")
        times.append(loop.time() - started)
    assert min(times) > 0.99
    assert abs(times[0] - times[1]) < 0.8  # not the delay beside the work
    assert "sesame" not in str([record.__dict__ for record in caplog.records])


async def test_guessing_is_stopped_per_name_and_address(start: Start, connect: Connect) -> None:
    world = await loopback(start, auth_delay=0.001, auth_failures=3)
    client = await connect(world.port)
    await client.say("EHLO client")
    for _ in range(3):
        assert (await client.say("AUTH PLAIN " + plain("anna", "guess"))).startswith("535")
    assert (await client.say("AUTH PLAIN " + plain("anna", "päss"))).startswith("454 4.7.0")
    assert len(world.gate.asked) == 3
    for number in range(12):
        assert (await client.say("AUTH PLAIN " + plain(f"user{number}", "guess"))).startswith("535")
    assert (await client.say("AUTH PLAIN " + plain("user99", "guess"))).startswith("454 4.7.0")


# -------------------------------------------------------------------------------------- deadlines and caps


async def test_a_silent_client_is_told_and_cut(start: Start, connect: Connect) -> None:
    world = await start(settings(command_deadline=0.1))
    client = await connect(world.port)
    assert (await client.reply()).startswith("421 4.4.2 Timeout")
    assert await client.ended()
    await world.until_ended(1)
    assert world.sessions == ["timeout"]


async def test_a_command_that_trickles_in_is_cut_at_its_deadline(start: Start, connect: Connect) -> None:
    """Per request, not per read: an octet now and then buys no time."""
    world = await start(settings(command_deadline=0.2))
    client = await connect(world.port)
    answer = asyncio.create_task(client.reply())
    while not answer.done():
        with contextlib.suppress(ConnectionError):
            await client.send(b"x")
        await asyncio.sleep(0.02)
    assert (await answer).startswith("421 4.4.2")


async def test_a_mail_that_comes_too_slowly_is_cut(start: Start, connect: Connect) -> None:
    """Postfix smtpd_min_data_rate: 100 octets/s where 500 are asked for."""
    world = await start(settings(command_deadline=1.0))
    client = await connect(world.port)
    await client.begin()
    await client.say("DATA")
    answer = asyncio.create_task(client.reply())
    while not answer.done():
        with contextlib.suppress(ConnectionError):
            await client.send(b"xx")
        await asyncio.sleep(0.02)
    assert (await answer).startswith("421 4.4.2 The mail comes too slowly")
    client.close()
    await world.until_ended(1)
    assert world.sessions == ["slow"]
    assert world.spooled() == []


async def test_a_steady_mail_takes_longer_than_a_command_may(start: Start, connect: Connect) -> None:
    """Finding 5: the engine cuts a steady 5 kB/s at its timer; here it is served."""
    world = await start(settings(command_deadline=1.0))
    client = await connect(world.port)
    await client.begin()
    await client.say("DATA")
    loop = asyncio.get_running_loop()
    started = loop.time()
    sent = 0
    while loop.time() - started < 2.5:
        await client.send(b"x" * 98 + b"\r\n")
        sent += 100
        await asyncio.sleep(0.02)
    await client.send(b".\r\n")
    assert (await client.reply()).startswith("250")
    assert world.gate.mails[0].file.size == sent


async def test_even_a_steady_mail_must_end(start: Start, connect: Connect) -> None:
    world = await start(settings(data_deadline=0.2))
    client = await connect(world.port)
    await client.begin()
    await client.say("DATA")
    answer = asyncio.create_task(client.reply())
    while not answer.done():
        with contextlib.suppress(ConnectionError):
            await client.send(b"x" * 998 + b"\r\n")
        await asyncio.sleep(0.01)
    assert (await answer).startswith("421 4.4.2")


async def test_a_client_that_does_not_read_is_cut(start: Start, connect: Connect) -> None:
    world = await start(settings(command_deadline=0.2, junk_limit=1_000_000))
    client = await connect(world.port, limit=1_000)
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await client.send(b"HELP\r\n" * 5_000)
    await world.until_ended(1)
    assert world.sessions == ["timeout"]


async def test_one_client_has_only_so_many_connections(start: Start, connect: Connect) -> None:
    """O-01: 50 per address, 421, and another address is served."""
    world = await start(settings(client_connection_limit=5))
    clients = [await connect(world.port, local_addr=("127.0.0.7", 0)) for _ in range(5)]
    refused = await connect(world.port, greeting=False, local_addr=("127.0.0.7", 0))
    assert (await refused.reply()).startswith("421 4.7.0")
    assert await refused.ended()
    assert (await (await connect(world.port, local_addr=("127.0.0.8", 0))).say("NOOP")).startswith("250")
    assert (await clients[0].say("QUIT")).startswith("221")
    clients[0].close()
    async with asyncio.timeout(PATIENCE_S):
        while world.server.connections > 5:  # noqa: ASYNC110 - what ends it is the server's
            await asyncio.sleep(0.005)
    assert (await (await connect(world.port, local_addr=("127.0.0.7", 0))).say("NOOP")).startswith("250")
    assert world.sessions[0] == "refused_client"


async def test_the_server_has_only_so_many_connections(start: Start, connect: Connect) -> None:
    world = await start(settings(connection_limit=3))
    for _ in range(3):
        await connect(world.port)
    refused = await connect(world.port, greeting=False)
    assert (await refused.reply()).startswith("421 4.3.2")
    assert await refused.ended()


async def test_under_stress_idle_clients_make_room(start: Start, connect: Connect) -> None:
    """Postfix STRESS_README: waits that run already are shortened too, one error is enough, good clients are served."""
    world = await start(settings(connection_limit=10, stress_deadline=1.5))
    idle = [await connect(world.port) for _ in range(8)]
    assert world.server.connections == 8
    good = await connect(world.port)
    await good.begin()
    assert (await good.data(MAIL)).startswith("250")
    assert (await good.say("WHAT")).startswith("500")
    assert (await good.reply()).startswith("421 4.7.0 Too many errors")
    for client in idle:
        assert (await client.reply()).startswith("421 4.4.2")


async def test_a_flood_of_idle_clients_keeps_nobody_else_out(start: Start, connect: Connect) -> None:
    """O-01 in small: 300 from one address, of which 50 stay; another address is served."""
    world = await start()
    flood = [await asyncio.open_connection("127.0.0.1", world.port, local_addr=("127.0.0.9", 0)) for _ in range(300)]
    client = await connect(world.port)
    await client.begin()
    assert (await client.data(MAIL)).startswith("250")
    assert world.sessions.count("refused_client") == 250
    for _, writer in flood:
        writer.transport.abort()
    client.close()
    async with asyncio.timeout(PATIENCE_S):
        while world.server.connections:  # noqa: ASYNC110 - what ends it is the server's
            await asyncio.sleep(0.01)


async def test_only_allowed_networks_are_let_in(start: Start, connect: Connect) -> None:
    world = await start(settings(listeners=(listener(allow=("127.0.0.8/32", "192.0.2.0/24")),)))
    refused = await connect(world.port, greeting=False)
    assert (await refused.reply()).startswith("554 5.7.1")
    assert await refused.ended()
    assert (await (await connect(world.port, local_addr=("127.0.0.8", 0))).say("NOOP")).startswith("250")
    assert world.sessions == ["refused_network"]


async def test_too_many_errors_end_the_session(start: Start, connect: Connect) -> None:
    world = await start(settings(error_limit=5))
    client = await connect(world.port)
    for _ in range(5):
        assert (await client.say("WHAT")).startswith("500 5.5.1")
    assert (await client.reply()).startswith("421 4.7.0 Too many errors")
    assert await client.ended()
    await world.until_ended(1)
    assert world.sessions == ["errors"]


async def test_too_much_junk_ends_the_session_and_a_mail_makes_good(start: Start, connect: Connect) -> None:
    world = await start(settings(error_limit=3, junk_limit=10))
    client = await connect(world.port)
    for _ in range(3):
        for _ in range(9):
            assert (await client.say("NOOP")).startswith("250")
        await client.begin()
        assert (await client.data(MAIL)).startswith("250")
    for _ in range(13):
        assert (await client.say("RSET")).startswith("250")
    assert (await client.reply()).startswith("421")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"", "500 5.5.2"),
        (b"\xff\xfe", "500 5.5.2"),
        (b"MAIL FROM:<\xff@x>", "501 5.5.2"),
        (b"NOOP\tx", "500 5.5.2"),
        (b"NOOP \x00", "500 5.5.2"),
        (b"NOOP a\rb", "500 5.5.2"),
        (b"NOOP " + b"x" * 3000, "500 5.5.2 Line too long"),
        (b"NOOP " + b"x" * 100_000, "500 5.5.2 Line too long"),
        (b"BDAT 10 LAST", "500 5.5.1"),
        (b"MAIL FROM:<anna@example.com>", "503 5.5.1"),
        (b"RCPT TO:<x@y>", "503 5.5.1"),
        (b"DATA", "503 5.5.1"),
        (b"EHLO", "501 5.5.4"),
        (b"EXPN x", "502 5.5.1"),
        (b"VRFY x", "252 2.1.5"),
        (b"HELP", "214 2.0.0"),
        (b"RSET x", "501 5.5.4"),
        (b"QUIT x", "501 5.5.4"),
        (b"STARTTLS", "502 5.5.1"),
    ],
)
async def test_a_strange_command_gets_its_code(start: Start, connect: Connect, line: bytes, reply: str) -> None:
    """RFC 2034: every error bears a status code."""
    world = await start()
    client = await connect(world.port)
    await client.send(line + b"\r\n")
    assert (await client.reply()).startswith(reply)
    assert (await client.say("NOOP")).startswith("250")


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * 3_000_000])
async def test_what_is_not_smtp_is_sent_away(start: Start, connect: Connect, line: bytes) -> None:
    world = await start()
    client = await connect(world.port)
    with contextlib.suppress(ConnectionError):
        await client.send(line)
    assert (await client.reply())[:3] in ("221", "500")
    client.close()
    await world.until_ended(1)
    assert world.sessions == ["out_of_step"]


async def test_lines_may_end_with_lf_alone_outside_data(start: Start, connect: Connect) -> None:
    world = await start()
    client = await connect(world.port)
    await client.send(b"EHLO me\nNOOP\n")
    assert (await client.reply()).startswith("250-gateway.example")
    assert await client.reply() == "250 2.0.0 OK"


@pytest.mark.parametrize("error", [RuntimeError("boom"), ConnectionResetError("boom"), TimeoutError("boom")])
async def test_a_gate_that_breaks_at_rcpt_is_451_and_the_session_goes_on(
    start: Start,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """A database that resets its connection is not a peer that left."""
    world = await start()

    async def broken(*args: object) -> None:
        raise error

    client = await connect(world.port)
    await client.begin()
    with monkeypatch.context() as patch:
        patch.setattr(world.gate, "recipient", broken)
        assert (await client.say(f"RCPT TO:<{NUMBER}>")).startswith("451 4.3.0")
    assert "boom" in caplog.text
    assert (await client.data(MAIL)).startswith("250")


# ------------------------------------------------------------------------------------------------ start and stop


async def test_stop_ends_the_idle_and_lets_the_begun_finish(start: Start, connect: Connect) -> None:
    world = await start()
    idle, begun, sending = [await connect(world.port) for _ in range(3)]
    await idle.say("EHLO client")
    await begun.begin()
    await sending.begin()
    await sending.say("DATA")
    stopping = asyncio.create_task(world.server.stop(10))
    assert (await idle.reply()).startswith("421 4.3.2")
    assert (await begun.data(MAIL)).startswith("250")
    assert (await begun.reply()).startswith("421 4.3.2")
    await sending.send(MAIL + b".\r\n")
    assert (await sending.reply()).startswith("250")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", world.port)
    for client in (idle, begun, sending):
        client.close()
    async with asyncio.timeout(PATIENCE_S):
        await stopping
    assert world.sessions.count("stopped") == 3
    assert world.server.connections == 0


async def test_stop_cuts_what_does_not_finish_but_no_commit(start: Start, connect: Connect) -> None:
    """Spine section 5, 250, step 4: the commit is shielded from cancellation."""
    world = await start()
    reached, go = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        reached.set()
        await go.wait()

    world.gate.before_commit = held
    lazy, committing = await connect(world.port), await connect(world.port)
    await lazy.begin()
    await lazy.say("DATA")
    await lazy.send(b"Subject: never ended\r\n")
    await committing.begin()
    await committing.say("DATA")
    await committing.send(MAIL + b".\r\n")
    await reached.wait()
    stopping = asyncio.create_task(world.server.stop(0.05))
    assert (await lazy.reply()).startswith("421 4.3.2")
    lazy.close()
    committing.close()
    done, _ = await asyncio.wait([stopping], timeout=0.2)
    assert not done
    go.set()
    async with asyncio.timeout(PATIENCE_S):
        await stopping
    assert world.spooled() == [world.gate.mails[0].file.key]


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(start: Start) -> None:
    world = await start()
    taken = listener("b").model_copy(update={"listen": listener().listen.parse(f"127.0.0.1:{world.port}")})
    with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1 port \d+: Address already in use"):
        await start(settings(listeners=(listener("a"), taken)))


async def test_commands_sent_ahead_leave_others_their_turn(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group of commands (RFC 2920) lies in memory: nothing there makes the session wait."""
    world = await start(settings(recipient_limit=1_000))
    client = await connect(world.port)
    await client.begin()
    turns, seen = 0, list[int]()
    recipient = world.gate.recipient

    async def noted(facts: MailSession, principal: Principal, address: str) -> MailRecipient | Rejection:
        seen.append(turns)
        return await recipient(facts, principal, address)

    monkeypatch.setattr(world.gate, "recipient", noted)

    async def others() -> None:
        nonlocal turns
        while len(seen) < 10 * LINES_IN_A_ROW:
            turns += 1
            await asyncio.sleep(0)

    group = b"".join(b"RCPT TO:<+3312345%04d@%s>\r\n" % (n, DOMAIN.encode()) for n in range(10 * LINES_IN_A_ROW))
    world_turns = asyncio.create_task(others())
    await client.send(group)
    for _ in range(10 * LINES_IN_A_ROW):
        assert (await client.reply()).startswith("250")
    await world_turns
    assert max(seen.count(turn) for turn in set(seen)) <= LINES_IN_A_ROW
