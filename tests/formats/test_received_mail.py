"""Mails with received faxes, read by the standard library: what they say, and never without their fax."""

from __future__ import annotations

import base64
import email
import email.policy
import io
from dataclasses import replace
from email.message import EmailMessage
from typing import Any  # what all of them have

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.fax.reception import ReceivedReport, Why
from faxgw.formats.enclosed import Attachment
from faxgw.formats.outgoing_mail import MailDefect
from faxgw.formats.received_mail import received_mail
from faxgw.formats.received_texts import RECEIVED_TEXTS
from faxgw.formats.report_payload import PayloadDefect, enclosed_in, received_from_payload, received_to_payload

PDF = Attachment("fax.pdf", "application/pdf", b"%PDF-1.4\n" + bytes(range(256)) * 40)
TIFF = Attachment("page-1.tiff", "image/tiff", b"II*\0" + b"\xff" * 100)
REPORT = ReceivedReport(
    reception="rcv_" + "1" * 32,
    customer="acme",
    number="+33199000099",
    caller="+498955500",
    display="Peer & Sons",
    ident="+49 89 555 00",
    started_at=1_795_000_000.0,
    received_at=1_795_000_060.0,
    complete=True,
    pages=3,
)


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (140, 200), 255).save(out, "PNG")
    return out.getvalue()


def built(report: ReceivedReport = REPORT, *documents: Attachment, thumbnail: bytes = b"") -> EmailMessage:
    octets = received_mail(
        report,
        documents or (PDF,),
        thumbnail=thumbnail,
        to="alice@example.org",
        sender="fax@example.net",
        message_id="<out_1@example.net>",
        date=1_795_000_061.0,
    )
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_the_fax_is_attached_octet_for_octet() -> None:
    mail = built()
    (document,) = mail.iter_attachments()
    assert (document.get_content_type(), document.get_filename()) == ("application/pdf", "fax.pdf")
    assert document.get_content() == PDF.octets
    assert mail["Subject"] == "Fax from +49 89 555 00 to +33 1 99 00 00 99: 3 pages"
    assert (mail["To"], mail["Message-ID"]) == ("alice@example.org", "<out_1@example.net>")
    assert (mail["X-Fax-Id"], mail["X-Fax-Result"], mail["X-Fax-Pages"]) == (REPORT.reception, "complete", "3")
    assert "A fax of 3 pages has arrived. It is attached as PDF." in " ".join(text_of(mail).split())


def test_both_texts_say_the_same_and_the_picture_is_in_the_html() -> None:
    mail = built(thumbnail=png())
    html = mail.get_body(("html",))
    assert html is not None
    content = html.get_content()
    assert "Peer &amp; Sons" in content and "Peer & Sons" in text_of(mail)
    for words in ("+49 89 55500", "+33 1 99 00 00 99", REPORT.reception):
        assert words in content and words in text_of(mail)
    related = next(part for part in mail.walk() if part.get_content_type() == "image/png")
    assert related.get_content() == png()
    assert f"cid:{related['Content-ID'][1:-1]}" in content


def test_an_incomplete_fax_says_so_first() -> None:
    report = replace(REPORT, complete=False, pages=1, unconfirmed=(1,), bad_rows=1234, fine=False)
    mail = built(report)
    assert mail["Subject"] == "Incomplete fax from +49 89 555 00 to +33 1 99 00 00 99: 1 page"
    text = text_of(mail)
    assert "only one page has arrived" in text and "may come again" in text
    assert "perhaps sent again: page 1." in text and "1,234 rows" in text and "standard" in text
    assert mail["X-Fax-Result"] == "partial"


def test_a_fax_that_may_have_come_before_says_so() -> None:
    """Spine section 4: the second copy is flagged, not dropped."""
    assert "may be the same as the fax rcv_2" in text_of(built(replace(REPORT, again_of="rcv_2")))


@pytest.mark.parametrize(
    "why, target, words",
    [
        (Why.NO_OWNER, "", "has no mailbox of its own"),
        (Why.UNDELIVERABLE, "bob@example.org", "could not be delivered to bob@example.org"),
    ],
)
def test_the_fallback_mailbox_is_told_why(why: Why, target: str, words: str) -> None:
    assert words in text_of(built(replace(REPORT, why=why, target=target)))


