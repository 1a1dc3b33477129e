"""A mail to its documents."""

from __future__ import annotations

import base64
import contextlib
import io
import os
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faxgw.document import html, mail, mime, related
from faxgw.document.limits import MAX_DOCUMENTS, MAX_LIST
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Document, Kind, Origin, Reason, Walked, WalkOptions
from faxgw.fax.report import LeftOutReason
from tests.document.test_tnef import attachment, container

Make = Any  # conftest's class; tests import nothing from one another


class Walk:
    """Walks mails and reads what came out."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._walked: list[Walked] = []

    def __call__(self, message: EmailMessage | bytes, **options: Any) -> Walked:
        data = message if isinstance(message, bytes) else message.as_bytes()
        walked = mail.walk(self._make.fd(data), WalkOptions(**options))
        self._walked.append(walked)
        return walked

    def names(self, message: EmailMessage | bytes, **options: Any) -> list[str]:
        return [document.name for document in self(message, **options).documents]

    def close(self) -> None:
        for walked in self._walked:
            walked.close()


@pytest.fixture
def walk(make: Make) -> Iterator[Walk]:
    walk = Walk(make)
    yield walk
    walk.close()


def octets(document: Document) -> bytes:
    return os.pread(document.fd, document.size + 1, 0)


def text_of(document: Document) -> str:
    return octets(document).decode(document.charset or "utf-8")


def refusal(walk: Walk, message: EmailMessage | bytes, **options: Any) -> tuple[Reason, str]:
    with pytest.raises(DocumentRefused) as refused:
        walk(message, **options)
    return refused.value.refused.reason, refused.value.refused.public


def with_attachments(make: Make, *names: str) -> EmailMessage:
    message: EmailMessage = make.mail("Hello")
    for name in names:
        message.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename=name)
    return message


def test_body_and_attachments_come_in_order(make: Make, walk: Walk) -> None:
    walked = walk(with_attachments(make, "one.pdf", "two.pdf"))
    assert [(d.name, d.kind, d.origin) for d in walked.documents] == [
        ("mail text", Kind.TEXT, Origin.BODY),
        ("one.pdf", Kind.PDF, Origin.ATTACHMENT),
        ("two.pdf", Kind.PDF, Origin.ATTACHMENT),
    ]
    assert text_of(walked.documents[0]) == "Hello"
    assert octets(walked.documents[1]) == make.pdf()
    assert (walked.subject, walked.message_id) == ("Test", "<1@example.org>")


LIST = "distribution-list.txt"


def listing(text: bytes = "+33199000001,Éloïse\r\n".encode(), name: str = LIST, charset: str = "utf-8") -> EmailMessage:
    message = EmailMessage()
    message.set_content(text, maintype="text", subtype="plain", cte="base64")
    message.replace_header("Content-Type", f'text/plain; charset="{charset}"')
    message.add_header("Content-Disposition", "attachment", filename=name)
    return message


@pytest.mark.parametrize("name", [LIST, "Distribution-List.TXT"])
def test_a_distribution_list_is_read_and_not_faxed(make: Make, walk: Walk, name: str) -> None:
    message = with_attachments(make, "one.pdf")
    message.attach(listing(name=name))
    walked = walk(message, list_name=LIST)
    assert [d.name for d in walked.documents] == ["mail text", "one.pdf"]
    assert walked.lists == ("+33199000001,Éloïse\r\n",)
    assert walk.names(message) == ["mail text", "one.pdf", name], "it is a text like others where it means nothing"


def test_only_the_lists_of_a_mail_may_be_wanted(make: Make, walk: Walk) -> None:
    message = with_attachments(make, "damaged.xyz")
    message.attach(listing("+331,Éloïse".encode("latin-1"), charset="iso-8859-1"))
    message.attach(listing(b"+332"))
    walked = walk(message, list_name=LIST, lists_only=True)
    assert (walked.documents, walked.lists) == ((), ("+331,Éloïse", "+332"))
    assert walk(make.mail("Hello"), list_name=LIST, lists_only=True).lists == ()


def test_a_list_has_a_bound(make: Make, walk: Walk) -> None:
    message = with_attachments(make, "one.pdf")
    message.attach(listing(b"0" * (MAX_LIST + 1)))
    assert refusal(walk, message, list_name=LIST)[0] is Reason.TOO_LARGE


def test_options_choose_body_or_attachments(make: Make, walk: Walk) -> None:
    message = with_attachments(make, "one.pdf")
    assert walk.names(message, body_only=True) == ["mail text"]
    assert walk.names(message, attachments_only=True) == ["one.pdf"]
    assert refusal(walk, make.mail("Hello"), attachments_only=True)[0] is Reason.EMPTY
    assert refusal(walk, with_attachments_only(make), body_only=True)[0] is Reason.EMPTY


def with_attachments_only(make: Make) -> EmailMessage:
    message: EmailMessage = make.mail(None)
    message.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename="one.pdf")
    return message


def test_the_text_may_stand_on_the_cover(make: Make, walk: Walk) -> None:
    message = make.mail("Dear Ann,\n\nsee below.\n")
    message.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename="a.pdf")
    walked = walk(message, cover_text=100)
    assert walked.text == "Dear Ann,\n\nsee below."
    assert [document.name for document in walked.documents] == ["a.pdf"]
    alone = walk(make.mail("Dear Ann"), cover_text=100)
    assert (alone.text, alone.documents) == ("Dear Ann", ())
    html = make.mail(None)
    html.set_content("<p>Dear <b>Ann</b></p><p>Bye</p>", subtype="html")
    assert walk(html, cover_text=100).text == "Dear Ann\n\nBye"


def test_a_text_that_has_no_place_on_the_cover_is_a_document(make: Make, walk: Walk) -> None:
    long = walk(make.mail("x" * 101), cover_text=100)
    assert (long.text, [document.name for document in long.documents]) == ("", [mail.BODY_NAME])
    shown = make.mail(None)
    shown.set_content('<p>Look: <img src="cid:plan"></p>', subtype="html")
    shown.add_related(make.image(make.pattern(400, 300)), "image", "png", cid="<plan>")
    walked = walk(shown, cover_text=100)
    assert (walked.text, [document.kind for document in walked.documents]) == ("", [Kind.HTML])
    left_out = walk(shown, cover_text=100, ignore_inline_images=True)
    assert (left_out.text, left_out.documents) == ("Look:", ())
    with pytest.raises(DocumentRefused):
        walk(make.mail("Hello"), cover_text=100, attachments_only=True)


def test_a_mail_without_text_is_its_attachments(make: Make, walk: Walk) -> None:
    assert walk.names(with_attachments_only(make)) == ["one.pdf"]
    blank = make.mail("\n \n")
    blank.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename="one.pdf")
    assert walk.names(blank) == ["one.pdf"]


def test_html_is_preferred_to_plain_text(make: Make, walk: Walk) -> None:
    """Its tables and pictures are what the sender sees."""
    message = make.mail("plain")
    message.add_alternative("<p>rich</p>", subtype="html")
    (document,) = walk(message).documents
    assert document.kind is Kind.HTML
    assert "rich" in text_of(document)


def test_plain_text_is_taken_where_html_says_nothing(make: Make, walk: Walk) -> None:
    message = make.mail("plain")
    message.add_alternative("<p> </p>", subtype="html")
    (document,) = walk(message).documents
    assert document.kind is Kind.TEXT
    assert text_of(document) == "plain"


def test_attachments_within_an_alternative_are_kept(make: Make, walk: Walk) -> None:
    """Apple Mail puts a PDF between two pieces of HTML, beside the plain text."""
    message = EmailMessage()
    message["Content-Type"] = "multipart/alternative"
    plain, mixed, markup, more, document = (EmailMessage() for _ in range(5))
    plain.set_content("plain")
    markup.set_content("<p>one</p>", subtype="html")
    more.set_content("<p>two</p>", subtype="html")
    document.set_content(make.pdf(), maintype="application", subtype="pdf", filename="a.pdf", disposition="inline")
    mixed["Content-Type"] = "multipart/mixed"
    for part in (markup, document, more):
        mixed.attach(part)
    for part in (plain, mixed):
        message.attach(part)
    walked = walk(message)
    assert [d.name for d in walked.documents] == ["mail text", "a.pdf"]
    assert text_of(walked.documents[0]).split() == ["<p>one</p>", "<p>two</p>"]


def test_several_pieces_of_body_are_one_document(make: Make, walk: Walk) -> None:
    message = make.mail("first")
    message.make_mixed()
    for content, subtype in (("<b>second</b>", "html"), ("third", "plain")):
        part = EmailMessage()
        part.set_content(content, subtype=subtype)
        message.attach(part)
    (document,) = walk(message).documents
    assert document.kind is Kind.HTML
    assert html.to_text(text_of(document)).split() == ["first", "second", "third"]


def test_several_pieces_of_plain_text_are_one_text(make: Make, walk: Walk) -> None:
    message = make.mail("first")
    message.make_mixed()
    part = EmailMessage()
    part.set_content("second")
    message.attach(part)
    (document,) = walk(message).documents
    assert (document.kind, text_of(document)) == (Kind.TEXT, "first\n\nsecond")


def apple(make: Make, *pictures: Image.Image) -> EmailMessage:
    """Pieces of HTML with a picture between each two, as Apple's mailers write them."""
    message = EmailMessage()
    message["Content-Type"] = "multipart/mixed"
    for number in range(len(pictures) + 1):
        piece = EmailMessage()
        said = f"<html><head><meta charset=utf-8></head><body>piece {number} é</body></html>"
        piece.set_content(said if number < len(pictures) else "<html><body></body></html>", subtype="html", cte="8bit")
        message.attach(piece)
        if number < len(pictures):
            shown = EmailMessage()
            octets = make.image(pictures[number], "JPEG")
            shown.set_content(octets, "image", "jpeg", disposition="inline", filename=f"IMG_{number}.jpg")
            message.attach(shown)
    return message


