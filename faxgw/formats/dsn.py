"""The delivery status notification: a status mail whose second part machines read and whose third is the mail itself.

Pure: a report and its `Dsn` go in, octets come out. The text part is the status mail's. The whole is 7 bit: an address
that is not ASCII is written as `utf-8` in the form of RFC 6533 section 3, a header that is not is quoted-printable; a
mail that is not 7 bit itself, or too large, comes back as its header. What a client gave (ENVID, ORCPT, address) is
echoed decoded only where it decodes to printable ASCII, so that no xtext can become a field of ours.

RFC 3461 section 6 (DSNs asked for by SMTP), RFC 3464 (fields), RFC 6522 (multipart/report), RFC 6533, RFC 3834.
"""

from __future__ import annotations

import email
import email.policy
import email.utils
import hashlib
import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage, Message

from faxgw.fax.dsn import Action, Dsn, DsnRecipient
from faxgw.fax.report import JobReport, RefusedReport
from faxgw.formats.outgoing_mail import (
    MAX_LINE,
    Letterhead,
    MailDefect,
    frame,
    mailbox,
    one_line,
    text_part,
)
from faxgw.formats.status_mail import refused_letter, status_letter

MAX_HEADER = 65_536
"""Octets of the original's header that are returned; the rest is left out at the end of a line."""
MAX_MAIL = 1_048_576
"""Octets of a mail that RET=FULL returns whole; of a larger one its header (RFC 3461 section 4.3 leaves it to us)."""
MAX_FIELD = 900
"""Characters of one address or text in a field: it cannot be folded, and a line has at most 998."""
MAX_DIAGNOSTIC = 500
"""Characters of a Diagnostic-Code."""
_FOLD_AT = 76
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_DOT_ATOM = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_TYPE = re.compile(r"[A-Za-z0-9-]{1,40}")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")


@dataclass(frozen=True, slots=True)
class Original:
    """The mail that a DSN speaks of, as far as it was read from the spool."""

    octets: bytes
    """From its beginning."""
    complete: bool
    """True when it is all of it."""


def dsn_mail(
    report: JobReport | RefusedReport,
    dsn: Dsn,
    original: Original | None,
    *,
    to: str,
    sender: str,
    reporting_mta: str,
    message_id: str,
    date: float,
    organisation: str = "Fax gateway",
) -> bytes:
    """The DSN as a mail; it leaves with the null return path.

    Args:
        report: What the text tells.
        dsn: What the fields tell.
        original: The mail it speaks of; None when the spool has it no more (RFC 6522 section 3: the part is optional).
        to: The mail's return path.
        sender: The gateway's own address, shown in From.
        reporting_mta: Name of this host (RFC 3464 section 2.2.2).
        message_id: `<…>`, the same on every retry.
        date: Unix seconds, the same on every retry.
        organisation: Display name of the sender.

    Raises:
        Refused: If `to` or `sender` is no mail address, or a job's report has no fax.
        MailDefect: If the mail does not read back as it was meant.
    """
    if isinstance(report, RefusedReport):
        letter = refused_letter(report, organisation)
    else:
        letter = status_letter(report, organisation)
    head = Letterhead(
        sender=mailbox(sender, organisation),
        to=mailbox(to),
        subject=letter.subject,
        message_id=message_id,
        date=date,
        zone=letter.zone,
        in_reply_to=letter.in_reply_to,
        extra=letter.marks,
        auto_submitted="auto-replied",
    )
    blocks = [message_fields(dsn, reporting_mta), *(recipient_fields(r) for r in dsn.recipients)]
    parts = [text_part(letter.text()), _status_part(blocks)]
    if original is not None:
        parts.append(_original_part(original, whole=dsn.returns_all))
    octets = frame(head, _multipart(parts, message_id), ["MIME-Version", "Content-Type"])
    _verify(octets, parts, blocks)
    return octets


Fields = list[tuple[str, str]]


def message_fields(dsn: Dsn, reporting_mta: str) -> Fields:
    """The per-message fields (RFC 3464 section 2.2)."""
    if not _HOST.fullmatch(reporting_mta):
        raise MailDefect(f"Reporting-MTA {reporting_mta!r}")
    fields = [("Original-Envelope-Id", plain_xtext(dsn.envid))] if dsn.envid else []
    return [*fields, ("Reporting-MTA", f"dns;{reporting_mta}"), ("Arrival-Date", _date(dsn.arrived_at))]


