"""Documents made in the test, and a page client on the test's loop."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from email.message import EmailMessage

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from faxgw.document import bitmap, tiff
from faxgw.document.client import PageClient

A4 = (595.28, 841.89)


class Make:
    """Makers of documents; what they make is closed at the end of the test."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def fd(self, data: bytes) -> int:
        """A memory file."""
        fd = os.memfd_create("document")
        self._descriptors.append(fd)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        return fd

    def close(self) -> None:
        for fd in self._descriptors:
            os.close(fd)

    @staticmethod
    def pdf(*sizes: tuple[float, float], draw: Callable[[Canvas, int], None] | None = None) -> bytes:
        """A PDF with one page per size in points; by default each says its number in its upper left corner."""
        out = io.BytesIO()
        canvas = Canvas(out, invariant=1)
        for number, size in enumerate(sizes or (A4,), 1):
            canvas.setPageSize(size)
            if draw is None:
                canvas.setFont("Helvetica", 12)
                canvas.drawString(40, size[1] - 60, f"Page {number}")
            else:
                draw(canvas, number)
            canvas.showPage()
        canvas.save()
        return out.getvalue()

    @staticmethod
    def image(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
        """A picture file."""
        out = io.BytesIO()
        image.save(out, kind, **options)
        return out.getvalue()

    @staticmethod
    def pattern(width: int, height: int) -> Image.Image:
        """A one bit picture without symmetry: black lower left triangle with some stripes."""
        y, x = np.mgrid[0:height, 0:width]
        black = (x * height < y * width) & ((x + 2 * y) % 16 < 11)
        return Image.fromarray(~black)

    @staticmethod
    def mail(text: str | None = "Hello", subject: str = "Test") -> EmailMessage:
        """A mail to add to."""
        message = EmailMessage()
        message["Subject"] = subject
        message["From"] = "sender@example.org"
        message["Message-ID"] = "<1@example.org>"
        if text is not None:
            message.set_content(text)
        return message

    @staticmethod
    def pages(fd: int) -> list[bitmap.Bits]:
        """The pixels of all pages of one of our files."""
        return [bitmap.decode(tiff.read_strip(fd, page), page.resolution) for page in tiff.read(fd)]


@pytest.fixture
def make() -> Iterator[Make]:
    made = Make()
    yield made
    made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[PageClient]:
    """A page client in its real sandbox, one for a module's tests."""
    client = PageClient()
    await client.start()
    yield client
    await client.close()
