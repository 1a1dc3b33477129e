"""Pictures to fax pages: JPEG, PNG, GIF, BMP, WebP with Pillow (page process only).

The size is looked at before anything is decoded. Orientation follows the EXIF tag, transparency is white, of an
animation the first picture counts. A picture keeps the size that its own dots per inch say, 96 if it says none that
can be believed, and is made smaller where it does not fit. In Mode.AUTO a photograph of a document is freed of its
shadows first (faxgw.document.paper).
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from faxgw.document import fit, halftone, paper, refusal
from faxgw.document.bitmap import Bits, Grey
from faxgw.document.fit import Placement, Target
from faxgw.document.tiff import WIDTH
from faxgw.document.types import Kind, Mode

FORMATS = {Kind.JPEG: "JPEG", Kind.PNG: "PNG", Kind.GIF: "GIF", Kind.BMP: "BMP", Kind.WEBP: "WEBP"}
"""Pillow's names; nothing else is opened, whatever the octets say."""
BELIEVABLE_DPI = (50.0, 2400.0)
"""Dots per inch that a picture may say of itself."""
DEFAULT_DPI = 96.0
"""Dots per inch of a picture that says none (CSS reference pixel)."""
MM_PER_INCH = 25.4
HOLE = 512
"""Zeros at the end of a JPEG from which it is looked at for its end."""
TRAILER = 65_536
"""Octets that a camera may put behind the end of a JPEG."""

_ORIENTATION = 0x0112  # EXIF 2.32 section 4.6.4
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Image.MAX_IMAGE_PIXELS = None  # Limits.pixels is looked at before decoding, with a text for the sender


def size(data: bytes, kind: Kind) -> tuple[int, int] | None:
    """Width and height in pixels from the header alone; None if it cannot be read."""
    try:
        with Image.open(io.BytesIO(data), formats=(FORMATS[kind],)) as image:
            return image.size
    except (OSError, ValueError, SyntaxError):
        return None


