from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faxgw.fax.errors import Refused
from faxgw.formats import outgoing_mail
from faxgw.formats.outgoing_mail import (
    MAX_SUBJECT,
    Letterhead,
    MailDefect,
    Picture,
    alternative_body,
    build,
    mailbox,
    message_identifier,
    one_line,
    shown_subject,
)
from tests.formats.samples import PNG, T

HOSTILE = [
    "x\r\nBcc: victim@example.org",
    "x\nBcc: victim@example.org\n\nbody",
    "x\rBcc: victim@example.org",
    "=?utf-8?q?x=0D=0ABcc:_victim@example.org?=",
    "=?utf-8?b?DQpCY2M6IHZpY3RpbQ==?=",
    "\u202egnp.exe\u202c \u200b\ufeffx",
    "x\u2028Bcc: a\u2029b\x85c\x0bd\x00e",
    "\ud800 lone surrogate",
    "é" * 5000,
    "a" * 5000,
    "=?" * 300,
    "émoji 🧾 " * 40,
    '(comment) \\ " < > , ; : @ ',
]


def mail(subject: str = "Delivered: 3 pages", name: str = "Fax gateway", to: str = "ann@example.org") -> bytes:
    head = Letterhead(
        sender=mailbox("fax@gw.example.org", name),
        to=mailbox(to),
        subject=subject,
        message_id="<out_1@gw.example.org>",
        date=T,
        extra=(("X-Fax-Id", "FN1 FN2"),),
    )
    return build(head, alternative_body("text é\n", "<p>html é</p>\n", Picture(PNG, "p@x", "p.png"), seed="s"))


def parsed(octets: bytes) -> EmailMessage:
    return email.message_from_bytes(octets, policy=email.policy.default)


def assert_harmless(octets: bytes) -> None:
    """One header block of ours, CRLF only, lines within RFC 5322 section 2.1.1."""
    for line in octets.split(b"\r\n"):
        assert b"\r" not in line and b"\n" not in line
        assert len(line) <= 998
    assert octets.isascii()
    names = [name.lower() for name in parsed(octets)]
    assert len(names) == len(set(names))
    assert "bcc" not in names


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_subject_stays_one_bounded_subject(text: str) -> None:
    octets = mail(subject="Delivered: " + text)
    assert_harmless(octets)
    subject = str(parsed(octets)["Subject"])
    assert subject == shown_subject("Delivered: " + text)
    assert subject.startswith("Delivered: ")
    assert len(subject) <= 2 * MAX_SUBJECT
    assert not set("\r\n\u202e\u200b\u2028") & set(subject)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_display_name_cannot_leave_its_header(text: str) -> None:
    octets = mail(name=text)
    assert_harmless(octets)
    sender = parsed(octets)["From"]
    assert [a.addr_spec for a in sender.addresses] == ["fax@gw.example.org"]


@given(st.text(max_size=400), st.text(max_size=200))
@example("=?utf-8?q?a?= =?utf-8?q?b?=", "=?x?=")
@example("\x1c\x1d\x85 é", '"\\')
def test_no_text_becomes_a_header(subject: str, name: str) -> None:
    octets = mail(subject, name)
    assert_harmless(octets)
    read = parsed(octets)
    assert str(read["Subject"]) == shown_subject(subject)
    assert read.get_content_type() == "multipart/alternative"
    assert [a.addr_spec for a in read["To"].addresses] == ["ann@example.org"]


def test_a_subject_in_ascii_is_written_as_it_is_and_folded_at_spaces() -> None:
    octets = mail("Delivered: 3 pages to +33 1 99 00 00 01 (an invoice with a long name, page by page)")
    block = octets.partition(b"\r\n\r\n")[0]
    assert b"Subject: Delivered: 3 pages to +33 1 99 00 00 01" in block
    assert max(map(len, block.split(b"\r\n"))) <= 78


def test_encoded_words_are_cut_between_characters() -> None:
    """RFC 2047 section 5 (3): each encoded word is decodable by itself, and at most 75 characters."""
    octets = mail("Non remis : " + "éà🧾" * 40)
    block = octets.partition(b"\r\n\r\n")[0].decode("ascii")
    words = [w for w in block.split() if w.startswith("=?utf-8?b?")]
    assert len(words) > 3
    assert max(map(len, words)) <= 75


def test_the_same_mail_has_the_same_octets() -> None:
    """A retry sends what the lost try sent (reliability 2.2: the same Message-ID on every retry)."""
    assert mail() == mail()


