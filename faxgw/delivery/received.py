"""Received faxes on their way to a target: documents read, checked, encrypted and named, then handed to a way out.

`ReceivedDelivery` is the outbox's adapter of every kind but mail; the ways out (sftp, ftp, folder, …) see a
`Consignment` and either lay it down or raise `Undelivered`. What a try needs is made anew each time from the stored
documents: names are the same at every try, octets too unless they are encrypted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol  # Any: a snapshot is JSON

from faxgw.delivery.seal import seal
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import DeliveryResult, Enclosure, Parcel
from faxgw.fax.reception import ReceivedReport
from faxgw.fax.target import Target, from_snapshot
from faxgw.formats.file_names import fields, names
from faxgw.formats.idx import idx
from faxgw.formats.received_payload import FaxDocument, ReceivedFacts, as_xml
from faxgw.formats.report_payload import PayloadDefect, received_from_payload

MAX_OCTETS = 200 * 2**20
"""Octets of one fax's documents; 500 fine pages of dense text have 50 MB."""
LARGE = 8 * 2**20
"""Octets from which a fax's documents count: they are in memory up to four times."""
MAX_AT_ONCE = MAX_OCTETS
"""Octets of large faxes that are being delivered: a slow receiver of one holds back no others but the largest."""
MAX_DETAIL = 300
"""Characters of a result's detail."""

log = logging.getLogger(__name__)


class Undelivered(FaxError):
    """A try that failed. Temporary unless it says otherwise: what is the operator's or receiver's to mend waits."""


@dataclass(frozen=True, slots=True)
class FaxFile:
    """A file as it is laid down."""

    name: str
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Consignment:
    """One received fax for one target."""

    item: str
    """Outbox id, the receiver's idempotency key."""
    tries: int
    report: ReceivedReport
    facts: ReceivedFacts
    target: Target
    secrets: Mapping[str, str] = field(repr=False)
    stem: str
    """Of the files' names."""
    documents: tuple[FaxDocument, ...]
    """At least one."""

    @property
    def files(self) -> tuple[FaxFile, ...]:
        """Documents, then the XML file, last the metadata file: who waits for that one finds the rest complete."""
        wanted = self.target.params.get("sidecars", "").split()
        found = [FaxFile(document.name, document.octets) for document in self.documents]
        if "xml" in wanted:
            name = f"{self.stem}.xml"
            if any(file.name == name for file in found):
                name = f"{self.stem}.fax.xml"
            found.append(FaxFile(name, as_xml(self.report, self.facts, self.documents)))
        if "idx" in wanted:
            found.append(FaxFile(f"{self.stem}.idx", idx(self.report, self.facts)))
        return tuple(found)

    def apart(self) -> Consignment:
        """The same under names that no other fax has."""
        mark = f"-{self.report.reception[-12:]}"
        moved = [replace(one, name=self.stem + mark + one.name[len(self.stem) :]) for one in self.documents]
        return replace(self, stem=self.stem + mark, documents=tuple(moved))

    @property
    def is_apart(self) -> bool:
        """Whether the names cannot be another fax's."""
        return self.report.reception in self.stem


class Way(Protocol):
    """A way out."""

    async def deliver(self, consignment: Consignment) -> str:
        """One try; a word for the log. Raises Undelivered, OSError, TimeoutError."""
        ...


class Folder(Protocol):
    """Somewhere that takes files."""

    async def size(self, name: str) -> int | None:
        """Octets of a file; None: there is none."""
        ...

    async def read(self, name: str, size: int) -> bytes:
        """A file's octets."""
        ...

    async def put(self, name: str, octets: bytes) -> None:
        """Write under another name, then rename over whatever has the name. Half a file never has the name."""
        ...


async def lay(folder: Folder, consignment: Consignment) -> str:
    """Put the files into a folder; the same again at a second try, and never over another fax's.

    Args:
        folder: Where.
        consignment: What.
    """
    chosen = consignment
    if not consignment.is_apart and await _is_taken(folder, consignment):
        chosen = consignment.apart()
    for file in chosen.files:
        await folder.put(file.name, file.octets)
    return ", ".join(file.name for file in chosen.files)


