"""Session descriptions as data: reading, writing, offers and answers (RFC 4566, RFC 3264, ITU-T T.38 annex D).

Read leniently, written strictly. Attributes count in any case, with or without a value; `c=` counts at either
level, and so do directions and the T.38 attributes; an answer mirrors the offer's `m=` lines one by one, what is not
wanted with port 0. Only what a fax needs is understood: audio in PCMA or PCMU, and `image` over `udptl` with T.38;
T.38 over TCP, RTP or DTLS is not, nor are telephone events. `ptime` and `maxptime` are read over: packets of any length
are taken, ours hold 20 ms.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.uri import is_ip_literal

MAX_SDP = 16_384
"""Octets of one description at most."""
MAX_MEDIA = 16
"""Media lines at most."""
MAX_ATTRIBUTES = 256
"""Attributes of one level at most."""
CONTENT_TYPE = "application/sdp"

PCMU = 0
"""Static RTP payload type, RFC 3551 table 4."""
PCMA = 8
"""Static RTP payload type, RFC 3551 table 4."""
AUDIO_NAMES = {PCMU: "PCMU", PCMA: "PCMA"}
PTIME_MS = 20
"""Audio per RTP packet, in milliseconds."""

T38_MAX_BIT_RATE = 14_400
"""What libspandsp can do at most: V.17."""
T38_MAX_DATAGRAM = 400
"""Octets we take in one datagram; 244 are enough at 14400 with three redundant packets (measured)."""
T38_MAX_BUFFER = 2000
"""Octets we buffer."""
_SMALLEST_DATAGRAM = 64
"""Smaller offers of T38FaxMaxDatagram are misread units or nonsense: one 14400 bit/s IFP has 59 octets."""
LARGEST_DATAGRAM = 1_200
"""Octets we send in one datagram whatever the peer would take: it is fragmented on no path that carries IPv6."""
_IFP_OVERHEAD = 5
"""Octets of an IFP packet that are no fax data."""
_IFP_SECONDS = 0.03
"""Fax data that one IFP packet of ours holds."""

_MEDIA = re.compile(r"(?P<media>[^\s/]+)\s+(?P<port>\d{1,5})(?:/\d{1,3})?\s+(?P<proto>\S+)\s*(?P<formats>.*)")
_ORIGIN = re.compile(r"(?P<user>\S+)\s+(?P<id>\d{1,20})\s+(?P<version>\d{1,20})\s+IN\s+IP[46]\s+(?P<address>\S+)")
_CONNECTION = re.compile(r"IN\s+IP[46]\s+(?P<address>[^\s/]+).*", re.IGNORECASE)

_DIGITS = re.compile(r"[0-9]{1,8}(?![0-9.])")

Attributes = tuple[tuple[str, str | None], ...]
"""`a=` lines in order: name as written and value, None without a colon."""


class ErrorCorrection(enum.StrEnum):
    """How UDPTL repairs losses (T38FaxUdpEC); the values are those of the control messages."""

    REDUNDANCY = "redundancy"
    FEC = "fec"
    NONE = "none"


_HOLDS = ("sendonly", "recvonly", "inactive")
_DIRECTIONS = (*_HOLDS, "sendrecv")
_ANSWERED_BY = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive", "sendrecv": "sendrecv"}
"""Direction of an offered line and that of its answer (RFC 3264 section 6.1)."""
_UNSPECIFIED = frozenset({"0.0.0.0", "::", "0:0:0:0:0:0:0:0"})
_BROADCAST = "255.255.255.255"
_EC_SPELLING = {ErrorCorrection.REDUNDANCY: "t38UDPRedundancy", ErrorCorrection.FEC: "t38UDPFEC"}


@dataclass(frozen=True, slots=True)
class Origin:
    """The `o=` line: who describes which version of which session."""

    session_id: int
    """Drawn once per session."""
    version: int
    """Rises with every changed description (RFC 3264 section 8)."""
    address: str
    """IP literal of the describing side."""
    username: str = "-"
    """No blanks."""

    def next(self) -> Origin:
        """The same with the next version."""
        return replace(self, version=self.version + 1)


@dataclass(frozen=True, slots=True)
class MediaLine:
    """One `m=` line with what belongs to it."""

    media: str
    """`audio`, `image`, …, as written."""
    port: int
    """0 means rejected or ended."""
    proto: str
    """`RTP/AVP`, `udptl`, …, as written."""
    formats: tuple[str, ...]
    """Payload types, or `t38`."""
    connection: str = ""
    """IP literal of its own `c=` line, empty if there is none."""
    attributes: Attributes = ()
    """Its `a=` lines."""

    def attribute(self, name: str) -> str | None:
        """The value of the first attribute of that name (any case), "" without a value, None if absent."""
        return _find(self.attributes, name)

    @property
    def is_audio(self) -> bool:
        """Whether it is plain RTP audio that is not rejected."""
        return self.media.lower() == "audio" and self.proto.upper() in ("RTP/AVP", "RTP/AVPF") and self.port > 0

    @property
    def is_t38(self) -> bool:
        """Whether it is T.38 over UDPTL that is not rejected."""
        formats = {name.lower() for name in self.formats}
        return self.media.lower() == "image" and self.proto.lower() == "udptl" and "t38" in formats and self.port > 0

    def payload_type(self, wanted: Sequence[int] = (PCMA, PCMU)) -> int | None:
        """The first payload type of the line that is one of ours, None if none is.

        The order of the line counts, not ours: who sends to it uses the first format it lists (RFC 3264 section 7),
        and an answer keeps the order of its offer (section 6.1). Asterisk 22 lists several in its answer and loses
        modem signals that come in another than the first.
        """
        ours = {str(number): number for number in wanted}
        return next((ours[name] for name in self.formats if name in ours), None)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """An offer or an answer."""

    origin: Origin
    """The `o=` line."""
    media: tuple[MediaLine, ...]
    """The `m=` lines in order."""
    connection: str = ""
    """IP literal of the session's `c=` line, empty if there is none."""
    attributes: Attributes = ()
    """`a=` lines of the session."""
    name: str = "-"
    """The `s=` line."""

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Read a description.

        Raises:
            RemoteProtocolError: 400 if it is none, or larger than the bounds here.
        """
        return _Reader(body).description()

    def direction_of(self, line: MediaLine) -> str:
        """`sendrecv`, `sendonly`, `recvonly` or `inactive`: of the line, else of the session (RFC 4566 section 6)."""
        for attributes in (line.attributes, self.attributes):
            for name in _DIRECTIONS:
                if _find(attributes, name) is not None:
                    return name
        return "sendrecv"

    def is_held(self, line: MediaLine) -> bool:
        """Whether its sender takes no media for the time being: RFC 3264 section 8.4, and RFC 2543's 0.0.0.0."""
        return self.direction_of(line) in ("sendonly", "inactive") or self._host_of(line) in _UNSPECIFIED

    def address_of(self, line: MediaLine) -> tuple[str, int]:
        """Where the media of a line go: IP literal and port.

        Raises:
            RemoteProtocolError: 488 if there is no `c=` line for it, or a host name or no place at all (0.0.0.0) in it,
                or a group of them: media of ours go to one host.
        """
        host = self._host_of(line)
        if not is_ip_literal(host) or not _is_one_host(host):
            raise RemoteProtocolError("no usable connection address", 488)
        return host, line.port

    def _host_of(self, line: MediaLine) -> str:
        return line.connection or self.connection

    @property
    def audio(self) -> MediaLine | None:
        """The first usable audio line."""
        return next((line for line in self.media if line.is_audio), None)

    @property
    def t38(self) -> MediaLine | None:
        """The first usable T.38 line."""
        return next((line for line in self.media if line.is_t38), None)

    @property
    def t38_first(self) -> bool:
        """Whether T.38 stands before audio, or there is no audio: the peer would rather have T.38."""
        kinds = [line.is_t38 for line in self.media if line.is_t38 or line.is_audio]
        return bool(kinds) and kinds[0]

    def to_bytes(self) -> bytes:
        """The description as a body.

        Raises:
            LocalProtocolError: If there is no address for a line, or a line break hides in a value.
        """
        lines = ["v=0", _origin_text(self.origin), f"s={self.name}"]
        if self.connection:
            lines.append(_connection_text(self.connection))
        lines.append("t=0 0")
        lines += _attribute_text(self.attributes)
        for line in self.media:
            lines.append(f"m={line.media} {line.port} {line.proto} {' '.join(line.formats)}")
            if line.connection:
                lines.append(_connection_text(line.connection))
            elif not self.connection and line.port:
                raise LocalProtocolError("media line without an address")
            lines += _attribute_text(line.attributes)
        if any("\r" in text or "\n" in text for text in lines):
            raise LocalProtocolError("line break in a session description")
        return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class T38Parameters:
    """The T.38 attributes of an `m=image` line (ITU-T T.38 table D.1): what its sender can take."""

    max_bit_rate: int = T38_MAX_BIT_RATE
    """T38MaxBitRate in bit/s."""
    max_datagram: int = T38_MAX_DATAGRAM
    """T38FaxMaxDatagram: octets of one UDPTL datagram at most."""
    error_correction: ErrorCorrection = ErrorCorrection.REDUNDANCY
    """T38FaxUdpEC; an absent attribute means none."""
    version: int = 0
    """T38FaxVersion: 0 to 3."""
    rate_management: str = "transferredTCF"
    """T38FaxRateManagement; over UDP always transferredTCF."""
    max_buffer: int = T38_MAX_BUFFER
    """T38FaxMaxBuffer in octets."""
    fill_bit_removal: bool = False
    """T38FaxFillBitRemoval."""
    transcoding_mmr: bool = False
    """T38FaxTranscodingMMR."""
    transcoding_jbig: bool = False
    """T38FaxTranscodingJBIG."""
    max_ifp: int = 0
    """T38FaxMaxIFP: octets of one IFP packet at most; 0 where it is not said."""
    vendor: str = ""
    """T38VendorInfo, as written."""

    @classmethod
    def parse(cls, line: MediaLine, session: Attributes = ()) -> T38Parameters:
        """Read a line's attributes; the field writes them in many ways, so nothing here is refused.

        Args:
            line: The `m=image` line.
            session: Attributes of the session, where some gateways put them; those of the line count first.
        """
        values = {_plain(name): (value or "").strip() for name, value in reversed((*line.attributes, *session))}
        correction = values.get("t38udpec", "").lower()
        return cls(
            max_bit_rate=_number(values, "t38maxbitrate", T38_MAX_BIT_RATE) or T38_MAX_BIT_RATE,
            max_datagram=max(_number(values, "t38maxdatagram", T38_MAX_DATAGRAM), _SMALLEST_DATAGRAM),
            error_correction=(
                ErrorCorrection.REDUNDANCY
                if "redundancy" in correction
                else ErrorCorrection.FEC
                if "fec" in correction
                else ErrorCorrection.NONE
            ),
            version=_number(values, "t38version", 0),
            rate_management=values.get("t38ratemanagement") or "transferredTCF",
            max_buffer=_number(values, "t38maxbuffer", T38_MAX_BUFFER),
            fill_bit_removal=_flag(values, "t38fillbitremoval"),
            transcoding_mmr=_flag(values, "t38transcodingmmr"),
            transcoding_jbig=_flag(values, "t38transcodingjbig"),
            max_ifp=_number(values, "t38maxifp", 0),
            vendor=values.get("t38vendorinfo", ""),
        )

    @property
    def usable_bit_rate(self) -> int:
        """The bit rate that keeps to both T38MaxBitRate and T38FaxMaxIFP: packets of ours hold 30 ms of fax data."""
        if not self.max_ifp:
            return self.max_bit_rate
        return min(self.max_bit_rate, int(max(0, self.max_ifp - _IFP_OVERHEAD) * 8 / _IFP_SECONDS))

    @property
    def usable_datagram(self) -> int:
        """Octets of one datagram of ours at most: what the peer takes, and no path fragments."""
        return min(self.max_datagram, LARGEST_DATAGRAM)

    def attributes(self) -> Attributes:
        """The `a=` lines of these parameters."""
        lines: list[tuple[str, str | None]] = [
            ("T38FaxVersion", str(self.version)),
            ("T38MaxBitRate", str(self.max_bit_rate)),
            ("T38FaxRateManagement", self.rate_management),
            ("T38FaxMaxBuffer", str(self.max_buffer)),
            ("T38FaxMaxDatagram", str(self.max_datagram)),
        ]
        if self.fill_bit_removal:
            lines.append(("T38FaxFillBitRemoval", None))
        if self.transcoding_mmr:
            lines.append(("T38FaxTranscodingMMR", None))
        if self.transcoding_jbig:
            lines.append(("T38FaxTranscodingJBIG", None))
        if self.max_ifp:
            lines.append(("T38FaxMaxIFP", str(self.max_ifp)))
        if self.error_correction is not ErrorCorrection.NONE:
            lines.append(("T38FaxUdpEC", _EC_SPELLING[self.error_correction]))
        if self.vendor:
            lines.append(("T38VendorInfo", self.vendor))
        return tuple(lines)


