"""faxgw.delivery.mail_route: the closest route counts, MX as RFC 5321 has it, never in clear where TLS is enforced."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.delivery.mail_route import MailRoutes, MailRouteSettings, MxLookup, NeverAWay, NoWay
from faxgw.settings import Duration, Secret
from tests.delivery.test_mail import Relay, certificates, parcel, server_context, serving
from tests.line.name_server import NameServer

__all__ = ["certificates"]


class Zone:
    """Servers of domains, as DNS would tell them."""

    def __init__(self, *servers: tuple[int, str]) -> None:
        self.found = servers

    async def servers(self, domain: str) -> Sequence[tuple[int, str]]:
        return self.found


def delivery(relay_port: int, *routes: MailRouteSettings, lookup: Zone | None = None) -> MailDelivery:
    relay = RelaySettings(
        host="127.0.0.1", port=relay_port, tls="none", sender="fax@gw.example.org", timeout=Duration(5),
        data_timeout=Duration(5),
    )  # fmt: skip
    return MailDelivery(relay, "", MailRoutes(relay, routes, lookup))


def route(domain: str = "example.org", **values: object) -> MailRouteSettings:
    return MailRouteSettings.model_validate({"domain": domain, **values})


@pytest.mark.parametrize("tls", ["none", "opportunistic", "enforced", "relay"])
@pytest.mark.parametrize("relay_tls", ["starttls", "implicit"])
async def test_no_route_makes_the_way_to_the_relay_weaker(tls: str, relay_tls: str) -> None:
    """The relay's password would leave in clear, or to whoever answers."""
    relay = RelaySettings.model_validate(
        {"host": "relay.example", "tls": relay_tls, "login": "gateway", "password": Secret("secret")}
    )
    route = MailRouteSettings.model_validate({"domain": "a.example", "to": "relay", "tls": tls})
    (hop,) = await MailRoutes(relay, [route]).hops("a.example")
    assert hop.tls == ("implicit" if relay_tls == "implicit" else "enforced")
    assert hop.context.verify_mode is ssl.CERT_REQUIRED and hop.context.check_hostname


@pytest.mark.parametrize(
    ("domain", "found"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.org.", "example.org"),
        ("mail.example.org", ".example.org"),
        ("a.mail.example.org", ".mail.example.org"),
        ("example.net", "*"),
        ("notexample.org", "*"),
    ],
)
def test_the_closest_route_counts(domain: str, found: str) -> None:
    routes = MailRoutes(
        RelaySettings(), [route(name) for name in ("*", "example.org", ".example.org", ".mail.example.org")]
    )
    chosen = routes.route(domain)
    assert chosen is not None
    assert chosen.domain == found


async def test_without_a_route_mails_go_to_the_relay() -> None:
    relay, other = Relay(), Relay()
    async with serving(relay) as port, serving(other) as elsewhere:
        way = delivery(port, route("example.net", to="127.0.0.1", port=elsewhere, tls="none"))
        assert (await way.deliver(parcel())).delivered
        assert (await way.deliver(parcel(target="ann@example.net"))).delivered
    assert [len(relay.taken), len(other.taken)] == [1, 1]


async def test_a_mail_waits_rather_than_leave_in_clear() -> None:
    relay = Relay()
    async with serving(relay) as port:
        result = await delivery(port, route(to="127.0.0.1", port=port)).deliver(parcel())
    assert (result.delivered, result.permanent) == (False, False)
    assert result.detail == "connect: SMTPException: 127.0.0.1 offers no TLS, which is demanded"
    assert relay.envelopes == []


async def test_a_mail_waits_when_the_relay_of_all_others_has_no_tls() -> None:
    relay = Relay()
    async with serving(relay) as port:
        way = delivery(port, route())
        assert (await way.deliver(parcel(target="ann@example.net"))).delivered
        assert not (await way.deliver(parcel())).delivered
    assert len(relay.taken) == 1


