"""DSNs to a relay on loopback (RFC 3461 section 6.1)."""

from __future__ import annotations

import email
import email.policy

import pytest

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.fax.dsn import Action, Dsn, DsnRecipient
from faxgw.fax.ports import Parcel
from faxgw.formats.dsn import Original
from faxgw.formats.report_payload import dsn_to_payload, with_original
from faxgw.settings import Duration
from tests.delivery.test_mail import Relay, serving
from tests.formats.samples import BUSY, T, job, refused

ORIGINAL = Original(b"From: ann@example.org\r\nSubject: Order\r\n\r\nbody\r\n", complete=True)


def parcel(**changes: object) -> Parcel:
    told = Dsn("msg_1", "E1", "", T, (DsnRecipient("FAX=+33199000001@fax.example", "", Action.FAILED, "4.4.1"),))
    payload = {**with_original(dsn_to_payload(job([BUSY]), told), ORIGINAL), **changes}
    return Parcel("out_018f", "dsn", "ann@example.org", payload, T, 1)


def delivery(port: int, reporting_mta: str = "gw.example.org") -> MailDelivery:
    relay = RelaySettings(
        host="127.0.0.1",
        port=port,
        tls="none",
        sender="fax@gw.example.org",
        return_path="bounces@gw.example.org",
        ehlo="client.example.org",
        timeout=Duration(5),
    )
    return MailDelivery(relay, reporting_mta)


async def test_a_dsn_leaves_with_the_null_return_path_whatever_the_settings_say() -> None:
    relay = Relay()
    async with serving(relay) as port:
        result = await delivery(port).deliver(parcel())
    assert result.delivered
    ((sender, to, _options),) = relay.envelopes
    assert (sender, to) == ("<>", ["ann@example.org"])
    mail = email.message_from_bytes(relay.taken[0], policy=email.policy.default)
    assert mail["Message-ID"] == "<out_018f@gw.example.org>"
    assert b"Reporting-MTA: dns;gw.example.org\r\n" in relay.taken[0]
    assert b"Subject: Order\r\n" in relay.taken[0]


async def test_without_a_name_of_its_own_the_gateway_reports_the_one_it_gives_the_relay() -> None:
    relay = Relay()
    async with serving(relay) as port:
        assert (await delivery(port, "").deliver(parcel())).delivered
    assert b"Reporting-MTA: dns;client.example.org\r\n" in relay.taken[0]


async def test_every_try_sends_the_same_octets() -> None:
    relay = Relay(data="451 4.3.0 later")
    async with serving(relay) as port:
        assert not (await delivery(port).deliver(parcel())).delivered
        relay.data = "250 2.0.0 queued"
        assert (await delivery(port).deliver(parcel())).delivered
    assert relay.taken[0] == relay.taken[1]


@pytest.mark.parametrize(
    "damaged",
    [{"dsn": None}, {"job": None}, {"original": {"octets": "?"}}, {"version": 99}],
    ids=["no fields", "no report", "no original", "newer"],
)
async def test_a_damaged_dsn_is_given_up_and_not_guessed_at(damaged: dict[str, object]) -> None:
    relay = Relay()
    async with serving(relay) as port:
        result = await delivery(port).deliver(parcel(**damaged))
    assert (result.delivered, result.permanent, relay.taken) == (False, True, [])


async def test_the_dsn_of_a_refused_mail_tells_its_reason() -> None:
    told = Dsn("msg_1", "", "", T, (DsnRecipient("1@fax.example", "", Action.FAILED, "5.6.0"),))
    relay = Relay()
    async with serving(relay) as port:
        item = Parcel("out_018f", "dsn", "ann@example.org", dsn_to_payload(refused(), told), T, 1)
        assert (await delivery(port).deliver(item)).delivered
    assert b"The PDF is encrypted." in relay.taken[0]
