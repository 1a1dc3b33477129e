"""`python -m faxgw.t30.build`: compile the media loop (`_media.c`) where a compiler is at hand."""

from __future__ import annotations

from faxgw.compiled import Library
from faxgw.t30 import binding
from faxgw.t30.native import LIBRARY, SOURCE

MEDIA = Library(
    SOURCE, LIBRARY, "MEDIA_VERSION", "media loop", "the media loop stays in Python", (f"-l:{binding.SONAME}", "-lm")
)

if __name__ == "__main__":
    MEDIA.main()
