"""SIP requests and responses: bounded parser, checks, serialiser (RFC 3261 sections 7, 8, 18.3 and 25.1).

Reading has two steps, so that a malformed request can still be answered. `parse` needs no more than a start line
and header fields; `check` finds what is wrong with the message and names the status that says so (RFC 4475 is the
table of cases). A response that fails either is dropped by the caller.

Header fields are text (UTF-8; octets that are none survive as surrogate escapes, so that they are echoed exactly);
bodies are octets.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError, TooLarge
from faxgw.foip.headers import CSeq, NameAddr, Via, is_token, split_list
from faxgw.foip.uri import SipUri, Uri, parse_uri

MAX_MESSAGE = 65_535
"""Octets of one message: what a UDP datagram can hold; the same bound for streams."""
MAX_HEADERS = 256
"""Header fields of one message; the longest of RFC 4475 has 45."""
MAX_VALUE = 16_384
"""Characters of one header field's value after unfolding."""
MAX_FORWARDS = 255
"""RFC 3261 section 20.22."""

KNOWN_METHODS = frozenset(
    [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "PRACK",
        "SUBSCRIBE",
        "NOTIFY",
        "PUBLISH",
        "INFO",
        "REFER",
        "MESSAGE",
        "UPDATE",
    ]
)
"""The IANA registry. A method outside it is answered 501, one of it that we do not do 405 (section 21)."""

_COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition",
    "e": "Content-Encoding", "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported",
    "l": "Content-Length", "m": "Contact", "n": "Identity-Info", "o": "Event", "r": "Refer-To", "s": "Subject",
    "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires", "y": "Identity",
}  # fmt: skip
_KNOWN = {
    name.lower(): name
    for name in [
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Alert-Info",
        "Allow",
        "Authorization",
        "Call-Info",
        "CSeq",
        "Contact",
        "Content-Disposition",
        "Content-Language",
        "Date",
        "Error-Info",
        "Expires",
        "In-Reply-To",
        "Max-Forwards",
        "MIME-Version",
        "Min-Expires",
        "Min-SE",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Privacy",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Require",
        "RAck",
        "Reason",
        "Record-Route",
        "Replaces",
        "Require",
        "Retry-After",
        "Route",
        "RSeq",
        "Server",
        "Supported",
        "Timestamp",
        "Unsupported",
        "User-Agent",
        "Warning",
        "WWW-Authenticate",
        "Diversion",
        "History-Info",
    ]
} | {name.lower(): name for name in _COMPACT.values()}
_SINGLE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type")
_REQUIRED = ("via", "from", "to", "call-id", "cseq")

_REQUEST_LINE = re.compile(r"(?P<method>[^\s]{1,128}) (?P<uri>.*) (?P<version>SIP/\d{1,3}\.\d{1,3})(?P<rest>\s*)")
_STATUS_LINE = re.compile(r"(?P<version>SIP/\d{1,3}\.\d{1,3}) (?P<status>\d{1,20})(?: (?P<reason>.*))?", re.DOTALL)
_CALL_ID = re.compile(r"[!-~]{1,1024}")
_CONTENT_LENGTH = re.compile(r"\d{1,9}")
_FORWARDS = re.compile(r"\d{1,9}")

