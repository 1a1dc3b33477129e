"""Several documents to one fax: blank pages, mixed sizes."""

from __future__ import annotations

from typing import Any

import pytest

from faxgw.document import office, render, tiff
from faxgw.document.limits import Limits
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Document, Reason, Rendered, RenderOptions, Resolution

Make = Any  # conftest's class; tests import nothing from one another
MM = 72 / 25.4
A4 = (595.0, 842.0)


def rendered(make: Make, options: RenderOptions, *documents: bytes) -> Rendered:
    made = [Document(make.fd(data), f"document {number}") for number, data in enumerate(documents, 1)]
    return render.render(made, options, Limits(), lambda _progress: None, office.NONE)


def _second_is_blank(canvas: Any, number: int) -> None:
    if number != 2:
        canvas.drawString(40, 700, "seen")


def _speck(canvas: Any, number: int) -> None:
    canvas.rect(100, 100, 0.4, 0.4, fill=1) if number == 2 else canvas.drawString(40, 700, "a short line")


@pytest.mark.parametrize("resolution", [Resolution.STANDARD, Resolution.FINE])
def test_blank_pages_are_left_out_when_asked_and_never_when_not(make: Make, resolution: Resolution) -> None:
    for draw in (_second_is_blank, _speck):
        data = make.pdf(A4, A4, A4, draw=draw)
        for suppressed, kept in ((False, [1, 2, 3]), (True, [1, 3])):
            found = rendered(make, RenderOptions(resolution, suppress_blank=suppressed), data)
            assert [page.page for page in found.pages] == kept
            assert len(tiff.read(found.fd)) == len(kept)
            found.close()


def test_a_fax_of_blank_pages_only_is_refused_when_they_are_left_out(make: Make) -> None:
    data = make.pdf(A4, A4, draw=lambda _canvas, _number: None)
    rendered(make, RenderOptions(), data).close()
    with pytest.raises(DocumentRefused) as refused:
        rendered(make, RenderOptions(suppress_blank=True), data)
    assert refused.value.refused.reason is Reason.EMPTY


def test_pages_of_every_size_are_fitted_one_by_one(make: Make) -> None:
    """C1: portrait, landscape, a receipt of 60 cm, a card; each page of the fax says which page it is of."""
    sizes = [(210, 297), (297, 210), (80, 600), (85, 55), (420, 297)]
    data = make.pdf(*((width * MM, height * MM) for width, height in sizes))
    found = rendered(make, RenderOptions(), data, b"a text")
    assert [(page.document, page.page) for page in found.pages] == [
        *((0, 1), (0, 2), (0, 3), (0, 3), (0, 3), (0, 4), (0, 5)),
        (1, 1),
    ]
    assert {(page.width, page.rows) for page in found.pages} == {(1728, 2286)}
    found.close()
