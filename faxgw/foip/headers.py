"""Values of SIP header fields (RFC 3261 sections 20 and 25.1): each parses from text and prints as text.

The grammar is read as it is written where a misreading would matter (separators, quoting, numbers), and leniently
in parameter values, where the field uses more characters than the RFC allows. White space around separators is
allowed everywhere the RFC has LWS. Everything raised is `RemoteProtocolError` with status 400.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.uri import MAX_PORT, Params, Uri, find_param, format_params, parse_uri

MAX_PARAMS = 64
"""Parameters of one header value at most."""
MAX_CSEQ = 2**31 - 1
"""RFC 3261 section 8.1.1.5: less than 2**31."""
MAX_SECONDS = 2**32 - 1
"""RFC 3261 section 20.19: larger delta-seconds are read as this."""
BRANCH_MAGIC = "z9hG4bK"
"""RFC 3261 section 8.1.1.7."""

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_VALUE = r"[!#-+\-./0-9:=?-~]+"  # more than a token: base64 and addresses are in the field
_TOKEN = re.compile(TOKEN)
_PARAM = re.compile(rf"\s*;\s*(?P<name>{TOKEN})\s*(?:=\s*(?P<value>{_QUOTED}|{_VALUE})\s*)?", re.DOTALL)
_NAME_ADDR = re.compile(
    rf"\s*(?P<display>{_QUOTED}|(?:{TOKEN}(?:\s+{TOKEN})*)?)\s*<(?P<uri>[^<>]*)>(?P<params>.*)", re.DOTALL
)
_ADDR_SPEC = re.compile(r"\s*(?P<uri>[^\s;,?<>\"]+)(?P<params>\s*(?:;.*)?)", re.DOTALL)
_VIA = re.compile(
    rf"\s*SIP\s*/\s*2\.0\s*/\s*(?P<transport>{TOKEN})\s+(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-]+)"
    r"(?:\s*:\s*(?P<port>\d{1,5}))?(?P<params>\s*(?:;.*)?)",
    re.DOTALL | re.IGNORECASE,
)
_CSEQ = re.compile(rf"\s*(?P<number>\d{{1,64}})\s+(?P<method>{TOKEN})\s*")
_CAUSE = re.compile(rf"\s*(?P<protocol>{TOKEN})(?P<params>\s*(?:;.*)?)", re.DOTALL)
_DIGITS = re.compile(r"\s*(\d+)")
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)


def split_list(text: str) -> list[str]:
    """Split a comma-separated list, leaving commas in quotes and angle brackets alone (RFC 3261 section 7.3.1).

    Raises:
        RemoteProtocolError: If an element is empty, or a quote or a bracket in a list is never closed.
    """
    if "," not in text:
        if not text.strip():
            raise RemoteProtocolError("empty element in a list")
        return [text.strip()]
    parts: list[str] = []
    start = 0
    depth = 0
    quoted = False
    position = 0
    while position < len(text):
        char = text[position]
        if quoted:
            if char == "\\":
                position += 1
            elif char == '"':
                quoted = False
        elif char == '"' and not depth:
            quoted = True
        elif char == "<":
            depth += 1
        elif char == ">":
            depth -= 1
        elif char == "," and not depth:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    parts.append(text[start:].strip())
    if quoted or depth:
        raise RemoteProtocolError("quote or bracket not closed")
    if not all(parts):
        raise RemoteProtocolError("empty element in a list")
    return parts


def unquote(text: str) -> str:
    """The content of a quoted string, or the text itself."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _UNQUOTE.sub(r"\1", text[1:-1])
    return text


def quote(text: str) -> str:
    """A quoted string of the text."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 3261 section 25.1."""
    return _TOKEN.fullmatch(text) is not None


def parse_params(text: str) -> Params:
    """Read `;name=value;flag` to the end of the text."""
    params: list[tuple[str, str | None]] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _PARAM.match(text, position)
        if match is None or len(params) >= MAX_PARAMS:
            raise RemoteProtocolError("malformed header parameters")
        params.append((match["name"], match["value"]))
        position = match.end()
    return tuple(params)