@pytest.mark.parametrize("language, words", [("en", "not in this mail"), ("fr", "chiffr"), ("de", "verschlüsselt")])
def test_of_a_fax_that_was_to_be_encrypted_there_is_no_page(language: str, words: str) -> None:
    report = replace(REPORT, why=Why.SEALED, target="bob@example.org", language=language)
    head: Any = {"to": "desk@example.org", "sender": "fax@example.net", "message_id": "<out_1@x.net>", "date": 1.0}
    mail = email.message_from_bytes(received_mail(report, (), thumbnail=b"", **head), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    text = text_of(mail)
    assert words in text and "bob@example.org" in text and REPORT.reception in text and "{" not in text
    assert {part.get_content_maintype() for part in mail.walk()} == {"multipart", "text"}
    for attachments, thumbnail in (((PDF,), b""), ((), png())):
        with pytest.raises(MailDefect, match="was to be encrypted"):
            received_mail(report, attachments, thumbnail=thumbnail, **head)


@pytest.mark.parametrize(
    "language, word", [("fr", "Fax de"), ("de", "Fax von"), ("en", "Fax from"), ("xx", "Fax from")]
)
def test_every_language_has_its_words(language: str, word: str) -> None:
    for report in (REPORT, replace(REPORT, complete=False, why=Why.NO_OWNER, problem="tiff", unconfirmed=(2,))):
        mail = built(replace(report, language=language))
        assert word.lower().split()[-1] in str(mail["Subject"])
        assert "{" not in text_of(mail)
    assert set(RECEIVED_TEXTS) == {"en", "fr", "de"}


def test_without_identification_the_number_names_the_sender() -> None:
    assert "from +49 89 55500 to" in built(replace(REPORT, ident=""))["Subject"]
    assert "from unknown caller to" in built(replace(REPORT, ident=" \r\n", caller=""))["Subject"]


def test_pages_go_as_tiff_when_no_pdf_could_be_made() -> None:
    mail = built(replace(REPORT, problem="tiff"), TIFF, replace(TIFF, name="page-2.tiff"))
    assert [part.get_content() for part in mail.iter_attachments()] == [TIFF.octets] * 2
    assert "TIFF files, as they came" in text_of(mail)


@pytest.mark.parametrize(
    "documents",
    [
        (),
        (replace(PDF, octets=b""),),
        (replace(PDF, octets=b"<html>"),),
        (replace(PDF, content_type="text/plain"),),
        (replace(PDF, name='a".pdf'),),
        (replace(PDF, name="a\r\nX: y"),),
    ],
)
def test_there_is_no_fax_mail_without_its_fax(documents: tuple[Attachment, ...]) -> None:
    """users.md 35."""
    with pytest.raises(MailDefect):
        received_mail(REPORT, documents, to="a@b.example", sender="c@d.example", message_id="<1@d.example>", date=0.0)


def test_a_document_that_does_not_survive_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading back can fail: an encoder that drops an octet is caught."""
    encode = base64.encodebytes
    monkeypatch.setattr(base64, "encodebytes", lambda octets: encode(octets[:-1]))
    with pytest.raises(MailDefect, match="survive"):
        built()


def test_the_same_fax_gives_the_same_octets() -> None:
    assert built().as_bytes() == built().as_bytes()


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300), st.binary(max_size=4000))
def test_strangers_words_stay_one_line(ident: str, display: str, caller: str, tail: bytes) -> None:
    mail = built(replace(REPORT, ident=ident, display=display, caller=caller), replace(PDF, octets=b"%PDF-" + tail))
    assert mail.get_all("To") == ["alice@example.org"]
    assert "\n" not in str(mail["Subject"])
    (document,) = mail.iter_attachments()
    assert document.get_content() == b"%PDF-" + tail


@given(st.text(max_size=50), st.tuples(st.integers(1, 9)), st.sampled_from(list(Why)))
def test_a_report_survives_the_outbox(ident: str, unconfirmed: tuple[int, ...], why: Why) -> None:
    clean = ident.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    report = replace(REPORT, ident=clean, unconfirmed=unconfirmed, why=why)
    file = EnclosedFile("fax.pdf", "application/pdf", StoredFile("objects/00/x", "0" * 64, 9))
    payload = received_to_payload(report, [file])
    assert received_from_payload(payload) == report
    assert enclosed_in(payload) == (file,)


@pytest.mark.parametrize("payload", [{}, {"version": 1}, {"version": 1, "received": {"pages": "three"}}])
def test_a_damaged_payload_is_refused(payload: dict[str, object]) -> None:
    with pytest.raises(PayloadDefect):
        received_from_payload(payload)
    assert enclosed_in(payload) == ()
    for enclosed in ("none", [1], [{"name": "x"}]):
        with pytest.raises(PayloadDefect):
            enclosed_in({"enclosed": enclosed})