REASONS = {
    100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone",
    413: "Request Entity Too Large", 414: "Request-URI Too Long", 415: "Unsupported Media Type",
    416: "Unsupported URI Scheme", 420: "Bad Extension",
    421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete",
    486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    489: "Bad Event", 491: "Request Pending",
    500: "Server Internal Error", 501: "Not Implemented", 503: "Service Unavailable", 504: "Server Time-out",
    505: "Version Not Supported", 513: "Message Too Large", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip
"""RFC 3261 section 21, RFC 4028 section 6 (422), RFC 6665 section 8.3.2 (489)."""


class Headers:
    """Header fields in their order. Names in any case; compact names are written out when they come in."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: list[tuple[str, str]] = [(canonical(name), value) for name, value in fields]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> str | None:
        """The first field's value as it came, or None."""
        wanted = canonical(name).lower()
        for key, value in self._fields:
            if key.lower() == wanted:
                return value
        return None

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of that name as they came, lists unsplit."""
        wanted = canonical(name).lower()
        return [value for key, value in self._fields if key.lower() == wanted]

    def values(self, name: str) -> list[str]:
        """The elements of all fields of that name, comma lists split.

        Raises:
            RemoteProtocolError: If a list is malformed.
        """
        return [part for value in self.get_all(name) for part in split_list(value)]

    def tokens(self, name: str) -> list[str]:
        """The elements of a list of tokens (Require, Supported, Allow); an empty field is an empty list."""
        return [part for value in self.get_all(name) if value.strip() for part in split_list(value)]

    def add(self, name: str, value: object) -> None:
        """Append a field."""
        self._fields.append((canonical(name), str(value)))

    def set(self, name: str, value: object) -> None:
        """Replace all fields of that name by one, at the place of the first."""
        spelled = canonical(name)
        wanted = spelled.lower()
        index = next((i for i, (key, _) in enumerate(self._fields) if key.lower() == wanted), len(self._fields))
        self._fields = [pair for pair in self._fields if pair[0].lower() != wanted]
        self._fields.insert(index, (spelled, str(value)))

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"


class Message(ABC):
    """What requests and responses have in common. Typed properties parse on use and raise RemoteProtocolError."""

    __slots__ = ("body", "fault", "headers", "version")

    def __init__(self, headers: Headers, body: bytes = b"", version: str = "SIP/2.0", fault: str = "") -> None:
        self.headers = headers
        self.body = body
        self.version = version
        self.fault = fault
        """What was wrong with the framing, found while parsing; `check` reports it."""

    def _required(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise RemoteProtocolError(f"{name} is missing")
        return value

    @property
    def call_id(self) -> str:
        """Call-ID."""
        return self._required("Call-ID").strip()

    @property
    def cseq(self) -> CSeq:
        """CSeq."""
        return CSeq.parse(self._required("CSeq"))

    @property
    def from_(self) -> NameAddr:
        """From."""
        return NameAddr.parse(self._required("From"))

    @property
    def to(self) -> NameAddr:
        """To."""
        return NameAddr.parse(self._required("To"))

    @property
    def vias(self) -> list[Via]:
        """All Via values, topmost first."""
        return [Via.parse(value) for value in self.headers.values("Via")]

    @property
    def via(self) -> Via:
        """The topmost Via value."""
        return Via.parse(split_list(self._required("Via"))[0])

    @property
    def contacts(self) -> list[NameAddr]:
        """Contact values; `*` (REGISTER) is left out."""
        return [NameAddr.parse(value) for value in self.headers.values("Contact") if value != "*"]

    @property
    def record_routes(self) -> list[NameAddr]:
        """Record-Route values in the order of the message."""
        return [NameAddr.parse(value) for value in self.headers.values("Record-Route")]

    @property
    def content_type(self) -> str:
        """Media type in lower case without parameters, empty if there is none."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    @abstractmethod
    def start_line(self) -> str:
        """The first line without CRLF."""

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; Content-Length is ours.

        Raises:
            LocalProtocolError: If a line break hides in a header field; TooLarge if it fits no datagram.
        """
        lines = [self.start_line()]
        lines += [f"{name}: {value}" for name, value in self.headers if name != "Content-Length"]
        lines.append(f"Content-Length: {len(self.body)}")
        if any("\r" in line or "\n" in line for line in lines):
            raise LocalProtocolError("line break in a header field")
        data = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body
        if len(data) > MAX_MESSAGE:
            raise TooLarge("message too large")
        return data


class Request(Message):
    """A request. `uri` is the Request-URI as text: `check` tells whether it is one."""

    __slots__ = ("method", "uri")

    def __init__(
        self,
        method: str,
        uri: str,
        headers: Headers | None = None,
        body: bytes = b"",
        version: str = "SIP/2.0",
        fault: str = "",
    ) -> None:
        super().__init__(headers if headers is not None else Headers(), body, version, fault)
        self.method = method
        self.uri = uri

    @property
    def request_uri(self) -> Uri:
        """The Request-URI.

        Raises:
            RemoteProtocolError: 400 malformed, 414 too long, 416 neither sip nor sips (RFC 3261 section 8.2.2.1).
        """
        uri = parse_uri(self.uri)
        if not isinstance(uri, SipUri):
            raise RemoteProtocolError("scheme of the Request-URI not supported", 416)
        if uri.headers:
            raise RemoteProtocolError("header fields in the Request-URI")  # section 19.1.1; RFC 4475 escruri
        return uri

    def start_line(self) -> str:
        """The Request-Line (RFC 3261 section 7.1)."""
        return f"{self.method} {self.uri} {self.version}"

    def __repr__(self) -> str:
        return f"Request({self.method} {self.uri})"


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(
        self,
        status: int,
        reason: str = "",
        headers: Headers | None = None,
        body: bytes = b"",
        version: str = "SIP/2.0",
        fault: str = "",
    ) -> None:
        super().__init__(headers if headers is not None else Headers(), body, version, fault)
        self.status = status
        self.reason = reason

    def start_line(self) -> str:
        """The Status-Line (RFC 3261 section 7.2)."""
        return f"{self.version} {self.status} {self.reason}"

    def __repr__(self) -> str:
        return f"Response({self.status} {self.reason})"


def canonical(name: str) -> str:
    """The usual spelling of a header field's name; compact forms written out (RFC 3261 section 7.3.3)."""
    lower = name.lower()
    return _COMPACT.get(lower) or _KNOWN.get(lower) or name


def parse(data: bytes) -> Request | Response:
    """Read one message from one datagram.

    What follows the body that Content-Length announces is discarded (RFC 3261 section 18.3; RFC 4475 dblreq).

    Raises:
        RemoteProtocolError: If not even start line and header fields can be told apart; it cannot be answered.
    """
    if len(data) > MAX_MESSAGE:
        raise RemoteProtocolError("message too large", 513)
    head, separator, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    text = head.decode("utf-8", "surrogateescape")
    start, _, rest = text.partition("\r\n")
    fields, fault = _parse_fields(rest)
    headers = Headers(fields)
    if not separator:
        fault = fault or "no empty line after the header fields"
    if not fault:
        body, fault = _cut_body(headers, body)
    if start[:4].upper() == "SIP/" and (match := _STATUS_LINE.fullmatch(start)):
        return Response(int(match["status"]), match["reason"] or "", headers, body, match["version"], fault)
    match = _REQUEST_LINE.fullmatch(start)
    if match is None:
        raise RemoteProtocolError("malformed start line")
    if match["rest"]:
        fault = fault or "white space after the Request-Line"
    return Request(match["method"], match["uri"], headers, body, match["version"], fault)


def _parse_fields(text: str) -> tuple[list[tuple[str, str]], str]:
    """Unfold and split; line breaks that are no CRLF become blanks, so that no value can carry one."""
    fields: list[tuple[str, str]] = []
    fault = ""
    for raw in text.split("\r\n") if text else ():
        line = raw
        if "\r" in line or "\n" in line:
            fault = fault or "bare CR or LF"
            line = line.replace("\r", " ").replace("\n", " ")
        if line[:1] in (" ", "\t"):
            if not fields:
                fault = fault or "continuation without a header field"
                continue
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip()}".strip())
        else:
            name, colon, value = line.partition(":")
            name = name.rstrip()
            if not colon or not is_token(name):
                fault = fault or "malformed header field"
                continue
            fields.append((name, value.strip()))
        if len(fields) > MAX_HEADERS or len(fields[-1][1]) > MAX_VALUE:
            return fields[:MAX_HEADERS], "too many or too long header fields"
    return fields, fault


