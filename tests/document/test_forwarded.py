"""The head of a mail that hangs on another."""

from __future__ import annotations

import pytest

from faxgw.document import mime
from faxgw.document.forwarded import MAX_SHOWN, above, head

HEAD = (
    b"From: =?iso-8859-1?Q?M=FCller?= <m@example.org>\r\nTo: a@example.org,\r\n b@example.org\r\n"
    b"Date: Fri, 20 Nov 2026 08:00:00 +0100\r\nSubject: Rechnung <b>4711</b>\r\nBcc: hidden@example.org\r\n"
)


def part(content_type: str, body: bytes, more: bytes = b"") -> mime.Part:
    return mime.parse(HEAD + more + b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)


def test_the_fields_that_say_whose_text_it_is() -> None:
    assert head(part("text/plain", b"x").headers) == (
        ("From", "Müller <m@example.org>"),
        ("Date", "Fri, 20 Nov 2026 08:00:00 +0100"),
        ("To", "a@example.org, b@example.org"),
        ("Subject", "Rechnung <b>4711</b>"),
    )


def test_a_plain_text_bears_its_head() -> None:
    made = part("text/plain; charset=iso-8859-1", b"Gr=FC=DFe", b"Content-Transfer-Encoding: quoted-printable\r\n")
    changed = above(made, head(made.headers))
    assert changed.charset == "utf-8"
    assert changed.decoded().decode() == (
        "From: Müller <m@example.org>\nDate: Fri, 20 Nov 2026 08:00:00 +0100\nTo: a@example.org, b@example.org\n"
        "Subject: Rechnung <b>4711</b>\n\nGrüße"
    )


@pytest.mark.parametrize("markup", [b"<html><body class=x><p>text</p></body></html>", b"<p>text</p>"])
def test_mark_up_bears_its_head_within_its_body_and_no_mark_up_of_strangers(markup: bytes) -> None:
    made = part("text/html", markup)
    text = above(made, head(made.headers)).decoded().decode()
    assert "Rechnung &lt;b&gt;4711&lt;/b&gt;" in text and text.index("Rechnung") < text.index("<p>text")
    assert text.startswith("<html><body class=x><div" if b"body" in markup else "<div")


def test_mark_up_that_names_its_charset_is_read_by_it() -> None:
    made = part("text/html", '<meta charset="koi8-r"><p>Привет</p>'.encode("koi8-r"))
    assert "Привет" in above(made, head(made.headers)).decoded().decode()


def test_a_message_without_a_head_stays_as_it_is() -> None:
    made = mime.parse(b"Content-Type: text/plain\r\n\r\nx")
    assert above(made, head(made.headers)) is made


def test_a_long_or_hostile_field_is_one_short_line() -> None:
    made = mime.parse(b"To: " + b"a@example.org, " * 500 + b"\r\nSubject: a\xe2\x80\xaeb\x07c\r\n\r\nx")
    said = dict(head(made.headers))
    assert len(said["To"]) == MAX_SHOWN and said["To"].endswith("…")
    assert said["Subject"] == "a b c"
