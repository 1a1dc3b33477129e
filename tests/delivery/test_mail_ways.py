"""A way of mails that is closed is told, with a reason and since when, until it takes a mail again."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import aiosmtplib
import pytest

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.delivery.mail_route import MailRoutes, MailRouteSettings
from faxgw.delivery.mail_ways import CLOSED_AFTER_S, RELAY, MailWays, trouble
from faxgw.settings import Secret
from tests.delivery.test_mail import Relay, parcel, serving

NOON = 1_795_000_000.0


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


def test_one_failure_that_passes_is_no_alarm_and_a_second_one_a_minute_later_is() -> None:
    clock = Clock()
    ways = MailWays(clock)
    ways.tried(RELAY, "the server does not answer in time")
    clock.now += 1
    ways.tried(RELAY, "the server refuses our login")
    assert ways.fault == "", "several mails at once are one failure"
    clock.now = NOON + CLOSED_AFTER_S
    assert ways.fault == "", "time alone proves nothing"
    ways.tried(RELAY, "the server refuses our login")
    assert ways.fault == "relay: the server refuses our login (since 2026-11-18 11:06 UTC)"
    ways.tried("example.org", "the server cannot be reached")
    assert "example.org" not in ways.fault
    ways.tried(RELAY, "")
    assert ways.fault == ""
    clock.now += CLOSED_AFTER_S
    ways.tried("example.org", "the server cannot be reached")
    assert ways.fault == "mail route example.org: the server cannot be reached (since 2026-11-18 11:07 UTC)"


def test_ways_that_the_settings_have_no_more_are_forgotten() -> None:
    clock = Clock()
    ways = MailWays(clock)
    for _ in range(2):
        ways.tried(RELAY, "x")
        ways.tried("old.example", "y")
        clock.now += CLOSED_AFTER_S
    assert ways.fault.count("since") == 2
    ways.keep({RELAY})
    assert ways.fault == "relay: x (since 2026-11-18 11:06 UTC)"


@pytest.mark.parametrize(
    ("error", "connected", "about_us", "said"),
    [
        (aiosmtplib.SMTPAuthenticationError(535, "no"), False, True, "the server refuses our login"),
        (aiosmtplib.SMTPConnectResponseError(554, "no"), False, True, "the server refuses the connection"),
        (aiosmtplib.SMTPSenderRefused(451, "later", "a@b"), True, True, "the server refuses our mails"),
        (aiosmtplib.SMTPSenderRefused(530, "log in", "a@b"), True, True, "the server refuses our login"),
        (aiosmtplib.SMTPRecipientRefused(550, "nobody", "a@b"), True, False, ""),
        (TimeoutError(), False, True, "the server does not answer in time"),
        (
            ConnectionRefusedError("10.0.0.1"),
            False,
            True,
            "the server cannot be reached, or not as the settings want it",
        ),
        (aiosmtplib.SMTPServerDisconnected("x"), True, True, "the server breaks the conversation off"),
        (ValueError("a control in the address"), True, True, ""),
    ],
)
def test_a_reason_is_plain_and_names_no_host(error: Exception, connected: bool, about_us: bool, said: str) -> None:
    assert trouble(error, connected=connected, about_us=about_us) == said


def test_servers_of_strangers_are_not_watched() -> None:
    routes = MailRoutes(
        RelaySettings(),
        [MailRouteSettings(domain="a.example", to="smart.example"), MailRouteSettings(domain="b.example", to="mx")],
    )
    assert RELAY in routes.ways and "a.example" in routes.ways


async def test_the_relay_is_closed_while_it_refuses_the_login_and_open_with_the_next_mail() -> None:
    clock = Clock()
    ways = MailWays(clock)
    async with serving(Relay(), authenticator=Relay().authenticate, auth_require_tls=False) as port:
        wrong = RelaySettings(host="127.0.0.1", port=port, tls="none", login="gw", password=Secret("wrong"))
        right = wrong.model_copy(update={"password": Secret("sesame")})
        for _ in range(2):
            assert not (await MailDelivery(wrong, ways=ways).deliver(parcel())).delivered
            clock.now += CLOSED_AFTER_S
        assert ways.fault == "relay: the server refuses our login (since 2026-11-18 11:06 UTC)"
        assert (await MailDelivery(right, ways=ways).deliver(parcel())).delivered
        assert ways.fault == ""


async def test_a_recipient_that_is_refused_proves_that_the_way_is_open_and_a_closed_port_that_it_is_not() -> None:
    clock = Clock()
    ways = MailWays(clock)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = RelaySettings(host="127.0.0.1", port=closed.getsockname()[1], tls="none")
        for _ in range(2):
            await MailDelivery(away, ways=ways).deliver(parcel())
            clock.now += CLOSED_AFTER_S
    assert ways.fault.startswith("relay: the server cannot be reached")
    async with serving(Relay(rcpt="550 5.1.1 nobody")) as port:
        there = RelaySettings(host="127.0.0.1", port=port, tls="none")
        assert (await MailDelivery(there, ways=ways).deliver(parcel())).permanent
    assert ways.fault == ""
