"""Pages coded by libtiff directly: the same octets that Pillow's own way through it gives, and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from faxgw.document import libtiff


@pytest.mark.parametrize(("rows", "density"), [(1, 0.5), (2286, 0.0), (2286, 1.0), (1143, 0.02), (300, 0.5)])
def test_the_strip_is_the_one_pillow_writes(rows: int, density: float) -> None:
    bits = np.packbits(np.random.default_rng(rows).random((rows, 1728)) < density, axis=1)
    file = io.BytesIO()
    Image.frombytes("1", (1728, rows), bits.tobytes()).save(file, "TIFF", compression="group4", tiffinfo={278: rows})
    with Image.open(file) as image:
        tags = getattr(image, "tag_v2")  # noqa: B009 - only TIFF images have it
        (offset,), (size,) = tags[273], tags[279]
    assert libtiff.encode_t6(bits.tobytes(), 1728, rows) == file.getvalue()[offset : offset + size]


@pytest.mark.parametrize(("octets", "rows"), [(0, 0), (215, 1), (217, 1), (216, 2)])
def test_octets_that_are_no_page_are_refused(octets: int, rows: int) -> None:
    with pytest.raises(ValueError, match="rows"):
        libtiff.encode_t6(bytes(octets), 1728, rows)
