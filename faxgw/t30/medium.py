"""What carries a call's media: the socket of the moment, the far end's address, and the engine that speaks there.

A call begins in G.711 or T.38; T.38 may take the place of the audio engine, once and only before phase B. Addresses
are those of the SDP or the ones that media really come from (`remote`). An engine in C reads and writes its socket
itself (`pumped`); any other is fed here, datagram by datagram.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from functools import partial
from typing import Final

from faxgw.foip.control import Address, Media, Start, T38Media
from faxgw.t30 import native
from faxgw.t30.native import NativeTerminal
from faxgw.t30.remote import DatagramSocket, Remote
from faxgw.t30.terminal import Profile, Terminal

MAX_DATAGRAMS: Final = 64
"""Datagrams read from a socket per tick; a flood beyond waits in the kernel and is dropped there."""
_RECEIVE_SIZE: Final = 2048
_NO_WAY: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)
"""What sendto says of an address that cannot be reached from here."""


class Medium:
    """The two sockets of a call, of which one is in use, and the engine behind it."""

    def __init__(self, start: Start, rtp: DatagramSocket, udptl: DatagramSocket) -> None:
        """Own the sockets; nothing is heard before `begin`."""
        self.engine: Terminal | None = None
        """None before `begin` and after `close`."""
        self.pumped: NativeTerminal | None = None
        """The engine, if it reads and writes its socket itself."""
        self.t38: T38Media | None = None
        """What was agreed on; None: the call is in audio."""
        self._rtp = rtp
        self._udptl = udptl
        self._signalling, self._nat = start.signalling, start.nat
        self._audio_remote = Remote(start.rtp_remote, start.signalling, start.nat)
        self._remote = self._audio_remote
        self._payload_type = start.payload_type

    def begin(self, profile: Profile, t38: T38Media | None) -> None:
        """Start an engine in audio or T.38.

        Raises:
            binding.LibraryFault: If the library refuses.
        """
        if t38 is not None:
            self._begin_t38(profile, t38)
        else:
            self.engine = native.audio_terminal(profile, self._payload_type)
            self.attach()

    @property
    def foreign(self) -> int:
        """Datagrams from other addresses than the far end's, dropped."""
        if self._remote is self._audio_remote:
            return self._remote.foreign
        return self._audio_remote.foreign + self._remote.foreign

    @property
    def address(self) -> Address | None:
        """Where our packets go."""
        return self._remote.address

    @property
    def settled(self) -> bool:
        """Whether media came from `address`."""
        self._keep_settled()
        return self._remote.settled

    @property
    def may_switch(self) -> bool:
        """Whether T.38 can still take the place of audio: before phase B."""
        return self.t38 is None and self.engine is not None and not self.engine.phase_b

    # Changes.

    def switch(self, profile: Profile, t38: T38Media) -> None:
        """Replace the audio engine, where `may_switch`; its frames must have been taken."""
        assert self.engine is not None
        self.engine.close()
        self._begin_t38(profile, t38)

    def move_t38(self, t38: T38Media) -> None:
        """The far end's T.38 has another address (a repeated re-INVITE)."""
        self._keep_settled()
        self._remote.move(t38.remote)
        self.attach()

    def move_audio(self, media: Media) -> None:
        """The far end's audio has another address or coding."""
        self._keep_settled()
        self._audio_remote.move(media.remote)
        self.attach()
        self._payload_type = media.payload_type
        if self.engine is not None:
            self.engine.change_payload_type(media.payload_type)

    def renew(self, profile: Profile) -> None:
        """Another engine of the same medium in the place of this one; datagrams are numbered on."""
        old = self.engine
        assert old is not None
        sequence = old.sequence
        self.pumped = None
        old.close()
        if self.t38 is not None:
            self.engine = _t38_engine(profile, self.t38)
            self.engine.sequence = sequence
        else:
            self.engine = native.audio_terminal(profile, self._payload_type)
        self.attach()

    def attach(self) -> None:
        """Give a native engine the real socket of its medium, and the address to send to."""
        engine, sock = self.engine, self._socket
        if isinstance(engine, NativeTerminal) and isinstance(sock, socket.socket):
            self.pumped = engine
            engine.attach(sock.fileno(), self._remote.address, self._judge)
        else:
            self.pumped = None

    def detach(self) -> None:
        """The engine no longer reads and writes its socket itself; `attach` lets it again."""
        self._keep_settled()
        self.pumped = None

    def close(self) -> None:
        """Free the engine and close the sockets."""
        self.pumped = None
        if self.engine is not None:
            self.engine.close()
            self.engine = None
        self._rtp.close()
        self._udptl.close()

    # Datagrams, for engines that do not read their socket themselves.

    def arrived(self) -> Iterator[bytes]:
        """The datagrams of the far end that wait in the socket, at most MAX_DATAGRAMS looked at."""
        assert self.engine is not None
        sock, remote, is_media = self._socket, self._remote, self.engine.is_media
        for _ in range(MAX_DATAGRAMS):
            try:
                octets, address = sock.recvfrom(_RECEIVE_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of an earlier packet; the next read tells more
            if remote.admits((address[0], address[1]), partial(is_media, octets)):
                yield octets

    def drop_arrived(self) -> None:
        """Throw away what waits in the socket, at most MAX_DATAGRAMS."""
        sock = self._socket
        for _ in range(MAX_DATAGRAMS):
            try:
                sock.recvfrom(_RECEIVE_SIZE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error of an earlier packet

    def speak(self, now: float) -> None:
        """Let 20 ms of the engine pass and send what it says."""
        assert self.engine is not None
        for octets, count in self.engine.tick(now):
            for _ in range(count):
                self._send(octets)

    def look_at_way(self) -> None:
        """Take note when a pumped engine found no way to the far end's address."""
        if self.pumped is not None and self.pumped.media.unreachable:
            self.pumped.media.unreachable = 0
            self._remote.unreachable()

    def _begin_t38(self, profile: Profile, t38: T38Media) -> None:
        self.t38 = t38
        self._remote = Remote(t38.remote, self._signalling, self._nat)
        self.engine = _t38_engine(profile, t38)
        self.attach()

    @property
    def _socket(self) -> DatagramSocket:
        return self._udptl if self.t38 is not None else self._rtp

    def _keep_settled(self) -> None:
        """What a pumped engine knows of the remote address."""
        if self.pumped is not None and self.pumped.media.settled:
            self._remote.settle()

    def _judge(self, source: Address, octets: bytes) -> bool:
        """Whether a pumped engine takes a datagram from another address than the one it sends to."""
        engine = self.pumped
        if engine is None:
            return False
        self._keep_settled()
        before = self._remote.address
        taken = self._remote.admits(source, partial(engine.is_media, octets))
        if self._remote.address != before:
            self.attach()
        return taken

    def _send(self, octets: bytes) -> None:
        address = self._remote.address
        if address is None:
            return
        try:
            self._socket.sendto(octets, address)
        except OSError as exc:  # lost on the way like any other datagram
            if exc.errno in _NO_WAY:
                self._remote.unreachable()


def _t38_engine(profile: Profile, t38: T38Media) -> Terminal:
    return native.t38_terminal(profile, t38.max_datagram, t38.error_correction, t38.max_bit_rate)
