"""What a client of the file servers sees: folders of one level, the same behind SFTP and FTP.

A tree is a list of places, each one folder below the root. A path is read as text and names the root, a place or a
file of a place; there is nothing deeper, and no link. To show another folder (a pick-up area, a view of something that
is no folder at all) write a `Place` and let the server's `places` make one for each visitor.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from faxgw.fax.access import Caller
from faxgw.fax.errors import FaxError
from faxgw.intake.shelf import Entry, is_name

MAX_PATH = 1_024
"""Octets of a path."""
MAX_PARTS = 32
"""Components of a path, `.` and `..` included."""


class Fault(enum.Enum):
    """Why a file server does not do something; each server has its own code for it."""

    MISSING = "There is no such file or folder."
    DENIED = "This is not permitted here."
    EXISTS = "There is a file of this name already."
    NAME = "This is not a name that a file may have here."
    IN_USE = "The file is being taken, or was opened again elsewhere."
    TOO_LARGE = "The file is larger than is taken here."
    FULL = "The account's folders are full; fetch or remove files."
    NO_ROOM = "The gateway has no storage space at present."
    TOO_MANY = "Too many files or folders are open."
    UNSUPPORTED = "This is not supported here."
    FAILED = "The gateway could not do this at the moment."


class TreeError(FaxError):
    """A request that is not done; the public text says why."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(detail, public=fault.value)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Opening:
    """How a file is to be opened."""

    write: bool = False
    truncate: bool = False
    exclusive: bool = False
    """Only if there is none."""
    create: bool = False


class OpenFile(Protocol):
    """A file that a client has opened."""

    writable: bool

    async def entry(self) -> Entry:
        """As it is now."""
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """Octets from an offset; empty at the end."""
        ...

    async def write(self, offset: int, data: bytes) -> None:
        """Write octets at an offset. Raises TreeError."""
        ...

    async def resize(self, size: int) -> None:
        """Cut or lengthen it. Raises TreeError."""
        ...

    async def sync(self) -> None:
        """Make what was written durable."""
        ...

    async def close(self, *, complete: bool) -> None:
        """Close it.

        Args:
            complete: The client said so; else it went away, and what was written may be half a file.
        """
        ...


class Place:
    """One folder. A new kind of place implements what it has; everything else is refused.

    Args:
        name: One component of a path.
        writable: Whether clients see that they may lay files there.
    """

    def __init__(self, name: str, *, writable: bool = False) -> None:
        self.name = name
        self.writable = writable

    async def entries(self) -> Sequence[Entry]:
        """Its files."""
        return ()

    async def entry(self, name: str) -> Entry | None:
        """One file; None when there is none."""
        return next((entry for entry in await self.entries() if entry.name == name), None)

    async def open(self, name: str, how: Opening) -> OpenFile:
        """Open a file. Raises TreeError."""
        raise TreeError(Fault.DENIED)

    async def remove(self, name: str) -> None:
        """Remove a file. Raises TreeError."""
        raise TreeError(Fault.DENIED)

    async def rename(self, name: str, new: str, *, replace: bool) -> None:
        """Rename a file within the place. Raises TreeError."""
        raise TreeError(Fault.DENIED)


PlaceMaker = Callable[[Caller], Awaitable[Sequence[Place]]]
"""Makes the places of one visitor, once for each connection. Raises FaxError, OSError."""


@dataclass(frozen=True, slots=True)
class Spot:
    """What a path names."""

    place: str = ""
    """Empty: the root."""
    name: str = ""
    """Empty: the place itself."""

    def __str__(self) -> str:
        return f"/{self.place}/{self.name}" if self.name else f"/{self.place}"


def read_path(path: bytes | str, folder: Spot = Spot()) -> Spot:
    """What a path names, from a folder.

    Raises:
        TreeError: If it cannot be a path here. One that leads above the root ends at the root.
    """
    if len(path) > MAX_PATH:
        raise TreeError(Fault.NAME)
    try:
        text = path.decode() if isinstance(path, bytes) else path
    except UnicodeDecodeError as exc:
        raise TreeError(Fault.NAME) from exc
    given = text.split("/")
    if len(given) > MAX_PARTS:
        raise TreeError(Fault.NAME)
    found = [] if text.startswith("/") else [part for part in (folder.place, folder.name) if part]
    for part in given:
        if part in ("", "."):
            continue
        if part == "..":
            del found[-1:]
        elif not is_name(part):
            raise TreeError(Fault.NAME)
        else:
            found.append(part)
    if len(found) > 2:
        raise TreeError(Fault.MISSING)
    return Spot(*found)


class Tree:
    """The places of one visitor.

    Args:
        places: In the order in which they are listed.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self.places: Mapping[str, Place] = {place.name: place for place in places}

    def place(self, spot: Spot) -> Place:
        """The place of a spot. Raises TreeError."""
        place = self.places.get(spot.place)
        if place is None:
            raise TreeError(Fault.DENIED if spot.name or not spot.place else Fault.MISSING)
        return place

    async def entry(self, spot: Spot) -> Entry | Place | None:
        """A file; a place; None for the root. Raises TreeError."""
        if not spot.place:
            return None
        place = self.places.get(spot.place)
        if place is None:
            raise TreeError(Fault.MISSING)
        if not spot.name:
            return place
        found = await place.entry(spot.name)
        if found is None:
            raise TreeError(Fault.MISSING)
        return found

    async def open(self, spot: Spot, how: Opening) -> OpenFile:
        """Open a file. Raises TreeError."""
        if not spot.name:
            raise TreeError(Fault.DENIED)
        return await self.place(spot).open(spot.name, how)

    async def remove(self, spot: Spot) -> None:
        """Remove a file. Raises TreeError."""
        if not spot.name:
            raise TreeError(Fault.DENIED)
        await self.place(spot).remove(spot.name)

    async def rename(self, spot: Spot, new: Spot, *, replace: bool) -> None:
        """Rename a file within its place. Raises TreeError."""
        if not spot.name or not new.name or spot.place != new.place:
            raise TreeError(Fault.DENIED)
        await self.place(spot).rename(spot.name, new.name, replace=replace)
