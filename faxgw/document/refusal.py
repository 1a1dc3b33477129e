"""What a sender is told when a document cannot be faxed. Each text names the document and says what to do.

Sentences and clauses are templates; what they say in other languages stands in `fax.refusal_texts`.

Converters raise `DocumentRefused`; it leaves the page process as the value `types.Refused`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from faxgw.document.types import Reason, Refused
from faxgw.fax.refusal_texts import english


class DocumentRefused(Exception):
    """The document cannot be faxed, however often it is tried."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.public)
        self.refused = refused


def encrypted(name: str) -> DocumentRefused:
    """It asks for a password."""
    said = "{subject} is protected by a password and cannot be opened. Please send it without protection."
    return _refuse(Reason.ENCRYPTED, said, name)


def damaged(name: str, page: int | None = None, how: str = "", **values: int) -> DocumentRefused:
    """It cannot be read.

    Args:
        name: Of the document.
        page: Its page.
        how: What is wrong with it, as a clause of its own (`fax.refusal_texts`).
        values: Numbers in the clause.
    """
    if not how:
        said = "{subject} is damaged and cannot be read. Please check the file and send it again."
        return _refuse(Reason.DAMAGED, said, name, page)
    said = "{subject} is damaged: {clause}. Please check the file and send it again."
    return _refuse(Reason.DAMAGED, said, name, page, clause=how, **values)


def unreadable(name: str, page: int | None = None) -> DocumentRefused:
    """Its decoder broke on it."""
    said = "{subject} could not be read: it is damaged, or too complicated. Please print it to a new PDF and send that."
    return _refuse(Reason.DAMAGED, said, name, page)


def unsupported(name: str, what: str) -> DocumentRefused:
    """It is of a kind that we do not convert.

    Args:
        name: Of the document.
        what: Its kind with an article: "a ZIP archive".
    """
    said = "{subject} is {clause} and cannot be faxed. Please send it as PDF."
    return _refuse(Reason.UNSUPPORTED, said, name, clause=what)


def no_font(name: str, letters: Sequence[str], count: int) -> DocumentRefused:
    """No installed font has its letters.

    Args:
        name: Of the document.
        letters: Some of them.
        count: How many there are in all.
    """
    named = ", ".join(f"“{each}” ({unicodedata.name(each, f'U+{ord(each):04X}').lower()})" for each in letters)
    more = ", …" if count > len(letters) else ""
    said = "{subject} has letters that no font of this fax gateway can print: {letters}. Please send it as PDF."
    return _refuse(Reason.UNSUPPORTED, said, name, letters=f"{named}{more}")


def too_many_pages(name: str, pages: int, limit: int, counted: bool = True) -> DocumentRefused:
    """It has more pages than a fax may have.

    Args:
        name: Of the document.
        pages: Pages of the fax with this document.
        limit: Pages allowed.
        counted: False when counting stopped at `pages`.
    """
    said = "With the document “{name}” the fax would have {pages} pages; at most {limit} are allowed."
    uncounted = {} if counted else {"uncounted": "yes"}
    return _refuse(Reason.TOO_MANY_PAGES, said, name, pages=pages, limit=limit, **uncounted)


def too_large(name: str, what: str, page: int | None = None, **values: int) -> DocumentRefused:
    """It exceeds a limit.

    Args:
        name: Of the document.
        what: Continues "… cannot be faxed: " (`fax.refusal_texts`).
        page: Its page.
        values: Numbers in it.
    """
    return _refuse(Reason.TOO_LARGE, "{subject} cannot be faxed: {clause}.", name, page, clause=what, **values)


def too_slow(name: str, page: int | None = None) -> DocumentRefused:
    """It needs more time than a document may."""
    said = (
        "{subject} is too complicated: it could not be converted in the time allowed. Please simplify it, or send it "
        "as a scan."
    )
    return _refuse(Reason.TOO_SLOW, said, name, page)


def too_much_memory(name: str, page: int | None = None) -> DocumentRefused:
    """It needs more memory than a document may."""
    return too_large(name, "it is too complicated and would need too much memory", page)


def unsafe(name: str, why: str) -> DocumentRefused:
    """It has something that no honest document has.

    Args:
        name: Of the document.
        why: Continues "… is not opened: ".
    """
    return _refuse(Reason.UNSAFE, "{subject} is not opened: {clause}. Please send it as PDF.", name, clause=why)


def blank(name: str) -> DocumentRefused:
    """It opens, and there is nothing on its pages; or there is nothing in it."""
    return _refuse(Reason.EMPTY, "{subject} is empty: there is nothing to fax.", name)


def empty(said: str, **values: str) -> DocumentRefused:
    """There is nothing to fax."""
    return _refuse(Reason.EMPTY, said, "", **values)


def mail(reason: Reason, said: str, **values: int) -> DocumentRefused:
    """The mail itself is at fault."""
    return _refuse(reason, said, "", **values)


def merged(name: str, said: str, page: int | None = None, clause: str = "", **values: int) -> DocumentRefused:
    """It is no merged document that can be taken apart."""
    return _refuse(Reason.UNSUPPORTED, said, name, page, **({"clause": clause} if clause else {}), **values)


def _refuse(reason: Reason, said: str, name: str, page: int | None = None, /, **values: str | int) -> DocumentRefused:
    given = {"name": name, "page": page or "", **values}
    told = tuple((key, str(value)) for key, value in given.items() if value != "")
    return DocumentRefused(Refused(reason, english(said, told), name or None, page, said, told))
