"""Merged documents: commands are found in the text, painted over, and the pages come apart (features A18)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from faxgw.document.client import PageClient, PagesDamaged
from faxgw.document.types import Document, Kind, Merged, Reason, Refused, Rendered, RenderOptions, Slice
from tests.document import office_files
from tests.document.conftest import Make

pytestmark = pytest.mark.asyncio(loop_scope="module")

Pixels = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
Draw = Callable[[Canvas, int], None]


def letter(*lines: str, turn: int = 0) -> Draw:
    """Pages with these lines between two lines that stay."""

    def draw(canvas: Canvas, number: int) -> None:
        if turn:
            canvas.setPageRotation(turn)  # which makes the page wide
            canvas.translate(0, -250)
        canvas.setFont("Helvetica", 11)
        canvas.drawString(60, 760, f"Dear customer {number}")
        for place, line in enumerate(lines):
            canvas.drawString(60, 700 - 14 * place, line.format(number))
        canvas.drawString(60, 600, "Yours sincerely: me@example.org")

    return draw


async def merged(client: PageClient, make: Make, data: bytes, name: str = "letters.pdf") -> Merged:
    made = await client.merge(Document(make.fd(data), name))
    assert isinstance(made, Merged), made
    return made


async def drawn(client: PageClient, document: Document, make: Make) -> list[Pixels]:
    rendered = await client.render([document], RenderOptions())
    assert isinstance(rendered, Rendered), rendered
    return [np.asarray(page) for page in make.pages(rendered.fd)]


async def test_commands_are_found_on_their_pages(client: PageClient, make: Make) -> None:
    data = make.pdf(A4, A4, draw=letter("@@+33 1 99 00 00 0{0}; ref=A{0}@@", "and @@express@@", "@ @@@ not one"))
    made = await merged(client, make, data)
    assert [page.commands for page in made.pages] == [
        ("@@+33 1 99 00 00 01; ref=A1@@", "@@express@@"),
        ("@@+33 1 99 00 00 02; ref=A2@@", "@@express@@"),
    ]


@pytest.mark.parametrize("turn", [0, 90])
async def test_a_fax_shows_no_trace_of_its_commands(client: PageClient, make: Make, turn: int) -> None:
    """Pixel for pixel what it would be without them."""
    with_commands = make.pdf(A4, draw=letter("@@+33 1 99 00 00 01; cost=Qgjpqy ÄÖÜ@@", turn=turn))
    without = make.pdf(A4, draw=letter(turn=turn))
    made = await merged(client, make, with_commands)
    clean = await drawn(client, Document(made.fd, "clean.pdf"), make)
    wanted = await drawn(client, Document(make.fd(without), "wanted.pdf"), make)
    untouched = await drawn(client, Document(make.fd(with_commands), "untouched.pdf"), make)
    assert np.array_equal(clean[0], wanted[0])
    assert not np.array_equal(untouched[0], wanted[0])


async def test_a_command_may_go_on_in_the_next_line(client: PageClient, make: Make) -> None:
    data = make.pdf(A4, draw=letter("@@+33 1 99 00 00 01;", "personal=Ms. Anna", "Meyer@@"))
    made = await merged(client, make, data)
    assert made.pages[0].commands == ("@@+33 1 99 00 00 01; personal=Ms. Anna Meyer@@",)
    clean = await drawn(client, Document(made.fd, "clean.pdf"), make)
    wanted = await drawn(client, Document(make.fd(make.pdf(A4, draw=letter())), "wanted.pdf"), make)
    assert np.array_equal(clean[0], wanted[0])


async def test_the_letters_come_apart(client: PageClient, make: Make) -> None:
    data = make.pdf(A4, A4, A4, A4, A4, draw=letter("@@+33199{}@@"))
    made = await merged(client, make, data)
    cut = await client.cut(made.fd, [Slice(1, 2), Slice(3, 3), Slice(4, 5)])
    counts = [len(await drawn(client, document, make)) for document in cut.documents]
    assert counts == [2, 1, 2]
    whole = await drawn(client, Document(made.fd, "whole.pdf"), make)
    (third,) = await drawn(client, cut.documents[1], make)
    assert np.array_equal(third, whole[2])


@pytest.mark.parametrize("piece", [Slice(0, 1), Slice(1, 2), Slice(2, 1)])
async def test_pages_that_are_not_there_are_not_cut(client: PageClient, make: Make, piece: Slice) -> None:
    made = await merged(client, make, make.pdf(A4, draw=letter("@@+33199@@")))
    with pytest.raises(PagesDamaged):
        await client.cut(made.fd, [piece])


@pytest.mark.parametrize(
    "data, name, reason, words",
    [
        (b"plain text @@+33199@@", "a.txt", Reason.UNSUPPORTED, "“a.txt” is no merged document"),
        (b"%PDF-1.4 broken", "a.pdf", Reason.DAMAGED, "“a.pdf”"),
        (b"\x00\x01\x02\x03", "a.bin", Reason.UNSUPPORTED, "“a.bin”"),
    ],
)
async def test_what_is_no_merged_document_is_refused_by_name(
    client: PageClient, make: Make, data: bytes, name: str, reason: Reason, words: str
) -> None:
    kind = Kind.TEXT if name.endswith("txt") else None
    refused = await client.merge(Document(make.fd(data), name, kind))
    assert isinstance(refused, Refused)
    assert refused.reason is reason and words in refused.public


@pytest.mark.parametrize(
    "lines, words",
    [
        (("@@+33 1 99 00 00 01",), "“letters.pdf”, page 1: a command begins with @@ and does not end with @@."),
        (("@@a@@ " * 3,) * 7, "“letters.pdf”, page 1: it has more than 20 commands."),
        (("@@" + "x" * 60,) + ("x" * 80,) * 14 + ("@@",), "does not end with @@."),
    ],
)
async def test_a_page_with_wrong_marks_is_told(
    client: PageClient, make: Make, lines: tuple[str, ...], words: str
) -> None:
    refused = await client.merge(Document(make.fd(make.pdf(A4, draw=letter(*lines))), "letters.pdf"))
    assert isinstance(refused, Refused)
    assert words in refused.public and refused.page == 1


async def test_a_word_processors_document_is_merged_too(client: PageClient, make: Make) -> None:
    data = office_files.docx("Dear Anna", "@@+33199000001@@")
    made = await merged(client, make, data, "letters.docx")
    assert made.pages[0].commands == ("@@+33199000001@@",)