def pages(data: bytes, kind: Kind, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """Render a picture; a long one several sheets.

    Raises:
        DocumentRefused: If it is damaged or too large.
    """
    target.begin(1, 1)
    if kind is Kind.JPEG and _lacks_end(data):
        raise refusal.damaged(name, how="its end is missing")
    with Image.open(io.BytesIO(data), formats=(FORMATS[kind],)) as image:
        check_pixels(image, name, target)
        dpi = dots_per_inch(image)
        full = image.size
        if image.format == "JPEG":  # the decoder itself can halve large pictures, four times as fast
            image.draft("L", (2 * WIDTH, 2 * target.rows))
        dpi = (dpi[0] * image.width / full[0], dpi[1] * image.height / full[1])
        if image.getexif().get(_ORIENTATION, 1) in range(5, 9):  # the resolutions are those of the picture as stored
            dpi = dpi[::-1]
        grey = to_grey(image)
    yield from ((1, bits) for bits in sheets(grey, dpi, 1, 1, target))


def _lacks_end(data: bytes) -> bool:
    """True for a JPEG copied in part, zeros in place of its end (EOI, ITU-T T.81 B.1.1.3): it decodes as grey."""
    said = data.rstrip(b"\0")
    return len(data) - len(said) >= HOLE and b"\xff\xd9" not in said[-TRAILER:]


def check_pixels(image: Image.Image, name: str, target: Target, page: int | None = None) -> None:
    """Refuse what is too large to be decoded.

    Raises:
        DocumentRefused: If it is.
    """
    pixels = image.width * image.height
    if pixels > target.limits.pixels:
        what = "it has {width} × {height} pixels; at most {limit} in all are allowed"
        size = {"width": image.width, "height": image.height}
        raise refusal.too_large(name, what, page, limit=target.limits.pixels, **size)


def dots_per_inch(image: Image.Image) -> tuple[float, float]:
    """Dots per inch across and down; DEFAULT_DPI if the picture says none that can be believed."""
    return stated_dpi(image) or (DEFAULT_DPI, DEFAULT_DPI)


def stated_dpi(image: Image.Image) -> tuple[float, float] | None:
    """What the picture says of itself, if it can be believed."""
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    low, high = BELIEVABLE_DPI
    return (across, down) if low <= across <= high and low <= down <= high else None


def to_grey(image: Image.Image) -> Image.Image:
    """Decode to 8 bit grey, upright, on white. Needs seven octets of memory for a pixel with colour and alpha."""
    image.load()
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    grey = _flat(image)
    return grey.transpose(turn) if turn is not None else grey


def _flat(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep(image)
    if image.mode == "LAB":  # its first channel is the lightness
        return image.getchannel(0)
    if "transparency" in image.info or image.mode in ("PA", "La", "RGBa"):
        # One colour, or an entry of the palette, stands for "nothing"; or the colours are premultiplied.
        image = image.convert("LA" if image.mode in ("1", "L", "La") else "RGBA")
    if image.mode in ("RGBA", "LA"):
        paper = Image.new("L", image.size, 255)
        paper.paste(image.convert("L"), mask=image.getchannel("A"))
        return paper
    return image if image.mode == "L" else image.convert("L")


def sheets(grey: Image.Image, dpi: tuple[float, float], page: int, count: int, target: Target) -> Iterator[Bits]:
    """Fit a grey picture on sheets of paper.

    Args:
        grey: Mode L.
        dpi: Its dots per inch across and down.
        page: Its number in its document.
        count: The document's pages.
        target: Paper, resolution, grey.
    """
    natural = (grey.width / dpi[0] * MM_PER_INCH, grey.height / dpi[1] * MM_PER_INCH)
    placement = fit.place(*natural, target, margin=True)
    if target.mode is Mode.AUTO:
        grey = paper.levelled(grey) or grey
    if placement.turned:
        grey = grey.transpose(Image.Transpose.ROTATE_270)
    edges = [0, placement.height] if placement.sheets == 1 else fit.cuts(_white_rows(grey, placement.height), target)
    for first, end in itertools.pairwise(edges):
        if first:
            target.begin(page, count + len(edges) - 2)
        yield halftone.to_bits(_sheet(grey, placement, first, end, target), target.resolution, target.mode)


def _white_rows(grey: Image.Image, height: int) -> npt.NDArray[np.bool_]:
    """For each of the rows that the picture will have, whether the rows it is made from are white."""
    dark = np.zeros(grey.height + 1, np.int64)
    np.cumsum(np.asarray(grey).min(axis=1) < halftone.THRESHOLD, out=dark[1:])
    places = np.arange(height + 1) * grey.height / height
    first = np.maximum(places[:-1] - 1, 0).astype(np.int64)
    last = np.minimum(np.ceil(places[1:]) + 1, grey.height).astype(np.int64)
    return np.asarray(dark[last] == dark[first])


def _sheet(grey: Image.Image, placement: Placement, first: int, end: int, target: Target) -> Grey:
    height = end - first
    per_row = grey.height / placement.height
    box = (0.0, first * per_row, float(grey.width), min(float(grey.height), (first + height) * per_row))
    scaled = grey.resize((placement.width, height), Image.Resampling.BICUBIC, box=box)
    page = np.full((target.rows, WIDTH), 255, np.uint8)
    top = 0 if first else placement.top
    page[top : top + height, placement.left : placement.left + placement.width] = np.asarray(scaled)
    return page


def _deep(image: Image.Image) -> Image.Image:
    """More than 8 bits a pixel: 16 bits are cut to 8, other ranges stretched."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and 255 < int(values.max()) <= 65535):
        return Image.fromarray((values >> 8).astype(np.uint8))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not (np.isfinite(low) and np.isfinite(high)) or high <= low:
        return Image.new("L", image.size, 255)
    return Image.fromarray(((values - low) * (255.0 / (high - low))).astype(np.uint8))