async def _is_taken(folder: Folder, consignment: Consignment) -> bool:
    """Whether another document has a name. One that is encrypted differs from itself, so that any is another."""
    for file in consignment.files[: len(consignment.documents)]:
        size = await folder.size(file.name)
        if size is not None and (size != len(file.octets) or await folder.read(file.name, size) != file.octets):
            return True
    return False


Facts = Callable[[str], Awaitable[ReceivedFacts]]
"""What is known of a reception beside its report."""
Secrets = Callable[[Target], Awaitable[tuple[Target, Mapping[str, str]]]]
"""The target with its present parameters, and its secrets by name."""


class Room:
    """Memory for large documents, given out in the order in which it is asked for.

    Args:
        octets: All there is; who asks for more gets it when nobody else has any.
        small: What is not larger needs none; 0: LARGE.
    """

    def __init__(self, octets: int, small: int = 0) -> None:
        self._octets = octets
        self._small = small
        self._taken = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """Have room for so many octets; what is small needs none."""
        if size <= (self._small or LARGE):
            yield
            return
        async with self._turn:
            while self._taken and self._taken + size > self._octets:
                self._freed.clear()
                await self._freed.wait()
            self._taken += size
        try:
            yield
        finally:
            self._taken -= size
            self._freed.set()


class ReceivedDelivery:
    """Adapter of the outbox for one kind of targets.

    Args:
        way: Where to.
        facts: Finds what programs ask for.
        secrets: Finds what a target keeps to itself.
        within: Seconds of one try.
    """

    _room: ClassVar[Room]
    """One for all kinds: memory is one."""

    def __init__(self, way: Way, facts: Facts, secrets: Secrets, within: float = 900.0) -> None:
        self._way = way
        self._facts = facts
        self._secrets = secrets
        self._within = within

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        """See the port."""
        size = sum(enclosure.size for enclosure in parcel.enclosures)
        if size > MAX_OCTETS:
            return DeliveryResult(False, permanent=True, detail="the documents are too large for this way")
        try:
            async with asyncio.timeout(self._within), self._room.of(size):
                detail = await self._way.deliver(await self._consignment(parcel))
        except TimeoutError:
            return _failed(parcel, "not finished in time")
        except FaxError as exc:
            return _failed(parcel, str(exc), permanent=not exc.temporary)
        except OSError as exc:
            return _failed(parcel, f"{type(exc).__name__}: {exc.strerror or exc}")
        return DeliveryResult(True, detail=short(detail))

    async def _consignment(self, parcel: Parcel) -> Consignment:
        try:
            report = received_from_payload(parcel.payload)
            stored: Any = parcel.payload.get("target")
            told = from_snapshot(stored)
        except (PayloadDefect, KeyError, TypeError, ValueError) as exc:
            raise Undelivered(f"the delivery cannot be read: {exc}", temporary=False) from exc
        target, secrets = await self._secrets(told)
        facts = await self._facts(report.reception)
        if not parcel.enclosures:
            raise Undelivered("the delivery has no document")
        stem, named = names(target.file_name, fields(report, facts), [one.name for one in parcel.enclosures])
        documents = await asyncio.to_thread(_documents, parcel.enclosures, named)
        sealed = await seal(documents, target, secrets)
        return Consignment(parcel.item, parcel.tries, report, facts, target, secrets, stem, tuple(sealed))


ReceivedDelivery._room = Room(MAX_AT_ONCE)


def _documents(enclosures: Sequence[Enclosure], named: Sequence[str]) -> list[FaxDocument]:
    return [FaxDocument(name, one.content_type, content(one)) for one, name in zip(enclosures, named, strict=True)]


def content(enclosure: Enclosure) -> bytes:
    """The document, which is what was stored. Raises Undelivered."""
    octets = os.pread(enclosure.descriptor, enclosure.size + 1, 0)
    if len(octets) != enclosure.size or hashlib.sha256(octets).hexdigest() != enclosure.sha256:
        raise Undelivered(f"{enclosure.name} was not read as it was stored")
    return octets


def _failed(parcel: Parcel, detail: str, *, permanent: bool = False) -> DeliveryResult:
    extra = {"event": "fax_not_delivered", "item": parcel.item, "kind": parcel.kind, "detail": short(detail)}
    log.warning("fax not delivered", extra=extra)
    return DeliveryResult(False, permanent=permanent, detail=short(detail))


def short(text: str) -> str:
    """A detail in one bounded line."""
    return " ".join(text.split())[:MAX_DETAIL]