def parse_seconds(text: str) -> int:
    """The delta-seconds at the start of the text, clamped to MAX_SECONDS (RFC 3261 sections 20.19 and 20.33)."""
    match = _DIGITS.match(text)
    if match is None:
        raise RemoteProtocolError("no number of seconds")
    digits = match[1].lstrip("0") or "0"
    return MAX_SECONDS if len(digits) > 10 else min(int(digits), MAX_SECONDS)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A name-addr or addr-spec with header parameters: From, To, Contact, Route, Record-Route."""

    uri: Uri
    """The URI."""
    display: str = ""
    """Display name without quotes; empty if there is none."""
    params: Params = ()
    """Header parameters (tag, q, expires …)."""

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Read one value.

        Raises:
            RemoteProtocolError: 400; also if a URI that needs angle brackets has none (section 20.10).
        """
        return _parse_name_addr(text)

    @property
    def tag(self) -> str:
        """The tag parameter, empty if there is none."""
        return find_param(self.params, "tag") or ""

    def param(self, name: str) -> str | None:
        """The value of header parameter `name`, "" without a value, None if absent."""
        return find_param(self.params, name)

    def tagged(self, tag: str) -> NameAddr:
        """The same with this tag and no other; without any if `tag` is empty."""
        rest = tuple(pair for pair in self.params if pair[0].lower() != "tag")
        return replace(self, params=(*rest, ("tag", tag)) if tag else rest)

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{format_params(self.params)}"


@lru_cache(maxsize=512)
def _parse_name_addr(text: str) -> NameAddr:
    if "<" in text:
        match = _NAME_ADDR.fullmatch(text)
    else:
        match = _ADDR_SPEC.fullmatch(text)
    if match is None:
        raise RemoteProtocolError("malformed address")
    display = unquote(match["display"].strip()) if "<" in text else ""
    return NameAddr(parse_uri(match["uri"]), display, parse_params(match["params"]))


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value (RFC 3261 section 20.42, RFC 3581)."""

    transport: str
    """UDP, TCP, TLS, SCTP or whatever was said, in upper case."""
    host: str
    """The sent-by host, IPv6 in brackets."""
    port: int | None = None
    """The sent-by port."""
    params: Params = ()
    """branch, received, rport …"""

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one value."""
        return _parse_via(text)

    @property
    def branch(self) -> str:
        """The branch parameter, empty if there is none."""
        return find_param(self.params, "branch") or ""

    @property
    def has_unique_branch(self) -> bool:
        """Whether the branch identifies the transaction: magic cookie and something behind it (section 17.2.3)."""
        return self.branch.startswith(BRANCH_MAGIC) and len(self.branch) > len(BRANCH_MAGIC)

    def param(self, name: str) -> str | None:
        """The value of parameter `name`, "" without a value, None if absent."""
        return find_param(self.params, name)

    def received_from(self, host: str, port: int) -> Via:
        """The value as a server keeps it (sections 18.2.1; RFC 3581 section 4): received, and rport if asked for."""
        wants_port = self.param("rport") is not None
        if not wants_port and self.host.strip("[]") == host:
            return self
        rest = tuple(pair for pair in self.params if pair[0].lower() not in ("received", "rport"))
        added: Params = (("received", host),)
        return replace(self, params=rest + added + ((("rport", str(port)),) if wants_port else ()))

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {self.host}{port}{format_params(self.params)}"


@lru_cache(maxsize=512)
def _parse_via(text: str) -> Via:
    match = _VIA.fullmatch(text)
    if match is None:
        raise RemoteProtocolError("malformed Via")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port <= MAX_PORT:
        raise RemoteProtocolError("port out of range in Via")
    return Via(match["transport"].upper(), match["host"], port, parse_params(match["params"]))


@dataclass(frozen=True, slots=True)
class CSeq:
    """A CSeq value (RFC 3261 section 20.16)."""

    number: int
    """0 to 2**31 - 1."""
    method: str
    """Case-sensitive."""

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read the value."""
        match = _CSEQ.fullmatch(text)
        if match is None or int(match["number"]) > MAX_CSEQ:
            raise RemoteProtocolError("malformed or overlarge CSeq")
        return cls(int(match["number"]), match["method"])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class Cause:
    """One value of a Reason header field (RFC 3326), for example `Q.850;cause=17;text="user busy"`."""

    protocol: str
    """`Q.850` or `SIP`, in upper case."""
    code: int
    """The cause: 1 to 127 of Q.850, or a SIP status."""
    text: str = ""
    """The text parameter."""

    @classmethod
    def parse(cls, text: str) -> Cause:
        """Read one value."""
        match = _CAUSE.fullmatch(text)
        if match is None:
            raise RemoteProtocolError("malformed Reason")
        params = parse_params(match["params"])
        code = find_param(params, "cause") or ""
        if not code.isascii() or not code.isdigit() or len(code) > 3:
            raise RemoteProtocolError("no cause in Reason")
        return cls(match["protocol"].upper(), int(code), unquote(find_param(params, "text") or ""))

    def __str__(self) -> str:
        text = f";text={quote(self.text)}" if self.text else ""
        return f"{self.protocol};cause={self.code}{text}"
