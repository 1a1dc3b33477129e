"""The relay is a real SMTP server on loopback, or a scripted one where a server has to misbehave."""

from __future__ import annotations

import asyncio
import datetime
import email
import email.policy
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.demo import MailboxSink
from faxgw.fax.ports import Parcel
from faxgw.formats.report_payload import refused_to_payload, report_to_payload
from faxgw.settings import Duration, Secret
from tests.formats import samples
from tests.patience import PATIENCE_S

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def parcel(**changes: object) -> Parcel:
    fields: dict[str, object] = {
        "item": "out_018f",
        "kind": "status_mail",
        "target": "ann@example.org",
        "payload": report_to_payload(samples.job([samples.DELIVERED])),
        "created_at": samples.T,
        "tries": 0,
    }
    return Parcel(**(fields | changes))  # type: ignore[arg-type]  # the table above


def delivery(port: int, **changes: object) -> MailDelivery:
    fields: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "sender": "fax@gw.example.org",
        "timeout": Duration(5),
        "data_timeout": Duration(5),
    }
    return MailDelivery(RelaySettings(**(fields | changes)))  # type: ignore[arg-type]  # the table above


@dataclass
class Relay:
    """Handler of aiosmtpd: answers as told, keeps what it took."""

    mail: str = ""
    rcpt: str = ""
    data: str = "250 2.0.0 queued"
    taken: list[bytes] = field(default_factory=list)
    envelopes: list[tuple[str | None, list[str], list[str]]] = field(default_factory=list)
    tls: list[bool] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options = options
        return self.mail or "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self.rcpt:
            envelope.rcpt_tos.append(address)
        return self.rcpt or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.taken.append(envelope.content)
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos, envelope.mail_options))
        self.tls.append(session.ssl is not None)
        return self.data

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth: LoginPassword
    ) -> AuthResult:
        self.logins.append(auth.login)
        return AuthResult(success=auth.password == b"sesame", handled=False)


@asynccontextmanager
async def serving(relay: Relay, tls: ssl.SSLContext | None = None, **options: object) -> AsyncIterator[int]:
    """A real SMTP server; with `implicit=True` TLS from the first octet."""
    implicit = options.pop("implicit", False)
    loop = asyncio.get_running_loop()
    protocols: list[SMTP] = []

    def protocol() -> SMTP:
        context = None if implicit else tls
        protocols.append(SMTP(relay, hostname="relay", loop=loop, tls_context=context, **options))  # type: ignore[arg-type]
        return protocols[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        tasks = [p._handler_coroutine for p in protocols if p._handler_coroutine is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A server that does as the script says, once per connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *replies: bytes) -> list[bytes]:
    """Greet, then answer each command with the next reply; returns the commands."""
    writer.write(b"220 relay\r\n")
    commands = []
    for reply in replies:
        commands.append(await reader.readuntil(b"\r\n"))
        writer.write(reply)
    await writer.drain()
    return commands


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[MailboxSink]:
    box = MailboxSink(tmp_path / "mails")
    await box.start()
    yield box
    await box.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `127.0.0.1.pem` and `other.pem`, each its own authority, key included."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.datetime.now(datetime.UTC)
    names: dict[str, x509.GeneralName] = {
        "127.0.0.1": x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        "other": x509.DNSName("other.example"),
    }
    for name, alternative in names.items():
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + pem)
    return folder


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


# ---------------------------------------------------------------------------------------------------- it arrives


async def test_a_status_mail_arrives_with_its_content(sink: MailboxSink) -> None:
    result = await delivery(sink.port).deliver(parcel())
    assert result.delivered and not result.permanent
    [mail] = sink.mails()
    message = mail.message
    assert message["Subject"] == "Delivered: 3 pages to +33 1 99 00 00 01 (Invoice 4711)"
    assert message["Message-ID"] == "<out_018f@gw.example.org>"
    assert message["Return-Path"] == "<>"
    assert message["Delivered-To"] == "ann@example.org"
    assert message["From"] == "Fax gateway <fax@gw.example.org>"
    assert [p.get_content_type() for p in message.walk()][-1] == "image/png"


async def test_a_refusal_arrives(sink: MailboxSink) -> None:
    result = await delivery(sink.port).deliver(
        parcel(kind="refused_mail", payload=refused_to_payload(samples.refused()))
    )
    assert result.delivered
    assert str(sink.mails()[0].message["Subject"]).startswith("Not faxed: ")


