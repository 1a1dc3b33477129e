"""DKIM signatures of the mails that leave (RFC 6376): RSA-SHA-256, relaxed, one for the domain in From.

The fields that say who, to whom and what are signed twice as often as they stand in the mail, so that none can be
added to them unnoticed (section 5.4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import Field, field_validator

from faxgw.fax.errors import FaxError
from faxgw.settings import Secret, Section

MIN_BITS = 1024
"""Of a key (RFC 8301 section 3.2); 2048 is what one makes today."""
_FIELDS = (
    b"from", b"to", b"subject", b"date", b"message-id", b"in-reply-to", b"references", b"reply-to", b"cc",
    b"mime-version", b"content-type", b"auto-submitted",
)  # fmt: skip
"""Fields that are signed where they stand; those of `_SEALED` also once more than they do."""
_SEALED = (b"from", b"to", b"subject", b"date", b"message-id")


class DkimSettings(Section):
    """`[[dkim]]`: the key that mails of a domain are signed with."""

    domain: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$")] = Field(examples=["example.org"])
    """Domain of the addresses in From, lower case."""
    selector: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$")] = Field(examples=["fax2026"])
    """Name of the key: its public half stands in DNS under `selector._domainkey.domain`."""
    key: Secret
    """RSA key, PEM; name the file: `{ file = "/etc/faxgw/dkim.pem" }`."""

    @field_validator("key")
    @classmethod
    def _is_key(cls, value: Secret) -> Secret:
        _private(value)
        return value

    def record(self) -> str:
        """What must stand in DNS, as TXT."""
        public = _private(self.key).public_key()
        octets = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return "v=DKIM1; k=rsa; p=" + "".join(octets.decode().splitlines()[1:-1])


class Signer:
    """Signs mails.

    Args:
        keys: One for each domain.
    """

    def __init__(self, keys: Sequence[DkimSettings]) -> None:
        self._keys = {
            key.domain: (
                key.selector.encode(),
                _private(key.key).private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.TraditionalOpenSSL,
                    serialization.NoEncryption(),
                ),
            )
            for key in keys
        }

    def sign(self, mail: bytes, domain: str) -> bytes:
        """The mail with a signature in front, if there is a key for the domain in From; blocking, some milliseconds.

        Raises:
            FaxError: If it cannot be signed: it is not sent unsigned.
        """
        found = self._keys.get(domain.lower())
        if found is None:
            return mail
        selector, key = found
        present = {line.partition(b":")[0].lower() for line in mail.partition(b"\r\n\r\n")[0].split(b"\r\n")}
        fields = [field for field in _FIELDS if field in present] + list(_SEALED)
        try:
            signature: bytes = dkim.sign(
                mail, selector, domain.lower().encode(), key, canonicalize=(b"relaxed", b"relaxed"),
                include_headers=fields,
            )  # fmt: skip
        except dkim.DKIMException as exc:
            raise FaxError(f"DKIM: {exc}") from exc
        return signature + mail


def _private(key: Secret) -> rsa.RSAPrivateKey:
    try:
        found = serialization.load_pem_private_key(key.reveal().encode(), None)
    except (ValueError, TypeError) as exc:
        raise ValueError("must be an RSA key in PEM without a password") from exc
    if not isinstance(found, rsa.RSAPrivateKey) or found.key_size < MIN_BITS:
        raise ValueError(f"must be an RSA key of at least {MIN_BITS} bits")
    return found
