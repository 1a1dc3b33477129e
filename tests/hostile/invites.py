"""Mutated SIP requests: grammar-aware and octet by octet, drawn by seed (RFC 3261, RFC 3262, RFC 3264, RFC 3891).

`Draft` is a request as a list of lines; a mutation changes some of them or the octets they become. Nothing here knows
sockets: who sends what from where is `signalling`'s business.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

THIRD_PARTY: Final = "127.0.0.3"
"""Somebody who has nothing to do with the call and must not hear of it."""
AUDIO: Final = (
    "v=0", "o=- 7 1 IN IP4 {media}", "s=-", "c=IN IP4 {media}", "t=0 0", "m=audio {port} RTP/AVP 8 0",
    "a=rtpmap:8 PCMA/8000", "a=sendrecv",
)  # fmt: skip
T38: Final = (
    "v=0", "o=- 7 1 IN IP4 {media}", "s=-", "c=IN IP4 {media}", "t=0 0", "m=image {port} udptl t38",
    "a=T38FaxVersion:0", "a=T38MaxBitRate:14400", "a=T38FaxRateManagement:transferredTCF",
    "a=T38FaxMaxDatagram:400", "a=T38FaxUdpEC:t38UDPRedundancy",
)  # fmt: skip
ADDRESSES: Final = (
    THIRD_PARTY, "0.0.0.0", "255.255.255.255", "224.0.0.1", "127.255.255.254", "192.0.2.9", "10.0.0.1", "::1",
    "localhost", "example.invalid", "999.1.1.1", "", "127.0.0.1 127.0.0.1",
)  # fmt: skip
PORTS: Final = ("0", "1", "5060", "65535", "65536", "99999999999", "-1", "9/2", "09", "0x50", "")
JUNK: Final = (
    "\0", "\u0085", "é", "\U0001f4e0", '"', '\\"', "<<>>", "%00", "%0d%0aX: y", ";" * 300, "," * 300, "(" * 200,
    "x" * 3000, " \r\n\t ", "\r\n ", ":", "=", "@@@", "sip:", "a" * 17_000,
)  # fmt: skip
COMPACT: Final = {
    "Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Content-Type": "c", "Content-Length": "l",
    "Supported": "k",
}  # fmt: skip
EXTRA: Final = (
    "Require: 100rel, timer, x-unknown", "Require: ,,,", "Proxy-Require: privacy", "Supported: 100rel, replaces",
    "Replaces: 1@x;to-tag=a;from-tag=b", "Replaces: 1@x;to-tag=a;from-tag=b;early-only", "Session-Expires: 1",
    "Session-Expires: 99999999999999;refresher=x", "Min-SE: -5", "Min-SE: 4294967296", "RSeq: 0", "RAck: 1 1 INVITE",
    "Max-Forwards: 0", "Max-Forwards: 256", "Max-Forwards: x", "Expires: -1", "Content-Encoding: gzip",
    "Content-Disposition: render;handling=required", "Authorization: Digest " + 'a="b",' * 500, "Refer-To: <sip:x@y>",
    "Route: <sip:" + THIRD_PARTY + ";lr>", "Record-Route: <sip:" + THIRD_PARTY + ";lr>", "Contact: *",
    "Contact: <sip:" + THIRD_PARTY + ":5060>", "Diversion: " + "<sip:1@x>," * 200, "Date: never", "Warning: 9 x",
    "History-Info: <sip:a@b>;index=1." + "1." * 400, "P-Asserted-Identity: <tel:+1>, <sip:\"x\"@y>",
    "Subject: =?utf-8?q?=0d=0a?=", "Event: refer", "Subscription-State: active", "In-Reply-To: x", "X: " + "y" * 16_000,
)  # fmt: skip


@dataclass
class Draft:
    """A request under construction."""

    method: str
    uri: str
    headers: list[str]
    body: list[str] = field(default_factory=list)
    length: str | None = None
    """Content-Length as stated; None: the true one."""
    version: str = "SIP/2.0"
    end: str = "\r\n"

    def to_bytes(self) -> bytes:
        """As it leaves."""
        body = "".join(line + self.end for line in self.body).encode("utf-8", "surrogateescape")
        lines = [f"{self.method} {self.uri} {self.version}", *self.headers]
        lines += [f"Content-Length: {len(body) if self.length is None else self.length}", "", ""]
        return self.end.join(lines).encode("utf-8", "surrogateescape") + body

    def index(self, name: str) -> int:
        """Where a header field stands; the last one if it is gone."""
        for at, line in enumerate(self.headers):
            if line.startswith(name + ":"):
                return at
        return len(self.headers) - 1


Mutation = Callable[[Draft, random.Random], None]


def _any(draft: Draft, draw: random.Random) -> int:
    return draw.randrange(len(draft.headers))


def doubled(draft: Draft, draw: random.Random) -> None:
    """A field twice, or hundreds of times."""
    line = draft.headers[_any(draft, draw)]
    draft.headers += [line] * draw.choice((1, 1, 2, 300))


def missing(draft: Draft, draw: random.Random) -> None:
    """A field less."""
    del draft.headers[_any(draft, draw)]


def folded(draft: Draft, draw: random.Random) -> None:
    """A field over several lines (RFC 3261 section 7.3.1)."""
    at = _any(draft, draw)
    name, _, value = draft.headers[at].partition(":")
    draft.headers[at] = f"{name}:" + draw.choice(("\r\n ", "\r\n\t", "\r\n  \r\n ")) + value.replace(";", ";\r\n ")


def compact(draft: Draft, draw: random.Random) -> None:
    """Short names, other case, blanks before the colon."""
    for at, line in enumerate(draft.headers):
        name, _, value = line.partition(":")
        if draw.random() < 0.5:
            draft.headers[at] = draw.choice((COMPACT.get(name, name), name.upper(), name + "  \t")) + ":" + value


def junk(draft: Draft, draw: random.Random) -> None:
    """Something in the middle of a field that does not belong there."""
    at = _any(draft, draw)
    line = draft.headers[at]
    cut = draw.randrange(len(line) + 1)
    draft.headers[at] = line[:cut] + draw.choice(JUNK) + line[cut + draw.choice((0, 0, 3)) :]


def cseq(draft: Draft, draw: random.Random) -> None:
    """Numbers below and above all."""
    value = draw.choice(("-1", "0", "2147483647", "2147483648", "4294967295", "9" * 40, "1.5", "", "1 1", "0001"))
    draft.headers[draft.index("CSeq")] = f"CSeq: {value} {draw.choice((draft.method, 'INVITE', 'BYE', 'x', ''))}"


def lying_length(draft: Draft, draw: random.Random) -> None:
    """A body longer or shorter than it says."""
    draft.length = draw.choice(("0", "1", "10", "99999", "-1", "4294967296", "abc", "", "0x10", "1,1"))


def vias(draft: Draft, draw: random.Random) -> None:
    """Very many hops, of Via, Record-Route or Route."""
    name = draw.choice(("Via", "Record-Route", "Route"))
    one = "SIP/2.0/UDP h" if name == "Via" else "<sip:h;lr>"
    count = draw.choice((50, 400, 10_000))
    if draw.random() < 0.5:
        draft.headers.insert(1, f"{name}: " + ",".join([one] * count))
    else:
        draft.headers[1:1] = [f"{name}: {one}"] * count


def via(draft: Draft, draw: random.Random) -> None:
    """A Via that leads elsewhere, or nowhere."""
    at = draft.index("Via")
    host = draw.choice(ADDRESSES)
    draft.headers[at] = draw.choice(
        (
            f"Via: SIP/2.0/UDP {host}:{draw.choice(PORTS)};branch=z9hG4bK{draw.randrange(10**6)}",
            f"Via: SIP/2.0/UDP {host};branch=;rport",
            f"Via: SIP/2.0/TCP {host};maddr={THIRD_PARTY};ttl=255",
            f"Via: SIP/2.0/UDP {host};received={THIRD_PARTY};rport=5060;branch=z9hG4bK",
            f"Via: SIP / 2.0 / UDP {host} : 5060 ; branch = z9hG4bKx",
            "Via: SIP/7.0/XYZ",
        )
    )


def extra(draft: Draft, draw: random.Random) -> None:
    """Fields of every kind."""
    for _ in range(draw.choice((1, 1, 3, 30))):
        draft.headers.insert(draw.randrange(len(draft.headers) + 1), draw.choice(EXTRA))


def start_line(draft: Draft, draw: random.Random) -> None:
    """Another method, URI or version."""
    match draw.randrange(3):
        case 0:
            draft.method = draw.choice(("", "invite", "INVITE INVITE", "RE\0GISTER", "M" * 5000, "PUBLISH", "REGISTER"))
        case 1:
            bad = (
                "",
                "*",
                "tel:+49;phone-context=x",
                "sips:@",
                "sip:%zz@h",
                "http://x/",
                "sip:u@[::1",
                "sip:h?a=b&c=d",
            )
            draft.uri = draw.choice((*bad, "sip:" + "9" * 3000 + "@h", f"sip:1@{THIRD_PARTY};maddr=224.0.0.1", "urn:a"))
        case _:
            draft.version = draw.choice(("SIP/3.0", "SIP/2.00", "sip/2.0", "HTTP/1.1", "", "SIP/2.0 x"))


def addresses(draft: Draft, draw: random.Random) -> None:
    """From, To and Contact that are none."""
    name = draw.choice(("From", "To", "Contact"))
    value = draw.choice(
        (
            '"' * 7 + "<sip:a@b>;tag=1", "<sip:a@b", "sip:a@b;tag=;tag=2", '"\\', "<>", "*",
            "<sip:a@b>;tag=" + "t" * 9000,
            "<" * 300 + "sip:a@b",
            "\xe9 <sip:a@b>;tag=x", '"a" "b" <sip:a@b>;tag=x', "<tel:>;tag=q",
            f"<sip:x@{THIRD_PARTY}:{draw.choice(PORTS)}>;tag=z",
        )
    )  # fmt: skip
    draft.headers[draft.index(name)] = f"{name}: {value}"


def sdp_address(draft: Draft, draw: random.Random) -> None:
    """Media to somebody else."""
    host = draw.choice(ADDRESSES)
    kind = draw.choice(("IP4", "IP4", "IP6", "IPX", ""))
    for at, line in enumerate(draft.body):
        if line.startswith("c=") or (line.startswith("o=") and draw.random() < 0.3):
            draft.body[at] = f"{line[:2]}{'- 7 1 ' if line.startswith('o=') else ''}IN {kind} {host}"


def sdp_line(draft: Draft, draw: random.Random) -> None:
    """A session description that is none."""
    if not draft.body:
        draft.body = list(AUDIO)
    match draw.randrange(7):
        case 0:
            del draft.body[draw.randrange(len(draft.body))]
        case 1:
            draw.shuffle(draft.body)
        case 2:
            draft.body += [draft.body[-1]] * draw.choice((1, 300, 3000))
        case 3:
            draft.body += [f"m={draw.choice(('audio', 'image', 'video', ''))} {draw.choice(PORTS)} RTP/AVP 0"] * 20
        case 4:
            draft.body = [line.replace("m=audio", "m=" + draw.choice(JUNK)) for line in draft.body]
        case 5:
            bad = ("T38FaxMaxDatagram:0", "T38FaxMaxDatagram:-1", "T38FaxMaxDatagram:1", "T38MaxBitRate:99999999999")
            draft.body.append(
                "a=" + draw.choice((*bad, "T38FaxUdpEC:x", "rtpmap:999 x/0", "ptime:0", "fmtp:" + "x" * 9000))
            )
        case _:
            at = draw.randrange(len(draft.body))
            draft.body[at] = draft.body[at][: draw.randrange(4)] + draw.choice(JUNK)


def multipart(draft: Draft, draw: random.Random) -> None:
    """A body in parts that never end."""
    draft.headers[draft.index("Content-Type")] = draw.choice(
        (
            "Content-Type: multipart/mixed;boundary=x", "Content-Type: multipart/mixed", "Content-Type: a/b/c",
            'Content-Type: multipart/mixed;boundary=""', "Content-Type: application/sdp;charset=utf-7", "Content-Type:",
        )
    )  # fmt: skip
    draft.body = ["--x", "Content-Type: application/sdp", "", *draft.body] * draw.choice((1, 2, 40))


MUTATIONS: Final[tuple[Mutation, ...]] = (
    doubled, missing, folded, compact, junk, junk, cseq, lying_length, vias, via, extra, extra, start_line, addresses,
    sdp_address, sdp_address, sdp_line, sdp_line, multipart,
)  # fmt: skip


def mutate(draft: Draft, draw: random.Random) -> bytes:
    """Hurt a request somehow, and give its octets."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if draft.headers:
            draw.choice(MUTATIONS)(draft, draw)
    draft.end = draw.choice(("\r\n",) * 12 + ("\n", "\r", "\r\n\r\n"))
    octets = draft.to_bytes()
    return _hurt(octets, draw) if draw.random() < 0.25 else octets


def _hurt(octets: bytes, draw: random.Random) -> bytes:
    match draw.randrange(5):
        case 0:
            hurt = bytearray(octets)
            for _ in range(draw.choice((1, 4, 40))):
                hurt[draw.randrange(len(hurt))] = draw.randrange(256)
            return bytes(hurt)
        case 1:
            return octets[: draw.randrange(len(octets))]
        case 2:
            at = draw.randrange(len(octets))
            return octets[:at] + draw.randbytes(draw.choice((1, 10, 1000))) + octets[at:]
        case 3:
            at, to = sorted((draw.randrange(len(octets)), draw.randrange(len(octets))))
            return octets[:at] + octets[to:]
        case _:
            return octets + octets
