"""What `faxgw check` says of the ways out by mail: real servers, real name servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from faxgw.delivery.dkim import DkimSettings
from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.delivery.mail_look import MailLook
from faxgw.delivery.mail_route import MailRoutes, MailRouteSettings, MxLookup
from faxgw.settings import Duration, Secret
from tests.delivery.test_mail import Relay, certificates, server_context, serving
from tests.line.name_server import NameServer

__all__ = ["certificates"]


@pytest.fixture(scope="module")
def key() -> DkimSettings:
    made = rsa.generate_private_key(65537, 2048)
    pem = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return DkimSettings(domain="example.org", selector="fax", key=Secret(pem))


def look(relay: RelaySettings, *routes: MailRouteSettings, server: NameServer | None = None) -> MailLook:
    names = [server.listener] if server is not None else []
    found = MailRoutes(relay, routes, MxLookup(names) if names else None)
    return MailLook(MailDelivery(relay, routes=found), found, names)


def relay(port: int, **more: object) -> RelaySettings:
    fields = {"host": "127.0.0.1", "port": port, "tls": "none", "timeout": Duration(5), **more}
    return RelaySettings(**fields)  # type: ignore[arg-type]  # the table above


def in_pieces(record: str) -> str:
    return " ".join(f'"{record[at : at + 200]}"' for at in range(0, len(record), 200))


async def test_a_key_in_dns_is_compared_with_the_one_that_signs(key: DkimSettings) -> None:
    name, other = "fax._domainkey.example.org.", key.record().replace("p=MII", "p=MIX")
    async with NameServer(f"{name} 60 IN TXT {in_pieces(key.record())}") as server:
        seen = await look(relay(1), server=server).key(key)
        assert seen.ok and "has the key that mails are signed with" in seen.text
    async with NameServer(f"{name} 60 IN TXT {in_pieces(other)}") as server:
        seen = await look(relay(1), server=server).key(key)
        assert not seen.ok and "has another key" in seen.text and key.record() in seen.text
    async with NameServer("example.org. 60 IN A 192.0.2.1") as server:
        seen = await look(relay(1), server=server).key(key)
        assert not seen.ok and f'publish {name[:-1]} TXT "{key.record()}"' in seen.text
        server.broken = True
        assert "cannot be asked for" in (await look(relay(1), server=server).key(key)).text


async def test_the_relay_is_met_as_a_mail_meets_it(certificates: Path) -> None:
    async with serving(Relay(), server_context(certificates / "127.0.0.1.pem")) as port:
        seen = await look(relay(port)).relay()
        assert (seen.ok, seen.text) == (True, f"127.0.0.1:{port} answers, in clear")
        good = relay(port, tls="starttls", ca_file=certificates / "127.0.0.1.pem")
        seen = await look(good).relay()
        assert (seen.ok, seen.text) == (True, f"127.0.0.1:{port} answers, TLSv1.3, certificate checked")
        seen = await look(relay(port, tls="opportunistic")).relay()
        assert seen.text.endswith("TLSv1.3, certificate not checked")
        seen = await look(relay(port, tls="starttls", ca_file=certificates / "other.pem")).relay()
        assert not seen.ok and "certificate verify failed" in seen.text
        seen = await look(relay(port, login="fax", password=Secret("x"))).relay()
        assert not seen.ok
    seen = await look(relay(port)).relay()
    assert not seen.ok and seen.what == "mail relay"


async def test_each_server_of_a_route_is_looked_at(certificates: Path) -> None:
    async with (
        serving(Relay(), server_context(certificates / "127.0.0.1.pem")) as port,
        serving(Relay()) as plain,
        NameServer("closed.example. 60 IN MX 0 .") as server,
    ):
        named = MailRouteSettings(
            domain="a.example", to="127.0.0.1", port=port, tls="enforced", ca_file=certificates / "127.0.0.1.pem"
        )
        naked = MailRouteSettings(domain="b.example", to="127.0.0.1", port=plain, tls="enforced")
        closed = MailRouteSettings(domain="closed.example", to="mx", tls="enforced")
        every = MailRouteSettings(domain="*", to="mx", tls="enforced")
        promise = MailRouteSettings(domain="c.example", to="127.0.0.1", port=plain, tls="none", require_tls=True)
        eyes = look(relay(1), named, naked, closed, every, promise, server=server)
        (seen,) = await eyes.route(named)
        assert seen.ok and seen.text.endswith("TLSv1.3, certificate checked")
        (seen,) = await eyes.route(naked)
        assert not seen.ok and "offers no TLS, which is demanded" in seen.text
        (seen,) = await eyes.route(closed)
        assert not seen.ok and "takes no mail" in seen.text
        (seen,) = await eyes.route(every)
        assert seen.ok and seen.text == "to the servers of each domain, tls enforced"
        (seen,) = await eyes.route(promise)
        assert not seen.ok and "REQUIRETLS" in seen.text
