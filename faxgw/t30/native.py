"""The terminals of `terminal` and `audio` with their media loop in C (`_media.c`), where it could be built.

`python -m faxgw.t30.build` makes the library where a compiler is at hand; without it, or when it belongs to another
source, the Python terminals do the same at two to three times the CPU. Both answer to the same interface and pass
the same tests. What a call *is* stays in Python: events, gates, frames. C reads the socket, orders and guards what
came, lets 20 ms pass and sends, and calls here only when a phase, a T.30 frame, a tone or a stranger turns up.

With `attach` the terminal reads and writes its socket itself: `Crowd.pump` does so for many at once. Otherwise
`receive` and `tick` work as in any terminal.

Parity (FEC) is decoded and made by the Python terminal alone; calls that agreed on it use that one.
"""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final  # cffi objects have no types

from faxgw.compiled import version_of
from faxgw.foip import udptl
from faxgw.foip.control import Address, Statistics, Tone
from faxgw.t30 import binding, decoder
from faxgw.t30.audio import LAST_TONES, AudioTerminal, is_g711, make_tones, tone_of
from faxgw.t30.binding import LibraryFault, ffi
from faxgw.t30.callback import callback
from faxgw.t30.t38 import T38Terminal, is_udptl
from faxgw.t30.terminal import (
    Event,
    Heard,
    Profile,
    Terminal,
    frame_handler,
    modems_for_rate,
)

log = logging.getLogger(__name__)

SOURCE: Final = Path(__file__).with_name("_media.c")
LIBRARY: Final = Path(__file__).with_name("libfaxgwmedia.so")
JITTER_DEPTH: Final = 2
"""RTP packets that wait before the first is played."""

ffi.cdef(
    """
typedef struct {
    void (*frame)(t30_state_t *s, void *handle, int direction, const uint8_t *msg, int len);
    void (*after)(void *handle);
    int (*stranger)(void *handle, const uint8_t *octets, int length, const char *host, int port);
    void (*voice)(void *handle);
} media_python_t;
typedef struct {
    double now;
    int frozen, attention, unfinished, over_budget, settled, unreachable, listening, voice, packet_budget;
    int lost, recovered, old, garbage, skipped, changed;
} media_t;
typedef void (*after_handler_t)(void *handle);
typedef int (*stranger_handler_t)(void *handle, const uint8_t *octets, int length, const char *host, int port);

const char *media_version(void);
media_t *media_new(void *handle, const media_python_t *python);
void media_free(media_t *m);
int media_t38(media_t *m, void *terminal, void *core, int max_datagram, int depth);
int media_audio(media_t *m, void *fax, void *tones, const int16_t *ulaw, const int16_t *alaw,
                const uint8_t *to_ulaw, const uint8_t *to_alaw, int depth, uint32_t ssrc, int sequence,
                uint32_t timestamp);
int media_sequence(media_t *m);
void media_count_from(media_t *m, int sequence);
void media_law(media_t *m, int payload_type);
int media_point(media_t *m, int fd, const char *host, int port);
const uint8_t *media_out(media_t *m, int *length);
int media_tx_handler(t38_core_state_t *s, void *user_data, const uint8_t *buf, int len, int count);
void media_frame_handler(t30_state_t *s, void *user_data, int direction, const uint8_t *msg, int len);
void media_guard(media_t *m, uint8_t *packet, int size, double now);
void media_decoder(media_t *m, const decoder_t *decoder);
int decoder_start(decoder_t *s);
int decoder_put_bit(decoder_t *s, int bit);
int decoder_put_byte(decoder_t *s, int octet);
int decoder_put_chunk(decoder_t *s, const uint8_t *octets, int length);
void decoder_accept(void *engine, const uint8_t *octets, int length, int good);
int media_pump(media_t **calls, int count, double now);
typedef struct {
    double due, now, tick, late, worst;
    int interrupted;
} media_run_t;
int media_run(media_t **calls, int count, media_run_t *run, int turns, int wake);
void media_continue(media_t *m);
void media_receive(media_t *m, const uint8_t *octets, int length, double now);
void media_tick(media_t *m, double now);
"""
)


@functools.cache
def library() -> Any:
    """The library of the media loop; None where it was not built, or from another source."""
    try:
        wanted = version_of(SOURCE.read_bytes())
        loaded: Any = ffi.dlopen(str(LIBRARY))
        found = binding.string(loaded.media_version())
    except OSError:
        return None
    if found != wanted:
        log.warning("media loop of another source: not used", extra={"event": "t30.stale"})
        return None
    return loaded


