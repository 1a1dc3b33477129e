"""A mail to the documents that are faxed: body first, attachments in their order (page process only).

Of alternatives HTML is taken, plain text where HTML says nothing; the pictures that it shows travel with it, and those
that stand between two pieces of it, as Apple's mailers write them. Of Outlook's containers the attachments are taken.
Signatures, calendars and business cards are no documents; what people attach is told to the sender (`Ignored.missed`).
An attachment that cannot be faxed
refuses the mail, by name: a fax that silently lacks a page is worse than none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from html import escape
from urllib.parse import unquote

from faxgw.document import forwarded, html, images, mime, refusal, related, sniff, text, tnef
from faxgw.document.limits import MAX_DOCUMENTS, MAX_LIST, MAX_MAIL, MAX_SUBJECT, MAX_TEXT
from faxgw.document.mime import Part
from faxgw.document.office import NONE, Programs
from faxgw.document.render import memory_file, read_all
from faxgw.document.types import OUTSIDE, Document, Ignored, Kind, Origin, Reason, Walked, WalkOptions
from faxgw.fax import charsets
from faxgw.fax.report import LeftOutReason

BODY_NAME = "mail text"
"""Name of the body as a document."""

_IGNORED = {
    "application/pgp-signature": "signature",
    "application/pkcs7-signature": "signature",
    "application/x-pkcs7-signature": "signature",
    "application/pgp-keys": "key",
    "text/calendar": "calendar entry",
    "application/ics": "calendar entry",
    "text/vcard": "business card",
    "text/x-vcard": "business card",
    "text/directory": "business card",
    "text/x-amp-html": "interactive content",
    "text/rfc822-headers": "mail headers",
    "message/delivery-status": "delivery status",
    "message/disposition-notification": "delivery status",
    "message/feedback-report": "delivery status",
}
_MISSED = {
    "text/calendar": LeftOutReason.CALENDAR,
    "application/ics": LeftOutReason.CALENDAR,
    "text/vcard": LeftOutReason.BUSINESS_CARD,
    "text/x-vcard": LeftOutReason.BUSINESS_CARD,
    "text/directory": LeftOutReason.BUSINESS_CARD,
}
"""Of these what people attach; the others are written by programs."""
_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")
_CID = re.compile(r"cid:([^\s\"'<>)]{1,200})", re.I)
_UNSEEN = re.compile(r"[\xad\u034f\u200b-\u200f\u2060-\u2064\ufeff]")
"""What mailers fill empty texts with."""
_PICTURES = frozenset({Kind.JPEG, Kind.PNG, Kind.GIF, Kind.BMP, Kind.WEBP})
_MAX_LISTED = 3


class _Form(Enum):
    """What a piece of the body is."""

    PLAIN = "plain"
    HTML = "html"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of the body."""

    part: Part
    form: _Form


@dataclass(slots=True)
class _Found:
    """What the tree holds, in order."""

    body: list[_Piece] = field(default_factory=list)
    attachments: list[Part] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    referred: set[str] = field(default_factory=set)
    """Content ids that HTML refers to."""


