"""Who may send for a domain: SPF, DKIM and ARC against a real name server, judged in a real page process."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import dkim
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import update

from faxgw.dispatch.evidence import DKIM, Evidence, EvidenceSettings, is_stranger, waits_for_signature
from faxgw.dispatch.gate import Gate
from faxgw.document.client import PageClient
from faxgw.fax.ports import MailRecipient, MailSession, MailSubmission, Principal, Receipt, Rejection
from faxgw.store import schema as t
from faxgw.store.files import Kind
from faxgw.store.passwords import Passwords
from faxgw.store.space import Watermark
from tests.house import ALICE, DOMAIN, House
from tests.line.name_server import NameServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

TO = f"+33199000001@{DOMAIN}"
MAIL = (
    f"From: Boss <boss@evil.test>\r\nTo: Fax <{TO}>\r\nSubject: Order\r\nDate: Sun, 22 Nov 2026 03:00:00 +0000\r\n"
    "Message-ID: <1@example.org>\r\n\r\nPlease deliver.\r\n"
).encode()
PEER = "203.0.113.77"


def new_key() -> tuple[bytes, str]:
    """A signing key: PEM and DNS record."""
    key = rsa.generate_private_key(65537, 1024)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem, f'"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"'


KEY, RECORD = new_key()
SEALER, SEALER_RECORD = new_key()


def signed(mail: bytes = MAIL, domain: str = "example.org", **more: Any) -> bytes:
    header: bytes = dkim.sign(mail, b"s1", domain.encode(), KEY, **more)
    return header + mail


def sealed(results: str, domain: str = "sealer.test", mail: bytes = MAIL, **more: Any) -> bytes:
    """As a mail provider passes a mail on that it has looked at."""
    seen = f"Authentication-Results: {domain}; {results}\r\n".encode() + mail
    fields: list[bytes] = dkim.arc_sign(seen, b"s2", domain.encode(), SEALER, domain.encode(), **more)
    return b"".join(fields) + seen


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def pages() -> AsyncIterator[PageClient]:
    client = PageClient()
    await client.start()
    yield client
    await client.close()


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[NameServer]:
    zone = (
        f"s1._domainkey.example.org. 60 IN TXT {RECORD}",
        f"s1._domainkey.evil.test. 60 IN TXT {RECORD}",
        f"s2._domainkey.sealer.test. 60 IN TXT {SEALER_RECORD}",
        f"s2._domainkey.stranger.test. 60 IN TXT {SEALER_RECORD}",
        'example.org. 60 IN TXT "v=spf1 ip4:198.51.100.0/24 -all"',
    )
    async with NameServer(*zone) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def gate(house: House, pages: PageClient, server: NameServer) -> Gate:
    gate = Gate(house.seat(), Watermark(1), Passwords(house.clock), pages)
    settings = EvidenceSettings(nameservers=(server.listener,), sealers=("Sealer.test",))
    gate.believe(Evidence(house.seat(), pages, settings))
    return gate


async def wants(house: House, evidence: str) -> None:
    await house.change(update(t.customers).values(settings={"sender_evidence": evidence}))


async def sender(gate: Gate, peer: str = PEER, login: str = "") -> Principal | Rejection:
    return await gate.sender(MailSession(peer, True, login, "relay"), ALICE)


async def submitted(house: House, content: bytes, *addresses: str, received_at: float = 0.0) -> MailSubmission:
    """A provisionally accepted mail at its final dot."""
    mail = await house.mail()
    people = tuple(MailRecipient(a, a.split("@")[0], "+33199000001", "", "acme") for a in addresses or (TO,))
    return replace(
        mail,
        principal=Principal("acme", "", "", ALICE, DKIM),
        recipients=people,
        file=await house.keep(content, Kind.MAIL),
        received_at=received_at or house.now,
    )


# --------------------------------------------------------------------------------------------------------- at RCPT


async def test_spf_decides_at_rcpt(house: House, gate: Gate, server: NameServer) -> None:
    """Features A3: with 550 and a reason."""
    await wants(house, "spf")
    good = await sender(gate, "198.51.100.9")
    assert isinstance(good, Principal) and good.how == "spf"
    assert str(await sender(gate)) == (
        f"550 5.7.23 By the SPF record of example.org, {PEER} may not send for it (fail)."
    )
    server.zone = []
    assert str(await sender(gate)) == "550 5.7.23 example.org has no SPF record that says who may send for it."
    server.zone = ['example.org. 60 IN TXT "v=spf1 nonsense"']
    assert str(await sender(gate)) == (
        "550 5.7.24 The SPF record of example.org is wrong, so that nobody may send for it here."
    )
    server.broken = True
    assert str(await sender(gate)).startswith("451 4.4.3 Who sent this cannot be proven at present, DNS does not")


async def test_what_a_signature_may_decide_waits_for_the_final_dot(
    house: House, gate: Gate, server: NameServer
) -> None:
    for evidence, asked, how in (("spf_or_dkim", ["TXT example.org."], "dkim:fail"), ("dkim", [], DKIM)):
        await wants(house, evidence)
        server.asked.clear()
        found = await sender(gate)
        assert isinstance(found, Principal) and found.how == how and waits_for_signature(how)
        assert server.asked == asked


async def test_who_logged_in_or_comes_from_his_own_network_proves_nothing(
    house: House, gate: Gate, server: NameServer
) -> None:
    await wants(house, "spf")
    for peer, login in ((PEER, "bert"), ("192.0.2.9", "")):
        found = await sender(gate, peer, login)
        assert isinstance(found, Principal), found
    assert server.asked == []


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "192.168.3.4", "::ffff:10.1.2.3", "fd00::5"])
async def test_of_itself_a_host_at_hand_proves_nothing(house: House, gate: Gate, server: NameServer, peer: str) -> None:
    found = await sender(gate, peer)
    assert isinstance(found, Principal) and found.how == "address" and server.asked == []


async def test_of_itself_a_stranger_proves_who_he_is(house: House, gate: Gate, server: NameServer) -> None:
    """By SPF, else by a signature: anybody can write any envelope sender."""
    good, later = await sender(gate, "198.51.100.9"), await sender(gate, "8.8.8.8")
    assert isinstance(good, Principal) and good.how == "spf"
    assert isinstance(later, Principal) and later.how == "dkim:fail"


@pytest.mark.parametrize(
    "allow, how", [("8.8.8.0/24", "address"), ("0.0.0.0/0", "dkim:fail"), ("8.0.0.0/7", "dkim:fail")]
)
async def test_hosts_that_a_listener_names_are_no_strangers(
    house: House, pages: PageClient, server: NameServer, allow: str, how: str
) -> None:
    gate = Gate(house.seat(), Watermark(1), Passwords(house.clock), pages)
    settings = EvidenceSettings(nameservers=(server.listener,))
    gate.believe(Evidence(house.seat(), pages, settings, neighbours=[ip_network(allow)]))
    found = await sender(gate, "8.8.8.8")
    assert isinstance(found, Principal) and found.how == how


@pytest.mark.parametrize("peer", ["", "unix", "8.8.8.8", "100.64.0.1", "2001:db8::1", "::ffff:8.8.8.8", "172.32.0.1"])
async def test_a_stranger_is_whoever_is_not_known_to_be_at_hand(peer: str) -> None:
    assert is_stranger(peer)


async def test_without_a_way_to_ask_nobody_is_believed(house: House) -> None:
    await wants(house, "spf_or_dkim")
    gate = Gate(house.seat(), Watermark(1), Passwords(house.clock))
    assert str(await sender(gate)).startswith("451 4.3.0 Who sent this cannot be proven")


# ------------------------------------------------------------------------------------------------ at the final dot


@pytest.mark.parametrize(
    "content",
    [
        signed(),
        signed(canonicalize=(b"relaxed", b"relaxed")),
        signed(signed(domain="other.test")),
        sealed("dkim=pass header.d=example.org header.s=x; spf=fail"),
        sealed("spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=alice@example.org"),
    ],
    ids=["simple", "relaxed", "two signatures", "arc with dkim", "arc with spf"],
)
async def test_a_signed_mail_is_promised(house: House, gate: Gate, content: bytes) -> None:
    mail = await submitted(house, content)
    assert await gate.submit_mail(mail) == Receipt(mail.message)


def broken(change: Callable[[bytes], bytes]) -> bytes:
    return change(signed())


@pytest.mark.parametrize(
    "content, why",
    [
        (MAIL, "it has no DKIM signature of example.org"),
        (MAIL.replace(b"boss@evil.test", b"alice@example.org"), "it has no DKIM signature of example.org"),
        (signed(domain="evil.test"), "it has no DKIM signature of example.org"),
        (broken(lambda m: m.replace(b"deliver", b"destroy")), "its DKIM signature is not valid"),
        (broken(lambda m: m.replace(b"Subject: Order", b"Subject: Other")), "its DKIM signature is not valid"),
        (broken(lambda m: m.replace(b"s=s1", b"s=s9")), "its DKIM signature is not valid"),
        (signed(length=True) + b"and more\r\n", "its DKIM signature does not cover the whole text"),
        (signed(include_headers=[b"from", b"subject"]), "does not stand in a signed To or Cc line"),
        (b"To: <x@y.test>\r\n" + signed(), "does not stand in a signed To or Cc line"),
        (signed(MAIL.replace(TO.encode(), b"+33199000002@fax.test")), "does not stand in a signed To or Cc line"),
        (sealed("dkim=pass header.d=example.org", domain="stranger.test"), "it has no DKIM signature of example.org"),
        (sealed("dkim=fail header.d=example.org"), "its ARC chain does not say that example.org has sent it"),
        (sealed("x=y (dkim=pass header.d=example.org)"), "its ARC chain does not say that example.org has sent it"),
        (sealed("dkim=pass header.d=example.org.evil.test"), "its ARC chain does not say that example.org"),
        (
            sealed("dkim=pass header.d=example.org").replace(b"deliver", b"destroy"),
            "its ARC chain is not valid",
        ),
    ],
    ids=[f"case{number}" for number in range(15)],  # signed mails differ from run to run
)  # fmt: skip
async def test_a_mail_that_proves_nothing_is_refused(house: House, gate: Gate, content: bytes, why: str) -> None:
    mail = await submitted(house, content)
    answer = str(await gate.submit_mail(mail))
    assert answer.startswith("550 5.7.20 Nothing was sent. That example.org sent this mail is not proven: ")
    assert why in answer
    assert not (house.folder / mail.file.key).exists()


async def test_a_mail_that_was_signed_for_one_number_is_not_taken_to_another(house: House, gate: Gate) -> None:
    """Whoever gets one mail of a domain could else send it on to any number, at its customer's expense."""
    mail = await submitted(house, signed(), TO, f"+33199000002@{DOMAIN}")
    assert "does not stand in a signed To or Cc line" in str(await gate.submit_mail(mail))


