"""`python -m tests.gallery`: make docs/gallery.md and docs/gallery/ anew."""

from __future__ import annotations

import asyncio

from tests.gallery.make import make_all

asyncio.run(make_all())
