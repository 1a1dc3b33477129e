"""How well fax pages keep what the document showed: pictures by structural similarity, text by what OCR reads.

Similarity is SSIM (window 11 × 11) of two pages blurred as the eye blurs them at reading distance: a Gaussian of
`VIEWING_SIGMA` pixels. Character errors are edit distance / characters, by Tesseract with one thread; standard pages
are line-doubled first, for both ways alike.
"""

from __future__ import annotations

import io
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from bench.measure import workplace

VIEWING_SIGMA = 4.0
"""Pixels at 204 per inch: 0.5 mm, or 3.4 minutes of arc at half a metre."""
NEAR_SIGMA = 3.0
"""The same for somebody who holds the page nearer, at 37 cm."""
WINDOW = 11
COLUMNS = 1728
TEXT = (
    "account address agreement amount answer appointment approval balance branch buyer claim clinic client contract "
    "copy customer date decision delivery department description discount document doctor due expiry faxed figures "
    "final goods guarantee hearing hospital identity insurance invoice item judge laboratory lawyer letter limit "
    "measure medicine meeting notice number office order patient payment period please policy price product quality "
    "quantity receipt reference report request result sample seller service shipment signature statement street "
    "subject supply surgery tax telephone total transfer treatment value verdict witness"
)
WORDS = TEXT.split()
Page = npt.NDArray[np.uint8]


def pages_of(tiff: bytes) -> list[Page]:
    """Pages as rows × 1728, 0 = black; narrower ones are padded."""
    found = []
    with Image.open(io.BytesIO(tiff)) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            grey = np.asarray(image.convert("L"))[:, :COLUMNS]
            found.append(np.pad(grey, ((0, 0), (0, COLUMNS - grey.shape[1])), constant_values=255))
    return found


def similarity(original: Page, page: Page, sigma: float = VIEWING_SIGMA) -> float:
    """SSIM of the two as seen, over the original's height; the page is laid over it where it fits best."""
    return _ssim(_blurred(original, sigma), _blurred(_aligned(original, page), sigma))


def _aligned(original: Page, page: Page) -> Page:
    """Converters place a page differently by some pixels: the best shift, coarse and then fine."""
    rows = len(original)
    sheet = np.full((rows, COLUMNS), 255, np.uint8)
    sheet[: min(rows, len(page))] = page[:rows]
    target = _blurred(original, 4.0)[::2, ::2]
    best = (0, 0)
    for step, reach in ((8, 48), (2, 8), (1, 1)):
        tries = [
            (best[0] + down, best[1] + right)
            for down in range(-reach, reach + 1, step)
            for right in range(-reach, reach + 1, step)
        ]
        soft = _blurred(sheet, 4.0)
        best = min(tries, key=lambda at: float(np.abs(np.roll(soft, at, (0, 1))[::2, ::2] - target).mean()))
    return np.roll(sheet, best, (0, 1))


def _blurred(page: Page, sigma: float) -> npt.NDArray[np.float64]:
    return np.asarray(Image.fromarray(page).filter(ImageFilter.GaussianBlur(sigma)), np.float64)


def _ssim(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    light, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _box(a), _box(b)
    var_a, var_b = _box(a * a) - mean_a**2, _box(b * b) - mean_b**2
    both = _box(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + light) * (2 * both + contrast)
    return float((above / ((mean_a**2 + mean_b**2 + light) * (var_a + var_b + contrast))).mean())


def _box(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    whole = sums[WINDOW:, WINDOW:] - sums[:-WINDOW, WINDOW:] - sums[WINDOW:, :-WINDOW] + sums[:-WINDOW, :-WINDOW]
    return np.asarray(whole / WINDOW**2)


# -------------------------------------------------------------------------------------------------------- legibility


EMBEDDED = {"Sans": "LiberationSans-Regular.ttf", "Serif": "LiberationSerif-Regular.ttf"}
"""Faces that go into the PDF, as office programs write it."""
FONTS = Path("/usr/share/fonts/truetype/liberation")


def embed_faces() -> None:
    """Make the EMBEDDED faces known to reportlab by their names."""
    for name, file in EMBEDDED.items():
        pdfmetrics.registerFont(TTFont(name, str(FONTS / file)))


def text_document(size: float, pages_per_face: int) -> tuple[bytes, list[str]]:
    """A PDF of running words and the text of each page: sans and serif, of the reader's own faces and embedded ones."""
    embed_faces()
    out, source = io.BytesIO(), random.Random(7)
    canvas, texts = Canvas(out, pagesize=A4, invariant=True), []
    lines = int(740 / (size * 1.65))
    for face in ("Helvetica", "Times-Roman", *EMBEDDED):
        for _ in range(pages_per_face):
            canvas.setFont(face, size)
            rows = []
            for row in range(lines):
                words: list[str] = []
                while canvas.stringWidth(" ".join(words), face, size) < 430 - size * 5:
                    words.append(source.choice(WORDS) if source.random() < 0.85 else str(source.randrange(10**5)))
                rows.append(" ".join(words))
                canvas.drawString(60, 790 - row * size * 1.65, rows[-1])
            texts.append("\n".join(rows))
            canvas.showPage()
    canvas.save()
    return out.getvalue(), texts


def error_rate(pages: Sequence[Page], texts: Sequence[str], standard: bool) -> float:
    """Character errors in per cent over all pages."""
    errors = sum(distance(read(page, standard), text) for page, text in zip(pages, texts, strict=True))
    return 100.0 * errors / sum(map(len, texts))


def read(page: Page, standard: bool) -> str:
    """What Tesseract reads of a page."""
    image = Image.fromarray(np.repeat(page, 2, axis=0) if standard else page)
    out = io.BytesIO()
    image.save(out, "PNG", dpi=(204, 196))
    command = ("tesseract", "-", "-", "-l", "eng", "--psm", "6", "--dpi", "204")
    done = subprocess.run(
        command, input=out.getvalue(), capture_output=True, check=True, cwd=workplace(), env={"OMP_THREAD_LIMIT": "1"}
    )
    return "\n".join(line.strip() for line in done.stdout.decode().splitlines() if line.strip())


def distance(a: str, b: str) -> int:
    """Levenshtein's distance, a row of the table at a time."""
    codes = np.frombuffer(b.encode("utf-32-le"), np.uint32)
    offsets = np.arange(len(codes) + 1)
    row = offsets.copy()
    for number, character in enumerate(a, 1):
        changed = np.empty_like(row)
        changed[0] = number
        changed[1:] = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        row = np.minimum.accumulate(changed - offsets) + offsets  # insertions from the left
    return int(row[-1])
