"""Makes the gallery: each document through the real page processes, with a header line, at both resolutions."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from faxgw.document.client import PageClient
from faxgw.document.types import (
    ComposeOptions,
    Document,
    Refused,
    Rendered,
    RenderOptions,
    Resolution,
    WalkOptions,
)
from faxgw.fax.account import SETTINGS
from faxgw.fax.header import HeaderContext
from faxgw.fax.prediction import RATE, predict
from tests.gallery.documents import SAMPLES, Sample

DOCS = Path(__file__).parent.parent.parent / "docs"
MAX_PICTURE = 60_000
"""Octets of one picture; of a page with a larger one the upper part is shown."""
STEP_ROWS = 50
"""Rows by which a picture is shortened."""
HEADER = HeaderContext(datetime(2026, 11, 21, 16, 30, tzinfo=UTC), "+44 1632 960 123", "+44 1632 960 100")
INTRODUCTION = """\
# What pages look like

Twelve documents as they go over the line, header line included. They are made, rendered and composed by
`python -m tests.gallery`; the pictures are the very bitmaps of the first page (the upper part of it where a picture
would exceed {limit}), with rows repeated so that pixels are square. `faxgw preview FILE --png FOLDER` makes the same of
any document. Look at them at full size: a browser that shrinks them turns halftones into patterns that are not there.

Octets are those of all pages as coded (T.6), seconds what these data take at {rate:,} bit/s with error correction.
A call takes {more:.0f} s besides, and {page:.0f} s for each page after the first.

| document | source | pages | standard | | fine | |
|---|---|--:|--:|--:|--:|--:|
"""


SHOWN = (Resolution.STANDARD, Resolution.FINE)
"""What nearly every machine takes."""


@dataclass(frozen=True, slots=True)
class Made:
    """A document at one resolution."""

    pages: int
    octets: int
    """Of all pages as coded."""
    seconds: float
    """Of their data on the line."""
    picture: bytes
    """PNG of the first page, or of its upper part."""


async def make(client: PageClient, sample: Sample, resolution: Resolution) -> Made:
    """One document as it would be sent.

    Raises:
        ValueError: If it is refused.
    """
    body = await _body(client, sample, RenderOptions(resolution))
    try:
        header = str(SETTINGS["header"].default)
        composed = await client.compose(body.fd, ComposeOptions(HEADER, header, pictures=True))
    finally:
        body.close()
    try:
        expected = predict([page.octets for page in composed.pages])
        picture = shortened(composed.picture(0))
    finally:
        composed.close()
    return Made(expected.pages, expected.octets, sum(expected.page_seconds), picture)


async def _body(client: PageClient, sample: Sample, options: RenderOptions) -> Rendered:
    """The pages without a header line; a mail is taken apart first, its pictures shown."""
    fd = os.memfd_create(sample.name)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(sample.make())
    try:
        documents: Sequence[Document] = (Document(fd, sample.file),)
        if sample.file.endswith(".eml"):
            walked = await client.walk(fd, WalkOptions(ignore_inline_images=False))
            if isinstance(walked, Refused):
                raise ValueError(walked.public)
            documents = walked.documents
        body = await client.render(documents, options)
    finally:
        os.close(fd)
    if isinstance(body, Refused):
        raise ValueError(body.public)
    return body


def shortened(png: bytes) -> bytes:
    """A picture of MAX_PICTURE octets at most: as many rows from the top as fit."""
    if len(png) <= MAX_PICTURE:
        return png
    whole = Image.open(io.BytesIO(png))
    rows = whole.height * MAX_PICTURE // len(png) + 4 * STEP_ROWS
    while len(png) > MAX_PICTURE:
        out = io.BytesIO()
        whole.crop((0, 0, whole.width, rows)).save(out, "PNG", optimize=True, dpi=whole.info["dpi"])
        png, rows = out.getvalue(), rows - STEP_ROWS
    return png


def row(sample: Sample, standard: Made, fine: Made) -> str:
    """A document's line in the table."""
    each = " | ".join(f"{made.octets:,} | {made.seconds:.1f} s" for made in (standard, fine))
    return f"| [{sample.title}](#{_anchor(sample.title)}) | {sample.about} | {fine.pages} | {each} |"


def section(sample: Sample) -> str:
    """A document's pictures."""
    pictures = (f"![{sample.title}, {each}](gallery/{sample.name}-{each}.png)" for each in SHOWN)
    return f"\n## {sample.title}\n\n| standard, 204 × 98 | fine, 204 × 196 |\n|---|---|\n| {' | '.join(pictures)} |\n"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


async def make_all(samples: Sequence[Sample] = SAMPLES, docs: Path = DOCS) -> None:
    """Write docs/gallery.md and docs/gallery/."""
    folder = docs / "gallery"
    await asyncio.to_thread(_empty, folder)
    one, two = predict([0]).seconds, predict([0, 0]).seconds
    lines = [INTRODUCTION.format(limit="60 kB", rate=RATE, more=one, page=two - one)]
    client = PageClient()
    try:
        for sample in samples:
            made = [await make(client, sample, resolution) for resolution in SHOWN]
            for resolution, each in zip(SHOWN, made, strict=True):
                (folder / f"{sample.name}-{resolution}.png").write_bytes(each.picture)
            lines.append(row(sample, *made) + "\n")
    finally:
        await client.close()
    (docs / "gallery.md").write_text("".join([*lines, *(section(sample) for sample in samples)]))


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.png"):
        file.unlink()
