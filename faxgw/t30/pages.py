"""What a call is to send, made ready for the library: copies of the documents, their page ranges, their resolution.

ITU-T T.30 Table 2 says which resolutions a far end takes; the library refuses a finer one only when the page comes up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from faxgw.foip.control import Start
from faxgw.t30 import memory, terminal, tiff
from faxgw.t30.terminal import PageRange, Profile

FINE_ROWS: Final = 5_000.0
"""Rows per metre above which a page is finer than standard (3,850); fine has 7,700."""
SUPERFINE_ROWS: Final = 11_000.0
"""Rows per metre above which a page is finer than fine; superfine has 15,400."""


def load(start: Start, descriptors: Sequence[int], files: list[int]) -> tuple[tuple[PageRange, ...], float]:
    """Copy the documents of a call.

    Args:
        start: What is to be sent.
        descriptors: Of its documents; left alone.
        files: The copies are added to it, also those made before a failure.

    Returns:
        The ranges, and the highest resolution of a page in rows per metre.

    Raises:
        OSError: If a document cannot be read.
        ValueError: If documents and descriptors do not match, or a range is empty or beyond the file.
        tiff.PageFault: If a document is no TIFF.
    """
    ranges, finest = [], 0.0
    for document, descriptor in zip(start.documents, descriptors, strict=True):
        file = memory.copy(descriptor)
        files.append(file)
        pages = tiff.count_pages(file)
        if pages != document.pages_in_file or not 1 <= document.first <= document.last <= pages:
            raise ValueError(
                f"pages {document.first} to {document.last} of {document.pages_in_file}; the file has {pages}"
            )
        ranges.append(PageRange(memory.name_of(file), document.first, document.last))
        finest = max(finest, tiff.finest_rows(file, document.first, document.last))
    return tuple(ranges), finest


def receiving(files: list[int]) -> str:
    """A new file for received pages, added to `files`; its name."""
    files.append(os.memfd_create("received", os.MFD_CLOEXEC))
    return memory.name_of(files[-1])


def profile(start: Start, ranges: tuple[PageRange, ...], receive_path: str, resolutions: int) -> Profile:
    """What the engine is told.

    Raises:
        ValueError: If the station identification or sub-address is none.
    """
    return Profile(
        calling_party=start.calling_party,
        station_id=terminal.check_station_id(start.station_id),
        documents=ranges,
        receive_path=receive_path,
        ecm=start.ecm,
        modems=start.modems,
        compressions=start.compressions,
        resolutions=resolutions,
        sub_address=terminal.check_sub_address(start.sub_address),
        takes_sub_address=start.takes_sub_address,
    )


def needed(finest: float) -> str:
    """The resolution that a far end must take, as `t30_frames` names it, for `finest` rows per metre."""
    if finest > SUPERFINE_ROWS:
        return "204x391"
    return "204x196" if finest > FINE_ROWS else "204x98"
