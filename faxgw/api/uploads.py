"""Documents of one request on their way to the spool: written as they come, made durable, handed over or removed.

Both of the vendor's interfaces take documents within a body; each reads its own form and hands their octets in here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from faxgw.fax.ports import StoredFile
from faxgw.formats.json_body import Blob
from faxgw.store.files import Files, Kind, SpoolFile

Upload = StoredFile | None
"""A durable document; None for one that is to be fetched."""


class Uploads:
    """The documents of a request; an asynchronous context, which removes what was not handed over.

    Args:
        files: The spool.
        limit: Octets of a document at most.
    """

    def __init__(self, files: Files, limit: int) -> None:
        self._files = files
        self._limit = limit
        self._spools: list[SpoolFile] = []
        self._kept: list[StoredFile] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for stored in self._kept:
            await self._files.remove(stored.key)

    async def keep(self, documents: Sequence[bytes | Blob | None]) -> list[Upload]:
        """Make documents durable, in their order; None stays None.

        Raises:
            StoreError: If that is not possible.
        """
        found: list[Upload] = []
        for document in documents:
            if document is None:
                found.append(None)
                continue
            if isinstance(document, Blob):
                stored = await self._spools[document.number].commit()
            else:
                stored = await self._files.keep(document)
            self._kept.append(stored)
            found.append(stored)
        return found

    def take(self, stored: StoredFile) -> None:
        """A durable document that came another way."""
        self._kept.append(stored)

    async def copies(self, files: Sequence[StoredFile]) -> list[StoredFile]:
        """Make copies of stored documents.

        Raises:
            StoreError: If one cannot be read, is not what it was, or cannot be written.
        """
        found = []
        for file in files:
            descriptor = await self._files.open_read(file)
            try:
                copy = await self._files.adopt_fd(descriptor, Kind.OBJECT)
            finally:
                os.close(descriptor)
            self._kept.append(copy)
            found.append(copy)
        return found

    def hand_over(self) -> None:
        """The durable documents belong to somebody else from here on."""
        self._kept.clear()

    async def _spool(self, number: int, octets: bytes) -> None:
        """Write the next octets of the document of this number, from 0; the caller bounds the number."""
        while len(self._spools) <= number:
            opened = await self._files.open_temp(Kind.OBJECT, self._limit)
            self._spools.append(await self._stack.enter_async_context(opened))
        await self._spools[number].write(octets)