async def test_the_envelope_is_one_recipient_and_the_configured_return_path() -> None:
    relay = Relay()
    async with serving(relay) as port:
        await delivery(port).deliver(parcel())
        await delivery(port, return_path="bounces@gw.example.org").deliver(parcel())
    assert [(sender, to) for sender, to, _ in relay.envelopes] == [
        ("<>", ["ann@example.org"]),
        ("bounces@gw.example.org", ["ann@example.org"]),
    ]
    assert f"SIZE={len(relay.taken[0])}" in relay.envelopes[0][2]
    assert relay.taken[0] == relay.taken[1]


async def test_a_mail_leaves_without_bare_cr_or_lf_and_with_its_dots() -> None:
    """Reliability P-03; RFC 5321 section 4.5.2 (dot stuffing)."""
    octets = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, b"250 relay\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
        octets.extend(await reader.readuntil(b"\r\n.\r\n"))
        writer.write(b"250 ok\r\n")
        await reader.readuntil(b"QUIT\r\n")

    report = samples.job([samples.fax(typed=".")], subject=".\r\n.\r\nMAIL FROM:<x@y>\r\n")
    async with scripted(script) as port:
        result = await delivery(port).deliver(parcel(payload=report_to_payload(report)))
    assert result.delivered
    assert all(b"\r" not in line and b"\n" not in line for line in bytes(octets).split(b"\r\n"))
    assert octets.count(b"\r\n.\r\n") == 1
    assert b"\nMAIL FROM" not in octets


async def test_an_address_beyond_ascii_goes_by_smtputf8_or_not_at_all() -> None:
    """RFC 6531 section 3.4: only to a server that offers it; RFC 6152 for its 8-bit header."""
    able, unable = Relay(), Relay()
    async with serving(able, enable_SMTPUTF8=True) as port:
        result = await delivery(port).deliver(parcel(target="jürgen@example.org"))
    assert result.delivered
    assert able.envelopes[0][1] == ["jürgen@example.org"]
    assert {"SMTPUTF8", "BODY=8BITMIME"} <= set(able.envelopes[0][2])
    async with serving(unable, enable_SMTPUTF8=False) as port:
        result = await delivery(port).deliver(parcel(target="jürgen@example.org"))
    assert result.permanent and not unable.taken


async def test_a_relay_that_only_knows_helo_will_do() -> None:
    """RFC 5321 section 3.2."""
    commands: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ok = b"250 ok\r\n"
        commands.extend(await converse(reader, writer, b"502 what?\r\n", ok, ok, ok, b"354 go\r\n"))
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(ok)
        await reader.readuntil(b"QUIT\r\n")

    async with scripted(script) as port:
        assert (await delivery(port, ehlo="gw.example.org").deliver(parcel())).delivered
    assert commands[:3] == [b"EHLO gw.example.org\r\n", b"HELO gw.example.org\r\n", b"MAIL FROM:<>\r\n"]


# --------------------------------------------------------------------------------------- permanent or temporary


@pytest.mark.parametrize(
    ("stage", "reply", "permanent"),
    [
        ("rcpt", "550 5.1.1 no such user", True),
        ("rcpt", "551 5.1.6 moved", True),
        ("rcpt", "554 5.7.1 refused", True),
        ("rcpt", "450 4.2.1 busy", False),
        ("rcpt", "452 4.2.2 full", False),
        ("rcpt", "530 5.7.0 authenticate first", False),
        ("rcpt", "503 5.5.1 bad sequence", False),
        ("rcpt", "421 4.3.2 closing", False),
        ("mail", "550 5.7.1 null sender unwanted", False),
        ("mail", "451 4.3.0 later", False),
        ("mail", "552 5.3.4 too big", True),
        ("data", "554 5.6.0 content refused", True),
        ("data", "552 5.3.4 too big", True),
        ("data", "451 4.7.1 greylisted", False),
        ("data", "421 4.3.2 closing", False),
    ],
)
async def test_the_stage_of_a_refusal_decides(stage: str, reply: str, permanent: bool) -> None:
    """5xx about recipient or content is for ever; what is about us, or 4xx, is tried again (RFC 5321 section 4.2.1)."""
    relay = Relay(**{stage: reply})  # type: ignore[arg-type]  # one of the three replies
    async with serving(relay) as port:
        result = await delivery(port).deliver(parcel())
    assert (result.delivered, result.permanent) == (False, permanent)
    assert result.detail == f"{stage}: {reply}"


