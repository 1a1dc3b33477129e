"""A T.30 terminal over G.711: a fax modem, a jitter buffer, and ears for what else may be on the line."""

from __future__ import annotations

import secrets
from typing import Any, Final  # cffi objects have no types

import numpy as np

from faxgw.foip import rtp
from faxgw.foip.control import Statistics, Tone
from faxgw.foip.errors import RemoteProtocolError
from faxgw.t30 import binding
from faxgw.t30.binding import LibraryFault, ffi
from faxgw.t30.callback import callback
from faxgw.t30.speech import Speech
from faxgw.t30.terminal import TICK_SAMPLES, Heard, Profile, Terminal

RELAXED: Final = 4
"""Packets that may wait in the jitter buffer before quiet ones are skipped (a peer's clock that is faster)."""
PAUSE_AFTER: Final = 25
"""Ticks in a row without a packet (0.5 s) after which it is a pause and no loss: a far end that suppresses silence, or
one that is gone. A fill-in would hold its last signal up for ever, and with it the modem's timers."""
PAUSE_KEPT: Final = 10
"""Quiet packets in a row that are played in any case (200 ms): the pauses of T.30 between two signals, 75 ms ± 20 ms
(section 5.1), belong to the signals; a modem that does not see the carrier go misses the next one."""
QUIET: Final = 64
"""Linear amplitude below which nothing is said: some 45 dB below a fax signal."""
_LAWS: Final = (rtp.PCMU, rtp.PCMA)
LAST_TONES: Final = frozenset({Tone.V21, Tone.CNG})
"""After them there is no tone that would tell more: V.21 follows CED, and CNG is all a caller says."""


