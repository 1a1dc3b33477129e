"""What stands in MAIL, RCPT, AUTH and in replies: pure, linear, bounded.

RFC 5321 sections 4.1.2 and 4.2, RFC 1870, 3461, 4616, 4954, 6152, 6531. Address parsing is laxer than RFC 5321
where people's fax addresses are: spaces, parentheses and colons may stand unquoted between the angle brackets.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass

MAX_PATH = 512
"""Characters of an address: 256 by RFC 5321 section 4.5.3.1.3, twice that for Exchange's encapsulation."""
MAX_PARAMETERS = 10
"""Parameters of one MAIL or RCPT."""
MAX_SIZE_DIGITS = 20
"""RFC 1870 section 5."""
MAX_ENVID = 100
"""RFC 3461 section 4.4."""
MAX_ORCPT = 500
"""RFC 3461 section 4.2."""
REPLY_CHARACTERS = 450
"""Text of a reply line; the line is at most 512 octets (RFC 5321 section 4.5.3.1.5)."""
MAX_CREDENTIAL = 1_024
"""Octets of a login or password."""

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_ORCPT = re.compile(r"[A-Za-z0-9-]{1,40};[^\s\x00-\x1f\x7f]+")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,40})(?:=([^\s=][^\s]*))?")
_FOLDED = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "...", "×": "x"})
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})


class SyntaxFault(Exception):
    """A command's argument is wrong; the text is the reply."""


@dataclass(frozen=True, slots=True)
class MailArgument:
    """MAIL FROM."""

    sender: str
    """Without angle brackets; empty for the null sender."""
    size: int = 0
    """SIZE, octets; 0 when not given."""
    smtputf8: bool = False
    ret: str = ""
    """`FULL`, `HDRS` or empty."""
    envid: str = ""
    """As given."""


@dataclass(frozen=True, slots=True)
class RecipientArgument:
    """RCPT TO."""

    address: str
    notify: str = ""
    """As given, upper case."""
    orcpt: str = ""
    """As given."""


def parse_mail(argument: str) -> MailArgument:
    """Read the argument of MAIL.

    Raises:
        SyntaxFault: With the reply.
    """
    path, parameters = _command(argument, "FROM:", "MAIL FROM:<address>")
    size, ret, envid = parameters.pop("SIZE", "0"), parameters.pop("RET", "").upper(), parameters.pop("ENVID", "")
    body, smtputf8 = parameters.pop("BODY", "7BIT").upper(), parameters.pop("SMTPUTF8", None)
    parameters.pop("AUTH", None)  # RFC 4954 section 5: taken, and never believed
    _require_known(parameters)
    if not (size.isascii() and size.isdigit()) or len(size) > MAX_SIZE_DIGITS:
        raise SyntaxFault("501 5.5.4 SIZE is a number of octets")
    if body not in ("7BIT", "8BITMIME"):
        raise SyntaxFault("501 5.5.4 BODY is 7BIT or 8BITMIME")
    if smtputf8:
        raise SyntaxFault("501 5.5.4 SMTPUTF8 has no value")
    if ret not in ("", "FULL", "HDRS"):
        raise SyntaxFault("501 5.5.4 RET is FULL or HDRS")
    if envid and (len(envid) > MAX_ENVID or not _XTEXT.fullmatch(envid)):
        raise SyntaxFault("501 5.5.4 ENVID is xtext of at most 100 characters")
    if not path.isascii() and smtputf8 is None:
        raise SyntaxFault("553 5.6.7 This address needs SMTPUTF8")
    return MailArgument(path, int(size), smtputf8 is not None, ret, envid)


def parse_recipient(argument: str, *, smtputf8: bool) -> RecipientArgument:
    """Read the argument of RCPT.

    Args:
        argument: What follows the command.
        smtputf8: Whether MAIL asked for it.

    Raises:
        SyntaxFault: With the reply.
    """
    path, parameters = _command(argument, "TO:", "RCPT TO:<address>")
    notify, orcpt = parameters.pop("NOTIFY", "").upper(), parameters.pop("ORCPT", "")
    _require_known(parameters)
    if not path:
        raise SyntaxFault("501 5.1.3 A recipient is needed")
    asked = notify.split(",")
    if notify not in ("", "NEVER") and not (_NOTIFY.issuperset(asked) and len(asked) == len(set(asked))):
        raise SyntaxFault("501 5.5.4 NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY")
    if orcpt and (len(orcpt) > MAX_ORCPT or not _ORCPT.fullmatch(orcpt)):
        raise SyntaxFault("501 5.5.4 ORCPT is a type, a semicolon and an address")
    if not path.isascii() and not smtputf8:
        raise SyntaxFault("553 5.6.7 This address needs SMTPUTF8")
    return RecipientArgument(path, notify, orcpt)