def recipient_fields(recipient: DsnRecipient) -> Fields:
    """The per-recipient fields (RFC 3464 section 2.3); Original-Recipient only where the client gave ORCPT."""
    fields = [("Original-Recipient", original_recipient(recipient))] if recipient.orcpt else []
    fields += [
        ("Final-Recipient", final_recipient(recipient.address)),
        ("Action", recipient.action.value),
        ("Status", recipient.status),
    ]
    if diagnostic := _ascii(recipient.diagnostic, MAX_DIAGNOSTIC):
        fields.append(("Diagnostic-Code", f"x-fax;{diagnostic}"))
    if recipient.last_attempt is not None:
        fields.append(("Last-Attempt-Date", _date(recipient.last_attempt)))
    if recipient.fax:
        fields.append(("Final-Log-ID", _ascii(recipient.fax, MAX_FIELD)))
    if recipient.retry_until is not None and recipient.action is Action.DELAYED:
        fields.append(("Will-Retry-Until", _date(recipient.retry_until)))
    if recipient.pages_total:
        fields.append(("X-Fax-Pages", f"{recipient.pages_confirmed}/{recipient.pages_total}"))
    return fields


def plain_xtext(value: str) -> str:
    """An xtext decoded (RFC 3461 section 4); as it is when it is none, or hides what is not printable ASCII."""
    if not _XTEXT.fullmatch(value):
        return _ascii(value, MAX_FIELD)
    octets = re.sub(rb"\+([0-9A-F]{2})", lambda m: bytes.fromhex(m[1].decode()), value.encode("ascii"))
    decoded = octets.decode("ascii", "replace")
    return (decoded if decoded.isascii() and decoded.isprintable() else value)[:MAX_FIELD]


def original_recipient(recipient: DsnRecipient) -> str:
    """Original-Recipient: the type and address of ORCPT.

    A client that gives `+49…` unencoded, as in its RCPT, is understood: what equals the RCPT is taken as it is.
    """
    kind, _, value = recipient.orcpt.partition(";")
    if not _TYPE.fullmatch(kind):
        return f"unknown;{_ascii(recipient.orcpt, MAX_FIELD)}"
    if not value.isascii():
        return f"utf-8;{_unicode_xtext(value)}"
    if value.casefold() == recipient.address.casefold() or kind.lower() == "utf-8":
        return f"{kind};{_ascii(value, MAX_FIELD)}"
    return f"{kind};{plain_xtext(value)}"


def final_recipient(address: str) -> str:
    """Final-Recipient: `rfc822`, its local part quoted where it must be, else `utf-8` (RFC 6533 section 3)."""
    local, _, domain = address.rpartition("@")
    if not _DOT_ATOM.fullmatch(local) and not _QUOTED.fullmatch(local):
        escaped = re.sub(r'(["\\])', r"\\\1", local)
        local = f'"{escaped}"'
    quoted = f"{local}@{domain}"
    return f"rfc822;{_ascii(quoted, MAX_FIELD)}" if quoted.isascii() else f"utf-8;{_unicode_xtext(quoted)}"


def _unicode_xtext(address: str) -> str:
    r"""`utf-8-addr-xtext`: what is not printable ASCII, and `\`, `+`, `=`, as `\x{…}` (RFC 6533 section 3)."""
    written = ""
    for char in address:
        plain = "!" <= char <= "~" and char not in "\\+="
        piece = char if plain else f"\\x{{{ord(char):02X}}}"
        if len(written) + len(piece) > MAX_FIELD:
            break
        written += piece
    return written


def _ascii(text: str, limit: int) -> str:
    """One printable line of ASCII; anything else becomes a question mark."""
    return "".join(c if c.isascii() else "?" for c in one_line(text, limit).replace("…", "..."))


def _date(at: float) -> str:
    return email.utils.format_datetime(datetime.fromtimestamp(at, UTC))


# -------------------------------------------------------------------------------------------------------- the parts


