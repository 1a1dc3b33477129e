"""Names of delivered files: from templates, without what strangers could do with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faxgw.fax.target import FILE_NAME_FIELDS
from faxgw.formats.file_names import fields, names
from faxgw.formats.received_payload import ReceivedFacts
from tests.formats.test_received_payload import FACTS, REPORT


def test_every_field_that_templates_know_is_filled() -> None:
    assert set(fields(REPORT, FACTS)) == set(FILE_NAME_FIELDS)


@pytest.mark.parametrize(
    ("template", "stem"),
    [
        ("{account}_{date}_{time}_{status}_{id}", "acme_20261118_120714_OK_rcv_1"),
        ("{caller}-{number}-{pages}", "33200000034-33100000012-2"),
        ("{tags}", "invoice"),
        ("{csid}", "ACME"),
    ],
)
def test_templates_are_filled_in_the_numbers_own_time(template: str, stem: str) -> None:
    assert names(template, fields(REPORT, FACTS), ["x.pdf"]) == (stem, [f"{stem}.pdf"])


def test_a_stranger_cannot_name_a_path() -> None:
    values = fields(replace(REPORT, ident="../../etc/passwd\x00", caller=""), ReceivedFacts())
    assert names("{csid}", values, ["x.pdf"])[0] == "etc_passwd"
    assert names("{caller}", values, ["x.pdf"])[0] == "unknown"


def test_several_documents_have_names_of_their_own() -> None:
    assert names("n", {}, ["f-1.tiff", "f-2.tiff", "f.txt"])[1] == ["n-1.tiff", "n-2.tiff", "n.txt"]
    assert names("", {}, ["f-1.tiff", "f-2.tiff"]) == ("f", ["f-1.tiff", "f-2.tiff"])
    assert names("", {}, ["f.pdf", "f.xml"]) == ("f", ["f.pdf", "f.xml"])
