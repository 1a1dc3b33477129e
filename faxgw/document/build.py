"""`python -m faxgw.document.build`: compile what is done with every pixel (`_pixels.c`) where a compiler is at hand."""

from __future__ import annotations

from faxgw.compiled import Library
from faxgw.document.native import LIBRARY, SOURCE

PIXELS = Library(SOURCE, LIBRARY, "PIXELS_VERSION", "work on pixels", "pixels stay with numpy and libtiff")

if __name__ == "__main__":
    PIXELS.main()