def _status_part(blocks: Sequence[Fields]) -> bytes:
    """message/delivery-status: blocks of fields, each ended by an empty line (RFC 3464 section 2.1)."""
    written = ["\r\n".join(_folded(name, value) for name, value in block) + "\r\n" for block in blocks]
    return ("Content-Type: message/delivery-status\r\n\r\n" + "\r\n".join(written)).encode("ascii")


def _folded(name: str, value: str) -> str:
    """A field, folded at single spaces; a word is never broken."""
    line, lines = f"{name}:", []
    for word in value.split(" "):
        if word and line != f"{name}:" and len(line) + 1 + len(word) > _FOLD_AT:
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line])


def _original_part(original: Original, *, whole: bool) -> bytes:
    """The mail as message/rfc822, or its header as text/rfc822-headers (RFC 6522 section 4)."""
    if whole and original.complete and len(original.octets) <= MAX_MAIL and _is_7bit(original.octets):
        return b"Content-Type: message/rfc822\r\n\r\n" + original.octets
    header = header_of(original.octets)
    if _is_7bit(header):
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + header
    text = header.decode("utf-8", "replace").encode()
    lines = [quopri.encodestring(line).replace(b"\n", b"\r\n") for line in text.split(b"\r\n")]
    return (
        b"Content-Type: text/rfc822-headers; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + b"\r\n".join(lines)
    )


def header_of(octets: bytes) -> bytes:
    """The header block of a mail with its last CRLF, cut at the end of a line to MAX_HEADER; no bare CR or LF."""
    if octets.startswith(b"\r\n"):
        return b""
    header = octets.partition(b"\r\n\r\n")[0][: MAX_HEADER + 2]
    if len(header) > MAX_HEADER:
        header = header[: header.rfind(b"\r\n", 0, MAX_HEADER)] if b"\r\n" in header[:MAX_HEADER] else b""
    lines = (line.replace(b"\r", b" ").replace(b"\n", b" ") for line in header.split(b"\r\n"))
    return b"\r\n".join(lines).rstrip(b"\r\n") + b"\r\n"


def _is_7bit(octets: bytes) -> bool:
    """True of what any relay takes as it is (RFC 2045 section 2.7)."""
    if not octets.isascii() or b"\0" in octets:
        return False
    lines = octets.split(b"\r\n")
    return all(len(line) <= MAX_LINE and b"\r" not in line and b"\n" not in line for line in lines)


def _multipart(parts: Sequence[bytes], seed: str) -> bytes:
    boundary = _boundary(parts, seed)
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"
    return (
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status;\r\n"
        b' boundary="' + boundary + b'"\r\n\r\n' + body
    )


def _boundary(parts: Sequence[bytes], seed: str) -> bytes:
    """One that stands in no part."""
    number = 0
    while True:
        boundary = f"=_dsn_{hashlib.sha256(f'{number} {seed}'.encode()).hexdigest()[:24]}".encode()
        if not any(boundary in part for part in parts):
            return boundary
        number += 1


# ----------------------------------------------------------------------------------------------------- reading back


def _verify(octets: bytes, parts: Sequence[bytes], blocks: Sequence[Fields]) -> None:
    """Read the parts back: these and no others, the fields as meant."""
    parsed = email.message_from_bytes(octets, policy=email.policy.SMTP)
    found = list(parsed.iter_parts()) if isinstance(parsed, EmailMessage) else []
    if parsed.defects or len(found) != len(parts):
        raise MailDefect("parts of the report other than meant")
    status = found[1].get_payload()
    if found[1].get_content_type() != "message/delivery-status" or not isinstance(status, list):
        raise MailDefect("no delivery status")
    if [_fields(block) for block in status] != [_spaced(block) for block in blocks]:
        raise MailDefect("fields of the delivery status other than meant")


def _fields(block: Message | str) -> Fields:
    if isinstance(block, str):
        raise MailDefect("delivery status is a text")
    return _spaced([(name, str(value)) for name, value in block.raw_items()])


def _spaced(fields: Fields) -> Fields:
    """Fields with folding undone."""
    return [(name, " ".join(value.split())) for name, value in fields]
