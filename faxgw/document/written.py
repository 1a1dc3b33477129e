"""Files of what was read on a received fax (page process only): `formats.readings` and its neighbours, confined.

What was read comes as JSON in a memory file, for it may be larger than a message.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from faxgw.document import refusal
from faxgw.document.render import memory_file
from faxgw.document.types import WriteOptions, Written
from faxgw.fax.reading import PageReading, from_json
from faxgw.fax.received_document import Format
from faxgw.formats import readings, readings_pages, readings_sheets
from faxgw.formats.readings import ReadFax

_WRITERS: Mapping[Format, Callable[[ReadFax], bytes]] = {
    Format.TEXT: readings.text,
    Format.XML: readings.xml,
    Format.XLSX: readings_sheets.xlsx,
    Format.XLS: readings_sheets.xls,
    Format.HTML: readings_pages.html,
    Format.RTF: readings_pages.rtf,
    Format.BARCODES: readings.barcodes,
}


def write(fd: int, options: WriteOptions) -> Written:
    """Write a file.

    Args:
        fd: What was read.
        options: Format, and the facts of the fax.

    Raises:
        DocumentRefused: If the format is none of these.
    """
    writer = _WRITERS.get(options.form)
    if writer is None:
        raise refusal.damaged("the received fax")
    fax = ReadFax(
        reception=options.reception,
        title=options.title,
        number=options.number,
        caller=options.caller,
        ident=options.ident,
        received_at=options.received_at,
        pages=options.pages,
        complete=options.complete,
        readings=tuple(load(fd).values()),
    )
    made = memory_file(writer(fax))
    assert made is not None  # memory_file of octets
    return Written(made)


def load(fd: int) -> dict[int, PageReading]:
    """What was read, by page."""
    found = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    return {reading.page: reading for reading in map(from_json, found)}