def one_line(text: str) -> str:
    """A text fit for a reply: one line of printable ASCII, bounded."""
    if text.isascii() and text.isprintable():  # nearly all: the rest would change nothing
        return " ".join(text.split())[:REPLY_CHARACTERS]
    folded = unicodedata.normalize("NFKD", text.translate(_FOLDED))
    plain = "".join(c for c in folded if not unicodedata.combining(c))
    return " ".join("".join(c if " " <= c <= "~" else " " if c.isspace() else "?" for c in plain).split())[
        :REPLY_CHARACTERS
    ]


def decode_base64(text: str) -> bytes:
    """Octets of an AUTH exchange.

    Raises:
        SyntaxFault: With the reply.
    """
    try:
        return base64.b64decode("" if text == "=" else text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise SyntaxFault("501 5.5.2 This is not base64") from exc


def credential(octets: bytes) -> str:
    """A login or password.

    Raises:
        SyntaxFault: With the reply.
    """
    if len(octets) > MAX_CREDENTIAL or b"\0" in octets:
        raise SyntaxFault("501 5.5.2 Malformed credentials")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise SyntaxFault("501 5.5.2 Credentials are UTF-8") from exc


def plain_credentials(octets: bytes) -> tuple[str, str]:
    """Login and password of SASL PLAIN (RFC 4616). Acting for another user is not possible.

    Raises:
        SyntaxFault: With the reply.
    """
    parts = octets.split(b"\0")
    if len(parts) != 3:
        raise SyntaxFault("501 5.5.2 Malformed credentials")
    on_behalf, login, password = map(credential, parts)
    if on_behalf not in ("", login):
        raise SyntaxFault("535 5.7.8 A login cannot act for another one")
    return login, password


def _command(argument: str, keyword: str, form: str) -> tuple[str, dict[str, str]]:
    if argument[: len(keyword)].upper() != keyword:
        raise SyntaxFault(f"501 5.5.4 Syntax: {form}")
    text = argument[len(keyword) :].lstrip(" ")
    if not text:
        raise SyntaxFault(f"501 5.5.4 Syntax: {form}")
    path, rest = _bracketed(text) if text.startswith("<") else _bare(text)
    if path.startswith("@") and ":" in path:
        path = path.partition(":")[2]  # RFC 5321 section 4.1.1.3: a source route is ignored
    if len(path) > MAX_PATH:
        raise SyntaxFault("501 5.1.3 The address is too long")
    if any(not c.isprintable() for c in path):
        raise SyntaxFault("501 5.1.3 The address is malformed")
    return path, _parameters(rest)


def _bracketed(text: str) -> tuple[str, str]:
    """The path between angle brackets, of which a quoted string may hold some, and what follows."""
    quoted = escaped = False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif index and not quoted and character in "<>":
            if character == "<":
                break
            return text[1:index].strip(" "), text[index + 1 :]
    raise SyntaxFault("501 5.1.3 The address is malformed")


def _bare(text: str) -> tuple[str, str]:
    path, _, rest = text.partition(" ")
    if "<" in path or ">" in path:
        raise SyntaxFault("501 5.1.3 The address is malformed")
    return path, " " + rest


def _parameters(text: str) -> dict[str, str]:
    if text and not text.startswith(" "):
        raise SyntaxFault("501 5.1.3 The address is malformed")
    words = text.split()
    found: dict[str, str] = {}
    for word in words[: MAX_PARAMETERS + 1]:
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in found or len(words) > MAX_PARAMETERS:
            raise SyntaxFault("501 5.5.4 A parameter is malformed")
        found[match[1].upper()] = match[2] or ""
    return found


def _require_known(parameters: dict[str, str]) -> None:
    if parameters:
        raise SyntaxFault(f"555 5.5.4 {one_line(next(iter(parameters)))} is not supported")