def test_pictures_between_pieces_of_html_stay_between_them(make: Make, walk: Walk) -> None:
    """A4; the far machine prints the mail as its sender saw it."""
    message = apple(make, Image.new("L", (300, 200)), Image.new("L", (400, 100)))
    (document,) = walk(message).documents
    page = related.unpack(octets(document), document.charset)
    assert list(page.pictures) == ["0.between", "1.between"]
    order = [page.markup.index(word) for word in (b"piece 0 ", b"cid:0.between", b"piece 1 ", b"cid:1.between")]
    assert order == sorted(order)
    assert "é" in page.markup.decode(page.charset or "")
    assert Image.open(io.BytesIO(page.pictures["1.between"])).size == (400, 100)


def test_pictures_between_may_be_left_out_or_be_all_that_is_wanted(make: Make, walk: Walk) -> None:
    message = apple(make, Image.new("L", (300, 200)), Image.new("L", (30, 20)))
    walked = walk(message, ignore_inline_images=True)
    assert [(each.name, each.why) for each in walked.ignored] == [
        ("IMG_0.jpg", "inline image"),
        ("IMG_1.jpg", "inline image"),
    ]
    assert walk.names(message, attachments_only=True) == ["IMG_0.jpg", "IMG_1.jpg"]
    (document,) = walk(message, min_image_px=64).documents
    assert list(related.unpack(octets(document), None).pictures) == ["0.between"]


