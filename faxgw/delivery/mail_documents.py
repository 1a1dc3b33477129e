"""The documents of a received fax's mail as its target wants them: named, and behind a password.

A mail whose documents are to be encrypted bears no picture of page 1, and never leaves with a document as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any  # a snapshot is JSON

from faxgw.delivery.received import Facts, Secrets, content
from faxgw.delivery.seal import PDF, Unsealed, seal
from faxgw.fax.ports import Enclosure, Parcel
from faxgw.fax.target import Encryption, Target, from_snapshot
from faxgw.formats.file_names import fields, names
from faxgw.formats.received_payload import FaxDocument
from faxgw.formats.report_payload import received_from_payload


class MailDocuments:
    """Prepares parcels.

    Args:
        facts: Finds what file names may tell.
        secrets: Finds the password of a target's documents.
    """

    def __init__(self, facts: Facts, secrets: Secrets) -> None:
        self._facts = facts
        self._secrets = secrets

    @contextlib.asynccontextmanager
    async def prepared(self, parcel: Parcel) -> AsyncIterator[Parcel]:
        """The parcel as it may leave. Raises Unsealed."""
        told = target_of(parcel)
        if told is None or not parcel.enclosures:
            yield parcel
            return
        found = list(parcel.enclosures)
        if told.file_name:
            report = received_from_payload(parcel.payload)
            values = fields(report, await self._facts(report.reception))
            _stem, named = names(told.file_name, values, [one.name for one in found])
            found = [replace(one, name=name) for one, name in zip(found, named, strict=True)]
        if told.encryption is Encryption.NONE:
            yield replace(parcel, enclosures=tuple(found))
            return
        opened: list[int] = []
        try:
            target, secrets = await self._secrets(told)
            for position, one in enumerate(found):
                document = FaxDocument(one.name, one.content_type, await asyncio.to_thread(content, one))
                (sealed,) = await seal([document], target, secrets)
                found[position] = await asyncio.to_thread(_enclosure, sealed, opened)
            yield replace(parcel, enclosures=tuple(found), payload={**parcel.payload, "thumbnail": ""})
        finally:
            for descriptor in opened:
                os.close(descriptor)


def target_of(parcel: Parcel) -> Target | None:
    """What a received fax's parcel says of its target; None where it says nothing."""
    stored: Any = parcel.payload.get("target") if parcel.kind == "received_mail" else None
    return from_snapshot(stored) if isinstance(stored, dict) else None


def refuse_sealed(parcel: Parcel) -> None:
    """Raise Unsealed for documents that are to be encrypted, where nobody can."""
    told = target_of(parcel)
    if told is not None and told.encryption is not Encryption.NONE:
        raise Unsealed("the target's documents are to be encrypted")


def _enclosure(document: FaxDocument, opened: list[int]) -> Enclosure:
    descriptor = os.memfd_create(PDF, os.MFD_CLOEXEC)
    opened.append(descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(document.octets)
    digest = hashlib.sha256(document.octets).hexdigest()
    return Enclosure(document.name, document.content_type, descriptor, digest, len(document.octets))