def audio_line(port: int, payload_types: Sequence[int] = (PCMA, PCMU)) -> MediaLine:
    """An audio line of ours, both directions, 20 ms per packet."""
    maps: Attributes = tuple(("rtpmap", f"{number} {AUDIO_NAMES[number]}/8000") for number in payload_types)
    formats = tuple(str(number) for number in payload_types)
    return MediaLine(
        "audio", port, "RTP/AVP", formats, attributes=(*maps, ("ptime", str(PTIME_MS)), ("sendrecv", None))
    )


def t38_line(port: int, parameters: T38Parameters | None = None) -> MediaLine:
    """A T.38 line of ours."""
    return MediaLine("image", port, "udptl", ("t38",), attributes=(parameters or T38Parameters()).attributes())


def offer(origin: Origin, *lines: MediaLine) -> SessionDescription:
    """An offer of these lines, all at the origin's address."""
    return SessionDescription(origin, lines, origin.address)


def answer(offered: SessionDescription, origin: Origin, accepted: Mapping[int, MediaLine]) -> SessionDescription:
    """Answer an offer: its lines mirrored one by one, those not accepted with port 0 (RFC 3264 section 6).

    Args:
        offered: The peer's offer.
        origin: Ours; all accepted lines are at its address.
        accepted: Our line for the index of an offered line.

    Raises:
        LocalProtocolError: If a line is accepted that was not offered, or with another kind of media.
    """
    lines = []
    for index, theirs in enumerate(offered.media):
        ours = accepted.get(index)
        if ours is None:
            lines.append(MediaLine(theirs.media, 0, theirs.proto, theirs.formats[:1] or ("0",)))
        elif ours.media.lower() != theirs.media.lower():
            raise LocalProtocolError("answer does not mirror the offer")
        else:
            lines.append(replace(ours, media=theirs.media, proto=theirs.proto))
    if any(index >= len(offered.media) for index in accepted):
        raise LocalProtocolError("answer has more lines than the offer")
    return SessionDescription(origin, tuple(lines), origin.address)