def test_a_forwarded_mail_keeps_its_pictures(make: Make, walk: Walk) -> None:
    inner = make.mail(None)
    inner.set_content('<p>x <img src="cid:one@x"></p>', subtype="html")
    inner.add_related(make.image(Image.new("L", (200, 100))), maintype="image", subtype="png", cid="<one@x>")
    message = make.mail("see below")
    message.add_attachment(inner)
    body, forwarded = walk(message).documents
    assert body.kind is Kind.TEXT and forwarded.kind is Kind.HTML
    assert list(related.unpack(octets(forwarded), None).pictures) == ["one@x"]


def test_pictures_of_the_text_are_no_attachments(make: Make, walk: Walk) -> None:
    message = make.mail("x")
    message.add_alternative('<img src="cid:one@x">y', subtype="html")
    shown = make.image(Image.new("L", (200, 100)))
    message.get_payload(1).add_related(shown, maintype="image", subtype="png", cid="<one@x>", filename="logo.png")
    message.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename="a.pdf")
    assert walk.names(message, attachments_only=True) == ["a.pdf"]
    assert walk.names(message) == ["mail text", "a.pdf"]


OUTLOOK = """<html xmlns:v="urn:schemas-microsoft-com:vml"><head><!--[if !mso]><style>v\\:* {}</style><![endif]-->
<!--[if gte mso 9]><xml><o:shapedefaults v:ext="edit" spidmax="1026" /></xml><![endif]--></head>
<body lang=DE><p class=MsoNormal>Guten Tag<o:p></o:p></p>
<!--[if gte vml 1]><v:shape><v:imagedata src="cid:logo@x"/></v:shape>SECRET<![endif]-->
<![if !vml]><img width=200 height=100 src="cid:logo@x"><![endif]><p>Gruß</p></body></html>"""


