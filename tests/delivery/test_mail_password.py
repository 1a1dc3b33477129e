"""A password is given once for each mail, by the plainest way that the server offers."""

from __future__ import annotations

import pytest

from faxgw.delivery.mail import MailDelivery
from faxgw.settings import Secret
from tests.delivery.test_mail_oauth import PASSWORD, Server, relay, send, serving


@pytest.mark.parametrize(
    ("offers", "used"),
    [
        ("PLAIN", ["PLAIN"]),
        ("LOGIN", ["LOGIN"]),
        ("CRAM-MD5", ["CRAM-MD5"]),
        ("CRAM-MD5 LOGIN PLAIN", ["PLAIN"]),
        ("SCRAM-SHA-256 DIGEST-MD5 NTLM login", ["LOGIN"]),
    ],
)
async def test_a_password_is_given_as_the_server_wants_it(offers: str, used: list[str]) -> None:
    """RFC 4616, RFC 2195, and LOGIN as everybody has it."""
    async with serving(Server(offers)) as server:
        assert (await send(MailDelivery(relay(server.port, password=Secret(PASSWORD))))).delivered
        assert server.used == used


async def test_a_wrong_password_is_told_once_and_keeps_the_mail() -> None:
    """Whoever is told three times for each mail locks the account."""
    async with serving(Server("PLAIN LOGIN CRAM-MD5")) as server:
        result = await send(MailDelivery(relay(server.port, password=Secret("no"))))
        assert not result.delivered and not result.permanent and "535" in result.detail
        assert server.used == ["PLAIN"]


@pytest.mark.parametrize("reply", ["504 5.5.4 not now", "534 5.7.9 too weak", "500 5.5.2 what"])
async def test_a_mechanism_that_is_refused_is_no_password_that_is(reply: str) -> None:
    """RFC 4954 section 6."""
    async with serving(Server("PLAIN LOGIN", unwanted={"PLAIN": reply})) as server:
        assert (await send(MailDelivery(relay(server.port, password=Secret(PASSWORD))))).delivered
        assert server.used == ["PLAIN", "LOGIN"]


@pytest.mark.parametrize("offers", ["SCRAM-SHA-256", "XOAUTH2 OAUTHBEARER"])
async def test_a_server_without_a_way_for_passwords_is_named_with_what_it_offers(offers: str) -> None:
    async with serving(Server(offers)) as server:
        result = await send(MailDelivery(relay(server.port, password=Secret(PASSWORD))))
        assert not result.delivered and not result.permanent
        assert f"takes no password; it offers {', '.join(sorted(offers.split()))}" in result.detail
        assert server.used == []


async def test_the_last_refusal_of_a_mechanism_is_told() -> None:
    async with serving(Server("PLAIN LOGIN", unwanted={"PLAIN": "504 a", "LOGIN": "534 b"})) as server:
        result = await send(MailDelivery(relay(server.port, password=Secret(PASSWORD))))
        assert not result.delivered and "534" in result.detail
