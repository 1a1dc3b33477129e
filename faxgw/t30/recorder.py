"""Writes every datagram of a call to a descriptor: sockets that remember, wrapped around a call's own.

The file is in memory (memfd) and bounded by `recording.MAX_RECORDING`: no disk can stall the ticks, and what cannot be
written is left out without a word to the call. Each datagram is one write, so that a recording survives the worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from faxgw.foip.control import Address
from faxgw.foip.recording import MAX_RECORDING, Medium, encode_entry
from faxgw.t30.remote import DatagramSocket


class Recorder:
    """The recording of one call.

    Args:
        descriptor: Where to; ours from now on.
        clock: Seconds on the clock of the recording.
        limit: Octets at most.
    """

    def __init__(self, descriptor: int, clock: Callable[[], float], limit: int = MAX_RECORDING) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._left = limit

    def note(self, medium: Medium, octets: bytes, *, ours: bool) -> None:
        """Write a datagram down; nothing more after one that does not fit."""
        if self._descriptor < 0:
            return
        entry = encode_entry(self._clock(), medium, ours=ours, octets=octets)
        self._left -= len(entry)
        try:
            written = self._left >= 0 and os.write(self._descriptor, entry) == len(entry)
        except OSError:
            written = False
        if not written:
            self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RecordingSocket:
    """A call's socket (`DatagramSocket`) that writes down what passes.

    Args:
        inner: The socket; closed with this one.
        recorder: Where to; closed with this one, too.
        medium: What passes.
    """

    def __init__(self, inner: DatagramSocket, recorder: Recorder, medium: Medium) -> None:
        self._inner = inner
        self._recorder = recorder
        self._medium = medium

    def recvfrom(self, size: int, /) -> tuple[bytes, Address]:
        """See `DatagramSocket`."""
        octets, address = self._inner.recvfrom(size)
        self._recorder.note(self._medium, octets, ours=False)
        return octets, address

    def sendto(self, octets: bytes, address: Address, /) -> int:
        """See `DatagramSocket`."""
        self._recorder.note(self._medium, octets, ours=True)
        return self._inner.sendto(octets, address)

    def close(self) -> None:
        """See `DatagramSocket`."""
        self._inner.close()
        self._recorder.close()
