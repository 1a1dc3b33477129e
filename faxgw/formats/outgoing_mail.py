"""Mail that leaves the gateway: header block and MIME body as octets, read back and compared before anyone sends them.

The header block is written here and not by the `email` package: values are cleaned, encoded as a whole
(RFC 2047) and never folded inside an identifier, so that no text of a stranger can become a header of ours.
The body is an `EmailMessage` (`build`: a status mail gives `alternative_body`), or octets that their maker reads back
himself (`frame`: a DSN, which quotes a stranger's mail).
The result is the same for the same arguments, boundary included: a retry sends the same octets again.

RFC 5322 (format), RFC 2045 to 2047 (MIME), RFC 2387 (related), RFC 3834 (automatic mail), RFC 6532 (UTF-8 headers).
"""

from __future__ import annotations

import base64
import email
import email.policy
import email.utils
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from email.message import EmailMessage, Message, MIMEPart
from typing import Literal

from faxgw.fax.errors import FaxError, Refused

MAX_LINE = 998
"""Octets of a line without CRLF (RFC 5322 section 2.1.1)."""
MAX_SUBJECT = 200
"""Characters of a Subject."""
MAX_IDENTIFIER = 900
"""Characters of a foreign Message-ID that is quoted; a longer one is left out."""
MAX_LOCAL_PART = 64
"""Octets (RFC 5321 section 4.5.3.1.1)."""
MAX_DOMAIN = 255
"""Octets (RFC 5321 section 4.5.3.1.2)."""
_FOLD_AT = 76
"""Characters of a header line we write, where it can be folded at all (RFC 2047 section 2)."""
_WORD_OCTETS = 42
"""Octets of UTF-8 in one encoded word: 56 characters of Base64 and 12 of wrapping stay below 75."""
_CONTENT_POLICY = email.policy.SMTP.clone(cte_type="7bit")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
_ATOMS = r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*"
_ADDRESS = re.compile(
    rf"""({_ATOMS}|"(?:[ !#-\[\]-~]|\\[ -~])*")@({_ATOMS}|\[[0-9A-Za-z:.]{{2,60}}\])""",
)
_MESSAGE_ID = re.compile(r"<?([!-;=?-~]+)>?")


class MailDefect(FaxError):
    """A mail of ours does not read as it was meant: a defect of ours, never sent."""

    default_public = "The fax gateway could not build this mail."


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address that can stand in a header and in an SMTP command."""

    address: str
    """`local@domain`, the domain in ASCII (RFC 5890)."""
    name: str = ""
    """Display name, cleaned when written."""

    @property
    def needs_smtputf8(self) -> bool:
        """True when the local part is not ASCII (RFC 6531)."""
        return not self.address.isascii()

    @property
    def domain(self) -> str:
        """The part after the last `@`."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Picture:
    """An inline picture of the HTML part."""

    png: bytes
    """PNG, or what `subtype` says."""
    content_id: str
    """Without angle brackets; the HTML says `cid:` and this."""
    filename: str
    subtype: str = "png"


@dataclass(frozen=True, slots=True)
class Letterhead:
    """The header block of an automatic mail."""

    sender: Mailbox
    to: Mailbox
    subject: str
    """Any text; cleaned and cut to MAX_SUBJECT."""
    message_id: str
    """`<…>`, given by the caller and the same on every retry."""
    date: float
    """Unix seconds, the same on every retry."""
    zone: tzinfo = UTC
    in_reply_to: str = ""
    """Message-ID of the mail that is answered, as received; dropped when it is none."""
    extra: tuple[tuple[str, str], ...] = ()
    """More headers: name and ASCII tokens, folded at spaces."""
    auto_submitted: Literal["auto-generated", "auto-replied"] = "auto-generated"
    """`auto-replied`: the direct answer to one mail (RFC 3834 section 5)."""


def one_line(text: str, limit: int) -> str:
    """Text of a stranger as one printable line of at most `limit` characters.

    Controls and line ends become spaces; format characters (bidirectional controls and zero-width ones),
    surrogates and unassigned code points are dropped, so that nothing can be hidden or turned round.
    """
    kept = []
    for char in text[: 8 * limit]:
        category = unicodedata.category(char)
        if category in ("Cc", "Zl", "Zp", "Zs"):
            kept.append(" ")
        elif category not in ("Cf", "Cs", "Cn", "Co"):
            kept.append(char)
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def mailbox(address: str, name: str = "") -> Mailbox:
    """An address that was checked (RFC 5321 section 4.1.2; no source route, no comment).

    Raises:
        Refused: If it is none.
    """
    match = _ADDRESS.fullmatch(address)
    local, domain = match.groups() if match else ("", "")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
        octets = len(local.encode()), len(ascii_domain)
    except UnicodeError:
        octets = (0, 0)
    if not (0 < octets[0] <= MAX_LOCAL_PART and 0 < octets[1] <= MAX_DOMAIN):
        raise Refused(f"not a mail address: {address[:100]!r}", public="This is not a mail address.")
    return Mailbox(f"{local}@{ascii_domain}", name)


