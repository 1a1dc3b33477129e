"""The documents of a received fax's delivery, as its target wants them, made before a try (features G2, G4).

A delivery whose document was made when the fax was routed has it in its payload; any other says what it wants, and
gets it here: made once, kept with the fax, the same at every try. When no document can ever be made of the pages, they
go as they came and the delivery says so, but never unencrypted to a target that wants them encrypted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any  # payloads are JSON

from faxgw.document.client import PagesDamaged
from faxgw.fax import received_document as made
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import EnclosedFile, Parcel
from faxgw.fax.received_document import DocumentOptions, ReceivedDocuments
from faxgw.fax.target import Encryption, Format, Target, from_snapshot
from faxgw.formats.report_payload import PayloadDefect, received_from_payload, with_enclosed

_FORMS: Mapping[Format, made.Format] = {
    Format.PDF: made.Format.PDF,
    Format.PDF_A: made.Format.PDFA,
    Format.TIFF: made.Format.TIFF,
    Format.TIFF_G4: made.Format.TIFF_G4,
    Format.TIFF_PAGES: made.Format.TIFF_PAGES,
    Format.TEXT: made.Format.TEXT,
    Format.XML: made.Format.XML,
    Format.XLSX: made.Format.XLSX,
    Format.XLS: made.Format.XLS,
    Format.HTML: made.Format.HTML,
    Format.RTF: made.Format.RTF,
    Format.BARCODES: made.Format.BARCODES,
}
_SEARCHABLE = {made.Format.PDF: made.Format.PDF_TEXT, made.Format.PDFA: made.Format.PDFA_TEXT}


class NoDocument(FaxError):
    """The delivery's documents cannot be made, now or ever."""


def wanted(target: Target) -> tuple[tuple[made.Format, DocumentOptions], ...]:
    """What is to be made for a target, in its order."""
    found = []
    for one in target.formats:
        form = _FORMS[one]
        options = DocumentOptions(upright=target.upright and one.pictures)
        found.append((_SEARCHABLE.get(form, form) if target.searchable else form, options))
    return tuple(found)


async def consigned(parcel: Parcel, documents: ReceivedDocuments | None) -> Parcel:
    """The parcel with the documents that its target wants named in its payload.

    Raises:
        NoDocument: If they cannot be made.
        FaxError: If they cannot be made now.
    """
    if parcel.payload.get("made") is not False:
        return parcel
    try:
        report = received_from_payload(parcel.payload)
        stored: Any = parcel.payload["target"]
        target = from_snapshot(stored)
    except (PayloadDefect, KeyError, TypeError, ValueError) as exc:
        raise NoDocument(f"the delivery cannot be read: {exc}", temporary=False) from exc
    if documents is None:
        raise NoDocument("nothing here makes documents")
    files: list[EnclosedFile] = []
    try:
        for form, options in wanted(target):
            files += await documents.make(report.reception, form, options)
    except PagesDamaged as exc:
        if target.encryption is not Encryption.NONE:
            raise NoDocument(f"no document to be encrypted can be made: {exc}", temporary=False) from exc
        files = list(await documents.make(report.reception, made.Format.TIFF_PAGES))
        report = replace(report, problem="tiff")
    return replace(parcel, payload=with_enclosed(parcel.payload, report, files))