def test_outlooks_conditional_comments_are_read_as_others_read_them(make: Make, walk: Walk) -> None:
    message = make.mail(None)
    message.set_content(OUTLOOK, subtype="html")
    picture = make.image(Image.new("L", (200, 100)))
    message.add_related(picture, maintype="image", subtype="png", cid="<logo@x>", filename="image001.png")
    (document,) = walk(message).documents
    page = related.unpack(octets(document), document.charset)
    assert list(page.pictures) == ["logo@x"]
    assert html.to_text(page.markup.decode()).split() == ["Guten", "Tag", "Gruß"]


def test_inline_images_and_small_images_are_ignored_on_request(make: Make, walk: Walk) -> None:
    """A4: signature logos are no pages."""
    message = make.mail("see picture")
    message.add_alternative('<p>x <img src="cid:logo@x"></p>', subtype="html")
    picture = make.image(Image.new("L", (200, 100)))
    markup = message.get_payload(1)
    markup.add_related(picture, maintype="image", subtype="png", cid="<logo@x>", filename="logo.png")
    message.add_attachment(picture, maintype="image", subtype="png", filename="photo.png", cid="<unused@x>")
    walked = walk(message, ignore_inline_images=True)
    assert [d.name for d in walked.documents] == ["mail text", "photo.png"]
    assert [(each.name, each.why) for each in walked.ignored] == [("logo.png", "inline image")]
    walked = walk(message, min_image_px=101)
    assert list(related.unpack(octets(walked.documents[0]), None).pictures) == ["logo@x"]  # low, but within a text
    assert [(each.name, each.why) for each in walked.ignored] == [("photo.png", "small image")]
    assert not related.is_packed(octets(walk(message, min_image_px=201).documents[0]))
    assert walk.names(message) == ["mail text", "photo.png"]
    assert walk.names(message, min_image_px=101) == ["mail text"]
    assert walk.names(message, min_image_px=100) == ["mail text", "photo.png"]


def missed(walked: Walked) -> list[tuple[str, LeftOutReason]]:
    """What the sender is told of."""
    found = [(each.name, each.missed) for each in walked.ignored if each.missed]
    assert walked.missed == len(found)
    return found


