"""rtpengine as a carrier's media gateway: T.38 on one side, G.711 on the other, in user space and without root."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.interop.peers import HOST, Listens, Peer, free_ports

PORTS: Final = (34000, 34199)


class Rtpengine(Peer):
    """rtpengine; `control` is the port of its ng protocol.

    Args:
        folder: Its own.
    """

    def __init__(self, folder: Path) -> None:
        (self.control,) = free_ports(1)
        words = ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6", "--table=-1"]
        words += [f"--interface={HOST}", f"--listen-ng={HOST}:{self.control}", "--num-threads=2"]
        words += [f"--port-min={PORTS[0]}", f"--port-max={PORTS[1]}"]
        super().__init__(folder, words, [Listens(self.control)])