class AudioTerminal(Terminal):
    """A fax modem over G.711: RTP in, RTP out, one packet per tick; it listens for CED, V.21, CNG and speech."""

    transport = "g711"

    def __init__(self, profile: Profile, payload_type: int) -> None:
        """Begin a session; `payload_type` is 0 (µ-law) or 8 (A-law)."""
        super().__init__(profile)
        self.garbage = 0
        """Datagrams that could not be read."""
        self.skipped = 0
        """Quiet packets that were not played, to catch up with a faster clock."""
        lib = self._lib
        self._payload_type = payload_type
        self._rtp = rtp.Sender(payload_type, secrets.randbits(32), secrets.randbits(16), secrets.randbits(32))
        self._jitter = rtp.JitterBuffer()
        self._pending: binding.Samples = np.zeros(0, np.int16)
        self._quiet = 0
        """Quiet packets in a row."""
        self._missing = 0
        """Ticks in a row in which nothing came."""
        self._out: binding.Samples = np.zeros(TICK_SAMPLES, np.int16)
        self._out_pointer: Any = binding.pointer(self._out)
        self._heard: set[Tone] = set()
        self._speech = Speech()
        self._state = lib.fax_init(ffi.NULL, int(profile.calling_party))
        if self._state == ffi.NULL:
            raise LibraryFault("no audio terminal")
        lib.fax_set_transmit_on_idle(self._state, 1)
        self._tones = make_tones(self, profile)
        self._configure(lib.fax_get_t30_state(self._state))

    def change_payload_type(self, payload_type: int) -> None:
        """Send in another G.711 law from now on. Both are understood at any time."""
        self._payload_type = payload_type
        self._rtp.change_payload_type(payload_type)

    def receive(self, datagram: bytes, now: float) -> None:
        """Queue one RTP packet; comfort noise and telephone events only take their number in the sequence."""
        try:
            packet = rtp.decode(datagram)
        except RemoteProtocolError:
            self.garbage += 1
            return
        if packet.payload_type in _LAWS and packet.payload:
            self._jitter.put(packet)
        else:
            self._jitter.skip(packet)

    def is_media(self, datagram: bytes) -> bool:
        """Whether it is RTP with G.711."""
        return is_g711(datagram)

    def tick(self, now: float) -> list[tuple[bytes, int]]:
        """Hear and speak 20 ms."""
        self._now = now
        self._hear()
        spoken = 0
        if not self.frozen:
            spoken = self._lib.fax_tx(self._state, self._out_pointer, TICK_SAMPLES)
            self._after()
        self._out[spoken:] = 0
        return [(self._rtp.send(binding.g711_encode(self._out, self._payload_type)), 1)]

    def _hear(self) -> None:
        """20 ms into the modem: what came, and a fill-in (silence only in a pause) for what did not."""
        samples = self._pending
        while len(samples) < TICK_SAMPLES:
            packet = self._jitter.get()
            if packet is None:
                break
            more = binding.g711_decode(packet.payload, packet.payload_type)
            if self._is_superfluous(more):
                self.skipped += 1
                continue
            samples = np.concatenate((samples, more)) if len(samples) else more
        self._pending = samples[TICK_SAMPLES:]
        count = min(len(samples), TICK_SAMPLES)
        if count:
            pointer = binding.pointer(samples)
            if not self.phase_b and not self._heard & LAST_TONES:
                self._listen(samples[:count], pointer)
            self._lib.fax_rx(self._state, pointer, count)
        self._missing = 0 if count else self._missing + 1
        if self._missing > PAUSE_AFTER:
            self._lib.fax_rx(self._state, binding.pointer(np.zeros(TICK_SAMPLES, np.int16)), TICK_SAMPLES)
        elif count < TICK_SAMPLES:
            self._lib.fax_rx_fillin(self._state, TICK_SAMPLES - count)
        self._after()

    def _is_superfluous(self, samples: binding.Samples) -> bool:
        """Whether a packet is to be skipped: more wait than need to, and nothing has been said for a while."""
        if self._jitter.waiting <= RELAXED or len(samples) > TICK_SAMPLES or int(np.abs(samples).max()) >= QUIET:
            self._quiet = 0
            return False
        self._quiet += 1
        return self._quiet > PAUSE_KEPT

    def _listen(self, samples: binding.Samples, pointer: Any) -> None:
        """Before phase B: fax tones until the last one of a machine, and speech until one is heard."""
        self._lib.modem_connect_tones_rx(self._tones, pointer, len(samples))
        if not self._heard and len(samples) == TICK_SAMPLES and self._speech.hear(samples):
            self._heard.add(Tone.VOICE)
            self._tell(Heard(Tone.VOICE))

    def on_tone(self, code: int) -> None:
        """The tone detector changed its mind; each tone is reported once."""
        tone = tone_of(code)
        if tone is not None and tone not in self._heard:
            self._heard.add(tone)
            self._tell(Heard(tone))

    @property
    def losses(self) -> tuple[int, int]:
        """As the jitter buffer counts them; nothing brings RTP back."""
        return self._jitter.lost, 0

    def statistics(self) -> Statistics:
        """What has been counted so far."""
        return self._fill(*self.losses)

    def _free(self) -> None:
        self._lib.modem_connect_tones_rx_free(self._tones)
        self._lib.fax_release(self._state)
        self._lib.fax_free(self._state)


def is_g711(datagram: bytes) -> bool:
    """Whether a datagram is RTP with G.711."""
    try:
        return rtp.decode(datagram).payload_type in _LAWS
    except RemoteProtocolError:
        return False


def tone_of(code: int) -> Tone | None:
    """What the library's tone code means to us."""
    return {binding.TONE_ANS: Tone.CED, binding.TONE_PREAMBLE: Tone.V21, binding.TONE_CNG: Tone.CNG}.get(code)


def make_tones(terminal: Terminal, profile: Profile) -> Any:
    """The library's detector of what a terminal may hear before phase B; it calls `on_tone`."""
    tone = binding.TONE_CED_OR_PREAMBLE if profile.calling_party else binding.TONE_CNG
    return binding.library().modem_connect_tones_rx_init(ffi.NULL, tone, _tone_handler, terminal.handle)


@callback("tone_handler_t")
def _tone_handler(user_data: Any, code: int, _level: int, _delay: int) -> None:
    ffi.from_handle(user_data).on_tone(code)