def test_the_sender_is_told_of_what_people_attach_but_not_of_signatures(make: Make, walk: Walk) -> None:
    message = make.mail("Hello")
    for maintype, subtype, name in (
        ("application", "pgp-signature", "signature.asc"),
        ("application", "pgp-keys", "key.asc"),
        ("application", "pkcs7-signature", "smime.p7s"),
        ("text", "calendar", "invite.ics"),
        ("application", "ms-tnef", "winmail.dat"),
        ("text", "x-vcard", "anna.vcf"),
        ("text", "vcard", "me.vcf"),
    ):
        data = b"\x78\x9f\x3e\x22\x01\x00" if subtype == "ms-tnef" else b"data"
        message.add_attachment(data, maintype=maintype, subtype=subtype, filename=name)
    message.add_attachment(" \n", filename="notes.txt")
    message.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename="a.pdf")
    walked = walk(message)
    assert [d.name for d in walked.documents] == ["mail text", "a.pdf"]
    assert missed(walked) == [
        ("invite.ics", LeftOutReason.CALENDAR),
        ("anna.vcf", LeftOutReason.BUSINESS_CARD),
        ("me.vcf", LeftOutReason.BUSINESS_CARD),
        ("notes.txt", LeftOutReason.EMPTY),
    ]
    assert {each.name for each in walked.ignored if not each.missed} == {
        "signature.asc", "key.asc", "smime.p7s", "winmail.dat"
    }  # fmt: skip


def test_the_version_of_an_invitation_for_calendars_is_not_missed(make: Make, walk: Walk) -> None:
    """Outlook writes the same invitation as text, as HTML and as a calendar entry."""
    message = make.mail("come at ten")
    message.add_alternative("<p>come at ten</p>", subtype="html")
    message.add_alternative("BEGIN:VCALENDAR", subtype="calendar")
    walked = walk(message)
    assert [each.why for each in walked.ignored] == ["calendar entry"]
    assert missed(walked) == []


def test_a_small_picture_is_missed_where_it_is_a_file_and_not_where_the_text_shows_it(make: Make, walk: Walk) -> None:
    small = make.image(Image.new("L", (20, 20)))
    message = make.mail("see picture")
    message.add_alternative('<p>x <img src="cid:logo@x"></p>', subtype="html")
    message.get_payload(1).add_related(small, maintype="image", subtype="png", cid="<logo@x>", filename="logo.png")
    message.add_attachment(small, maintype="image", subtype="png", filename="stamp.png")
    message.add_attachment(small, maintype="image", subtype="png", filename="icon.png", disposition="inline")
    assert missed(walk(message, min_image_px=64)) == [("stamp.png", LeftOutReason.SMALL_IMAGE)]
    assert missed(walk(message, ignore_inline_images=True)) == []


def test_attachments_that_the_account_does_not_fax_are_missed(make: Make, walk: Walk) -> None:
    message = make.mail("see picture")
    message.add_alternative('<p>x <img src="cid:logo@x"></p>', subtype="html")
    picture = make.image(Image.new("L", (200, 100)))
    message.get_payload(1).add_related(picture, maintype="image", subtype="png", cid="<logo@x>", filename="logo.png")
    message.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename="offer.pdf")
    walked = walk(message, body_only=True)
    assert [d.name for d in walked.documents] == ["mail text"]
    assert missed(walked) == [("offer.pdf", LeftOutReason.SETTINGS)]
    assert missed(walk(message)) == missed(walk(message, attachments_only=True)) == []


def test_many_parts_are_counted_and_those_that_are_missed_come_first(make: Make, walk: Walk) -> None:
    message = make.mail("Hello")
    message.add_attachment(b"x", maintype="application", subtype="pgp-signature", filename="signature.asc")
    for number in range(MAX_DOCUMENTS + 5):
        message.add_attachment(b"x", maintype="text", subtype="vcard", filename=f"{number}.vcf")
    walked = walk(message)
    assert walked.missed == MAX_DOCUMENTS + 5
    assert [each.name for each in walked.ignored] == [f"{number}.vcf" for number in range(MAX_DOCUMENTS)]


def test_an_empty_mail_says_what_was_left_out(make: Make, walk: Walk) -> None:
    message = make.mail(" ")
    message.add_attachment(b"x", maintype="text", subtype="calendar", filename="invite.ics")
    reason, public = refusal(walk, message)
    assert reason is Reason.EMPTY
    assert public == "The mail is empty: there is nothing to fax. Left out: “invite.ics” (calendar entry)."


def outlook(make: Make, *attached: bytes) -> EmailMessage:
    message: EmailMessage = make.mail("Hello")
    data = container(*attached)
    message.add_attachment(data, maintype="application", subtype="ms-tnef", filename="winmail.dat")
    return message


