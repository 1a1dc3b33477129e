"""The media leg of a call: its two sockets, its place in a call worker, what SDP says of both, and the way to T.38.

The daemon binds the sockets and hands them to the worker with `Start`; from then on it holds none. The leg knows
nothing of SIP transactions and decides nothing about faxes (docs/transport.md D.3).

Which medium a first description begins with: of an offer to us, T.38 if it stands first or alone (a gateway that knows
it will be a fax), else audio; of an answer to us, T.38 if it was accepted. What is on hold is answered and
moves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from faxgw.foip import control
from faxgw.foip.control import Gate
from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.sdp import (
    MediaLine,
    Origin,
    SessionDescription,
    T38Parameters,
    answer,
    answer_audio,
    answer_t38,
    audio_line,
    offer,
    t38_line,
)
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.ports import MediaSockets, NoMediaPorts, PortRange, bind_media
from faxgw.line.trunk import Trunk
from faxgw.line.workers import CallWorkers, Inbox, NoWorker, Place

MAX_WORKERS_TRIED = 3
"""Call workers that may die under one call before it has begun; more say that none can live here."""
_DISCARD_PORT = 9
"""Stands for a port that is not bound yet (RFC 863)."""

Remote = tuple[tuple[str, int] | None, int | None]
"""Where audio goes and its payload type: no payload type where the peer's description has no audio that we can use, no
address where it is on hold from the start."""


class MediaLeg:
    """The media of one call.

    Args:
        trunk: Its codings, and whether T.38 is wanted.
        endpoint: Addresses.
        workers: Where the media live.
        ports: Media ports.
        inbox: Gets what the worker says.
        isolated: In a call worker of its own.
        group: Calls it may share a worker with.
    """

    def __init__(
        self,
        trunk: Trunk,
        endpoint: SipEndpoint,
        workers: CallWorkers,
        ports: PortRange,
        inbox: Inbox,
        *,
        isolated: bool = False,
        group: str = "",
    ) -> None:
        self.begun = False
        """The worker was given the call."""
        self.running = False
        """The worker has the call, and has not said phase E."""
        self.hung_up = False
        """The worker was told to end the call: it confirms and exposes nothing any more."""
        self.t38 = False
        """T.38 was agreed."""
        self.takes_t38 = trunk.settings.t38
        """Whether the far end's proposal of T.38 is taken."""
        self.proposes_t38 = True
        """Whether a first offer may have T.38 beside audio."""
        self._trunk = trunk
        self._host = endpoint.host
        self._workers = workers
        self._ports = ports
        self._inbox = inbox
        self._isolated = isolated
        self._group = group
        self._tried = 0
        self.place: Place | None = None
        self._sockets: MediaSockets | None = None
        self._rtp_port = self._udptl_port = _DISCARD_PORT
        self._origin = Origin(int.from_bytes(os.urandom(4), "big"), 0, endpoint.media_address)
        self._agreed: Callable[[int], control.SwitchT38 | control.Media] | None = None
        """What the far end has changed before the worker was given the call."""

    # The place and the sockets

    async def open(self) -> None:
        """Take sockets and a place.

        Raises:
            NoMediaPorts: If no pair of ports is free.
            NoWorker: If there is no place.
        """
        self._sockets = bind_media(self._host, self._ports)
        self._rtp_port, self._udptl_port = self._sockets.rtp_port, self._sockets.udptl_port
        await self.find_worker()

    async def find_worker(self) -> None:
        """Take a place, the first one or instead of one whose worker died before the call had begun in it.

        Raises:
            NoWorker: If there is none, or MAX_WORKERS_TRIED died.
        """
        self.place = None
        if self._tried >= MAX_WORKERS_TRIED:
            raise NoWorker("call workers die one after the other")
        self._tried += 1
        self.place = await self._workers.reserve(self._inbox, isolated=self._isolated, group=self._group)

    @property
    def ports(self) -> tuple[int, int]:
        """Our ports for audio and for T.38."""
        return self._rtp_port, self._udptl_port

    @property
    def alive(self) -> bool:
        """Whether the call's worker still runs."""
        return self.place is not None and self.place.alive

    def begin(self, make: Callable[[int], control.Start], documents: Sequence[int] = ()) -> None:
        """Give the call to the worker.

        Args:
            make: Makes the message for the call's number.
            documents: Descriptors of the documents; duplicated here.

        Raises:
            NoMediaPorts: If the descriptors cannot be handed over: the process has none left.
        """
        place, sockets = self.place, self._sockets
        if place is None or sockets is None:
            raise NoMediaPorts("the media of the call are not open")
        start = make(place.number)
        try:
            place.send(start, [sockets.rtp.fileno(), sockets.udptl.fileno(), *documents])
        except OSError as exc:
            raise NoMediaPorts(f"sockets not handed over: {exc}") from exc
        self.begun = self.running = True
        self.t38 = start.t38 is not None or self.t38
        self._close_sockets()
        if self._agreed is not None:
            self._send(self._agreed)

    def acknowledge(self, gate: Gate, fax: str, page: int) -> bool:
        """A promise is durable: open its gate. False when the worker will not do so any more."""
        return not self.hung_up and self._send(lambda number: control.Ack(number, gate, fax, page))

    def give_documents(self, documents: tuple[control.Document, ...], descriptors: Sequence[int]) -> bool:
        """Coarser pages for a call that waits for them, or none; the descriptors stay the caller's."""
        return not self.hung_up and self._send(lambda number: control.Documents(number, documents), descriptors)

    def hang_up(self) -> bool:
        """Tell the worker to end the call. True when its phase E is to be awaited, False when none will come."""
        if self.hung_up or not self._send(control.Hangup):
            return False
        self.hung_up = True
        return True

    def ended(self) -> None:
        """The worker said phase E, or will not."""
        self.running = False

    def lost(self) -> None:
        """The worker is gone."""
        self.running = False
        self.place = None

    def close(self) -> None:
        """Hang up, give the place back and close what is still open; nothing comes from the worker any more."""
        self.hang_up()
        self.running = False
        if self.place is not None:
            self.place.release()
            self.place = None
        self._close_sockets()

    def _send(self, make: Callable[[int], control.Message], descriptors: Sequence[int] = ()) -> bool:
        if self.place is None or not self.running or not self.place.alive:
            return False
        self.place.send(make(self.place.number), descriptors)
        return True

    def _close_sockets(self) -> None:
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    # Session descriptions

    def offer_first(self) -> SessionDescription:
        """What our first INVITE offers, or our 200 OK to one without an offer: as the trunk's `t38_offer` says."""
        audio = audio_line(self._rtp_port, self._trunk.payload_types)
        t38 = t38_line(self._udptl_port, T38Parameters())
        both = (audio, t38) if self.proposes_t38 else (audio,)
        lines = {"later": (audio,), "first": both, "only": (t38,)}[self._trunk.settings.t38_offer]
        return offer(self._next_origin(), *lines)

    def offer_audio(self) -> SessionDescription:
        """An offer of audio."""
        return offer(self._next_origin(), audio_line(self._rtp_port, self._trunk.payload_types))

    def offer_t38(self) -> SessionDescription:
        """An offer of T.38 (D.3 rule 7)."""
        return offer(self._next_origin(), t38_line(self._udptl_port, T38Parameters()))

    def answer_first(self, offered: SessionDescription | None) -> SessionDescription | None:
        """What our 200 OK says: the answer to a first offer with one medium, or an offer if it has none.

        None: nothing in the offer fits.
        """
        if offered is None:
            return self.offer_first()
        origin = self._next_origin()
        if self.first_t38(offered) is not None:
            return answer_t38(offered, origin, self._udptl_port)
        if self.remote_audio(offered)[1] is None:
            return None
        return answer_audio(offered, origin, self._rtp_port, self._trunk.payload_types)

    def first_t38(self, offered: SessionDescription) -> control.T38Media | None:
        """Where T.38 goes if a call to us is to begin with it; None if it begins with audio, or not at all."""
        if not offered.t38_first and self.remote_audio(offered)[1] is not None:
            return None
        return self.t38_of(offered) if self._trunk.settings.t38 else None

    def answer_change(
        self, offered: SessionDescription, *, phase_b: bool
    ) -> tuple[SessionDescription | None, control.T38Media | None]:
        """The answer to a changed session, and where T.38 goes then (D.3 rules 2 and 4); None refuses.

        T.38 counts before audio while it is still possible: who offers both in mid-call wants the former.

        Args:
            offered: What the far end wants.
            phase_b: The fax has begun: audio never becomes T.38 any more.
        """
        origin, line = self._next_origin(), offered.t38
        if line is not None and self.takes_t38 and (self.t38 or not phase_b):
            if offered.is_held(line):
                return answer_t38(offered, origin, self._udptl_port), None
            media = self.t38_of(offered)
            if media is not None:
                return answer_t38(offered, origin, self._udptl_port), media
        if self.remote_audio(offered)[1] is not None:
            return answer_audio(offered, origin, self._rtp_port, self._trunk.payload_types), None
        if line is not None or offered.audio is not None:
            return None, None
        return answer(offered, origin, {}), None  # all lines at port 0: the end of the session, BYE follows

    def remote_audio(self, sdp: SessionDescription | None) -> Remote:
        """Where our audio goes by the peer's description."""
        line = sdp.audio if sdp is not None else None
        payload_type = line.payload_type(self._trunk.payload_types) if line is not None else None
        if sdp is None or line is None or payload_type is None:
            return None, None
        address = self._address(sdp, line)
        return (address, payload_type) if address is not None or sdp.is_held(line) else (None, None)

    def t38_of(self, sdp: SessionDescription) -> control.T38Media | None:
        """What the peer's T.38 line asks of us; None without a usable one."""
        line = sdp.t38
        remote = self._address(sdp, line) if line is not None else None
        if line is None or remote is None or sdp.is_held(line):
            return None
        theirs = T38Parameters.parse(line, sdp.attributes)
        return control.T38Media(remote, theirs.usable_datagram, theirs.error_correction.value, theirs.usable_bit_rate)

    def _address(self, sdp: SessionDescription, line: MediaLine) -> tuple[str, int] | None:
        """Where a line's media go; None for a host name, no place at all, or another family than our sockets'."""
        try:
            host, port = sdp.address_of(line)
        except RemoteProtocolError:
            return None
        return (host, port) if (":" in host) == (":" in self._host) else None

    def _next_origin(self) -> Origin:
        self._origin = self._origin.next()
        return self._origin

    # Changes

    def switch(self, media: control.T38Media) -> None:
        """T.38 is agreed, or has moved."""
        self.t38 = True
        self._change(lambda number: control.SwitchT38(number, media))

    def switch_refused(self) -> None:
        """The worker has stayed in audio: phase B was quicker."""
        self.t38 = False

    def move_audio(self, sdp: SessionDescription) -> bool:
        """The peer's audio address or coding may have changed. False if it has none that we can use.

        A hold moves nothing: what we send goes on to where it went, as the fax engine goes on.
        """
        remote, payload_type = self.remote_audio(sdp)
        if payload_type is None:
            return False
        line = sdp.audio
        if remote is not None and not self.t38 and line is not None and not sdp.is_held(line):
            self._change(lambda number: control.Media(number, remote, payload_type))
        return True

    def _change(self, make: Callable[[int], control.SwitchT38 | control.Media]) -> None:
        """Tell the worker, which may get the call only when the answer is committed: the last change counts then."""
        if self.begun:
            self._send(make)
        else:
            self._agreed = make


def modems(max_bit_rate: int) -> int:
    """The mask of modems that keeps to a bit rate (docs/transport.md F.2): V.17 cannot be held below 14400."""
    if max_bit_rate >= 14_400:
        return 7
    return 3 if max_bit_rate >= 7_200 else 1
