"""Ports of servers that a test names before it starts them, or starts again at the same place.

A port that the system gave out (`bind` to 0) and that is free again may be anybody's a moment later: it is given to
the next who asks, as the near end of a connection too. So these are none of those, and each process of a run has its
own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket

HOST = "127.0.0.1"
FIRST = 15_000
EACH = 600
"""Ports of one process. The system gives out 32,768 and on; the media of calls have 20,000 to 29,999."""
PROCESSES = 8
PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
"""Which of the run's processes this is."""

_places = itertools.count(random.randrange(EACH))


def free_ports(count: int) -> list[int]:
    """Ports that nobody has bound, for UDP and TCP alike; all different."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for place in itertools.islice(_places, EACH):
            port = FIRST + PROCESS * EACH + place % EACH
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                tcp.bind((HOST, port))
                udp.bind((HOST, port))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError("no port is free")


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