def alternative_body(
    text: str, html: str, picture: Picture | None, *, seed: str, logo: Picture | None = None
) -> EmailMessage:
    """multipart/alternative of text and HTML, the HTML with its pictures (multipart/related).

    Args:
        text: Lines ended by LF.
        html: One document without references to the outside.
        picture: PNG, or none.
        seed: Makes the boundaries; the Message-ID will do.
        logo: Another picture, before it.

    Raises:
        MailDefect: If text or HTML cannot be encoded as they are (a bare CR, a last line without LF).
    """
    body = EmailMessage(policy=_CONTENT_POLICY)
    body.set_content(text, charset="utf-8", cte="quoted-printable")
    body.add_alternative(html, subtype="html", charset="utf-8", cte="quoted-printable")
    if [_content(part) for part in body.iter_parts()] != [text, html]:
        raise MailDefect("text does not survive its encoding")
    *_, html_part = body.iter_parts()
    for shown in (logo, picture):
        if shown is not None:
            html_part.add_related(
                shown.png,
                "image",
                shown.subtype,
                cid=f"<{shown.content_id}>",
                filename=shown.filename,
                disposition="inline",
            )
    _fix_boundaries(body, seed)
    return body


def _fix_boundaries(body: EmailMessage, seed: str) -> None:
    """Give every multipart a boundary of its own. `=_` cannot occur in quoted-printable or Base64."""
    for number, part in enumerate(p for p in body.walk() if p.is_multipart()):
        digest = hashlib.sha256(f"{number} {seed}".encode()).hexdigest()[:24]
        part.set_boundary(f"=_{number}_{digest}")


def build(head: Letterhead, body: EmailMessage) -> bytes:
    """The octets of the mail: CRLF line ends, 7 bit (but for an address that needs SMTPUTF8).

    Raises:
        MailDefect: If the octets, read back, are not the mail that was meant.
    """
    octets = frame(head, body.as_bytes(policy=_CONTENT_POLICY), list(body))
    compare_parts(email.message_from_bytes(octets, policy=email.policy.SMTP), body)
    return octets


def frame(head: Letterhead, content: bytes, names: Sequence[str]) -> bytes:
    """The octets of a mail whose content is there already; what is in its parts is the caller's to read back.

    Args:
        head: The header block.
        content: Header fields of the content, an empty line, the body; lines ended by CRLF, 7 bit.
        names: Names of those header fields.

    Raises:
        MailDefect: If the header block, read back, is not the one that was meant, or a line is not fit to be sent.
    """
    headers = _headers(head)
    octets = "".join(f"{name}: {value}\r\n" for name, value in headers).encode() + content
    _verify(octets, head, [*(name for name, _ in headers), *names])
    return octets


def text_part(text: str) -> bytes:
    """A text/plain part, header fields and all; quoted-printable.

    Raises:
        MailDefect: If the text cannot be encoded as it is (a bare CR, a last line without LF).
    """
    part = MIMEPart(policy=_CONTENT_POLICY)
    part.set_content(text, charset="utf-8", cte="quoted-printable")
    octets = part.as_bytes(policy=_CONTENT_POLICY)
    found = email.message_from_bytes(octets, policy=email.policy.SMTP).get_content()
    if found.replace("\r\n", "\n") != text:
        raise MailDefect("text does not survive its encoding")
    return octets


def shown_subject(subject: str) -> str:
    """The Subject as it will be read: one line, bounded, and nothing that looks like an encoded word."""
    return one_line(subject, MAX_SUBJECT).replace("=?", "= ?")


def message_identifier(value: str) -> str:
    """A foreign Message-ID in angle brackets, or empty when it is none (RFC 5322 section 3.6.4)."""
    match = _MESSAGE_ID.fullmatch(value.strip())
    return f"<{match.group(1)}>" if match and len(value) <= MAX_IDENTIFIER else ""


