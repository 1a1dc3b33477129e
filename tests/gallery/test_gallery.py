"""The gallery in the documentation is what the gateway makes."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_shows_every_picture_and_no_other() -> None:
    named = set(re.findall(r"\]\(gallery/([a-z-]+\.png)\)", (DOCS / "gallery.md").read_text()))
    there = {path.name for path in (DOCS / "gallery").iterdir()}
    assert named == there and len(there) == 24


def test_the_pictures_are_small() -> None:
    assert all(path.stat().st_size <= 60_000 for path in (DOCS / "gallery").iterdir())