def test_parts_are_alternative_with_a_related_picture() -> None:
    read = parsed(mail())
    kinds = [part.get_content_type() for part in read.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"]
    picture = list(read.walk())[-1]
    assert (picture["Content-ID"], picture.get_content_disposition()) == ("<p@x>", "inline")
    assert picture.get_content() == PNG


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<a@b>", "<a@b>"),
        ("a@b", "<a@b>"),
        (" <a@b> ", "<a@b>"),
        ("", ""),
        ("<a b@c>", ""),
        ("<a@b>\r\nBcc: x", ""),
        ("<a@b> <c@d>", ""),
        ("<é@b>", ""),
        ("<" + "a" * 2000 + "@b>", ""),
    ],
)
def test_a_foreign_message_id_is_quoted_whole_or_not_at_all(value: str, shown: str) -> None:
    assert message_identifier(value) == shown


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("ann@example.org", "ann@example.org"),
        ('"ann b"@example.org', '"ann b"@example.org'),
        ("o'neil+fax=1@example.org", "o'neil+fax=1@example.org"),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("jürgen@example.org", "jürgen@example.org"),
    ],
)
def test_addresses_of_rfc_5321_are_taken(address: str, written: str) -> None:
    assert mailbox(address).address == written
    assert f"\r\nTo: {written}\r\n".encode() in mail(to=address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@",
        "@example.org",
        "a b@example.org",
        "ann@example.org\r\nRCPT TO:<x@y>",
        "ann@exa mple.org",
        "<ann@example.org>",
        "a@b, c@d",
        "ann@.example",
        "ann..b@example.org",
        "x" * 65 + "@example.org",
        "a@" + "b" * 300,
        "a" * 100_000,
        "ann@example.org\x00",
        "é\udce9@example.org",
        '"a\nb"@example.org',
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Refused) as caught:
        mailbox(address)
    assert not caught.value.temporary


def test_an_address_beyond_ascii_is_written_in_utf8() -> None:
    """RFC 6532: the header is UTF-8, the rest stays 7 bit."""
    octets = mail(to="jürgen@example.org")
    assert "\r\nTo: jürgen@example.org\r\n".encode() in octets
    assert octets.replace("jürgen".encode(), b"").isascii()


@pytest.mark.parametrize("text", ["a\rb\n", "a\r\nb\n", "no line end"])
def test_a_text_that_would_arrive_changed_is_not_sent(text: str) -> None:
    with pytest.raises(MailDefect):
        alternative_body(text, "<p>x</p>\n", None, seed="s")


@pytest.mark.parametrize(("name", "value"), [("X-A: b\r\nBcc", "x"), ("X-A", "x\r\nBcc: y"), ("X-A", "é"), ("", "x")])
def test_an_extra_header_that_is_none_is_a_defect(name: str, value: str) -> None:
    head = Letterhead(mailbox("a@b"), mailbox("c@d"), "s", "<i@b>", T, extra=((name, value),))
    with pytest.raises(MailDefect):
        build(head, alternative_body("t\n", "h\n", None, seed="s"))


def test_a_message_id_of_ours_that_is_none_is_a_defect() -> None:
    head = Letterhead(mailbox("a@b"), mailbox("c@d"), "s", "out_1", T)
    with pytest.raises(MailDefect):
        build(head, alternative_body("t\n", "h\n", None, seed="s"))


@pytest.mark.parametrize(
    ("function", "broken"),
    [
        ("_unstructured", lambda text, first: text + "\r\nBcc: x@y"),
        ("_unstructured", lambda text, first: text + " more"),
        ("_unstructured", lambda text, first: text + "\n x"),
        ("_unstructured", lambda text, first: text + "\r\n " + "x" * 999),
        ("_unstructured", lambda text, first: text + "\r\n\r\nbody"),
        ("_unstructured", lambda text, first: text + " é"),
        ("_mailbox_text", lambda box: box.address + ", x@y"),
        ("_mailbox_text", lambda box: "x@y"),
    ],
)
def test_reading_back_catches_a_broken_writer(function: str, broken: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """users.md 35: build, parse back, verify, then send. Each fault here is one that a writer could have."""
    monkeypatch.setattr(outgoing_mail, function, broken)
    with pytest.raises(MailDefect):
        mail()


def test_an_empty_part_is_never_sent() -> None:
    """No mail without its content (users.md 35)."""
    with pytest.raises(MailDefect):
        build(
            Letterhead(mailbox("a@b"), mailbox("c@d"), "s", "<i@b>", T),
            alternative_body("text\n", "", None, seed="s"),
        )


@given(st.text(max_size=300), st.integers(1, 50))
def test_one_line_is_printable_and_bounded(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert line == one_line(line, limit)
