"""Barcodes of a page, in the page process: ZXing for all kinds, ZBar beside it for the linear ones.

Each sees codes that the other misses: at modules of 0.19 to 0.25 mm ZBar reads more of EAN and Code 39, and only ZXing
reads Data Matrix, PDF417 and Aztec (`python -m bench.receive` measures both). What both see counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any  # two libraries without types

import numpy as np
import numpy.typing as npt

from faxgw.fax.reading import MAX_BARCODES, Symbology

Grey = npt.NDArray[np.uint8]
QUIET = 24
"""White pixels put around a page: a code that the sender's margin cut close still has its quiet zone."""

_ZXING = {
    "Code128": Symbology.CODE128,
    "Code39": Symbology.CODE39,
    "Code93": Symbology.CODE93,
    "Codabar": Symbology.CODABAR,
    "EAN13": Symbology.EAN13,
    "EAN8": Symbology.EAN8,
    "UPCA": Symbology.UPCA,
    "UPCE": Symbology.UPCE,
    "ITF": Symbology.ITF,
    "DataBar": Symbology.DATABAR,
    "QRCode": Symbology.QR,
    "DataMatrix": Symbology.DATAMATRIX,
    "PDF417": Symbology.PDF417,
    "Aztec": Symbology.AZTEC,
}
_ZBAR = {
    "CODE128": Symbology.CODE128,
    "CODE39": Symbology.CODE39,
    "CODE93": Symbology.CODE93,
    "EAN13": Symbology.EAN13,
    "EAN8": Symbology.EAN8,
    "UPCA": Symbology.UPCA,
    "UPCE": Symbology.UPCE,
    "I25": Symbology.ITF,
}
"""Its Codabar and QR reading lose against ZXing's at every size, its DataBar too."""
_SQUARE = frozenset({Symbology.QR, Symbology.DATAMATRIX, Symbology.PDF417, Symbology.AZTEC})


class NoBarcodes(Exception):
    """The reader is missing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A code in the pixels of the picture that was read."""

    kind: Symbology
    text: str
    left: int
    top: int
    right: int
    bottom: int


def preload() -> None:
    """Load the readers, once, before children are forked."""
    for load in (_zxing, _zbar):
        load()


def read(picture: Grey, *, zxing: bool = True, zbar: bool = True) -> tuple[Seen, ...]:
    """The codes of a picture, from the top down.

    Args:
        picture: 0 is black; square pixels.
        zxing: Ask ZXing.
        zbar: Ask ZBar, where it is installed.

    Raises:
        NoBarcodes: If there is no reader.
    """
    framed = np.pad(picture, QUIET, constant_values=255)
    found: list[Seen] = []
    if zxing:
        found += _by_zxing(framed, 1)
        if not any(seen.kind in _SQUARE for seen in found):
            found += _by_zxing(_doubled(framed), 2, square=True)
    if zbar:
        found += _by_zbar(framed)
    kept: list[Seen] = []
    for seen in sorted(found, key=lambda seen: (seen.top, seen.left)):
        if not any(_same(seen, other) for other in kept):
            kept.append(seen)
    return tuple(kept[:MAX_BARCODES])


def _by_zxing(picture: Grey, scale: int, *, square: bool = False) -> list[Seen]:
    module = _zxing()
    if module is None:
        raise NoBarcodes("the barcode reader is not installed")
    names = [name for name, kind in _ZXING.items() if not square or kind in _SQUARE]
    formats = [getattr(module.BarcodeFormat, name) for name in names]
    found = []
    # The first look has seen the page smaller and inverted; the second is for small modules alone.
    once = {"try_downscale": False, "try_invert": False} if square else {}
    for result in module.read_barcodes(picture, formats=formats, **once):
        kind = _ZXING.get(result.format.name)
        if kind is None or not result.valid or not result.text:
            continue
        corners = [getattr(result.position, name) for name in ("top_left", "top_right", "bottom_left", "bottom_right")]
        across, down = [c.x // scale - QUIET for c in corners], [c.y // scale - QUIET for c in corners]
        found.append(Seen(kind, result.text, min(across), min(down), max(across) + 1, max(down) + 1))
    return found


def _by_zbar(picture: Grey) -> list[Seen]:
    module = _zbar()
    if module is None:
        return []
    wanted = [getattr(module.ZBarSymbol, name) for name in _ZBAR]
    rows, width = picture.shape
    found = []
    for result in module.decode((picture.tobytes(), width, rows), symbols=wanted):
        left, top, across, down = result.rect
        text = result.data.decode("utf-8", "replace")
        left, top = left - QUIET, top - QUIET
        found.append(Seen(_ZBAR[result.type], text, left, top, left + max(1, across), top + max(1, down)))
    return found


def _doubled(picture: Grey) -> Grey:
    return np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)


def _same(one: Seen, other: Seen) -> bool:
    """The same code seen twice: the same text in the same place; a kind may be named otherwise (UPC-A is an EAN-13)."""
    near = (
        one.left <= other.right + QUIET
        and other.left <= one.right + QUIET
        and one.top <= other.bottom + QUIET
        and other.top <= one.bottom + QUIET
    )
    return near and one.text.lstrip("0") == other.text.lstrip("0")


def _zxing() -> Any:
    try:
        import zxingcpp
    except ImportError:
        return None
    return zxingcpp


def _zbar() -> Any:
    """None without Debian's libzbar0."""
    try:
        from pyzbar import pyzbar
    except ImportError:
        return None
    return pyzbar