def answer_audio(
    offered: SessionDescription, origin: Origin, port: int, payload_types: Sequence[int] = (PCMA, PCMU)
) -> SessionDescription | None:
    """Accept the first audio line with one codec; None if there is no audio we can do."""
    line = offered.audio
    chosen = line.payload_type(payload_types) if line is not None else None
    if line is None or chosen is None:
        return None
    ours = audio_line(port, (chosen,))
    mirrored = (*ours.attributes[:-1], (_ANSWERED_BY[offered.direction_of(line)], None))
    return answer(offered, origin, {offered.media.index(line): replace(ours, attributes=mirrored)})


def answer_t38(
    offered: SessionDescription, origin: Origin, port: int, ours: T38Parameters | None = None
) -> SessionDescription | None:
    """Accept the first T.38 line; None if there is none.

    The answer has version 0, the lower bit rate, transferredTCF, and the error correction of the offer.
    """
    line = offered.t38
    if line is None:
        return None
    theirs = T38Parameters.parse(line, offered.attributes)
    ours = ours or T38Parameters()
    agreed = replace(
        ours,
        max_bit_rate=min(ours.max_bit_rate, theirs.max_bit_rate),
        error_correction=theirs.error_correction,
    )
    made = t38_line(port, agreed)
    direction = offered.direction_of(line)
    if direction in _HOLDS:
        made = replace(made, attributes=(*made.attributes, (_ANSWERED_BY[direction], None)))
    return answer(offered, origin, {offered.media.index(line): made})