async def test_an_old_signature_is_none(house: House, gate: Gate) -> None:
    content = signed()
    assert isinstance(await gate.submit_mail(await submitted(house, content, received_at=time.time())), Receipt)
    late = await submitted(house, content, received_at=time.time() + 8 * 86400)
    assert "its DKIM signature is too old" in str(await gate.submit_mail(late))


async def test_keys_that_cannot_be_asked_for_now_are_to_come_again(
    house: House, gate: Gate, server: NameServer
) -> None:
    server.broken = True
    mail = await submitted(house, signed())
    assert str(await gate.submit_mail(mail)).startswith("451 4.4.3 ")


async def test_only_keys_that_matter_are_asked_for(house: House, gate: Gate, server: NameServer) -> None:
    """A stranger's mail does not make us ask a stranger's name server."""
    server.asked.clear()
    await gate.submit_mail(await submitted(house, signed(domain="evil.test")))
    assert server.asked == []


@pytest.mark.parametrize(
    "record, said",
    [
        ("", "example.org has no SPF record; it has no DKIM signature of example.org."),
        ("v=spf1 nonsense", "the SPF record of example.org is wrong; it has no DKIM signature of example.org."),
        (
            "v=spf1 ip4:192.0.2.7 ~all",
            "the SPF record of example.org does not allow the host that brought it (softfail); it has no DKIM "
            "signature of example.org.",
        ),
    ],
)
async def test_a_stranger_hears_of_both_proofs(
    house: House, gate: Gate, server: NameServer, record: str, said: str
) -> None:
    server.zone = [f'example.org. 60 IN TXT "{record}"'] if record else []
    who = await sender(gate)
    assert isinstance(who, Principal)
    answer = str(await gate.submit_mail(replace(await submitted(house, MAIL), principal=who)))
    assert answer.endswith(f"is not proven: {said}")


async def test_a_mail_whose_spf_record_could_not_be_asked_for_is_put_off(
    house: House, gate: Gate, server: NameServer
) -> None:
    """A domain that only has SPF loses no mail because its name servers are away; a signature proves it all the same.

    RFC 7208 section 2.6.6: a later try may succeed.
    """
    server.broken = True
    who = await sender(gate)
    assert isinstance(who, Principal) and waits_for_signature(who.how)
    unsigned = replace(await submitted(house, MAIL), principal=who)
    assert str(await gate.submit_mail(unsigned)).startswith("451 4.4.3 ")
    server.broken = False
    by_signature = replace(await submitted(house, signed()), principal=who)
    assert await gate.submit_mail(by_signature) == Receipt(by_signature.message)