async def test_a_mail_waits_when_the_certificate_is_another_servers(certificates: Path) -> None:
    relay = Relay()
    async with serving(relay, server_context(certificates / "other.pem")) as port:
        settings = route(to="127.0.0.1", port=port, ca_file=certificates / "other.pem")
        result = await delivery(port, settings).deliver(parcel())
        assert not result.delivered
        assert "CERTIFICATE_VERIFY_FAILED" in result.detail or "certificate verify failed" in result.detail
        named = settings.model_copy(update={"certificate_name": "other.example"})
        assert (await delivery(port, named).deliver(parcel())).delivered
    assert relay.tls == [True]


async def test_a_login_is_given_over_checked_tls(certificates: Path) -> None:
    relay, good = Relay(), certificates / "127.0.0.1.pem"
    options = {"authenticator": relay.authenticate, "auth_required": True}
    async with serving(relay, server_context(good), **options) as port:
        settings = route(to="127.0.0.1", port=port, ca_file=good, login="gw", password=Secret("sesame"))
        assert (await delivery(1, settings).deliver(parcel())).delivered
    assert (relay.logins, relay.tls) == ([b"gw"], [True])


async def test_a_server_that_cannot_promise_tls_further_on_does_not_get_it(certificates: Path) -> None:
    relay, good = Relay(), certificates / "127.0.0.1.pem"
    async with serving(relay, server_context(good)) as port:
        settings = route(to="127.0.0.1", port=port, ca_file=good, require_tls=True)
        result = await delivery(port, settings).deliver(parcel())
    assert (result.delivered, result.permanent) == (False, False)
    assert "REQUIRETLS" in result.detail
    assert relay.envelopes == []


async def test_the_next_server_is_tried_when_the_first_cannot_be_reached(certificates: Path) -> None:
    relay, good = Relay(), certificates / "127.0.0.1.pem"
    async with serving(relay, server_context(good)) as port:
        lookup = Zone((20, "127.0.0.1"), (10, "127.0.0.9"), (30, "127.0.0.8"))
        way = delivery(1, route(to="mx", port=port, ca_file=good), lookup=lookup)
        assert (await way.deliver(parcel())).delivered
        relay.rcpt = "550 5.1.1 nobody"
        result = await way.deliver(parcel())
    assert (result.delivered, result.permanent, result.detail) == (False, True, "rcpt: 550 5.1.1 nobody")


async def test_the_servers_of_a_domain_come_from_dns() -> None:
    zone = (
        "example.org. 60 IN MX 20 b.example.org.",
        "example.org. 60 IN MX 10 a.example.org.",
        "closed.example. 60 IN MX 0 .",
        "bare.example. 60 IN A 192.0.2.1",
    )
    async with NameServer(*zone) as server:
        lookup = MxLookup([server.listener])
        assert sorted(await lookup.servers("example.org")) == [(10, "a.example.org"), (20, "b.example.org")]
        assert await lookup.servers("bare.example") == [(0, "bare.example")]
        assert await lookup.servers("[192.0.2.7]") == [(0, "192.0.2.7")]
        for nothing in ("closed.example", "nowhere.example"):
            with pytest.raises(NeverAWay):
                await lookup.servers(nothing)
        server.broken = True
        with pytest.raises(NoWay):
            await lookup.servers("later.example")


async def test_a_domain_that_takes_no_mail_is_told_at_once() -> None:
    async with NameServer("example.org. 60 IN MX 0 .") as server:
        relay = RelaySettings(host="127.0.0.1", port=1)
        way = MailDelivery(relay, "", MailRoutes(relay, [route(to="mx")], MxLookup([server.listener])))
        result = await way.deliver(parcel())
    assert (result.permanent, result.detail) == (True, "example.org takes no mail (RFC 7505)")


@pytest.mark.parametrize(
    "values",
    [
        {"domain": "example org"},
        {"domain": "example.org", "login": "gw", "to": "mx", "password": "x"},
        {"domain": "example.org", "login": "gw", "to": "mail.example.org"},
        {"domain": "example.org", "login": "gw", "password": "x", "to": "mail.example.org", "tls": "opportunistic"},
        {"domain": "example.org", "to": "mx", "tls": "implicit"},
        {"domain": "example.org", "to": "mx", "tls": "relay"},
        {"domain": "example.org", "tls": "opportunistic", "certificate_name": "a.example"},
    ],
)
def test_settings_that_cannot_be(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MailRouteSettings.model_validate(values, context={"environ": {}})
