"""One call of the park: its signalling through a `UserAgent`, its media through a `MediaCall`, its record.

`on_event` takes what the agent says, `tick` lets 20 ms pass; both on the park's loop. The park carries datagrams,
and stores the record when `done`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from faxgw.foip import rtp, t30_frames
from faxgw.foip.agent import UserAgent
from faxgw.foip.control import (
    Ack,
    Address,
    Confirmed,
    Document,
    Gate,
    Hangup,
    Heard,
    Limits,
    Media,
    Message,
    PageReceived,
    PhaseB,
    PhaseE,
    Role,
    Start,
    SwitchT38,
    T38Media,
    Tone,
    Trace,
)
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import (
    Acknowledged,
    Answered,
    CallId,
    Ended,
    Event,
    Provisional,
    Rejected,
    ReofferAnswered,
    Reoffered,
    ReofferRefused,
)
from faxgw.foip.sdp import (
    PCMA,
    PCMU,
    ErrorCorrection,
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
from faxgw.simulator.album import Album, CallRecord, StoredPage
from faxgw.simulator.behaviour import (
    MID_PAGE_AFTER,
    MID_PAGE_BYE,
    PERSON_TALKS,
    Behaviour,
    Ending,
    Fax,
    Voice,
)
from faxgw.simulator.manner import SWITCH_AFTER
from faxgw.simulator.ports import MediaSockets
from faxgw.simulator.scripted import ScriptedMedia
from faxgw.simulator.voice import silence, speech
from faxgw.t30 import binding
from faxgw.t30.call import MediaCall
from faxgw.t30.terminal import TICK_SAMPLES

log = logging.getLogger(__name__)

GOODBYE_AFTER: Final = 1.5
"""Seconds from the end of the fax to our BYE, if the other side has not sent one."""
HANG_UP_AFTER_MCF: Final = 3.0
"""Seconds from our MCF to the BYE of a machine that hangs up after page 1."""
PATIENCE: Final = 300.0
"""Seconds a call may last without a fax before the park ends it."""
_FOR_EVER: Final = 86_400.0


def utc() -> str:
    """Now, as the records say it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Leg(ABC):
    """What calls to and from the park have in common."""

    goodbye_after = GOODBYE_AFTER

    def __init__(
        self, agent: UserAgent, call: CallId, record: CallRecord, album: Album, host: str, sockets: MediaSockets
    ) -> None:
        self.call = call
        self.record = record
        self.done = False
        """True once the call is over and its record complete."""
        self.muted = False
        """True while neither media nor signalling of the call work."""
        self._agent = agent
        self._album = album
        self._sockets = sockets
        self._origin = Origin(secrets.randbits(31), 1, host)
        self._media: MediaCall | ScriptedMedia | None = None
        self._talk: Talk | None = None
        self._timers: list[tuple[float, Callable[[float], None]]] = []
        self._over = False
        self._result: PhaseE | None = None

    def tick(self, now: float) -> None:
        """Let 20 ms pass."""
        for timer in [timer for timer in self._timers if timer[0] <= now]:
            self._timers.remove(timer)
            timer[1](now)
        if self._talk is not None and not self.muted:
            self._talk.tick()
        if self._media is not None and not self.muted:
            self._media.tick(now)
            self._take(now)
            if isinstance(self._media, ScriptedMedia) and self._media.hung_up:
                self.hang_up(now)

    def on_event(self, event: Event, now: float) -> None:
        """Take an event of the agent for this call."""
        match event:
            case Reoffered():
                self._on_reoffer(event.offer, now)
            case ReofferAnswered():
                self._switch(event.sdp, now)
            case ReofferRefused():
                log.info("re-INVITE refused", extra={"call": self.record.id, "status": event.status})
            case Ended():
                self.record.ended_by = str(event.by)
                self._finish(now)
            case _:
                self._on_own_event(event, now)

    def hang_up(self, now: float) -> None:
        """End the call from our side."""
        self.muted = False
        self._stop_media(now)
        with contextlib.suppress(LocalProtocolError):  # it is over already
            if self.record.answered:
                self._agent.bye(self.call, now)
            else:
                self._withdraw(now)

    def close(self) -> None:
        """Free media and sockets."""
        if self._media is not None:
            self._media.close()
            self._media = None
        self._talk = None
        self._sockets.close()

    # For the two kinds of call.

    @abstractmethod
    def _on_own_event(self, event: Event, now: float) -> None:
        """Take an event that only this kind of call has."""

    @abstractmethod
    def _on_message(self, message: Message, page: StoredPage | None, now: float) -> None:
        """Take what the media side tells."""

    @abstractmethod
    def _withdraw(self, now: float) -> None:
        """Give up a call that has not been answered."""

    def _takes_t38(self) -> bool:
        return self._media is not None and self._media.may_switch

    # Session descriptions.

    def _t38_parameters(self) -> T38Parameters:
        """What our side says of itself when it offers T.38."""
        return T38Parameters()

    def _next_origin(self) -> Origin:
        self._origin = self._origin.next()
        return self._origin

    def _offer_t38(self, now: float) -> None:
        """Re-INVITE to T.38, if nothing has been decided meanwhile."""
        if not self._takes_t38() or self._over:
            return
        try:
            if self._agent.may_reinvite(self.call):
                line = t38_line(self._sockets.udptl_port, self._t38_parameters())
                self._agent.reinvite(self.call, offer(self._next_origin(), line), now)
        except LocalProtocolError:
            log.info("no re-INVITE now", extra={"call": self.record.id})

    def _on_reoffer(self, offered: SessionDescription, now: float) -> None:
        if offered.t38 is not None:
            on_t38 = self._media is not None and self._media.on_t38
            sdp = answer_t38(offered, self._next_origin(), self._sockets.udptl_port)
            if sdp is None or not (on_t38 or self._takes_t38()):
                self._agent.refuse_reinvite(self.call, 488, now)
                return
            self._agent.answer_reinvite(self.call, sdp, now)
            self._switch(offered, now)
            return
        sdp = answer_audio(offered, self._next_origin(), self._sockets.rtp_port)
        self._agent.answer_reinvite(self.call, sdp or answer(offered, self._origin, {}), now)
        if sdp is not None:
            self._audio_moved(offered, now)

    def _switch(self, sdp: SessionDescription, now: float) -> None:
        media = _t38_media(sdp)
        if media is not None and self._media is not None:
            self._media.receive(SwitchT38(0, media), now)

    def _audio_moved(self, sdp: SessionDescription, now: float) -> None:
        remote, payload_type = audio_media(sdp)
        if remote is not None and self._media is not None:
            self._media.receive(Media(0, remote, payload_type), now)

    # Media.

    def _take(self, now: float) -> None:
        media = self._media
        if media is None:
            return
        for outgoing in media.take():
            page = None
            if outgoing.descriptor is not None:
                octets = _read(outgoing.descriptor)
                message = outgoing.message
                assert isinstance(message, PageReceived)
                page = self._album.store_page(self.record, octets, message.rows, message.width, message.bad_rows)
            self._note(outgoing.message, now)
            self._on_message(outgoing.message, page, now)

    def _note(self, message: Message, now: float) -> None:
        """Write into the record what a message says."""
        record = self.record
        if isinstance(message, Trace):
            record.trace += [(at, direction, t30_frames.describe(frame)) for at, direction, frame in message.frames]
        elif isinstance(message, PhaseB):
            record.remote_ident = message.remote_ident
        elif isinstance(message, PhaseE):
            self._result = message
            record.code, record.result = message.code, message.text
            record.remote_ident = message.remote_ident or record.remote_ident
            statistics = message.statistics
            record.transport, record.bit_rate = statistics.transport, statistics.bit_rate
            record.ecm, record.encoding = statistics.ecm, statistics.encoding
            self._after(self.goodbye_after, self.hang_up, now)

    def _after(self, delay: float, action: Callable[[float], None], now: float) -> None:
        self._timers.append((now + delay, action))

    def _stop_media(self, now: float) -> None:
        self._talk = None
        if self._media is not None:
            self._media.receive(Hangup(0), now)
            self._take(now)
            self._media.close()
            self._media = None

    def _finish(self, now: float) -> None:
        if self._over:
            return
        self._over = True
        self._timers.clear()
        self._stop_media(now)
        self._timers.clear()
        self._sockets.close()
        self.record.ended = utc()
        self.done = True