def same_media(first: SessionDescription, second: SessionDescription) -> bool:
    """Whether two descriptions of a peer mean the same media streams: a refresh, not a change.

    Compared are kind and transport of every line, and address, port and direction of those that are not rejected;
    versions, names and attributes that only advise are not (Asterisk repeats its T.38 re-INVITE with a new version in
    mid-fax). The lines of a refresh are the same in number and order, so what answered the first answers it too.
    """
    return _streams(first) == _streams(second)


def _streams(description: SessionDescription) -> list[tuple[object, ...]]:
    return [
        (line.media.lower(), line.proto.lower(), line.port)
        + ((line.connection or description.connection, description.direction_of(line)) if line.port else ())
        for line in description.media
    ]


def _plain(name: str) -> str:
    """T38FaxMaxDatagram, T38MaxDatagram, t38faxmaxdatagramsize: one name."""
    plain = name.strip().lower().replace("-", "").replace("_", "").replace("fax", "", 1).removesuffix("size")
    return _OTHER_NAMES.get(plain, plain)


_OTHER_NAMES = {"t38buffer": "t38maxbuffer", "t38datagram": "t38maxdatagram", "t38bitrate": "t38maxbitrate"}


def _number(values: Mapping[str, str], name: str, default: int) -> int:
    """The digits that a value begins with: `14400`, `14400 bit/s`."""
    found = _DIGITS.match(values.get(name, ""))
    return int(found[0]) if found else default


