"""What a mail holds, what its signatures prove, and what a merged document says on its pages."""

from __future__ import annotations

from dataclasses import dataclass

from faxgw.document.types.descriptors import close_all
from faxgw.document.types.documents import Document
from faxgw.fax.report import LeftOutReason


@dataclass(frozen=True, slots=True)
class Ignored:
    """A part of a mail that is not faxed, and why."""

    name: str
    """Its name, or its content type."""
    why: str
    """In a few public words: "signature", "inline image", …."""
    missed: LeftOutReason | None = None
    """Why, for its sender, who attached it and is told; None: machinery, or the looks of the mail."""


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """How a mail becomes documents."""

    attachments_only: bool = False
    """The body is not faxed."""
    body_only: bool = False
    """Attachments are not faxed."""
    ignore_inline_images: bool = False
    """Images that the HTML body shows, by `cid:` or between two of its pieces, are not faxed."""
    min_image_px: int = 0
    """Attached images narrower or lower than this are not faxed, nor images within the body that are smaller in both
    directions (signature logos, icons); 0: all are."""
    list_name: str = ""
    """Name, in lower case, of attachments that are distribution lists: read, not faxed; empty: none is."""
    lists_only: bool = False
    """Only distribution lists are wanted; the mail may have no documents."""
    cover_text: int = 0
    """Characters of text that may stand on a cover page: a shorter text, without pictures, is no document then."""


@dataclass(frozen=True, slots=True)
class Walked:
    """The documents of a mail, in the order in which they are faxed.

    At least one, unless `text` is all there is, or only lists were wanted.
    """

    documents: tuple[Document, ...]
    subject: str = ""
    """Decoded, one line."""
    message_id: str = ""
    """As written, without the angle brackets' surroundings."""
    ignored: tuple[Ignored, ...] = ()
    """At most limits.MAX_DOCUMENTS, first those that the sender is told of."""
    missed: int = 0
    """How many parts the sender is told of, named in `ignored` or not."""
    lists: tuple[str, ...] = ()
    """What its distribution lists say, decoded, at most limits.MAX_LIST octets all together."""
    text: str = ""
    """What the cover page shall say, if the mail's text is to stand there."""

    def close(self) -> None:
        """Close the documents' descriptors."""
        close_all(*(document.fd for document in self.documents))


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What DNS says of a signing key."""

    name: str
    """`selector._domainkey.domain`, in lower case."""
    record: str


@dataclass(frozen=True, slots=True)
class SignedOptions:
    """What a mail's signatures are to prove."""

    domain: str
    """That this domain has sent it; in lower case."""
    recipients: tuple[str, ...]
    """To these addresses."""
    sealers: tuple[str, ...]
    """Domains whose ARC seals are believed, in lower case."""
    now: float
    """Unix seconds."""
    keys: tuple[SigningKey, ...] | None = None
    """Keys at hand; None: say first which are needed."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a mail's signatures prove, or the keys that are needed to say so."""

    wanted: tuple[str, ...] = ()
    """Names of keys."""
    how: str = ""
    """`dkim`, `arc`; empty: nothing is proven."""
    why: str = ""
    """What is missing, as a clause for the sender."""

    def close(self) -> None:
        """It has no descriptors."""


@dataclass(frozen=True, slots=True)
class MergedPage:
    """One page of a merged document."""

    commands: tuple[str, ...]
    """What stands between `@@` and `@@` on it, marks and all, in order."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged document, its commands painted over."""

    fd: int
    """PDF."""
    pages: tuple[MergedPage, ...]

    def close(self) -> None:
        """Close the descriptor."""
        close_all(self.fd)


@dataclass(frozen=True, slots=True)
class Slice:
    """Some pages of a merged document, from 1."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How a merged document is taken apart."""

    slices: tuple[Slice, ...]
    """At most limits.MAX_DOCUMENTS."""


@dataclass(frozen=True, slots=True)
class Sliced:
    """The pieces of a merged document, each a PDF, in the order asked for."""

    documents: tuple[Document, ...]

    def close(self) -> None:
        """Close the descriptors."""
        close_all(*(document.fd for document in self.documents))