def _cut_body(headers: Headers, body: bytes) -> tuple[bytes, str]:
    lengths = headers.get_all("Content-Length")
    if not lengths:
        return body, ""  # over a datagram transport the body ends with the datagram (section 18.3)
    if len(lengths) > 1 or not _CONTENT_LENGTH.fullmatch(lengths[0]):
        return b"", "malformed Content-Length"
    length = int(lengths[0])
    if length > len(body):
        return b"", "message shorter than its Content-Length"
    return body[:length], ""


def check(message: Request | Response) -> None:
    """Verify what every element must be able to rely on, in the order that gives the most telling answer.

    Raises:
        RemoteProtocolError: With the status that answers a request (RFC 4475 section 3).
    """
    if message.version != "SIP/2.0":
        raise RemoteProtocolError("SIP version not supported", 505)
    if message.fault:
        raise RemoteProtocolError(message.fault)
    for name in _REQUIRED:
        message._required(name)
    for name in _SINGLE:
        if len(message.headers.get_all(name)) > 1:
            raise RemoteProtocolError(f"{name} occurs twice")
    if isinstance(message, Request):
        _check_request(message)
    elif not 100 <= message.status <= 699:
        raise RemoteProtocolError("status out of range")
    _ = message.cseq, message.from_, message.to, message.vias, message.contacts, message.record_routes
    if not _CALL_ID.fullmatch(message.call_id):
        raise RemoteProtocolError("malformed Call-ID")


def _check_request(request: Request) -> None:
    if not is_token(request.method):
        raise RemoteProtocolError("malformed method")
    if request.cseq.method != request.method:
        status = 400 if request.method in KNOWN_METHODS else 501  # RFC 4475 mismatch01, mismatch02
        raise RemoteProtocolError("CSeq names another method", status)
    forwards = request.headers.get("Max-Forwards")
    if forwards is not None and not (_FORWARDS.fullmatch(forwards) and int(forwards) <= MAX_FORWARDS):
        raise RemoteProtocolError("malformed Max-Forwards")
    _ = request.request_uri


def response_to(request: Request, status: int, reason: str = "", *, tag: str = "") -> Response:
    """Build a response with the fields every response copies (RFC 3261 section 8.2.6.2).

    It works for a malformed request too: what is missing is left out.

    Args:
        request: What is answered; its topmost Via already bears received and rport.
        status: 100 to 699.
        reason: Reason phrase; the RFC's own by default.
        tag: Our To tag, put there if the request has none and the status is not 100.
    """
    headers = Headers()
    for name, value in request.headers:
        if name == "Via":
            headers.add(name, value)
    for name in ("From", "To", "Call-ID", "CSeq"):
        value_ = request.headers.get(name)
        if value_ is not None:
            headers.add(name, _with_tag(value_, tag) if name == "To" and status != 100 else value_)
    if status == 100 and (timestamp := request.headers.get("Timestamp")):
        headers.add("Timestamp", timestamp)
    return Response(status, reason or REASONS.get(status, "Unknown"), headers)


def _with_tag(value: str, tag: str) -> str:
    try:
        if not tag or NameAddr.parse(value).tag:
            return value
    except RemoteProtocolError:
        return value
    return f"{value};tag={tag}"


def clean_text(text: str, limit: int = 200) -> str:
    """Text of a peer made fit for logs and stores: valid Unicode, no control characters, at most `limit` characters."""
    valid = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char for char in valid if char.isprintable())[:limit]
