"""A distribution list: who gets a mail's fax, in an attached text file (docs/smtp.md).

One recipient a line: the number, then after a comma, semicolon or tab his personal text, which the header line's `%K`
prints. Empty lines and those that begin with `#` say nothing. Pure; the numbers themselves are read by their account's
dial plan, so that every fault is told with the number of its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from faxgw.fax.fault_texts import NumberRefused, Said
from faxgw.fax.number import MAX_TYPED, DialPlan, FaxNumber, parse_number

MAX_PERSONAL = 120
"""Characters of a personal text: what the header line prints of one at most."""
MAX_FAULTS = 5
"""Faults that are told; of more only how many."""
_LINE = re.compile(r'\s*("[^"]*"|[^,;\t"]*?)\s*(?:[,;\t](.*))?', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list."""

    line: int
    """From 1."""
    typed: str
    """The number as written."""
    personal: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One recipient of a list."""

    number: FaxNumber
    personal: str


@dataclass(slots=True)
class Faults:
    """What is wrong with a list."""

    name: str
    """File name of the list."""
    lines: list[Said]
    count: int = 0

    def add(self, line: int, said: Said) -> None:
        """One fault."""
        self.count += 1
        if len(self.lines) < MAX_FAULTS:
            self.lines.append(Said("line {line}: {fault}", {"line": line, "fault": said}))

    def sentence(self) -> Said | None:
        """For the sender; None when nothing is wrong."""
        if not self.lines:
            return None
        faults = tuple(self.lines)
        if self.count == len(faults):
            return Said("{name}, {faults}.", {"name": self.name, "faults": faults})
        more = self.count - len(faults)
        return Said("{name}, {faults}; and {more} more lines.", {"name": self.name, "faults": faults, "more": more})


def entries(text: str) -> Iterator[Entry]:
    """The lines that say something."""
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            match = _LINE.fullmatch(line)
            typed, personal = (match[1].strip('"').strip(), match[2] or "") if match else (line.strip(), "")
            yield Entry(number, typed, _one_line(personal))


def listed(found: Sequence[Entry], plan: DialPlan, faults: Faults, known: dict[str, Listed]) -> None:
    """Read the numbers of some lines: who is named twice gets one fax, by the first line that names him.

    Args:
        found: Lines, in order.
        plan: How numbers are read, and which are open.
        faults: Collects.
        known: Collects, by number and sub-address.
    """
    for entry in found:
        if len(entry.typed) > MAX_TYPED or len(entry.personal) > MAX_PERSONAL:
            long = len(entry.typed) > MAX_TYPED
            faults.add(entry.line, Said("the number is too long" if long else "the personal text is too long"))
            continue
        try:
            number = parse_number(entry.typed, plan)
        except NumberRefused as exc:
            faults.add(entry.line, exc.said)
            continue
        known.setdefault(f"{number.e164}/{number.sub_address}", Listed(number, entry.personal))


def _one_line(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"')
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