class IncomingLeg(Leg):
    """A call to one of the park's machines."""

    def __init__(
        self,
        agent: UserAgent,
        call: CallId,
        record: CallRecord,
        album: Album,
        host: str,
        sockets: MediaSockets,
        behaviour: Behaviour,
        pace: float,
    ) -> None:
        super().__init__(agent, call, record, album, host, sockets)
        self._behaviour = behaviour
        self._pace = pace
        self._offer: SessionDescription | None = None
        self._frames = 0

    def begin(self, offered: SessionDescription | None, now: float) -> None:
        """Ring, and do what the machine does."""
        behaviour = self._behaviour
        self._offer = offered
        if behaviour.status == 0:
            self._agent.ring(self.call, now)
        elif behaviour.ring:
            self._agent.ring(self.call, now)
            self._after(behaviour.ring * self._pace, self._conclude, now)
        else:
            self._conclude(now)

    def _conclude(self, now: float) -> None:
        if self._behaviour.status != 200:
            self._reject(self._behaviour.status, now)
            return
        sdp = self._answer_for(self._offer)
        if sdp is None:
            self._reject(488, now)
            return
        self._agent.answer(self.call, sdp, now)
        self.record.status = 200
        self.record.answered = utc()
        self._begin_media(now)
        self._after(PATIENCE, self._give_up, now)

    def _reject(self, status: int, now: float) -> None:
        self.record.status = status
        self._agent.reject(self.call, status, now)
        self._finish(now)

    def _answer_for(self, offered: SessionDescription | None) -> SessionDescription | None:
        if offered is None:
            return offer(self._origin, audio_line(self._sockets.rtp_port))
        sdp = answer_audio(offered, self._origin, self._sockets.rtp_port)
        if sdp is None and self._behaviour.fax is not Fax.REFUSES:
            sdp = answer_t38(offered, self._origin, self._sockets.udptl_port)
        return sdp

    def _begin_media(self, now: float) -> None:
        behaviour = self._behaviour
        remote, payload_type = audio_media(self._offer) if self._offer is not None else (None, PCMA)
        t38 = None
        if self._offer is not None and remote is None:
            t38 = _t38_media(self._offer)
        if behaviour.voice is not Voice.NOBODY:
            samples = speech() if behaviour.voice is Voice.PERSON else silence()
            self._talk = Talk(self._sockets, remote, payload_type, samples)
            if behaviour.voice is Voice.PERSON:
                self._after(PERSON_TALKS * self._pace, self.hang_up, now)
            return
        if behaviour.script is not None:
            self._media = ScriptedMedia(behaviour.script, self._sockets, t38)
            return
        limits = Limits()
        if behaviour.ending is Ending.SILENT_LAST_PAGE:
            limits = replace(limits, gate=_FOR_EVER)
        start = Start(
            call=0,
            role=Role.RECEIVE,
            rtp_remote=remote,
            payload_type=payload_type,
            t38=t38,
            station_id=_station_id(self.record.number),
            ecm=behaviour.ecm,
            modems=behaviour.modems,
            compressions=behaviour.compressions,
            calling_party=False,
            limits=limits,
            takes_sub_address=True,
        )
        self._media = MediaCall(start, self._sockets.rtp, self._sockets.udptl, (), now, behaviour.resolutions)

    def _give_up(self, now: float) -> None:
        if self._media is None or not self.record.remote_ident:
            self.hang_up(now)

    def _takes_t38(self) -> bool:
        return self._behaviour.fax is not Fax.REFUSES and super()._takes_t38()

    def _t38_parameters(self) -> T38Parameters:
        script = self._behaviour.script
        fec = script is not None and script.announces_fec
        return T38Parameters(error_correction=ErrorCorrection.FEC if fec else ErrorCorrection.REDUNDANCY)

    def _on_own_event(self, event: Event, now: float) -> None:
        if isinstance(event, Acknowledged):
            if event.sdp is not None:
                self._audio_moved(event.sdp, now)
            if self._behaviour.fax is Fax.OFFERS:
                self._after(SWITCH_AFTER, self._offer_t38, now)

    def _on_message(self, message: Message, page: StoredPage | None, now: float) -> None:
        ending = self._behaviour.ending
        if isinstance(message, PageReceived) and page is not None:
            if message.last and ending is Ending.SILENT_LAST_PAGE:
                return  # the gate stays closed: no MCF
            if self._media is not None:
                self._media.receive(Ack(0, Gate.PAGE, "", message.page), now)
            page.confirmed = True
            self.record.pages_confirmed += 1
            if ending is Ending.AFTER_FIRST_PAGE and message.page == 1 and not message.last:
                self._after(HANG_UP_AFTER_MCF, self.hang_up, now)
        elif isinstance(message, Trace) and ending is Ending.MID_PAGE and _sends_cfr(message):
            self._after(MID_PAGE_AFTER, self._drop, now)

    def _withdraw(self, now: float) -> None:
        self._reject(480, now)

    def _drop(self, now: float) -> None:
        """Fall silent; the BYE comes later."""
        self.muted = True
        self._after(MID_PAGE_BYE * self._pace, self.hang_up, now)


