"""Directory files: CSV in the vendor's two column orders (interfaces section 4.5), without a header line.

Columns are told apart by their number: 25 are senders (Email-to-Fax), 11 are numbers (Fax inbound). What is not public
about the form is ours: UTF-8, else Windows-1252; comma, semicolon or tab, whichever gives the right number of columns;
fields may be quoted; a first line with the columns' names is skipped, so that a file from a spreadsheet works.
"""

from __future__ import annotations

import csv
import enum
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faxgw.fax.errors import Refused

MAX_OCTETS = 50_000_000
"""Octets of a file at most."""
MAX_ROWS = 100_000
"""Entries of a file at most."""
MAX_FIELD = 4_000
"""Characters of a field at most."""
MAX_LINES_SHOWN = 20
"""Faulty lines that are named."""

OUTBOUND = (
    "e-mail", "billing-code", "csid", "header", "resolution", "blacklist", "default-country-code",
    "default-area-code", "reply-to", "reply-cc", "error-to", "language", "reply-format", "only-attachments",
    "attach-tiff-to-report", "attach-tiff-to-report-only-if-error", "reply-status-sorting",
    "prefix-plus-sign-in-fax-number", "customer-no", "client-name", "profile-name", "template-name", "date-format",
    "time-format", "timezone",
)  # fmt: skip
INBOUND = (
    "block-name", "recipients", "user-number", "extension", "profile", "billing-code", "document-format", "fax-id",
    "language", "active", "comment",
)  # fmt: skip


class Direction(enum.StrEnum):
    """What a directory is of."""

    OUTBOUND = "outbound"
    """Senders: users."""
    INBOUND = "inbound"
    """Numbers."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in their order."""
        return OUTBOUND if self is Direction.OUTBOUND else INBOUND


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    line: int
    """From 1; of an entry without a file, its place."""
    values: Mapping[str, str]
    """By the columns' names, without blanks around; a missing one is empty."""

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


def read_directory(octets: bytes, direction: Direction) -> Sequence[Entry]:
    """The entries of a file.

    Raises:
        Refused: If it is none of this direction; the text names the first lines that are at fault.
    """
    if len(octets) > MAX_OCTETS:
        raise Refused(public=f"The file is larger than {MAX_OCTETS} octets.")
    text = _decoded(octets)
    if "\0" in text:
        raise Refused(public="The file is no text.")
    rows = _rows(text, len(direction.columns))
    wrong = [line for line, row in rows if len(row) != len(direction.columns)]
    if wrong:
        shown = ", ".join(str(line) for line in wrong[:MAX_LINES_SHOWN])
        shown += f" and {len(wrong) - MAX_LINES_SHOWN} more" if len(wrong) > MAX_LINES_SHOWN else ""
        raise Refused(public=f"These lines do not have {len(direction.columns)} columns: {shown}.")
    if rows and tuple(cell.lower() for cell in rows[0][1]) == direction.columns:
        rows = rows[1:]
    if len(rows) > MAX_ROWS:
        raise Refused(public=f"The file has more than {MAX_ROWS} entries.")
    return [Entry(line, dict(zip(direction.columns, row, strict=True))) for line, row in rows]


def _decoded(octets: bytes) -> str:
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        return octets.decode("cp1252", errors="replace")


def _rows(text: str, width: int) -> list[tuple[int, list[str]]]:
    """The lines that have anything, each with its number, by the delimiter that fits most of them."""
    found: list[list[tuple[int, list[str]]]] = []
    for delimiter in ",;\t":
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            found.append([(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)])
        except csv.Error:
            continue
    if not found:
        raise Refused(public="The file is no CSV: a quotation mark is not closed.")
    rows = max(found, key=lambda rows: sum(len(row) == width for _line, row in rows))
    if any(len(cell) > MAX_FIELD for _line, row in rows for cell in row):
        raise Refused(public=f"A field has more than {MAX_FIELD} characters.")
    return rows
