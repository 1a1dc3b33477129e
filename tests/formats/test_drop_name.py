"""Names and sidecars of plain drop folders."""

from __future__ import annotations

import pytest

from faxgw.formats.drop_name import document_of, for_number, is_ignored, number_in, read_sidecar
from faxgw.formats.xml_job import BadJob
from faxgw.formats.xml_tree import EndsEarly


@pytest.mark.parametrize(
    "name, number",
    [
        ("+33123456789.pdf", "+33123456789"), ("+33123456789_invoice 7.pdf", "+33123456789"), ("0123_a.tif", "0123"),
        ("+33 1 23 45 67 89_x.pdf", "+33 1 23 45 67 89"), ("(01) 23.pdf", ""), ("+33123456789", "+33123456789"),
        ("letter.pdf", ""), ("7.pdf", ""), ("12letter.pdf", ""), ("+33123456789 letter.pdf", ""), ("_+331.pdf", ""),
        ("+33123456789_\N{SNOWMAN}.pdf", "+33123456789"), ("\u0661\u0662\u0663.pdf", ""),
    ],
)  # fmt: skip
def test_the_number_stands_at_the_beginning_up_to_the_first_underscore(name: str, number: str) -> None:
    assert number_in(name) == number


@pytest.mark.parametrize(
    "name, document",
    [
        ("letter.pdf.json", "letter.pdf"), ("letter.PDF.XML", "letter.PDF"), ("a.b.tiff.txt", "a.b.tiff"),
        ("letter.json", ""), ("+33123.txt", ""), ("letter.pdf", ""), (".json", ""), ("a.exe.json", ""),
    ],
)  # fmt: skip
def test_a_sidecar_has_the_documents_whole_name(name: str, document: str) -> None:
    assert document_of(name) == document


@pytest.mark.parametrize(
    "name", [".x.pdf", "~$a.doc", "a.pdf~", "a.tmp", "A.PART", "a.pdf.result.json", "a.crdownload"]
)
def test_temporary_files_and_results_are_ignored(name: str) -> None:
    assert is_ignored(name) and not is_ignored("a.pdf")


def test_several_numbers_are_several_recipients() -> None:
    for name, octets in (("a.pdf.json", b'{"numbers": ["+331", "+332"]}'), ("a.pdf.txt", b"+331\n\nnumber: +332\n")):
        assert [one.number for one in read_sidecar(name, octets).recipients] == ["+331", "+332"]
    assert [one.number for one in for_number("+331").recipients] == ["+331"]


@pytest.mark.parametrize(
    "name, octets, kind",
    [
        ("a.pdf.json", b"", EndsEarly), ("a.pdf.txt", b" \n", EndsEarly), ("a.pdf.xml", b"<fax>", EndsEarly),
        ("a.pdf.json", b"[]", BadJob), ("a.pdf.json", b'{"number": true}', BadJob), ("a.pdf.txt", b"\xff", BadJob),
        ("a.pdf.json", b'{"number": "+331", "mode": "x"}', BadJob), ("a.pdf.txt", b"+331\n" * 10_001, BadJob),
        ("a.pdf.txt", b"x" * 1_000_001, BadJob), ("a.pdf.json", b'{"properties": {"a": "b"}}', BadJob),
    ],
)  # fmt: skip
def test_what_cannot_be_a_sidecar_is_refused(name: str, octets: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read_sidecar(name, octets)