def _headers(head: Letterhead) -> list[tuple[str, str]]:
    own_id = message_identifier(head.message_id)
    if own_id != head.message_id:
        raise MailDefect(f"Message-ID {head.message_id!r}")
    date = email.utils.format_datetime(datetime.fromtimestamp(head.date, head.zone))
    headers = [
        ("From", _mailbox_text(head.sender)),
        ("To", _mailbox_text(head.to)),
        ("Subject", _unstructured(shown_subject(head.subject), first=len("Subject: "))),
        ("Date", date),
        ("Message-ID", own_id),
    ]
    if answered := message_identifier(head.in_reply_to):
        headers += [("In-Reply-To", answered), ("References", answered)]
    headers += [("Auto-Submitted", head.auto_submitted), ("X-Auto-Response-Suppress", "All")]
    for name, value in head.extra:
        if not _HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise MailDefect(f"header {name!r}")
        headers.append((name, _folded(value.split(), first=len(name) + 2)))
    return headers


def _mailbox_text(box: Mailbox) -> str:
    name = one_line(box.name, 100).replace("=?", "= ?")
    if not name:
        return box.address
    if name.isascii():
        quoted = re.sub(r'(["\\])', r"\\\1", name)
        return f'"{quoted}"\r\n <{box.address}>'
    return f"{_encoded_words(name)}\r\n <{box.address}>"


def _unstructured(text: str, *, first: int) -> str:
    """A header's value: folded ASCII as it is, anything else as encoded words (RFC 2047 section 5 (1))."""
    return _folded(text.split(), first=first) if text.isascii() else _encoded_words(text)


def _folded(words: Sequence[str], *, first: int) -> str:
    """Words joined by spaces, a line broken before the word that would not fit."""
    lines, room = [""], _FOLD_AT - first
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append(word)
            room = _FOLD_AT - 1
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return "\r\n ".join(lines)


def _encoded_words(text: str) -> str:
    """The whole text as encoded words in Base64, cut between characters (RFC 2047 section 5)."""
    chunks, chunk = [], b""
    for char in text:
        octets = char.encode()
        if len(chunk) + len(octets) > _WORD_OCTETS:
            chunks.append(chunk)
            chunk = b""
        chunk += octets
    chunks.append(chunk)
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(c).decode('ascii')}?=" for c in chunks)


# ------------------------------------------------------------------------------------------------- reading back


def _verify(octets: bytes, head: Letterhead, names: Iterable[str]) -> None:
    """Read the header block back and compare it with what was meant."""
    lines = octets.split(b"\r\n")
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise MailDefect("bare CR or LF")
    if max(map(len, lines)) > MAX_LINE:
        raise MailDefect("line too long")
    if not octets.isascii() and not (head.to.needs_smtputf8 or head.sender.needs_smtputf8):
        raise MailDefect("not 7 bit")
    block = octets.partition(b"\r\n\r\n")[0].decode()  # a reader that sees more or fewer headers ends them there, too
    parsed = _header(block)
    if list(parsed) != [*names]:
        raise MailDefect("headers other than meant")
    if str(parsed["Subject"]) != shown_subject(head.subject):
        raise MailDefect("subject other than meant")
    for name, box in (("From", head.sender), ("To", head.to)):
        if _addresses(parsed, name) != _addresses(_header(f"{name}: {box.address}"), name):
            raise MailDefect(f"{name} other than meant")


def _header(block: str) -> EmailMessage:
    return email.message_from_string(block, EmailMessage, policy=email.policy.SMTPUTF8)


def _addresses(parsed: EmailMessage, name: str) -> list[tuple[str, str]]:
    return [(address.username, address.domain) for address in parsed[name].addresses]


def compare_parts(parsed: EmailMessage, body: EmailMessage) -> None:
    """Compare parts that were read back with those that were meant.

    Raises:
        MailDefect: If they differ, or one is empty.
    """
    found, meant = list(parsed.walk()), list(body.walk())
    if len(found) != len(meant):
        raise MailDefect("parts other than meant")
    for got, want in zip(found, meant, strict=True):
        if got.defects or got.get_content_type() != want.get_content_type():
            raise MailDefect(f"part {want.get_content_type()} is damaged: {got.defects}")
        if _content(got) != _content(want) or not (want.is_multipart() or _content(want)):
            raise MailDefect(f"content of {want.get_content_type()} is empty or differs")


def _content(part: Message) -> str | bytes:
    """Octets, or text with its lines ended by LF; empty for a multipart."""
    if part.is_multipart() or not isinstance(part, EmailMessage):
        return b""
    content = part.get_content()
    return content.replace("\r\n", "\n") if isinstance(content, str) else bytes(content)
