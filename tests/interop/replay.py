"""A recording of ours (docs/calls.md) played to a fresh engine, in virtual time.

What the far end sent is delivered when it came then; T.38 is agreed when it was agreed then. Nothing of our own side is
taken from the recording but how the call was begun.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from faxgw.foip import recording
from faxgw.foip.control import Document, Role, Start, SwitchT38, T38Media
from faxgw.foip.message import Response, parse
from faxgw.foip.recording import Medium, Recording
from faxgw.foip.sdp import SessionDescription, T38Parameters
from faxgw.t30.call import MediaCall
from tests.interop.capture import FOLDER, Capture, Datagram
from tests.t30.conftest import TICK, Daemon, Network, memory_file

LONGEST = 7200.0
"""Seconds of a call at most."""


def load(path: Path) -> Recording:
    """A recording as the gateway keeps it, or as `faxgw trace --recording` writes it."""
    octets = path.read_bytes()
    return recording.decode(octets if octets.startswith(recording.MAGIC) else zlib.decompress(octets))


def named(name: str) -> Recording:
    """One of the recordings in tests/data/interop."""
    return load(FOLDER / f"{name}.faxrec")


def as_capture(recorded: Recording) -> Capture:
    """The recording as the other captures are read: SIP and UDPTL, times since the INVITE."""
    began = recorded.header.began
    sip, udptl = (
        tuple(Datagram(e.at - began, e.ours, e.octets) for e in recorded.entries if e.medium is medium)
        for medium in (Medium.SIP, Medium.UDPTL)
    )
    return Capture(sip, udptl)


def agreed_t38(recorded: Recording) -> tuple[float, T38Media] | None:
    """When T.38 was agreed, and what the far end's description of it said."""
    theirs: T38Media | None = None
    for entry in (e for e in recorded.entries if e.medium is Medium.SIP):
        message = parse(entry.octets)
        line = SessionDescription.parse(message.body).t38 if message.body else None
        if line is None:
            continue
        if not entry.ours:
            said = T38Parameters.parse(line)
            address = (recorded.header.udptl[1][0], line.port)
            theirs = T38Media(address, said.max_datagram, said.error_correction.value, said.max_bit_rate)
        if isinstance(message, Response) and message.status == 200 and theirs is not None:
            return entry.at, theirs
    return None


@contextmanager
def replayed(recorded: Recording, document: bytes | None) -> Iterator[Daemon]:
    """Our engine from where the call worker began, until it says phase E and is done.

    Args:
        recorded: The call.
        document: The TIFF that was sent; None when we received.
    """
    head = recorded.header
    network = Network()
    sockets = {Medium.RTP: network.socket(1), Medium.UDPTL: network.socket(2)}
    theirs = {Medium.RTP: head.rtp[1], Medium.UDPTL: head.udptl[1]}
    files = [memory_file(document)] if document is not None else []
    start = Start(
        1,
        Role.SEND if head.sending else Role.RECEIVE,
        head.rtp[1],
        head.payload_type,
        None,
        head.station_id,
        documents=tuple(Document("FN1", head.pages, 1, head.pages) for _ in files),
        ecm=head.ecm,
        modems=head.modems,
        calling_party=head.sending,
        takes_sub_address=not head.sending,
    )
    now = head.media_began
    call = MediaCall(start, sockets[Medium.RTP], sockets[Medium.UDPTL], files, now)
    daemon = Daemon(call)
    left = [e for e in recorded.entries if e.medium is not Medium.SIP and not e.ours]
    switch = agreed_t38(recorded)
    try:
        while not call.ended and now < head.media_began + LONGEST:
            now += TICK
            while left and left[0].at <= now:
                entry = left.pop(0)
                sockets[entry.medium].queue.append((entry.octets, theirs[entry.medium]))
            if switch is not None and switch[0] <= now:
                call.receive(SwitchT38(1, replace(switch[1], remote=head.udptl[1])), now)
                switch = None
            call.tick(now)
            daemon.step(now)
        yield daemon
    finally:
        call.close()