def test_what_hangs_in_an_outlook_container_is_faxed(make: Make, walk: Walk) -> None:
    message = outlook(
        make,
        attachment("offer.pdf", make.pdf(), title="OFFER~1.PDF"),
        attachment("list.txt", b"one\ntwo"),
        attachment("image001.png", b"x", hidden=True),
    )
    walked = walk(message)
    assert [d.name for d in walked.documents] == ["mail text", "offer.pdf", "list.txt"]
    assert [(each.name, each.why) for each in walked.ignored] == [("image001.png", "inline image")]
    assert walk.names(outlook(make)) == ["mail text"]


def test_what_cannot_be_faxed_of_an_outlook_container_is_told_by_name(make: Make, walk: Walk) -> None:
    """A fax that silently lacks a document is worse than none."""
    reason, public = refusal(walk, outlook(make, attachment("Re: offer", b"", method=5)))
    assert reason is Reason.UNSUPPORTED
    assert public.startswith("The document “Re: offer” is a message within an Outlook container and cannot be faxed.")
    reason, public = refusal(walk, outlook(make, attachment("a.exe", b"MZ" + bytes(99))))
    assert reason is Reason.UNSUPPORTED and "“a.exe” is a program" in public
    message = make.mail("Hello")
    data = container(attachment("a.pdf", make.pdf()))[:-200]
    message.add_attachment(data, maintype="application", subtype="ms-tnef", filename="winmail.dat")
    reason, public = refusal(walk, message)
    assert reason is Reason.DAMAGED and "“winmail.dat”" in public


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"PK\x03\x04" + b"\0" * 26 + b"word/document.xml" + bytes(50), "letter.docx", "a Word document"),
        (b"MZ" + bytes(100), "invoice.pdf", "a program"),
        (bytes(range(256)) * 4, "data.bin", "of an unknown kind"),
        (b"<svg xmlns='x'/>", "a.svg", "an SVG drawing"),
    ],
)
def test_an_attachment_that_cannot_be_faxed_refuses_the_mail_by_name(
    make: Make, walk: Walk, data: bytes, name: str, said: str
) -> None:
    message = make.mail("Hello")
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    reason, public = refusal(walk, message)
    assert reason is Reason.UNSUPPORTED
    assert public == f"The document “{name}” is {said} and cannot be faxed. Please send it as PDF."
    assert walk.names(message, body_only=True) == ["mail text"]


def test_an_empty_attachment_is_told(make: Make, walk: Walk) -> None:
    message = make.mail("Hello")
    message.add_attachment(b"", maintype="application", subtype="pdf", filename="empty.pdf")
    assert refusal(walk, message)[0] is Reason.EMPTY
    message = make.mail("Hello")
    message.add_attachment("", filename="empty.txt")
    assert walk.names(message) == ["mail text"]


@pytest.mark.parametrize("media_type", ["multipart/encrypted", "application/pkcs7-mime"])
def test_an_encrypted_mail_is_refused(walk: Walk, media_type: str) -> None:
    data = f"Content-Type: {media_type}; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n".encode()
    assert refusal(walk, data)[0] is Reason.ENCRYPTED


def test_a_signed_mail_is_its_content(make: Make, walk: Walk) -> None:
    data = (
        b"Content-Type: multipart/signed; boundary=b; protocol=x\r\n\r\n--b\r\n\r\nHello\r\n"
        b"--b\r\nContent-Type: application/octet-stream\r\n\r\n\0\1\2\r\n--b--\r\n"
    )
    assert walk.names(data) == ["mail text"]


@pytest.mark.parametrize("nothing", ["\u200b", "\ufeff \u00a0\r\n", "\u200c\u034f \u00ad"])
def test_a_text_of_invisible_letters_is_no_page(make: Make, walk: Walk, nothing: str) -> None:
    """Mailers put zero-width spaces into texts that nobody has written: a blank page would be sent."""
    message = make.mail(nothing)
    message.add_alternative(f"<div>{nothing}</div><div><br></div>", subtype="html")
    message.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename="a.pdf")
    assert walk.names(message) == ["a.pdf"]


