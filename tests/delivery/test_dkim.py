"""faxgw.delivery.dkim: what a verifier makes of a signed mail, and of one that was changed on its way."""

from __future__ import annotations

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from pydantic import ValidationError

from faxgw.delivery.dkim import DkimSettings, Signer
from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.settings import Duration, Secret
from tests.delivery.test_mail import Relay, parcel, serving


def pem(key: PrivateKeyTypes) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="module")
def settings() -> DkimSettings:
    return DkimSettings(domain="example.org", selector="fax1", key=Secret(pem(rsa.generate_private_key(65537, 2048))))


MAIL = (
    b"To: ann@example.net\r\nFrom: Fax <fax@example.org>\r\nSubject: Delivered\r\n"
    b"Date: Sun, 22 Nov 2026 07:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain\r\n\r\nAll pages.\r\n"
)


def verifies(mail: bytes, settings: DkimSettings) -> bool:
    asked = []

    def lookup(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return settings.record().encode()

    good: bool = dkim.verify(mail, dnsfunc=lookup)
    assert asked == [b"fax1._domainkey.example.org."]
    return good


def test_a_verifier_believes_it(settings: DkimSettings) -> None:
    signed = Signer([settings]).sign(MAIL, "EXAMPLE.org")
    assert signed.endswith(MAIL)
    assert b"d=example.org" in signed
    assert verifies(signed, settings)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"All pages.", b"No pages."),
        (b"Subject: Delivered", b"Subject: Failed"),
        (b"Subject: Delivered", b"Subject: Failed\r\nSubject: Delivered"),
        (b"From: Fax", b"To: bob@example.net\r\nFrom: Fax"),
        (b"From: Fax", b"From: Eve <eve@example.com>\r\nFrom: Fax"),
    ],
)
def test_what_was_changed_on_the_way_is_not_believed(settings: DkimSettings, old: bytes, new: bytes) -> None:
    signed = Signer([settings]).sign(MAIL, "example.org")
    changed = signed.replace(b"\r\n" + old, b"\r\n" + new)
    assert changed != signed
    assert not verifies(changed, settings)


def test_a_mail_of_another_domain_is_left_alone(settings: DkimSettings) -> None:
    assert Signer([settings]).sign(MAIL, "example.net") == MAIL
    assert Signer(()).sign(MAIL, "example.org") == MAIL


async def test_status_mails_leave_signed(settings: DkimSettings) -> None:
    relay = Relay()
    async with serving(relay) as port:
        chosen = RelaySettings(host="127.0.0.1", port=port, tls="none", sender="fax@example.org", timeout=Duration(5))
        way = MailDelivery(chosen, "", None, Signer([settings]))
        assert (await way.deliver(parcel())).delivered
    assert verifies(relay.taken[0], settings)


@pytest.mark.parametrize("key", ["", "x", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_keys_that_cannot_be(key: str) -> None:
    with pytest.raises(ValidationError, match="RSA key"):
        DkimSettings(domain="example.org", selector="s", key=Secret(key))
