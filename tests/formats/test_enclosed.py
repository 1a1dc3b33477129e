"""Mails with documents: put together by hand, read back octet for octet."""

from __future__ import annotations

import pytest

from faxgw.formats.enclosed import Attachment, mixed, verify_parts
from faxgw.formats.outgoing_mail import MailDefect, alternative_body

PAGES = Attachment("pages.tif", "image/tiff", bytes(range(256)) * 40)
TABLE = Attachment("table.csv", "text/csv; charset=utf-8", "é;ü\r\n".encode())


def octets_of(*attachments: Attachment) -> bytes:
    body = alternative_body("Hello\n", "<p>Hello</p>\n", None, seed="x")
    del body["MIME-Version"]
    octets = mixed(body, attachments, "seed")
    verify_parts(octets, body, attachments)
    return octets


def test_documents_come_back_as_they_went() -> None:
    octets = octets_of(PAGES, TABLE)
    assert octets.startswith(b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;")
    assert octets.isascii() and max(map(len, octets.split(b"\r\n"))) <= 78


def test_a_document_that_is_not_the_one_that_was_meant_is_noticed() -> None:
    body = alternative_body("Hello\n", "<p>Hello</p>\n", None, seed="x")
    del body["MIME-Version"]
    octets = mixed(body, [PAGES], "seed")
    for wrong in ([], [TABLE], [PAGES, TABLE], [Attachment("pages.tif", "image/tiff", b"other")]):
        with pytest.raises(MailDefect):
            verify_parts(octets, body, wrong)