def test_letters_that_join_by_invisible_ones_keep_them(make: Make, walk: Walk) -> None:
    message = make.mail("می\u200cخواهم")
    assert text_of(walk(message).documents[0]).strip() == "می\u200cخواهم"


def test_a_forwarded_mail_is_an_attachment(make: Make, walk: Walk) -> None:
    inner = with_attachments(make, "inner.pdf")
    message = make.mail("see below")
    message.add_attachment(inner)
    walked = walk(message)
    assert [d.name for d in walked.documents] == ["mail text", "attachment 1", "inner.pdf"]
    assert [d.origin for d in walked.documents] == [Origin.BODY, Origin.ATTACHMENT, Origin.ATTACHMENT]
    assert text_of(walked.documents[1]).strip().endswith("\n\nHello")
    assert walk.names(message, body_only=True) == ["mail text"]


def test_a_forwarded_mail_says_who_wrote_it(make: Make, walk: Walk) -> None:
    """A page of somebody else's text alone does not say whose it is."""
    inner = make.mail("our invoice")
    inner["Date"] = "Fri, 20 Nov 2026 08:00:00 +0100"
    outer = make.mail("see below")
    outer.add_attachment(inner)
    body, forwarded = walk(outer).documents
    lines = text_of(forwarded).splitlines()
    assert f"From: {inner['From']}" in lines and "Date: Fri, 20 Nov 2026 08:00:00 +0100" in lines
    assert lines[-1] == "our invoice" and "From:" not in text_of(body)


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain", "application/eml"])
def test_a_mail_that_hangs_on_another_as_a_file_is_taken_apart(make: Make, walk: Walk, media_type: str) -> None:
    """Webmailers attach mails as files; their source would be faxed, Base64 and all."""
    inner = with_attachments(make, "inner.pdf")
    message = make.mail("see below")
    maintype, subtype = media_type.split("/")
    message.add_attachment(inner.as_bytes(), maintype="application", subtype="octet-stream", filename="Mail.EML")
    message.get_payload(1).replace_header("Content-Type", f"{maintype}/{subtype}")
    walked = walk(message)
    assert [d.name for d in walked.documents] == ["mail text", "attachment 1", "inner.pdf"]
    assert text_of(walked.documents[1]).endswith("Hello\n")


def test_a_file_that_is_named_like_a_mail_stays_a_file(make: Make, walk: Walk) -> None:
    message = make.mail("see below")
    message.add_attachment(b"From: here to there\nsome notes\n", maintype="text", subtype="plain", filename="n.eml")
    assert walk.names(message) == ["mail text", "n.eml"]


def test_mails_as_files_within_one_another_are_bounded(make: Make, walk: Walk) -> None:
    message = make.mail("innermost")
    for _ in range(12):
        outer = make.mail("x")
        outer.add_attachment(message.as_bytes(), maintype="application", subtype="octet-stream", filename="m.eml")
        message = outer
    with pytest.raises(DocumentRefused, match="nested more than"):
        walk(message)


def test_a_forwarded_mail_without_a_text_is_no_page_of_its_own(make: Make, walk: Walk) -> None:
    inner = make.mail(" ")
    inner.add_attachment(make.pdf(), maintype="application", subtype="pdf", filename="a.pdf")
    message = make.mail("see below")
    message.add_attachment(inner)
    assert walk.names(message) == ["mail text", "a.pdf"]


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("utf-8", "8bit"), ("iso-8859-15", "quoted-printable"), ("windows-1252", "base64")],
)
def test_the_body_is_read_in_its_charset(make: Make, walk: Walk, charset: str, encoding: str) -> None:
    message = make.mail(None)
    message.set_content("Grüße für 5 €", charset=charset, cte=encoding)
    (document,) = walk(message).documents
    assert text_of(document).strip() == "Grüße für 5 €"


