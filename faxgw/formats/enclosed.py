"""A mail with documents: texts first, then each document, put together by hand and read back.

The standard library's writer would go over each line of a document; a fax has some hundred thousand.
"""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage

from faxgw.formats.outgoing_mail import MailDefect, compare_parts

_POLICY = email.policy.SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A document that goes with a mail."""

    name: str
    """File name, ASCII without quotes."""
    content_type: str
    """Such as application/pdf, image/tiff; with parameters where it has some."""
    octets: bytes


def mixed(body: EmailMessage, attachments: Sequence[Attachment], seed: str) -> bytes:
    """multipart/mixed of the texts and the documents. `=_` occurs neither in quoted-printable nor in Base64."""
    boundary = f"=_fax_{hashlib.sha256(seed.encode()).hexdigest()[:24]}".encode()
    pieces = [b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary="%s"\r\n\r\n' % boundary]
    pieces += [b"--%s\r\n" % boundary, body.as_bytes(policy=_POLICY)]
    for document in attachments:
        pieces += [
            b"\r\n--%s\r\n" % boundary,
            f"Content-Type: {document.content_type}\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment;\r\n filename="{document.name}"\r\n\r\n'.encode(),
            base64.encodebytes(document.octets).replace(b"\n", b"\r\n"),
        ]
    return b"".join([*pieces, b"\r\n--%s--\r\n" % boundary])


def verify_parts(octets: bytes, body: EmailMessage, attachments: Sequence[Attachment]) -> None:
    """Read the parts back: the texts as they were built, and each document octet for octet.

    Raises:
        MailDefect: If anything differs.
    """
    parsed = email.message_from_bytes(octets, policy=email.policy.SMTP)
    parts = list(parsed.iter_parts()) if isinstance(parsed, EmailMessage) and parsed.is_multipart() else []
    if parsed.defects or len(parts) != 1 + len(attachments):
        raise MailDefect("parts of the mail other than meant")
    if not isinstance(parts[0], EmailMessage):
        raise MailDefect("texts of the mail other than meant")
    compare_parts(parts[0], body)
    for part, document in zip(parts[1:], attachments, strict=True):
        good = (
            part.get_content_type() == document.content_type.partition(";")[0] and part.get_filename() == document.name
        )
        if part.defects or not good or part.get_payload(decode=True) != document.octets:
            raise MailDefect(f"{document.name} did not survive its encoding")