def _flag(values: Mapping[str, str], name: str) -> bool:
    return name in values and values[name].lower() not in ("0", "no", "false")


def _find(attributes: Attributes, name: str) -> str | None:
    wanted = name.lower()
    return next((value or "" for key, value in attributes if key.lower() == wanted), None)


def _origin_text(origin: Origin) -> str:
    return f"o={origin.username} {origin.session_id} {origin.version} IN {_family(origin.address)} {origin.address}"


def _connection_text(address: str) -> str:
    return f"c=IN {_family(address)} {address}"


def _attribute_text(attributes: Attributes) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


class _Reader:
    """One pass over the lines; `m=` opens the next media level."""

    def __init__(self, body: bytes) -> None:
        if len(body) > MAX_SDP:
            raise RemoteProtocolError("session description too large", 413)
        self._lines = [line.strip() for line in body.decode("utf-8", "replace").replace("\r", "\n").split("\n")]
        self._origin: Origin | None = None
        self._name = "-"
        self._connections: list[str] = [""]
        self._attributes: list[list[tuple[str, str | None]]] = [[]]
        self._media: list[MediaLine] = []

    def description(self) -> SessionDescription:
        for line in self._lines:
            kind, equals, value = line.partition("=")
            if equals:
                self._take(kind.strip().lower(), value.strip())
        if self._origin is None and not self._media:
            raise RemoteProtocolError("no session description")
        media = tuple(
            replace(line, connection=self._connections[i + 1], attributes=tuple(self._attributes[i + 1]))
            for i, line in enumerate(self._media)
        )
        origin = self._origin or Origin(0, 0, self._connections[0] or "0.0.0.0")
        return SessionDescription(origin, media, self._connections[0], tuple(self._attributes[0]), self._name)

    def _take(self, kind: str, value: str) -> None:
        if kind == "m":
            self._open_media(value)
        elif kind == "c":
            if match := _CONNECTION.fullmatch(value):
                self._connections[-1] = match["address"]
        elif kind == "a":
            name, colon, text = value.partition(":")
            if len(self._attributes[-1]) >= MAX_ATTRIBUTES:
                raise RemoteProtocolError("too many attributes")
            self._attributes[-1].append((name.strip(), text.strip() if colon else None))
        elif kind == "o":
            if match := _ORIGIN.fullmatch(value):
                self._origin = Origin(int(match["id"]), int(match["version"]), match["address"], match["user"])
        elif kind == "s":
            self._name = value or "-"

    def _open_media(self, value: str) -> None:
        match = _MEDIA.fullmatch(value)
        if match is None or int(match["port"]) > 65535 or len(self._media) >= MAX_MEDIA:
            raise RemoteProtocolError("malformed media line")
        formats = tuple(match["formats"].split())
        self._media.append(MediaLine(match["media"], int(match["port"]), match["proto"], formats))
        self._connections.append("")
        self._attributes.append([])


def _is_one_host(literal: str) -> bool:
    """Whether an IP literal is the address of a single host."""
    address = ip_address(literal.strip("[]"))
    return not (address.is_unspecified or address.is_multicast or literal == _BROADCAST)
