"""Reading one received page (page process only): text with the words' places, barcodes, how the page lies.

The page is made fit to be read first: rows of standard resolution are stretched to square pixels, single specks are
taken off, edges are smoothed. Barcodes are looked for beside the text, in a thread: a machine with a core to spare has
the text sooner. Words that the engine sees in a barcode are left out. What is read is given in the pixels of the page
as it came. A page that reads badly is looked at again the other way round.
"""

from __future__ import annotations

import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from faxgw.document import barcode, ocr, refusal, strips
from faxgw.document.limits import Limits
from faxgw.document.types import ReadOptions
from faxgw.fax.reading import Barcode, Box, PageReading, Word, bounded

DPI_X = 204
"""Pixels per inch of a fax row, and of what is read."""
TEXT_SECONDS = 12.0
"""Seconds on the clock for the text of one page; what was read until then is kept. An ordinary page needs 1.3."""
SURE = 65.0
"""Mean confidence, per cent, below which a page may lie the wrong way round: such pages measure 30 to 40."""
FEW = 5
"""Words below which the same is asked, where there is ink."""
INK = 0.002
"""Share of black pixels from which a page has ink."""
SMOOTHING = 0.9
"""Pixels by which edges are smoothed before text is read. The engine was taught with grey scans: of a standard page in
8 point Times with some specks it misses 10 % of the letters when rows are only doubled, 4 % when smoothed as well."""
MIN_ROWS = 8
"""Rows of a page in which anything can be read."""

Black = npt.NDArray[np.bool_]
Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A page made fit to be read."""

    crisp: Grey
    """Square pixels, 0 is black: for barcodes."""
    smooth: Grey
    """The same, specks taken off, edges smoothed: for text."""
    rows_each: float
    """Rows of it for one row of the page."""
    dpi: int


def read(fd: int, options: ReadOptions, limits: Limits) -> PageReading:
    """Read a page.

    Args:
        fd: Its TIFF file as the call worker cut it out.
        options: What is to be read.
        limits: Pixels of a page.

    Raises:
        DocumentRefused: If it is no such file.
    """
    began = time.process_time()
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    try:
        facts = strips.facts(data, limits.pixels)
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            black = ~np.asarray(image.convert("1"))
    except (ValueError, KeyError, OSError) as exc:
        raise refusal.damaged("the received fax", options.page) from exc
    reading = PageReading(options.page, facts.width, facts.rows)
    if facts.rows < MIN_ROWS:
        return reading
    page = prepare(black, facts.x_resolution, facts.y_resolution)
    problems: list[str] = []
    seen: tuple[barcode.Seen, ...] = ()
    text, words, lies = "", tuple[Word, ...](), 0
    with ThreadPoolExecutor(1) as beside:
        looking = beside.submit(barcode.read, page.crisp) if options.barcodes else None
        if options.languages:
            try:
                found, turned = _text(page, options.languages, float(black.mean()))
            except ocr.NoText as exc:
                problems.append(f"text: {exc}")
                found, turned = None, 0
        else:
            found, turned = None, 0
        if looking is not None:
            try:
                seen = looking.result()
            except barcode.NoBarcodes as exc:
                problems.append(f"barcodes: {exc}")
    codes = tuple(
        Barcode(one.kind, one.text, _native(one.left, one.top, one.right, one.bottom, 0, page, facts)) for one in seen
    )
    if found is not None:
        if not found.whole:
            problems.append("text: too slow, not all of it was read")
        placed = [(w, _native(w.left, w.top, w.right, w.bottom, turned, page, facts)) for w in found.words]
        placed = [(w, box) for w, box in placed if not any(_lies_in(box, code.box) for code in codes)]
        text, lies = ocr.text_of([w for w, _box in placed]), (turned + found.turn) % 360
        words = tuple(Word(w.text, box, w.confidence, w.line, w.block) for w, box in placed)
    return bounded(
        PageReading(
            page=options.page,
            width=facts.width,
            rows=facts.rows,
            text=text,
            words=words,
            barcodes=codes,
            language="+".join(options.languages),
            turned=lies,
            seconds=time.process_time() - began,
            problem="; ".join(problems),
        )
    )


def prepare(black: Black, x_resolution: float, y_resolution: float) -> Prepared:
    """Make a page fit to be read.

    Args:
        black: Its pixels.
        x_resolution: Pixels per metre across.
        y_resolution: And down.
    """
    each = max(1, round(x_resolution / y_resolution))
    fewer = max(1, round(y_resolution / x_resolution))
    crisp = np.where(np.repeat(black, each, axis=0), 0, 255).astype(np.uint8)
    clean = np.where(np.repeat(despeckled(black), each, axis=0), 0, 255).astype(np.uint8)
    if fewer > 1:  # superfine: the mean of some rows, for all of them would only take longer
        crisp, clean = _fewer(crisp, fewer), _fewer(clean, fewer)
    smooth = np.asarray(Image.fromarray(clean).filter(ImageFilter.GaussianBlur(SMOOTHING)))
    return Prepared(crisp, smooth, each / fewer, DPI_X)


def _lies_in(word: Box, code: Box) -> bool:
    """Whether a word is what the engine took a barcode for."""
    across, down = (word.left + word.right) / 2, (word.top + word.bottom) / 2
    return code.left <= across <= code.right and code.top <= down <= code.bottom


def despeckled(black: Black) -> Black:
    """Without black pixels that touch no other: what a noisy line leaves on a page."""
    padded = np.pad(black, 1).astype(np.uint8)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    around = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    kept: Black = black & (around > 1)
    return kept


def _fewer(grey: Grey, each: int) -> Grey:
    rows = grey.shape[0] // each * each
    fewer: Grey = grey[:rows].reshape(-1, each, grey.shape[1]).mean(axis=1).astype(np.uint8)
    return fewer


def _text(page: Prepared, languages: tuple[str, ...], ink: float) -> tuple[ocr.Recognised, int]:
    """The text, and by how much the page must be turned for it."""
    until = time.monotonic() + TEXT_SECONDS

    def left() -> int:
        return int(1000 * (until - time.monotonic()))

    found = ocr.read(page.smooth, page.dpi, languages, left())
    enough = len(found.words) >= FEW or ink < INK
    if not found.whole or (enough and (found.confidence >= SURE or not found.words)):
        return found, 0
    turn = ocr.orientation(page.smooth, page.dpi) if "osd" in ocr.installed() else None
    turn = 180 if turn is None else turn
    if turn and left() > 0:
        other = ocr.read(np.rot90(page.smooth, -turn // 90), page.dpi, languages, left())
        if other.weight > 1.2 * found.weight:
            return other, turn
    return found, 0


def _native(left: int, top: int, right: int, bottom: int, turned: int, page: Prepared, facts: strips.Facts) -> Box:
    """A box of the picture that was read, in the page's own pixels."""
    rows, width = page.crisp.shape
    if turned == 90:
        left, top, right, bottom = top, rows - right, bottom, rows - left
    elif turned == 180:
        left, top, right, bottom = width - right, rows - bottom, width - left, rows - top
    elif turned == 270:
        left, top, right, bottom = width - bottom, left, width - top, right
    return Box(
        min(max(0, left), facts.width),
        min(max(0, int(top / page.rows_each)), facts.rows),
        min(max(0, right), facts.width),
        min(max(0, -int(-bottom // page.rows_each)), facts.rows),
    )
