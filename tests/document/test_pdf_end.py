"""PDF files that were cut off."""

from __future__ import annotations

import io
from typing import Any

import pypdf
import pytest

from faxgw.document import convert, pdf_end
from faxgw.document.fit import Target
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Kind, Reason

Make = Any  # conftest's class; tests import nothing from one another
A4 = (595.0, 842.0)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.99])
def test_a_pdf_that_is_cut_off_is_refused_instead_of_drawn_in_part(make: Make, part: float) -> None:
    """PDFium alone draws most of it."""
    data = make.pdf(*[A4] * 20)
    with pytest.raises(DocumentRefused) as refused:
        list(convert.pages(data[: int(len(data) * part)], None, None, "contract.pdf", Target()))
    assert refused.value.refused.reason is Reason.DAMAGED
    assert str(refused.value) == (
        "The document “contract.pdf” is damaged: its end is missing. Please check the file and send it again."
    )


@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n\0\0\0", b"\n<!-- scanned by a gateway -->" * 20, b"\n" * 5_000])
def test_a_whole_pdf_may_have_something_behind_it(make: Make, after: bytes) -> None:
    assert pdf_end.is_there(make.pdf() + after)


def test_one_without_its_last_line_is_whole_if_it_says_where_its_references_are(make: Make) -> None:
    assert pdf_end.is_there(make.pdf().replace(b"%%EOF", b""))


def test_an_update_that_was_cut_off_is_seen(make: Make) -> None:
    """ISO 32000-1 section 7.5.6: what was changed stands behind the first end."""
    out = io.BytesIO()
    writer = pypdf.PdfWriter(io.BytesIO(make.pdf()), incremental=True)
    for number in range(40):
        writer.add_metadata({f"/Key{number}": "x" * 200})
        writer.add_blank_page(*A4)
    writer.write(out)
    data = out.getvalue()
    assert data.count(b"%%EOF") == 2 and pdf_end.is_there(data)
    first = data.index(b"%%EOF")
    assert len(data) - first > 5_000
    assert not pdf_end.is_there(data[: first + 3_000])


def test_a_linearized_file_says_its_length() -> None:
    """ISO 32000-1 annex F: its first end of file stands near the start."""
    head = b"%PDF-1.4\n1 0 obj\n<</Linearized 1/L 9000/H[1 2]/O 3>>\nendobj\nstartxref\n0\n%%EOF\n"
    assert not pdf_end.is_there(head + bytes(500))
    assert pdf_end.is_there((head + bytes(9000))[:8990] + b"\n%%EOF\n" + bytes(3))


def test_kinds_go_by_their_octets(make: Make) -> None:
    assert list(convert.pages(make.pdf(), Kind.TIFF, None, "a", Target()))
