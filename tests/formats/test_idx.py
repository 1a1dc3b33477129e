"""The metadata file: keys, forms and order of the vendor's public sample."""

from __future__ import annotations

from dataclasses import replace

from faxgw.formats.idx import idx
from faxgw.formats.received_payload import ReceivedFacts
from tests.formats.test_received_payload import REPORT


def test_each_key_has_the_form_of_the_sample() -> None:
    facts = ReceivedFacts(csid="+49/1250-400-1703", fine=(False, True, False))
    assert idx(replace(REPORT, pages=3), facts) == (
        b"RECEIPT.ID=+49/1250-400-1703\n"
        b"SENDER.FAXNO=0033200000034\n"
        b"SENDER.ID=ACME\n"
        b"RECEIPT.DATE=2026-11-18\n"
        b"TIMESTAMP=2026-11-18-12.07.14\n"
        b"RESOLUTION=LHL\n"
        b"PAGES=3\n"
        b"STATUS=OK\n"
    )


def test_a_strangers_identification_cannot_add_lines_and_is_ascii() -> None:
    made = idx(replace(REPORT, ident="a\nSTATUS=BAD\u00e9", complete=False), ReceivedFacts())
    assert b"SENDER.ID=a?STATUS=BAD?\n" in made
    assert made.endswith(b"RESOLUTION=HH\nPAGES=2\nSTATUS=INCOMPLETE\n")
    assert len(made.splitlines()) == 8