def test_a_body_in_utf_16_is_read(walk: Walk) -> None:
    head = b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    (document,) = walk(head + base64.encodebytes("Grüße für 5 €\r\n".encode("utf-16"))).documents
    assert text_of(document) == "Grüße für 5 €"


def test_flowed_text_is_joined(walk: Walk) -> None:
    data = b"Content-Type: text/plain; format=flowed\r\n\r\nOne line \r\nof text.\r\n> quoted\r\n-- \r\nMe"
    (document,) = walk(data).documents
    assert text_of(document) == "One line of text.\n> quoted\n-- \nMe"


def test_a_text_attachment_keeps_its_name_and_charset(make: Make, walk: Walk) -> None:
    message = make.mail("Hello")
    message.add_attachment("déjà", charset="iso-8859-1", filename="list.txt")
    document = walk(message).documents[1]
    assert (document.name, document.kind, document.charset) == ("list.txt", Kind.TEXT, "iso-8859-1")
    assert text_of(document).strip() == "déjà"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename*=utf-8''%E2%82%AC%20rates.pdf", "€ rates.pdf"),
        ("attachment; filename*0=long; filename*1=-name.pdf", "long-name.pdf"),
        ("attachment; filename*0*=iso-8859-1'de'f%FCr; filename*1=.pdf", "für.pdf"),
        ('attachment; filename="=?utf-8?q?f=C3=BCr?= =?utf-8?b?LnBkZg==?="', "für.pdf"),
        (r'attachment; filename="C:\\temp\\a.pdf"', "a.pdf"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="a\u202efdp.exe"', "afdp.exe"),
        ("attachment; filename=" + "x" * 200 + ".pdf", "x" * 75 + "….pdf"),
        ("attachment", "attachment 1"),
    ],
)
def test_names_are_read_and_cleaned(make: Make, walk: Walk, header: str, name: str) -> None:
    """RFC 2231, RFC 2047; a name is shown to people and never used as a path."""
    data = f"Content-Type: application/pdf\r\nContent-Disposition: {header}\r\n\r\n".encode() + make.pdf()
    assert walk.names(data) == [name]


def test_subjects_are_decoded_into_one_line(walk: Walk) -> None:
    data = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe=0D=0ABcc:_x?=\r\n =?iso-8859-1?b?/A==?= end\r\n\r\nx"
    assert walk(data).subject == "Grüße Bcc: xü end"


def test_too_many_documents_are_refused(make: Make, walk: Walk) -> None:
    reason, public = refusal(walk, with_attachments(make, *[f"{n}.pdf" for n in range(60)]))
    assert reason is Reason.TOO_MANY_PARTS and "61 documents" in public


def test_base64_is_read_leniently() -> None:
    """Line noise and a missing end do not lose the rest."""
    whole = base64.encodebytes(bytes(range(256)))
    assert mime.decode_transfer(whole, " BASE64 ") == bytes(range(256))
    assert mime.decode_transfer(b"!!" + whole.replace(b"\n", b"\r\n*"), "base64") == bytes(range(256))
    assert mime.decode_transfer(b"QUJD" + b"RA", "base64") == b"ABCD"
    assert mime.decode_transfer(b"QUJDR", "base64") == b"ABC"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    """P-18."""
    with contextlib.suppress(DocumentRefused):
        mime.parse(data)


_PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: multipart/alternative; boundary=b\n",
        b"\r\n", b"\n", b"--b\r\n", b"--b--\r\n", b"--b", b"Content-Type: text/html\r\n", b"x", b" ", b":",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Disposition: attachment; filename*0*=a''%ff\r\n",
        b"Content-Type: message/rfc822\r\n", b"=?utf-8?b?////?=", b"Subject: ", b"\xff", b"\0", b"%PDF-",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=40))
def test_any_mail_is_walked_or_refused(pieces: list[bytes]) -> None:
    """P-18: accepted, or the module's own error."""
    fd = os.memfd_create("mail")
    try:
        os.write(fd, b"".join(pieces))
        mail.walk(fd, WalkOptions()).close()
    except DocumentRefused as exc:
        assert exc.refused.public
    finally:
        os.close(fd)
