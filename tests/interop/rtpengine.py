"""rtpengine as a carrier's media gateway: T.38 on one side, G.711 on the other, in user space and without root."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.interop.peers import HOST, Listens, Peer
from tests.ports import PROCESS, free_ports

_serial = itertools.count()


class Rtpengine(Peer):
    """rtpengine; `control` is the port of its ng protocol.

    Args:
        folder: Its own.
    """

    def __init__(self, folder: Path) -> None:
        (self.control,) = free_ports(1)
        first = (
            10000 + (PROCESS * 6 + next(_serial) % 6) * 100
        )  # it shares ports with another: each has its own hundred
        words = ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6", "--table=-1"]
        words += [f"--interface={HOST}", f"--listen-ng={HOST}:{self.control}", "--num-threads=2"]
        words += [f"--port-min={first}", f"--port-max={first + 99}"]
        super().__init__(folder, words, [Listens(self.control)])
