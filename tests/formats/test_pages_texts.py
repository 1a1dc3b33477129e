"""What a status mail says of the pages that go with it."""

from __future__ import annotations

import pytest

from faxgw.fax.report import FaxPages, PagesTold
from faxgw.formats.pages_texts import TEXTS, pages_sentence

TOLD = FaxPages(PagesTold.SENT, "tiff", "+33199000001", 3)


def test_nothing_is_said_of_nothing() -> None:
    assert pages_sentence(FaxPages(), "en") == ""


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        (TOLD, "Attached: the fax as it was sent (3 pages)."),
        (
            FaxPages(PagesTold.TRIED, "tiff", "+33199000001", 1, 5),
            "Attached: the fax as it was made for its last call (1 page). It is the one to +33 1 99 00 00 01; the "
            "others differ in their header lines and cover pages.",
        ),
        (
            FaxPages(PagesTold.PREPARED, "tiff", "+33199000001", 2, 1, "pdf_ocr"),
            "Attached: the pages as they were prepared (2 pages); there was no call. It is a TIFF file, because no PDF "
            "could be made of it.",
        ),
        (
            FaxPages(PagesTold.SENT, "pdf", "+33199000001", 2, 1, "pdf_ocr"),
            "Attached: the fax as it was sent (2 pages). The PDF cannot be searched, because its text could not be "
            "read.",
        ),
        (
            FaxPages(PagesTold.TOO_LARGE, "pdf", "+33199000001", 2, 9),
            "The pages are not attached: they are too large for a mail.",
        ),
        (FaxPages(PagesTold.GONE), "The pages are not attached: they are not kept any more."),
    ],
)
def test_it_says_what_is_attached_or_why_not(pages: FaxPages, said: str) -> None:
    assert pages_sentence(pages, "en") == said


@pytest.mark.parametrize("language", list(TEXTS))
def test_every_language_has_every_sentence(language: str) -> None:
    texts = TEXTS[language]
    assert set(texts.told) == set(PagesTold) - {PagesTold.NOTHING}
    said = {pages_sentence(FaxPages(told, "tiff", "+33199000001", 2, 2, "pdf"), language) for told in texts.told}
    assert len(said) == len(texts.told) and "{" not in "".join(said)
