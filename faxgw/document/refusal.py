"""What a sender is told when a document cannot be faxed. Each text names the document and says what to do.

Converters raise `DocumentRefused`; it leaves the page process as the value `types.Refused`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from faxgw.document.types import Reason, Refused


class DocumentRefused(Exception):
    """The document cannot be faxed, however often it is tried."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.public)
        self.refused = refused


def quoted(name: str) -> str:
    """A document's name within a sentence."""
    return f"“{name}”"


def encrypted(name: str) -> DocumentRefused:
    """It asks for a password."""
    public = f"{_subject(name)} is protected by a password and cannot be opened. Please send it without protection."
    return _refuse(Reason.ENCRYPTED, public, name)


def damaged(name: str, page: int | None = None, how: str = "") -> DocumentRefused:
    """It cannot be read.

    Args:
        name: Of the document.
        page: Its page.
        how: What is wrong with it, as a clause of its own.
    """
    what = f"is damaged: {how}" if how else "is damaged and cannot be read"
    public = f"{_subject(name, page)} {what}. Please check the file and send it again."
    return _refuse(Reason.DAMAGED, public, name, page)


def unreadable(name: str, page: int | None = None) -> DocumentRefused:
    """Its decoder broke on it."""
    public = f"{_subject(name, page)} could not be read: it is damaged, or too complicated."
    return _refuse(Reason.DAMAGED, f"{public} Please print it to a new PDF and send that.", name, page)


def unsupported(name: str, what: str) -> DocumentRefused:
    """It is of a kind that we do not convert.

    Args:
        name: Of the document.
        what: Its kind with an article: "a ZIP archive".
    """
    public = f"{_subject(name)} is {what} and cannot be faxed. Please send it as PDF."
    return _refuse(Reason.UNSUPPORTED, public, name)


def no_font(name: str, letters: Sequence[str], count: int) -> DocumentRefused:
    """No installed font has its letters.

    Args:
        name: Of the document.
        letters: Some of them.
        count: How many there are in all.
    """
    named = ", ".join(f"“{each}” ({unicodedata.name(each, f'U+{ord(each):04X}').lower()})" for each in letters)
    more = ", …" if count > len(letters) else ""
    public = f"{_subject(name)} has letters that no font of this fax gateway can print: {named}{more}."
    return _refuse(Reason.UNSUPPORTED, f"{public} Please send it as PDF.", name)


def too_many_pages(name: str, pages: int, limit: int, counted: bool = True) -> DocumentRefused:
    """It has more pages than a fax may have.

    Args:
        name: Of the document.
        pages: Pages of the fax with this document.
        limit: Pages allowed.
        counted: False when counting stopped at `pages`.
    """
    number = f"{pages:,}" if counted else f"more than {pages:,}"
    public = f"With the document {quoted(name)} the fax would have {number} pages; at most {limit:,} are allowed."
    return _refuse(Reason.TOO_MANY_PAGES, public, name)


def too_large(name: str, what: str, page: int | None = None) -> DocumentRefused:
    """It exceeds a limit.

    Args:
        name: Of the document.
        what: Continues "… cannot be faxed: ".
        page: Its page.
    """
    return _refuse(Reason.TOO_LARGE, f"{_subject(name, page)} cannot be faxed: {what}.", name, page)


def too_slow(name: str, page: int | None = None) -> DocumentRefused:
    """It needs more time than a document may."""
    public = f"{_subject(name, page)} is too complicated: it could not be converted in the time allowed."
    return _refuse(Reason.TOO_SLOW, f"{public} Please simplify it, or send it as a scan.", name, page)


def too_much_memory(name: str, page: int | None = None) -> DocumentRefused:
    """It needs more memory than a document may."""
    return too_large(name, "it is too complicated and would need too much memory", page)


def unsafe(name: str, why: str) -> DocumentRefused:
    """It has something that no honest document has.

    Args:
        name: Of the document.
        why: Continues "… is not opened: ".
    """
    return _refuse(Reason.UNSAFE, f"{_subject(name)} is not opened: {why}. Please send it as PDF.", name)


def blank(name: str) -> DocumentRefused:
    """It opens, and there is nothing on its pages."""
    return _refuse(Reason.EMPTY, f"{_subject(name)} is empty: there is nothing to fax.", name)


def empty(public: str) -> DocumentRefused:
    """There is nothing to fax."""
    return _refuse(Reason.EMPTY, public, "")


def mail(reason: Reason, public: str) -> DocumentRefused:
    """The mail itself is at fault."""
    return _refuse(reason, public, "")


def _refuse(reason: Reason, public: str, name: str, page: int | None = None) -> DocumentRefused:
    return DocumentRefused(Refused(reason, public, name or None, page))


def _subject(name: str, page: int | None = None) -> str:
    """How a sentence about a document begins. Without a name it is the mail as a whole."""
    if not name:
        return "The mail"
    return f"Page {page} of the document {quoted(name)}" if page else f"The document {quoted(name)}"