@functools.cache
def decoder_functions() -> dict[str, int]:
    """The guard of the library's decoder in C, as `decoder.install` wants it. Only where `library` has one."""
    functions = {
        "t4_rx_start_page": "decoder_start",
        "t4_rx_put_bit": "decoder_put_bit",
        "t4_rx_put_byte": "decoder_put_byte",
        "t4_rx_put_chunk": "decoder_put_chunk",
        "t30_hdlc_accept": "decoder_accept",
    }
    found = library()
    return {name: int(ffi.cast("uintptr_t", ffi.addressof(found, ours))) for name, ours in functions.items()}


def protect() -> None:
    """See to it that the guard of the decoder is in the library, in C where it was built.

    Raises:
        LibraryFault: If the library is not the one we know: no call can be received in this process.
    """
    decoder.protect(None if library() is None else decoder_functions())


class NativeTerminal(Terminal):
    """What both native terminals have in common: the state in C, seen from Python."""

    def __init__(self, profile: Profile) -> None:
        self._native = library()
        self._media_handle: Any = ffi.new_handle(self)
        self.media: Any = self._native.media_new(self._media_handle, callbacks())
        """The state in C."""
        if self.media == ffi.NULL:
            raise LibraryFault("no memory for a call's media")
        self._judge: Callable[[Address, bytes], bool] = lambda _source, _octets: False
        self._alone: Crowd | None = None
        super().__init__(profile)

    @property
    def frozen(self) -> bool:  # C reads it
        """True while the gate is closed."""
        return bool(self.media.frozen)

    @frozen.setter
    def frozen(self, value: bool) -> None:
        self.media.frozen = value

    @property
    def over_budget(self) -> bool:  # C writes it
        """The packet budget of a tick was exceeded."""
        return bool(self.media.over_budget)

    @over_budget.setter
    def over_budget(self, value: bool) -> None:
        self.media.over_budget = value

    @property
    def packet_budget(self) -> int:  # C reads it
        """IFP packets of one tick at most."""
        return int(self.media.packet_budget)

    @packet_budget.setter
    def packet_budget(self, value: int) -> None:
        self.media.packet_budget = value

    @property
    def _now(self) -> float:  # C writes it
        return float(self.media.now)

    @_now.setter
    def _now(self, value: float) -> None:
        self.media.now = value

    @property
    def losses(self) -> tuple[int, int]:
        """As C counts them."""
        return int(self.media.lost), int(self.media.recovered)

    def statistics(self) -> Statistics:
        """What has been counted so far."""
        return self._fill(*self.losses)

    @property
    def garbage(self) -> int:
        """Datagrams that could not be read."""
        return int(self.media.garbage)

    # The socket.

    def attach(self, descriptor: int, remote: Address | None, judge: Callable[[Address, bytes], bool]) -> None:
        """Read and write a UDP socket, or write to another address from now on.

        Args:
            descriptor: The socket, non-blocking; it outlives the terminal.
            remote: Where to send; None: nowhere.
            judge: Asked whether a datagram from another address is taken.
        """
        self._judge = judge
        host, port = remote or ("", 0)
        self._native.media_point(self.media, descriptor, host.encode(), port)

    def on_stranger(self, source: Address, octets: bytes) -> bool:
        """A datagram came from elsewhere than the remote address."""
        return self._judge(source, octets)

    def pump(self, now: float) -> bool:
        """Let 20 ms pass, socket and all; True when a look is wanted, and `resume` if it is unfinished."""
        if self._alone is None:
            self._alone = Crowd([self])
        return bool(self._alone.pump(now))

    @property
    def unfinished(self) -> bool:
        """Whether `pump` stopped before the end of the tick; `resume` goes on."""
        return bool(self.media.unfinished)

    def resume(self) -> None:
        """Go on with a tick that stopped for a look."""
        self.media.attention = 0
        self._native.media_continue(self.media)

    # As any terminal.

    def _watch_decoder(self) -> None:
        super()._watch_decoder()
        self._native.media_decoder(self.media, self._decoder)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take one datagram."""
        self._native.media_receive(self.media, datagram, len(datagram), now)

    def tick(self, now: float) -> list[tuple[bytes, int]]:
        """Let 20 ms pass."""
        self._native.media_tick(self.media, now)
        length = ffi.new("int *")
        octets = self._native.media_out(self.media, length)
        if not length[0]:
            return []
        return _unpack(bytes(ffi.buffer(octets, length[0])))

    def after(self) -> None:
        """The library has told of a frame and returned."""
        self._after()

    def _tell(self, event: Event) -> None:
        super()._tell(event)
        self.media.attention = 1

    def on_phase_b(self) -> None:
        """DIS or DCS decoded: no tone matters any more."""
        super().on_phase_b()
        self.media.listening = 0

    def on_phase_e(self, code: int) -> None:
        """The session is over."""
        super().on_phase_e(code)
        self.media.attention = 1

    def close(self) -> None:
        """Free everything."""
        was_open = self._t30 is not None
        super().close()
        if was_open:
            self._native.media_free(self.media)
            self.media = _CLOSED
            self._alone = None
            self._media_handle = None


_CLOSED: Final[Any] = ffi.new("media_t *")
"""Stands for the state of a closed terminal."""


class NativeT38Terminal(NativeTerminal):
    """A T.38 terminal whose loop runs in C."""

    transport = "t38"

    def __init__(self, profile: Profile, max_datagram: int, error_correction: str, max_bit_rate: int) -> None:
        """As `T38Terminal`, with redundancy or no error correction."""
        super().__init__(profile)
        lib, native = self._lib, self._native
        handler = ffi.cast("tx_packet_handler_t", ffi.addressof(native, "media_tx_handler"))
        self._state = lib.t38_terminal_init(ffi.NULL, int(profile.calling_party), handler, self.media)
        if self._state == ffi.NULL:
            raise LibraryFault("no T.38 terminal")
        core = lib.t38_terminal_get_t38_core_state(self._state)
        lib.t38_set_t38_version(core, 0)
        depth = udptl.REDUNDANCY_DEPTH if error_correction == "redundancy" else 0
        if native.media_t38(self.media, self._state, core, max_datagram, depth):
            raise LibraryFault("no memory for a call's media")
        self._configure(lib.t38_terminal_get_t30_state(self._state))
        lib.t30_set_supported_modems(self._t30, modems_for_rate(profile.modems, max_bit_rate))
        _watch_frames(self)

    def is_media(self, datagram: bytes) -> bool:
        """Whether it is UDPTL with an IFP packet in it."""
        return is_udptl(datagram)

    @property
    def sequence(self) -> int:
        """As C counts it."""
        return int(self._native.media_sequence(self.media))

    @sequence.setter
    def sequence(self, value: int) -> None:
        self._native.media_count_from(self.media, value)

    def _free(self) -> None:
        self._lib.t38_terminal_release(self._state)
        self._lib.t38_terminal_free(self._state)


class NativeAudioTerminal(NativeTerminal):
    """A fax modem over G.711 whose loop runs in C."""

    transport = "g711"

    def __init__(self, profile: Profile, payload_type: int) -> None:
        """Begin a session; `payload_type` is 0 (µ-law) or 8 (A-law)."""
        super().__init__(profile)
        lib = self._lib
        self._heard: set[Tone] = set()
        self._state = lib.fax_init(ffi.NULL, int(profile.calling_party))
        if self._state == ffi.NULL:
            raise LibraryFault("no audio terminal")
        lib.fax_set_transmit_on_idle(self._state, 1)
        self._tones = make_tones(self, profile)
        (ulaw, alaw), (to_ulaw, to_alaw) = binding.law_tables()
        if self._native.media_audio(
            self.media, self._state, self._tones, ulaw, alaw, to_ulaw, to_alaw, JITTER_DEPTH,
            secrets.randbits(32), secrets.randbits(16), secrets.randbits(32),
        ):  # fmt: skip
            raise LibraryFault("no memory for a call's media")
        self._native.media_law(self.media, payload_type)
        self._configure(lib.fax_get_t30_state(self._state))
        _watch_frames(self)

    def is_media(self, datagram: bytes) -> bool:
        """Whether it is RTP with G.711."""
        return is_g711(datagram)

    def change_payload_type(self, payload_type: int) -> None:
        """Send in another G.711 law from now on."""
        self._native.media_law(self.media, payload_type)

    def on_tone(self, code: int) -> None:
        """The tone detector changed its mind; each tone is reported once."""
        tone = tone_of(code)
        if tone is not None and tone not in self._heard:
            self._heard.add(tone)
            self.media.voice = 0
            self.media.listening = not self._heard & LAST_TONES
            self._tell(Heard(tone))

    def on_voice(self) -> None:
        """Speech was heard; said once."""
        self._heard.add(Tone.VOICE)
        self._tell(Heard(Tone.VOICE))

    @property
    def skipped(self) -> int:
        """Quiet packets that were not played, to catch up with a faster clock."""
        return int(self.media.skipped)

    def _free(self) -> None:
        self._lib.modem_connect_tones_rx_free(self._tones)
        self._lib.fax_release(self._state)
        self._lib.fax_free(self._state)


def t38_terminal(profile: Profile, max_datagram: int, error_correction: str, max_bit_rate: int) -> Terminal:
    """The best T.38 terminal there is for these parameters.

    Raises:
        LibraryFault: If it would receive, and the library is not the one we know; or the library refuses.
    """
    if not profile.documents:
        protect()
    if library() is not None and error_correction != "fec":
        return NativeT38Terminal(profile, max_datagram, error_correction, max_bit_rate)
    return T38Terminal(profile, max_datagram, error_correction, max_bit_rate)


def audio_terminal(profile: Profile, payload_type: int) -> Terminal:
    """The best G.711 terminal there is.

    Raises:
        LibraryFault: As for `t38_terminal`.
    """
    if not profile.documents:
        protect()
    if library() is not None:
        return NativeAudioTerminal(profile, payload_type)
    return AudioTerminal(profile, payload_type)


class Run:
    """What `Crowd.run` goes by.

    Args:
        tick: Seconds of one tick.
        late: Seconds a tick may be late.
        wake: Descriptor at which something to read interrupts it.
    """

    def __init__(self, tick: float, late: float, wake: int) -> None:
        self.wake = wake
        state: Any = ffi.new("media_run_t *")
        state.tick, state.late = tick, late
        self.state = state
        """`due`: when the next tick is, `now`: when the last one was, `worst`: the worst lateness, seconds of the
        monotonic clock; `interrupted`."""


class Crowd:
    """Terminals that are pumped together, tick after tick."""

    def __init__(self, terminals: Sequence[NativeTerminal]) -> None:
        self._terminals = list(terminals)
        self._native = library()  # None: then there are no terminals either
        self._pointers = ffi.new("media_t *[]", [terminal.media for terminal in terminals])

    def pump(self, now: float) -> list[NativeTerminal]:
        """Let 20 ms pass in all, sockets and all; returns those that want a look (`MediaCall.look`)."""
        count = len(self._terminals)
        if not count or not self._native.media_pump(self._pointers, count, now):
            return []
        return self._wanting()

    def run(self, run: Run, turns: int) -> list[NativeTerminal]:
        """Up to `turns` ticks on absolute time, without Python; returns those that want a look.

        It ends early when one does, when there is something to read at the descriptor, at a signal, and before a
        tick that is too late.
        """
        state = run.state
        if not self._native.media_run(self._pointers, len(self._terminals), state, turns, run.wake):
            return []
        return self._wanting()

    def _wanting(self) -> list[NativeTerminal]:
        return [terminal for terminal in self._terminals if terminal.media.attention or terminal.media.unreachable]


def _unpack(octets: bytes) -> list[tuple[bytes, int]]:
    datagrams, at = [], 0
    while at < len(octets):
        end = at + 3 + (octets[at] << 8 | octets[at + 1])
        datagrams.append((octets[at + 3 : end], octets[at + 2]))
        at = end
    return datagrams


def _watch_frames(terminal: NativeTerminal) -> None:
    """Frames come through C, which keeps the image data to itself."""
    handler = ffi.cast("frame_handler_t", ffi.addressof(terminal._native, "media_frame_handler"))
    terminal._lib.t30_set_real_time_frame_handler(terminal._t30, handler, terminal.media)


@callback("after_handler_t")
def _after_handler(handle: Any) -> None:
    ffi.from_handle(handle).after()


@callback("after_handler_t")
def _voice_handler(handle: Any) -> None:
    ffi.from_handle(handle).on_voice()


@callback("stranger_handler_t", error=0)
def _stranger_handler(handle: Any, octets: Any, length: int, host: Any, port: int) -> int:
    source = (binding.string(host), port)
    return int(ffi.from_handle(handle).on_stranger(source, bytes(ffi.buffer(octets, length))))


@functools.cache
def callbacks() -> Any:
    """What C calls."""
    made: Any = ffi.new("media_python_t *")
    made.frame, made.after = frame_handler, _after_handler
    made.stranger, made.voice = _stranger_handler, _voice_handler
    return made