def walk(mail_fd: int, options: WalkOptions, programs: Programs = NONE) -> Walked:
    """Take a mail apart.

    Args:
        mail_fd: The mail.
        options: What of it is faxed.
        programs: What converts outside; an attachment that would need another is refused here.

    Raises:
        DocumentRefused: If there is nothing to fax, a part cannot be faxed, or the mail is beyond the limits.
    """
    size = os.fstat(mail_fd).st_size
    if size > MAX_MAIL:
        limit = MAX_MAIL // 1024 // 1024
        raise refusal.mail(Reason.TOO_LARGE, "The mail is larger than {limit} MiB.", limit=limit)
    root = mime.parse(read_all(mail_fd))
    found = _Found()
    _visit(root, found, in_attachment=False)
    lists = _lists(found, options)
    subject, message_id = _one_line(root.headers.get("subject", "")), root.headers.get("message-id", "")[:MAX_SUBJECT]
    if options.lists_only:
        return Walked((), subject, message_id, lists=lists)
    documents: list[_Made] = []
    cover_text = _cover_text(found, options)
    if options.attachments_only or cover_text:
        _leave_body(found)
    else:
        documents += _body(found, options)
    if not options.body_only:
        documents += _attachments(found, options, programs)
    if not documents and not cover_text:
        raise _nothing(found, options)
    if len(documents) > MAX_DOCUMENTS:
        said = "The mail has {count} documents; at most {limit} can be faxed."
        raise refusal.mail(Reason.TOO_MANY_PARTS, said, count=len(documents), limit=MAX_DOCUMENTS)
    if options.body_only:
        _leave_attachments(found)
    missed = [each for each in found.ignored if each.missed]
    others = [each for each in found.ignored if not each.missed]
    return Walked(
        tuple(made.document() for made in documents),
        subject,
        message_id,
        tuple([*missed, *others][:MAX_DOCUMENTS]),
        len(missed),
        lists,
        cover_text,
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """A document before it gets its descriptor."""

    data: bytes
    name: str
    kind: Kind
    charset: str | None
    origin: Origin

    def document(self) -> Document:
        fd = memory_file(self.data)
        assert fd is not None  # memory_file of octets
        return Document(fd, self.name, self.kind, self.charset, self.origin, len(self.data))


def _visit(part: Part, found: _Found, in_attachment: bool, texts: bool = True, version: bool = False) -> None:
    """Collect a part.

    Args:
        part: The part.
        found: Collects.
        in_attachment: Within an attached message everything is an attachment.
        texts: False: body texts are left out, they are the alternative that was not chosen.
        version: It is one of several versions of the same.
    """
    match part.media_type:
        case "multipart/alternative":
            _alternative(part, found, in_attachment, texts)
        case "multipart/signed":
            for child in part.children[:1]:
                _visit(child, found, in_attachment, texts)
            found.ignored += [Ignored(child.name or child.media_type, "signature") for child in part.children[1:]]
        case "multipart/encrypted" | "application/pkcs7-mime" | "application/x-pkcs7-mime":
            raise refusal.mail(
                Reason.ENCRYPTED, "The mail is encrypted or sealed (PGP or S/MIME). Please send it without encryption."
            )
        case "message/external-body" | "message/partial":
            raise refusal.mail(
                Reason.UNSUPPORTED, "The mail is only a part of a message, or refers to one stored elsewhere."
            )
        case "message/rfc822" | "message/global":
            for child in part.children:
                _attached_message(child, found)
        case media_type if media_type.startswith("multipart/"):
            between = _between_texts(part) if texts and not in_attachment else ()
            for number, child in enumerate(part.children):
                if number in between:
                    found.body.append(_Piece(child, _Form.PICTURE))
                else:
                    _visit(child, found, in_attachment, texts)
        case _:
            _leaf(part, found, in_attachment, texts, version)


def _attached_message(message: Part, found: _Found) -> None:
    """A message that hangs on the mail; its first text bears its head."""
    start = len(found.attachments)
    _visit(message, found, in_attachment=True)
    for index, part in enumerate(found.attachments[start:], start):
        if part.media_type in ("text/plain", "text/html") and _is_text(part) and _said(part):
            found.attachments[index] = forwarded.above(part, forwarded.head(message.headers))
            return


def _between_texts(part: Part) -> Collection[int]:
    """Which children are pictures that stand between two pieces of HTML."""
    texts = [n for n, child in enumerate(part.children) if child.media_type == "text/html" and _is_text(child)]
    inner = range(texts[0], texts[-1]) if texts else range(0)
    return {
        n for n in inner if part.children[n].media_type.startswith("image/") and not _is_attachment(part.children[n])
    }


def _is_attachment(part: Part) -> bool:
    return part.disposition == "attachment"


def _is_text(part: Part) -> bool:
    """True for text of the mail itself, not of a file."""
    return not _is_attachment(part) and not part.name


def _leave_body(found: _Found) -> None:
    """Only attachments are wanted: a picture in a text belongs to it, one that stands between two texts does not."""
    found.attachments += [piece.part for piece in found.body if piece.form is _Form.PICTURE]
    inner = [part for part in found.attachments if part.content_id in found.referred]
    found.attachments = [part for part in found.attachments if part not in inner]
    found.ignored += [Ignored(part.name or part.content_id, "inline image") for part in inner]


def _alternative(part: Part, found: _Found, in_attachment: bool, texts: bool) -> None:
    plain = [child for child in part.children if _has_text(child, "text/plain")]
    markup = [child for child in part.children if _has_text(child, "text/html")]
    chosen = (markup or plain or list(part.children[-1:]))[:1] if texts else []
    for child in part.children:
        _visit(child, found, in_attachment, texts=child in chosen, version=True)


def _has_text(part: Part, media_type: str) -> bool:
    """True if a part is, or a container holds, body text of this type that says something."""
    if part.media_type.startswith("multipart/"):
        return any(_has_text(child, media_type) for child in part.children)
    return part.media_type == media_type and part.disposition != "attachment" and bool(_said(part))


def _said(part: Part) -> str:
    """A text part's characters, HTML without its looks; empty where there is nothing to be seen."""
    characters = charsets.decode(part.decoded()[: MAX_TEXT + 1], part.charset)
    said = (html.to_text(characters) if part.media_type == "text/html" else characters).strip()
    return said if _UNSEEN.sub("", said).strip() else ""


def _leave_attachments(found: _Found) -> None:
    """Only the text is wanted: files that hang on the mail are left out. Pictures that the text shows are its own."""
    for number, part in enumerate(found.attachments, 1):
        if not _is_text(part) and part.content_id not in found.referred:
            name = part.name or f"attachment {number}"
            found.ignored.append(Ignored(name, "attachment", LeftOutReason.SETTINGS))


def _leaf(part: Part, found: _Found, in_attachment: bool, texts: bool, version: bool) -> None:
    why = _IGNORED.get(part.media_type)
    if why is not None:
        missed = None if version else _MISSED.get(part.media_type)
        found.ignored.append(Ignored(part.name or part.media_type, why, missed))
    elif part.media_type in _TNEF or part.name.lower() == "winmail.dat":
        _container(part, found)
    elif part.media_type in ("text/plain", "text/html") and _is_text(part):
        if part.media_type == "text/html":
            found.referred.update(_references(part))
        if texts and in_attachment:
            found.attachments.append(part)
        elif texts:
            found.body.append(_Piece(part, _Form.HTML if part.media_type == "text/html" else _Form.PLAIN))
    else:
        found.attachments.append(part)


def _lists(found: _Found, options: WalkOptions) -> tuple[str, ...]:
    """Take the distribution lists out of the attachments."""
    if not options.list_name:
        return ()
    lists = [part for part in found.attachments if part.name.lower() == options.list_name]
    found.attachments = [part for part in found.attachments if part.name.lower() != options.list_name]
    data = [part.decoded() for part in lists]
    if sum(map(len, data)) > MAX_LIST:
        raise refusal.too_large(lists[0].name, "distribution lists may have {limit} KiB", limit=MAX_LIST // 1024)
    return tuple(charsets.decode(octets, part.charset) for octets, part in zip(data, lists, strict=True))


def _container(part: Part, found: _Found) -> None:
    """Outlook's: what hangs on it as if it hung on the mail; the pictures of its formatted text are left out."""
    name = part.name or "winmail.dat"
    try:
        held = tnef.attachments(part.decoded())
    except tnef.BadTnef as exc:
        raise refusal.damaged(name) from exc
    for each in held:
        if each.is_hidden:
            found.ignored.append(Ignored(each.name or name, "inline image"))
        elif each.what:
            raise refusal.unsupported(each.name or name, each.what)
        else:
            found.attachments.append(mime.of_file(each.name, each.data))
    if not held:
        found.ignored.append(Ignored(name, "Outlook formatting"))


def _references(part: Part) -> Iterator[str]:
    markup = charsets.decode(part.decoded()[:MAX_TEXT], part.charset)
    for match in _CID.finditer(markup):
        yield unquote(match[1])


def _body(found: _Found, options: WalkOptions) -> list[_Made]:
    """The body as one document: plain text if all of it is, else HTML."""
    pieces = [piece for piece in found.body if piece.form is _Form.PICTURE or _said(piece.part)]
    octets = sum(len(piece.part.raw) for piece in pieces if piece.form is not _Form.PICTURE)
    if octets > MAX_TEXT:
        what = "a text may have {limit} KiB, this one has {count}"
        raise refusal.too_large(BODY_NAME, what, limit=MAX_TEXT // 1024, count=octets // 1024)
    if all(piece.form is _Form.PLAIN for piece in pieces):
        octets_of = "\n\n".join(_characters(piece.part) for piece in pieces).encode("utf-8", "replace")
        return [_Made(octets_of, BODY_NAME, Kind.TEXT, "utf-8", Origin.BODY)] if pieces else []
    page = _page(pieces, found, options)
    return [_Made(related.pack(page), BODY_NAME, Kind.HTML, page.charset, Origin.BODY)] if page.markup else []


def _cover_text(found: _Found, options: WalkOptions) -> str:
    """The body as text for a cover page; empty where it is none, is too long, or shows pictures."""
    if not options.cover_text or options.attachments_only:
        return ""
    if any(piece.form is _Form.PICTURE for piece in found.body) or any(_pictured(found, options)):
        return ""
    said = (_said(p.part) if p.form is _Form.HTML else _characters(p.part) for p in found.body if _said(p.part))
    joined = "\n\n".join(said).strip()
    return joined if len(joined) <= options.cover_text else ""


def _pictured(found: _Found, options: WalkOptions) -> Iterator[Part]:
    """Pictures that the body shows in their places."""
    for part in found.attachments:
        if part.content_id in found.referred and not options.ignore_inline_images:
            data = part.decoded()
            kind = sniff.kind_of(data, part.media_type)
            if kind in _PICTURES and not isinstance(kind, sniff.Unknown) and not _is_icon(data, kind, options):
                yield part


def _page(pieces: Sequence[_Piece], found: _Found, options: WalkOptions) -> related.Page:
    """One page of HTML of all pieces; a single one stays as it is."""
    if len(pieces) == 1 and pieces[0].form is _Form.HTML:
        part = pieces[0].part
        return related.Page(part.decoded(), part.charset, _shown(found, part, options))
    markup: list[str] = []
    pictures: dict[str, bytes] = {}
    for piece in pieces:
        match piece.form:
            case _Form.PLAIN:
                markup.append(f'<div style="white-space: pre-wrap">{escape(_characters(piece.part))}</div>')
            case _Form.HTML:
                data = piece.part.decoded()
                markup.append(charsets.decode(data, piece.part.charset or html.charset_of(data)))
                pictures |= _shown(found, piece.part, options)
            case _Form.PICTURE if data := _shown_between(piece.part, found, options, len(pictures)):
                identity = f"{len(pictures)}.between"
                pictures[identity] = data
                markup.append(f'<div><img src="cid:{identity}"></div>')
    return related.Page("\n".join(markup).encode("utf-8", "replace"), "utf-8", pictures)


def _shown_between(part: Part, found: _Found, options: WalkOptions, shown: int) -> bytes:
    """A picture that stands between two texts; empty if it is left out, or an attachment after all."""
    data = part.decoded()
    kind = sniff.kind_of(data, part.media_type)
    if isinstance(kind, sniff.Unknown) or kind not in _PICTURES or shown >= related.MAX_PICTURES:
        found.attachments.append(part)
    elif options.ignore_inline_images or _is_icon(data, kind, options):
        found.ignored.append(Ignored(part.name or part.media_type, "inline image"))
    else:
        return data
    return b""


def _shown(found: _Found, body: Part, options: WalkOptions) -> dict[str, bytes]:
    """The pictures that the body shows in their places, by content id; they are no documents of their own any more."""
    referred = set(_references(body))
    shown: dict[str, bytes] = {}
    kept: list[Part] = []
    for part in found.attachments:
        data = part.decoded() if part.content_id in referred else b""
        kind = sniff.kind_of(data, part.media_type)
        if kind not in _PICTURES or isinstance(kind, sniff.Unknown) or len(shown) == related.MAX_PICTURES:
            kept.append(part)
        elif options.ignore_inline_images or _is_icon(data, kind, options):
            found.ignored.append(Ignored(part.name or part.content_id, "inline image"))
        else:
            shown.setdefault(part.content_id, data)
    found.attachments = kept
    return shown


def _is_icon(data: bytes, kind: Kind, options: WalkOptions) -> bool:
    """True for a picture that is small in both directions; a low one, as logos are, takes no page within a text."""
    size = images.size(data, kind) if options.min_image_px else None
    return size is not None and max(size) < options.min_image_px


def _characters(part: Part) -> str:
    """Of plain text."""
    characters = charsets.decode(part.decoded(), part.charset)
    if part.parameters.get("format", "").lower() == "flowed":
        characters = text.unflow(characters, part.parameters.get("delsp", "").lower() == "yes")
    return characters.strip("\r\n")


def _attachments(found: _Found, options: WalkOptions, programs: Programs) -> list[_Made]:
    made: list[_Made] = []
    texts = [part for part in found.attachments if part.media_type == "text/html" and _is_text(part)]
    shown = {id(part): _shown(found, part, options) for part in texts}
    for number, part in enumerate(found.attachments, 1):
        name = part.name or f"attachment {number}"
        data = part.decoded()
        kind = sniff.kind_of(data, part.media_type)
        if kind is Kind.HTML and shown.get(id(part)):
            data = related.pack(related.Page(data, part.charset, shown[id(part)]))
        if not data.strip() and part.media_type.startswith("text/"):
            missed = None if _is_text(part) else LeftOutReason.EMPTY
            found.ignored.append(Ignored(name, "empty", missed))
        elif not data:
            raise refusal.blank(name)
        elif isinstance(kind, sniff.Unknown):
            raise refusal.unsupported(name, kind.what)
        elif kind in OUTSIDE and kind not in programs.kinds:
            raise refusal.unsupported(name, sniff.NAMES[kind])
        else:
            why = _unwanted(part, kind, data, found, options)
            if why is None:
                made.append(_Made(data, name, kind, part.charset, Origin.ATTACHMENT))
            else:
                found.ignored.append(Ignored(name, why, _missed_picture(part, why, found)))
    return made


def _missed_picture(part: Part, why: str, found: _Found) -> LeftOutReason | None:
    """A small picture that hangs on the mail as a file; not one that its text shows, nor a logo without a name."""
    attached = why == "small image" and _is_attachment(part) and part.content_id not in found.referred
    return LeftOutReason.SMALL_IMAGE if attached else None


def _unwanted(part: Part, kind: Kind, data: bytes, found: _Found, options: WalkOptions) -> str | None:
    """Why a picture is left out, if it is."""
    if kind not in _PICTURES:
        return None
    if options.ignore_inline_images and part.content_id and part.content_id in found.referred:
        return "inline image"
    size = images.size(data, kind) if options.min_image_px else None
    if size is not None and min(size) < options.min_image_px:
        return "small image"
    return None


def _nothing(found: _Found, options: WalkOptions) -> refusal.DocumentRefused:
    if options.attachments_only:
        said = "The mail has no attachment that could be faxed, and its text is not faxed by your settings."
    elif options.body_only:
        said = "The mail has no text, and its attachments are not faxed by your settings."
    else:
        said = "The mail is empty: there is nothing to fax."
    if not found.ignored:
        return refusal.empty(said)
    listed = ", ".join(f"“{each.name}” ({each.why})" for each in found.ignored[:_MAX_LISTED])
    listed += ", …" if len(found.ignored) > _MAX_LISTED else ""
    return refusal.empty("{clause} Left out: {left_out}.", clause=said, left_out=listed)


def _one_line(subject: str) -> str:
    decoded = mime.decode_words(subject)
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", " ", decoded).split())[:MAX_SUBJECT]
