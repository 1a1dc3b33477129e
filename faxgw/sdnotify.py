"""What a service tells its manager: sd_notify(3) and sd_watchdog_enabled(3), without libsystemd.

One datagram a message to the Unix socket that NOTIFY_SOCKET names, by path or, with a leading @, in the abstract
namespace. Without that variable nothing is sent. A manager that does not listen is no fault of ours: a lost message
is logged once and forgotten.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

MAX_STATUS = 200
"""Characters of a status text."""

log = logging.getLogger(__name__)


class Notifier:
    """The way to the service manager.

    Args:
        environ: Variables of the process.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._lost = False
        pid, span = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
        ours = self._address and pid in ("", str(os.getpid())) and span.isdecimal()
        self.watchdog = int(span) / 1e6 if ours else 0.0
        """Seconds within which the manager wants to hear `alive`; 0: it does not."""

    def ready(self, status: str = "") -> None:
        """The service takes work; also the end of a reload."""
        self._send({"READY": "1"}, status)

    def reloading(self, status: str = "") -> None:
        """The settings are read again; `ready` ends it."""
        self._send({"RELOADING": "1", "MONOTONIC_USEC": str(time.monotonic_ns() // 1000)}, status)

    def stopping(self, within: float, status: str = "") -> None:
        """The service ends, within so many seconds from now."""
        self._send({"STOPPING": "1", "EXTEND_TIMEOUT_USEC": str(int(within * 1e6))}, status)

    def starting(self, within: float, status: str = "") -> None:
        """The start takes long; it goes on for so many seconds at most."""
        self._send({"EXTEND_TIMEOUT_USEC": str(int(within * 1e6))}, status)

    def alive(self, status: str = "") -> None:
        """All is well: feeds the watchdog."""
        self._send({"WATCHDOG": "1"}, status)

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send({}, text)

    def _send(self, fields: Mapping[str, str], status: str) -> None:
        lines = [f"{key}={value}" for key, value in fields.items()]
        if status:
            lines.append("STATUS=" + " ".join(status.split())[:MAX_STATUS])
        if not self._address or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError as exc:
            if not self._lost:
                log.warning("service manager not told", extra={"event": "sdnotify.lost", "why": str(exc)})
            self._lost = True