class OutgoingLeg(Leg):
    """A call the park places, with one document to send."""

    def __init__(
        self,
        agent: UserAgent,
        call: CallId,
        record: CallRecord,
        album: Album,
        host: str,
        sockets: MediaSockets,
        behaviour: Behaviour,
        document: int,
        pages: int,
        station_id: str,
    ) -> None:
        """Begin; `document` is the descriptor of a TIFF with `pages` pages, closed with the call."""
        super().__init__(agent, call, record, album, host, sockets)
        self._behaviour = behaviour
        self._document = document
        self._pages = pages
        self._station_id = station_id

    def give_up_after(self, seconds: float, now: float) -> None:
        """End the call then, unless a fax machine has answered by that time."""
        self._after(seconds, self._give_up, now)

    def _give_up(self, now: float) -> None:
        if not self.record.remote_ident:
            self.hang_up(now)

    def offer(self) -> SessionDescription:
        """Our first offer: audio."""
        return offer(self._origin, audio_line(self._sockets.rtp_port))

    def close(self) -> None:
        """Free everything."""
        super().close()
        if self._document >= 0:
            os.close(self._document)
            self._document = -1

    def _on_own_event(self, event: Event, now: float) -> None:
        match event:
            case Provisional():
                pass
            case Rejected():
                self.record.status = event.status
                self.record.ended_by = "remote"
                self._finish(now)
            case Answered():
                self._on_answer(event.sdp, now)
            case _:
                log.warning("unexpected event", extra={"event": type(event).__name__})

    def _on_answer(self, sdp: SessionDescription | None, now: float) -> None:
        self.record.status = 200
        self.record.answered = utc()
        remote, payload_type = audio_media(sdp) if sdp is not None else (None, PCMA)
        if remote is None:
            self._agent.bye(self.call, now)  # acknowledges first
            return
        self._agent.acknowledge(self.call, now)
        behaviour = self._behaviour
        if behaviour.script is not None:
            octets = os.pread(self._document, os.fstat(self._document).st_size, 0)
            self._media = ScriptedMedia(behaviour.script, self._sockets, None, octets)
            return
        start = Start(
            call=0,
            role=Role.SEND,
            rtp_remote=remote,
            payload_type=payload_type,
            t38=None,
            station_id=self._station_id,
            documents=(Document("F", self._pages, 1, self._pages),),
            ecm=behaviour.ecm,
            modems=behaviour.modems,
            compressions=behaviour.compressions,
        )
        self._media = MediaCall(start, self._sockets.rtp, self._sockets.udptl, [self._document], now)
        if behaviour.fax is Fax.OFFERS:
            self._after(SWITCH_AFTER, self._offer_t38, now)

    def _takes_t38(self) -> bool:
        return self._behaviour.fax is not Fax.REFUSES and super()._takes_t38()

    def _on_message(self, message: Message, page: StoredPage | None, now: float) -> None:
        media = self._media
        if media is None:
            return
        match message:
            case Heard(tone=Tone.V21):
                self._offer_t38(now)  # the answering side has not: the last moment before phase B
            case PhaseB(fax=fax, page=first) if fax:
                media.receive(Ack(0, Gate.EXPOSED, fax, first), now)
            case Confirmed():
                self.record.pages_confirmed += 1
                media.receive(Ack(0, Gate.CONFIRMED, message.fax, message.page), now)
                ending = self._behaviour.ending
                if ending is Ending.AFTER_FIRST_PAGE and message.page == 1 < self._pages:
                    self._after(0.5, self.hang_up, now)
                elif ending is Ending.MID_PAGE and message.page == 1 < self._pages:
                    self._after(MID_PAGE_AFTER, self._drop, now)
            case _:
                pass

    def _withdraw(self, now: float) -> None:
        self._agent.cancel(self.call, now)

    def _drop(self, now: float) -> None:
        self.muted = True
        self._after(MID_PAGE_BYE, self.hang_up, now)


