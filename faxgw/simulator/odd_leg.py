"""A call to a machine with a `Manner`: odd signalling, odd negotiation of T.38, a bad network; a good fax."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from faxgw.foip.agent import UserAgent
from faxgw.foip.control import Message, PageReceived, PhaseE
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import Acknowledged, CallId, Event, Reoffered
from faxgw.foip.sdp import (
    MediaLine,
    SessionDescription,
    T38Parameters,
    answer,
    answer_audio,
    audio_line,
    offer,
    t38_line,
)
from faxgw.foip.uri import bracket
from faxgw.simulator.album import Album, CallRecord, StoredPage
from faxgw.simulator.behaviour import Behaviour, Fax
from faxgw.simulator.impairment import ImpairedSocket, Impairment
from faxgw.simulator.leg import IncomingLeg, Talk, audio_media
from faxgw.simulator.manner import SAME, SWITCH_AFTER, AtEnd, Layout, Manner, Network, Reply
from faxgw.simulator.ports import MediaSockets
from faxgw.simulator.twist import Twister
from faxgw.simulator.voice import speech

CUT_AFTER: Final = 3.0
"""Seconds from a page's MCF to the end of the media in one direction: the MCF has left."""
PATIENCE_AT_END: Final = 4.0
"""Seconds from the end of the fax to the machine's BYE: the caller has said its own by then."""
ELSEWHERE: Final = "127.9.9.9"
"""An address of this host at which nobody listens."""
_G729: Final = "18"
_NO_AUDIO: Final = MediaLine("audio", 0, "RTP/AVP", ("8",))
_NO_IMAGE: Final = MediaLine("image", 0, "udptl", ("t38",))


