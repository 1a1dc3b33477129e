"""The page processes themselves: how they are shut off, how many there are, and what they report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from faxgw.document import limits
from faxgw.document.types.documents import Kind


class Sandbox(StrEnum):
    """How the page processes are shut off from the network and from our files."""

    AUTO = "auto"
    """Bubblewrap where it works, else unshare, else the service does not start."""
    BUBBLEWRAP = "bubblewrap"
    UNSHARE = "unshare"
    """Own network and mount namespaces made by ourselves; needs root."""
    NONE = "none"
    """Not at all: only the limits of section setrlimit hold. For machines where nothing else works."""


class Use(StrEnum):
    """Whether a program that need not be there is used."""

    AUTO = "auto"
    """Where it is installed."""
    ON = "on"
    """Always; the page server does not start without it."""
    OFF = "off"


class Ending(StrEnum):
    """How a conversion by a program outside ended."""

    MADE = "made"
    DECLINED = "declined"
    """It was the document's fault."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A conversion by a program outside that is over; for the operator's eyes."""

    kind: Kind
    ending: Ending
    seconds: float
    """On the clock, waiting for the program included."""
    started: int
    """LibreOffices that were started since the last conversion."""


@dataclass(frozen=True, slots=True)
class PageSettings:
    """What the daemon decides about its page processes."""

    sandbox: Sandbox = Sandbox.AUTO
    children: int = 2
    """Documents converted at the same time; compositions have as many places of their own."""
    limits: limits.Limits = field(default_factory=limits.Limits)
    office: Use = Use.AUTO
    """LibreOffice for Office documents."""
    offices: int = 1
    """LibreOffices at the same time, each for one document."""
    readers: int = 1
    """Received pages read at the same time; each takes a processor for a second or two."""
    postscript: Use = Use.OFF
    """Ghostscript for PostScript files."""
    pcl: Use = Use.OFF
    """GhostPCL for PCL files."""
    socket: Path | None = None
    """Where a page service of its own listens (`faxgw pages`); None: the daemon starts a server in `sandbox`."""