@pytest.mark.parametrize(
    "greeting",
    [
        b"554 5.7.1 not you\r\n",
        b"421 busy\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"",
        b"220-" + b"x" * 100_000 + b"\r\n",
    ],
)
async def test_a_relay_that_does_not_want_to_talk_is_tried_again(greeting: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    async with scripted(script) as port:
        result = await delivery(port).deliver(parcel())
    assert (result.delivered, result.permanent) == (False, False)
    assert result.detail.startswith("connect: ") and len(result.detail) <= 300


async def test_a_relay_that_is_down_is_tried_again() -> None:
    async with serving(Relay()) as port:
        pass
    result = await delivery(port).deliver(parcel())
    assert (result.delivered, result.permanent) == (False, False)
    assert result.detail.startswith("connect: ")


@pytest.mark.parametrize("answered", [0, 1, 2, 3])
async def test_a_relay_that_falls_silent_is_given_up_in_time(answered: int) -> None:
    replies = (b"250 relay\r\n", b"250 ok\r\n", b"250 ok\r\n")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answered:
            await converse(reader, writer, *replies[: answered - 1])
        await reader.read()

    async with scripted(script) as port, asyncio.timeout(PATIENCE_S):
        result = await delivery(port, timeout=Duration(0.2), data_timeout=Duration(0.2)).deliver(parcel())
    assert (result.delivered, result.permanent) == (False, False)


async def test_a_relay_that_answers_letter_by_letter_is_given_up_in_time() -> None:
    """The deadline is for the whole conversation, not for each octet."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"220-wait\r\n")
            await asyncio.sleep(0.02)

    async with scripted(script) as port, asyncio.timeout(PATIENCE_S):
        result = await delivery(port, timeout=Duration(0.3)).deliver(parcel())
    assert (result.delivered, result.permanent) == (False, False)


async def test_a_connection_reset_in_mid_body_is_temporary() -> None:
    big = samples.job([samples.DELIVERED], thumbnail=samples.PNG + bytes(60_000))

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, b"250 relay\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
        await reader.readexactly(1_000)
        writer.transport.abort()

    async with scripted(script) as port:
        result = await delivery(port).deliver(parcel(payload=report_to_payload(big)))
    assert (result.delivered, result.permanent) == (False, False)
    assert result.detail.startswith("data: ")


@pytest.mark.parametrize("how", ["close", "silence"])
async def test_a_lost_reply_to_the_final_dot_sends_the_same_mail_again(how: str) -> None:
    """Reliability 2.2: at least once, the same Message-ID on every retry; here octet for octet the same mail."""
    taken: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, b"250 relay\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
        taken.append(await reader.readuntil(b"\r\n.\r\n"))
        if how == "silence":
            await reader.read()

    async with scripted(script) as port:
        sender = delivery(port, data_timeout=Duration(1))
        for tries in (0, 1):
            result = await sender.deliver(parcel(tries=tries))
            assert (result.delivered, result.permanent) == (False, False)
            assert result.detail.startswith("data: ")
    assert len(taken) == 2 and taken[0] == taken[1]
    assert b"\r\nMessage-ID: <out_018f@gw.example.org>\r\n" in taken[0]


async def test_what_happens_after_the_250_no_longer_matters() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, b"250 relay\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 ok\r\n")
        await reader.readuntil(b"QUIT\r\n")
        writer.transport.abort()

    async with scripted(script) as port:
        assert (await delivery(port).deliver(parcel())).delivered


async def test_a_cancelled_delivery_closes_its_connection() -> None:
    greeted, gone = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, b"250 relay\r\n")
        greeted.set()
        await reader.read()
        gone.set()

    async with scripted(script) as port, asyncio.timeout(PATIENCE_S):
        task = asyncio.create_task(delivery(port).deliver(parcel()))
        await greeted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


@pytest.mark.parametrize(
    "bad",
    [
        {"target": "ann"},
        {"target": "ann@example.org>\r\nDATA"},
        {"kind": "telegram"},
        {"payload": {}},
        {"payload": refused_to_payload(samples.refused())},
        {"payload": report_to_payload(samples.job([]))},
    ],
)
async def test_a_parcel_that_can_never_be_mailed_is_permanent(bad: dict[str, object]) -> None:
    async with scripted(unreachable) as port:
        result = await delivery(port).deliver(parcel(**bad))
    assert (result.delivered, result.permanent) == (False, True)
    assert result.detail


@pytest.mark.parametrize("bad", [{"created_at": 1e18}, {"item": "out 1"}])
async def test_a_parcel_that_we_spoilt_waits_for_us(bad: dict[str, object]) -> None:
    """A defect of ours is not the reader's fault: unknown means temporary."""
    async with scripted(unreachable) as port:
        result = await delivery(port).deliver(parcel(**bad))
    assert (result.delivered, result.permanent) == (False, False)
    assert result.detail.startswith("not built: ")


async def unreachable(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    raise AssertionError("no connection was expected")


# ------------------------------------------------------------------------------------------------ TLS and AUTH


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_tls_checks_the_certificate(mode: str, certificates: Path) -> None:
    good = certificates / "127.0.0.1.pem"
    for served, trusted, arrives in (
        (good, good, True),
        (good, None, False),
        (certificates / "other.pem",) * 2 + (False,),
    ):
        relay = Relay()
        async with serving(relay, server_context(served), implicit=mode == "implicit") as port:
            result = await delivery(port, tls=mode, ca_file=trusted).deliver(parcel())
        assert result.delivered is arrives
        assert not result.permanent
        assert len(relay.taken) == (1 if arrives else 0)
        assert arrives or "certificate verify failed" in result.detail


async def test_starttls_that_is_not_offered_is_no_reason_to_speak_plainly() -> None:
    relay = Relay()
    async with serving(relay) as port:
        result = await delivery(port, tls="starttls").deliver(parcel())
    assert (result.delivered, result.permanent, relay.taken) == (False, False, [])


async def test_opportunistic_encrypts_when_it_can(certificates: Path) -> None:
    """RFC 7435: better than plain text, without proof of who answers."""
    relay = Relay()
    async with serving(relay, server_context(certificates / "other.pem")) as port:
        assert (await delivery(port, tls="opportunistic").deliver(parcel())).delivered
    async with serving(relay) as port:
        assert (await delivery(port, tls="opportunistic").deliver(parcel())).delivered
    assert relay.tls == [True, False]


async def test_plaintext_injected_behind_the_220_of_starttls_is_not_heard(certificates: Path) -> None:
    """Reliability anchor 20 and P-04: replies smuggled in before TLS must not answer what is asked inside it.

    If they were heard, the client would take the injected lines for the answers to EHLO and MAIL, think SMTPUTF8
    offered, and be one reply ahead for the rest of the conversation.
    """
    context = server_context(certificates / "127.0.0.1.pem")
    commands: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, b"250-relay\r\n250 STARTTLS\r\n")
        assert await reader.readuntil(b"\r\n") == b"STARTTLS\r\n"
        writer.write(b"220 go\r\n250-evil\r\n250 SMTPUTF8\r\n250 evil\r\n250 evil\r\n")
        await writer.start_tls(context)
        for reply in (b"250 relay\r\n", b"250 ok\r\n", b"550 5.1.1 no such user\r\n"):
            commands.append(await reader.readuntil(b"\r\n"))
            writer.write(reply)
        await reader.read()

    async with scripted(script) as port, asyncio.timeout(PATIENCE_S):
        sender = delivery(port, tls="starttls", ca_file=certificates / "127.0.0.1.pem")
        result = await sender.deliver(parcel())
    assert [c.split()[0] for c in commands] == [b"EHLO", b"MAIL", b"RCPT"]
    assert (result.permanent, result.detail) == (True, "rcpt: 550 5.1.1 no such user")


async def test_a_login_is_given_inside_tls(certificates: Path) -> None:
    relay, good = Relay(), certificates / "127.0.0.1.pem"
    async with serving(relay, server_context(good), authenticator=relay.authenticate, auth_required=True) as port:
        secure = {"tls": "starttls", "ca_file": good, "login": "gw"}
        right = await delivery(port, **secure, password=Secret("sesame")).deliver(parcel())
        wrong = await delivery(port, **secure, password=Secret("barley")).deliver(parcel())
    assert right.delivered and relay.logins[0] == b"gw"
    assert (wrong.delivered, wrong.permanent) == (False, False)
    assert wrong.detail.startswith("connect: 535") and "barley" not in wrong.detail
    assert len(relay.taken) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": "nobody"},
        {"sender": ""},
        {"return_path": "a b"},
        {"host": "a b"},
        {"ehlo": "a\r\nb"},
        {"port": 0},
        {"tls": "maybe"},
        {"login": "gw"},
        {"password": Secret("x")},
        {"login": "gw", "password": Secret("x"), "tls": "none", "host": "relay.example"},
        {"login": "gw", "password": Secret("x"), "tls": "opportunistic", "host": "192.0.2.1"},
        {"timeout": Duration(0)},
        {"surprise": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RelaySettings(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_a_password_may_go_in_plain_text_to_this_machine_only() -> None:
    for host in ("localhost", "127.0.0.1", "::1"):
        assert RelaySettings(host=host, tls="none", login="gw", password=Secret("x")).login == "gw"


def test_the_message_id_has_the_domain_of_the_sender() -> None:
    sender = delivery(25, sender="fax@[IPv6:2001:db8::1]")
    assert sender.message_id(parcel()) == "<out_018f@IPv6.2001.db8..1>"
    octets = sender._status_mail(parcel())
    assert email.message_from_bytes(octets, policy=email.policy.default)["Message-ID"] == sender.message_id(parcel())