class OddLeg(IncomingLeg):
    """A call to a machine with a manner of its own."""

    goodbye_after = PATIENCE_AT_END

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
        manner: Manner,
        twister: Twister | None,
        seed: int,
    ) -> None:
        """Begin; `twister` stands between the agent and the wire, `seed` is that of the network."""
        super().__init__(agent, call, record, album, host, sockets, behaviour, pace)
        self._manner = manner
        self._twister = twister
        self._clock = 0.0
        self._refused = 0
        if manner.other_host:
            self._origin = replace(self._origin, address=ELSEWHERE)
        if manner.other_port:
            self._sockets = replace(sockets, said_udptl_port=sockets.rtp_port)
        if manner.network is not None:
            self._sockets = self._behind(manner.network, seed)

    def begin(self, offered: SessionDescription | None, now: float) -> None:
        """Ring, and do what the machine does."""
        self._clock = now
        manner = self._manner
        if manner.trying_only:
            self._offer = offered
        elif manner.early_media and offered is not None and self._announce(offered, now):
            self._offer = offered
            self._after(manner.early_media * self._pace, self._end_announcement, now)
        else:
            super().begin(offered, now)

    def tick(self, now: float) -> None:
        """Let 20 ms pass, on the network too."""
        self._clock = now
        if self._twister is not None and self._twister.cues:
            self._on_cue(self._twister.cues.pop(0), now)
        super().tick(now)
        for sock in (self._sockets.rtp, self._sockets.udptl):
            if isinstance(sock, ImpairedSocket) and not self.done:
                sock.flush()

    def on_event(self, event: Event, now: float) -> None:
        """Take an event of the agent for this call."""
        if isinstance(event, Reoffered) and event.offer.t38 is not None and self._refused < self._manner.refuses:
            self._refuse_t38(event.offer, now)
        else:
            super().on_event(event, now)

    # Signalling.

    def _on_cue(self, cue: str, now: float) -> None:
        if cue == "cancel":
            self._conclude(now)
        else:
            self._offer_t38(now)

    def _announce(self, offered: SessionDescription, now: float) -> bool:
        """Early media: 183 with an answer, and somebody speaks. False: the caller cannot take it."""
        sdp = self._answer_for(offered)
        remote, payload_type = audio_media(offered)
        if sdp is None:
            return False
        try:
            self._agent.ring(self.call, now, early=sdp)
        except LocalProtocolError:
            return False
        self._talk = Talk(self._sockets, remote, payload_type, speech())
        return True

    def _end_announcement(self, now: float) -> None:
        self._talk = None
        self._conclude(now)

    def _reject(self, status: int, now: float) -> None:
        self.record.status = status
        self._agent.reject(self.call, status, now, self._headers())
        self._finish(now)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        manner = self._manner
        if not manner.redirects_to:
            return manner.headers
        number = self.record.number
        if manner.redirects_to != SAME:
            number = number[: -len(self._behaviour.suffix)] + manner.redirects_to
        config = self._agent.stack.config
        return (*manner.headers, ("Contact", f"<sip:{number}@{bracket(config.host)}:{config.port};user=phone>"))

    def _on_own_event(self, event: Event, now: float) -> None:
        manner = self._manner
        if not isinstance(event, Acknowledged):
            super()._on_own_event(event, now)
            return
        if manner.bye_after is not None:
            self._after(manner.bye_after, self.hang_up, now)
        elif self._behaviour.fax is Fax.OFFERS:
            self._after(manner.t38_after, self._offer_t38, now)
            if manner.again_after:
                self._after(manner.t38_after + manner.again_after, self._offer_again, now)

    # Negotiation.

    def _answer_for(self, offered: SessionDescription | None) -> SessionDescription | None:
        reply, sockets = self._manner.reply, self._sockets
        if offered is None or reply is Reply.AUDIO:
            return super()._answer_for(offered)
        if reply is Reply.T38_ONLY:
            return offer(self._origin, t38_line(sockets.udptl_port))
        if reply is Reply.NO_MEDIA:
            return answer(offered, self._origin, {})
        sdp = answer_audio(offered, self._origin, sockets.rtp_port)
        if sdp is None:
            return None
        if reply is Reply.OTHER_CODEC:
            lines = (replace(line, formats=(_G729,), attributes=()) for line in sdp.media)
        else:
            lines = (replace(line, attributes=(*line.attributes[:-1], ("inactive", None))) for line in sdp.media)
        return replace(sdp, media=tuple(lines))

    def _t38_parameters(self) -> T38Parameters:
        return self._manner.t38

    def _refuse_t38(self, offered: SessionDescription, now: float) -> None:
        manner = self._manner
        self._refused += 1
        if manner.refuses_with == 200:
            self._agent.answer_reinvite(self.call, answer(offered, self._next_origin(), {}), now)
        else:
            self._agent.refuse_reinvite(self.call, manner.refuses_with, now)
        if manner.offers_after_refusal:
            self._after(manner.offers_after_refusal, self._offer_t38, now)

    def _offer_t38(self, now: float) -> None:
        if self._takes_t38():
            self._reoffer(self._lines(), now)

    def _offer_again(self, now: float) -> None:
        self._reoffer(self._lines(), now)

    def _lines(self) -> tuple[MediaLine, ...]:
        image = t38_line(self._sockets.udptl_port, self._t38_parameters())
        match self._manner.layout:
            case Layout.IMAGE_FIRST:
                return image, _NO_AUDIO
            case Layout.AUDIO_OFF_FIRST:
                return _NO_AUDIO, image
            case Layout.IMAGE_AND_AUDIO:
                return image, audio_line(self._sockets.rtp_port, (8,))
            case _:
                return (image,)

    def _reoffer(self, lines: tuple[MediaLine, ...], now: float) -> None:
        """Re-INVITE with these lines; later if one of either side is still open."""
        if self._over:
            return
        if self._agent.may_reinvite(self.call):
            self._agent.reinvite(self.call, offer(self._next_origin(), *lines), now)
        else:
            self._after(SWITCH_AFTER, lambda later: self._reoffer(lines, later), now)

    # Media.

    def _on_message(self, message: Message, page: StoredPage | None, now: float) -> None:
        super()._on_message(message, page, now)
        network, at_end = self._manner.network, self._manner.at_end
        if isinstance(message, PageReceived) and network is not None:
            if message.page in (network.silent_after_page, network.deaf_after_page):
                self._after(CUT_AFTER, self._cut, now)
        elif isinstance(message, PhaseE) and at_end is AtEnd.AUDIO:
            self._reoffer((audio_line(self._sockets.rtp_port, (8,)),), now)
        elif isinstance(message, PhaseE) and at_end is AtEnd.NO_IMAGE:
            self._reoffer((_NO_IMAGE,), now)

    def _cut(self, _now: float) -> None:
        network = self._manner.network
        for sock in (self._sockets.rtp, self._sockets.udptl):
            if isinstance(sock, ImpairedSocket) and network is not None:
                (sock.there if network.silent_after_page else sock.here).silenced = True

    def _behind(self, network: Network, seed: int) -> MediaSockets:
        """The sockets behind the network."""
        rtp, udptl = (
            ImpairedSocket(
                sock,
                Impairment(network.there, 4 * seed + 2 * index),
                Impairment(network.here, 4 * seed + 2 * index + 1),
                lambda: self._clock,
            )
            for index, sock in enumerate((self._sockets.rtp, self._sockets.udptl))
        )
        return replace(self._sockets, udptl=udptl, rtp=rtp if network.audio else self._sockets.rtp)
