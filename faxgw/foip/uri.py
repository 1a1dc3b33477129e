"""SIP and SIPS URIs, and every other URI as far as SIP needs it (RFC 3261 sections 19.1 and 25.1).

Values are kept as they were written, escapes included, so that what is parsed is sent again unchanged;
`SipUri.username` gives the meaning. Names are never resolved here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import quote, unquote

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError

MAX_URI = 2048
"""Characters of one URI at most; the longest of RFC 4475 (longreq) has about 600."""
MAX_PORT = 65535
DEFAULT_PORT = 5060
"""RFC 3261 section 19.1.2; 5061 for TLS."""
DEFAULT_TLS_PORT = 5061

_ESCAPED = r"%[0-9A-Fa-f]{2}"
_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
_USER = rf"(?:[{_UNRESERVED}&=+$,;?/]|{_ESCAPED})+"
_PASSWORD = rf"(?:[{_UNRESERVED}&=+$,]|{_ESCAPED})*"
_HOST = r"\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.\-]{1,255}"  # the underscore is no host name, but it is in the field
_PARAM_CHARS = rf"(?:[{_UNRESERVED}\[\]/:&+$]|{_ESCAPED})+"
_HEADER_CHARS = rf"(?:[{_UNRESERVED}\[\]/?:+$]|{_ESCAPED})*"
_SIP_URI = re.compile(
    rf"(?P<scheme>sips?):(?:(?P<user>{_USER})(?::(?P<password>{_PASSWORD}))?@)?(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?"
    rf"(?P<params>(?:;{_PARAM_CHARS}(?:={_PARAM_CHARS})?)*)"
    rf"(?:\?(?P<headers>{_HEADER_CHARS}={_HEADER_CHARS}(?:&{_HEADER_CHARS}={_HEADER_CHARS})*))?",
    re.IGNORECASE,
)
_ABSOLUTE_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*):(?P<opaque>[^\s<>\"\x00-\x20\x7f]+)")
_SAFE_IN_USER = "-_.!~*'()&=+$,/"

Params = tuple[tuple[str, str | None], ...]
"""Parameters in their order; the value is None where there was no `=`."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """A `sip:` or `sips:` URI."""

    host: str
    """Host name or IP literal as written, IPv6 in brackets."""
    user: str | None = None
    """User part as written, with its escapes."""
    port: int | None = None
    """1 to 65535, or None for the scheme's default."""
    scheme: str = "sip"
    """`sip` or `sips`."""
    password: str | None = None
    """Password part as written; never logged."""
    params: Params = ()
    """URI parameters, escapes kept."""
    headers: str = ""
    """What follows `?`, as written."""

    @property
    def username(self) -> str:
        """The user part with escapes resolved; empty if there is none."""
        return unquote(self.user or "", errors="replace")

    def param(self, name: str) -> str | None:
        """The value of parameter `name` (any case), "" if it has none, None if it is absent."""
        return find_param(self.params, name)

    @property
    def effective_port(self) -> int:
        """The port, or the default of its scheme and transport (RFC 3261 section 19.1.2)."""
        secure = self.scheme == "sips" or (self.param("transport") or "").lower() == "tls"
        return self.port or (DEFAULT_TLS_PORT if secure else DEFAULT_PORT)

    def __str__(self) -> str:
        user = "" if self.user is None else self.user + ("" if self.password is None else f":{self.password}") + "@"
        port = "" if self.port is None else f":{self.port}"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{self.host}{port}{format_params(self.params)}{headers}"


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A URI of any other scheme: carried, compared, never followed."""

    scheme: str
    """In lower case."""
    opaque: str
    """All that follows the colon."""

    def __str__(self) -> str:
        return f"{self.scheme}:{self.opaque}"


Uri = SipUri | OtherUri


@lru_cache(maxsize=512)
def parse_uri(text: str) -> Uri:
    """Read one URI, no white space around it.

    Raises:
        RemoteProtocolError: 400 if it is none.
    """
    if len(text) > MAX_URI:
        raise RemoteProtocolError("URI too long", 414)
    absolute = _ABSOLUTE_URI.fullmatch(text)
    if absolute is None:
        raise RemoteProtocolError("malformed URI")
    if absolute["scheme"].lower() not in ("sip", "sips"):
        return OtherUri(absolute["scheme"].lower(), absolute["opaque"])
    match = _SIP_URI.fullmatch(text)
    if match is None:
        raise RemoteProtocolError("malformed SIP URI")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port <= MAX_PORT:
        raise RemoteProtocolError("port out of range")
    return SipUri(
        host=match["host"],
        user=match["user"],
        port=port,
        scheme=match["scheme"].lower(),
        password=match["password"],
        params=_split_params(match["params"]),
        headers=match["headers"] or "",
    )


def sip_uri(user: str, host: str, port: int | None = None) -> SipUri:
    """Build a URI of ours, escaping the user part (RFC 3261 section 19.1.2) and bracketing an IPv6 literal.

    Raises:
        LocalProtocolError: If the result is no SIP URI.
    """
    uri = SipUri(bracket(host), quote(user, safe=_SAFE_IN_USER) or None, port)
    try:
        parse_uri(str(uri))
    except RemoteProtocolError as exc:
        raise LocalProtocolError(f"no SIP URI: {exc}") from exc
    return uri


def bracket(host: str) -> str:
    """An IPv6 literal in brackets, anything else as it is."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def is_ip_literal(host: str) -> bool:
    """Whether `host`, with or without brackets, is an IPv4 or IPv6 address."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def find_param(params: Params, name: str) -> str | None:
    """The value of the first parameter called `name` (any case), "" without a value, None if absent."""
    for key, value in params:
        if key.lower() == name:
            return value or ""
    return None


def format_params(params: Params) -> str:
    """`;name=value;flag`."""
    return "".join(f";{key}" if value is None else f";{key}={value}" for key, value in params)


def _split_params(text: str) -> Params:
    pairs = []
    for part in text.split(";")[1:]:
        key, equals, value = part.partition("=")
        pairs.append((key, value if equals else None))
    return tuple(pairs)
