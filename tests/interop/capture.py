"""Recorded calls with other people's fax equipment, read for replaying (tests/data/interop/README.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from faxgw.foip import ifp, t30_frames, udptl
from faxgw.foip.message import Request, Response, parse

FOLDER = Path(__file__).parents[1] / "data" / "interop"
GATEWAY = ("192.0.2.1", 5060)
PEER = ("192.0.2.2", 5060)
PAGE = FOLDER / "page.tif"


@dataclass(frozen=True, slots=True)
class Datagram:
    """One recorded datagram."""

    at: float
    """Seconds since the first INVITE."""
    ours: bool
    """Sent by our side."""
    octets: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """One recorded call."""

    sip: tuple[Datagram, ...]
    udptl: tuple[Datagram, ...]

    @property
    def answered_t38(self) -> float:
        """When the answer to the re-INVITE to T.38 was sent."""
        return next(d.at for d in self.sip if b"udptl t38" in d.octets and d.octets.startswith(b"SIP/2.0 200"))

    def messages(self) -> list[tuple[bool, Request | Response]]:
        return [(datagram.ours, parse(datagram.octets)) for datagram in self.sip]


def load(name: str) -> Capture:
    lines = (FOLDER / f"{name}.jsonl").read_text("ascii").splitlines()
    records = [json.loads(line) for line in lines[1:]]
    return Capture(
        tuple(Datagram(r["at"], r["from"] == "gateway", r["sip"].encode()) for r in records if "sip" in r),
        tuple(Datagram(r["at"], r["from"] == "gateway", bytes.fromhex(r["udptl"])) for r in records if "udptl" in r),
    )


def frames(capture: Capture) -> list[tuple[float, str, bytes]]:
    """T.30 frames of both directions without image data: `>` from us and `<` from the peer, as the wire has them."""
    found = [(at, ">", frame) for at, frame in _frames_of(capture, ours=True)]
    found += [(at, "<", frame) for at, frame in _frames_of(capture, ours=False)]
    return sorted(found, key=lambda entry: entry[0])


def _frames_of(capture: Capture, *, ours: bool) -> list[tuple[float, bytes]]:
    receiver = udptl.Receiver()
    found: list[tuple[float, bytes]] = []
    line = b""
    for datagram in (d for d in capture.udptl if d.ours is ours):
        for _sequence, packet in receiver.receive(datagram.octets):
            content = ifp.decode(packet)
            if isinstance(content, ifp.Indicator):
                line = b""
                continue
            if content.type is not ifp.DataType.V21:
                continue
            for field in content.fields:
                line += field.data
                if field.type in ifp.FRAME_ENDS:
                    found.append((datagram.at, t30_frames.from_line(line)))
                    line = b""
    assert receiver.lost == 0
    return found