class Talk:
    """A person, or silence, on the audio line."""

    def __init__(
        self, sockets: MediaSockets, remote: Address | None, payload_type: int, samples: binding.Samples
    ) -> None:
        self._sockets = sockets
        self._remote = remote
        self._octets = binding.g711_encode(samples, payload_type)
        self._at = 0
        self._rtp = rtp.Sender(payload_type, secrets.randbits(32), secrets.randbits(16), secrets.randbits(32))

    def tick(self) -> None:
        """20 ms."""
        octets = self._octets[self._at : self._at + TICK_SAMPLES]
        self._at = (self._at + TICK_SAMPLES) % len(self._octets)
        if self._remote is not None:
            with contextlib.suppress(OSError):
                self._sockets.rtp.sendto(self._rtp.send(octets), self._remote)


def _sends_cfr(trace: Trace) -> bool:
    return any(direction == ">" and t30_frames.fcf(frame) == t30_frames.CFR for _at, direction, frame in trace.frames)


def audio_media(sdp: SessionDescription) -> tuple[Address | None, int]:
    """Where the peer wants its audio, and which of our codecs; None: nowhere."""
    line = sdp.audio
    payload_type = line.payload_type((PCMA, PCMU)) if line is not None else None
    if line is None or payload_type is None:
        return None, PCMA
    try:
        return sdp.address_of(line), payload_type
    except RemoteProtocolError:
        return None, payload_type


def _t38_media(sdp: SessionDescription) -> T38Media | None:
    line = sdp.t38
    if line is None:
        return None
    parameters = T38Parameters.parse(line)
    try:
        remote = sdp.address_of(line)
    except RemoteProtocolError:
        return None
    return T38Media(remote, parameters.max_datagram, parameters.error_correction.value, parameters.max_bit_rate)


def _station_id(number: str) -> str:
    digits = "".join(c for c in number if c in "+0123456789")
    return digits[-20:]


def _read(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)
