"""What C does with every pixel, against numpy and libtiff: the same octets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.document import bitmap, halftone, libtiff, native
from faxgw.document.build import PIXELS
from faxgw.document.types import Mode, Resolution


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """A checkout that was not set up with a compiler has no library: it is made, and a failure to do so is told."""
    if native.library() is None:
        native.library.cache_clear()
        assert PIXELS.build()
        assert native.library() is not None


def _runs(source: np.random.Generator, rows: int, width: int, mean: float) -> np.ndarray:
    """Rows of runs of about that length."""
    return np.asarray(np.cumsum(source.random((rows, width)) < 1 / mean, axis=1) % 2 == 1)


@pytest.mark.parametrize("mean", [1.0, 1.5, 3, 20, 300, 3000])
@pytest.mark.parametrize("width", [8, 64, 72, 1728, 2432, 4096])
def test_a_page_is_coded_as_libtiff_does(width: int, mean: float) -> None:
    source = np.random.default_rng(width + int(mean))
    for rows in (1, 2, 17):
        black = _runs(source, rows, width, mean)
        for page in (black, ~black, np.repeat(black, 3, axis=0), np.roll(np.repeat(black, 2, axis=0), 2, axis=1)):
            bits = np.packbits(page, axis=1)
            assert native.encode_t6(bits, width) == libtiff.encode_t6(bits.tobytes(), width, len(bits))


@given(
    st.integers(1, 40).flatmap(
        lambda octets: st.lists(st.binary(min_size=octets, max_size=octets), min_size=1, max_size=12)
    )
)
def test_any_octets_are_coded_as_libtiff_does(rows: list[bytes]) -> None:
    bits = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    width = 8 * bits.shape[1]
    assert native.encode_t6(bits, width) == libtiff.encode_t6(bits.tobytes(), width, len(bits))


@pytest.mark.parametrize("white", [0, 1, 63, 64, 65, 1727, 2559, 2560, 2561, 2623, 2624, 4000])
@pytest.mark.parametrize("black", [1, 2, 63, 64, 1728, 2560, 2624])
def test_every_length_of_run(white: int, black: int) -> None:
    """T.4 tables 2, 3a and 3b: make-up codes, 2,560 repeated."""
    page = np.zeros((2, 4096), bool)
    page[:, white : white + black] = True
    page[1] ^= True
    bits = np.packbits(page, axis=1)
    assert native.encode_t6(bits, 4096) == libtiff.encode_t6(bits.tobytes(), 4096, 2)


def test_the_worst_page_has_room() -> None:
    """Changes three columns from those above cost seven bits a pixel; every row pays them."""
    rows = [np.tile(np.array([1, 0, 0, 0, 0, 0], bool), 288), np.tile(np.array([0, 0, 0, 1, 0, 0], bool), 288)]
    for page in (np.array(rows * 50), np.arange(1728 * 100).reshape(100, 1728) % 2 == 0):
        bits = np.packbits(page, axis=1)
        assert native.encode_t6(bits, 1728) == libtiff.encode_t6(bits.tobytes(), 1728, 100)


@pytest.mark.parametrize(
    ("shape", "width"), [((0, 216), 1728), ((2, 216), 1720), ((1, 0), 0), ((1, 513), 4104), ((1, 2), 15)]
)
def test_what_is_no_page_is_refused(shape: tuple[int, int], width: int) -> None:
    with pytest.raises(ValueError, match="page"):
        native.encode_t6(np.zeros(shape, np.uint8), width)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 257, 2286])
@pytest.mark.parametrize("greys", [(176, 12, 243), (1, 1, 254), (254, 254, 254), (127, 100, 127), (128, 127, 128)])
def test_a_page_is_looked_at_as_numpy_does(rows: int, greys: tuple[int, int, int]) -> None:
    source = np.random.default_rng(rows)
    grey = source.integers(0, 256, (rows, 1728), np.uint8)
    grey[source.random(rows) < 0.5] = 255
    threshold, low, high = greys
    bits, tones = native.look(grey, *greys)
    assert (bits == bitmap.pack(grey < threshold)).all()
    padded = np.zeros((-(-rows // 8) * 8, 1728), bool)
    padded[:rows] = (grey >= low) & (grey <= high)
    assert (tones == padded.reshape(-1, 8, 216, 8).sum(axis=(1, 3))).all()


def test_every_grey_is_on_its_side_of_every_threshold() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(1, 256)
    for level in range(1, 255):
        bits, tones = native.look(grey, level, level, level)
        assert (np.unpackbits(bits, axis=1) == (grey < level)).all()
        assert tones.sum() == 1 and tones[0, level // 8] == 1


@pytest.mark.parametrize(("columns", "threshold"), [(1724, 176), (1728, 0), (1728, 255)])
def test_what_cannot_be_looked_at_is_refused(columns: int, threshold: int) -> None:
    with pytest.raises(ValueError, match="page"):
        native.look(np.zeros((2, columns), np.uint8), threshold, 12, 243)


def test_pages_look_the_same_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.full((800, 1728), 255, np.uint8)
    grey[100:104, 200:1000] = 0
    pages = [grey, grey.copy(), grey[:, ::-1]]
    pages[1][300:500, 300:600] = np.random.default_rng(1).integers(0, 256, (200, 300), np.uint8)

    def strips() -> list[bytes]:
        return [bitmap.encode(halftone.to_bits(page, Resolution.FINE, Mode.AUTO)).data for page in pages]

    with_it = strips()
    monkeypatch.setattr(native, "library", lambda: None)
    assert strips() == with_it


def test_a_library_of_another_source_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "_pixels.c"
    source.write_bytes(native.SOURCE.read_bytes() + b"\n")
    monkeypatch.setattr(native, "SOURCE", source)
    assert native.library.__wrapped__() is None
    assert "another source" in capsys.readouterr().err
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "none.so")
    assert native.library.__wrapped__() is None


def test_hostile_rows_stay_within_their_memory(tmp_path: Path) -> None:
    """The source with the address and undefined behaviour sanitisers, over random pages of every width and a full
    buffer: what reads or writes beside a page ends the process.
    """
    program = tmp_path / "pages"
    harness = tmp_path / "pages.c"
    harness.write_text(
        f'#include "{native.SOURCE}"\n'
        """
        #include <stdlib.h>
        int main(void) {
            srand(1);
            for (int round = 0; round < 3000; round++) {
                int width = 8 * (1 + rand() % 512), rows = 1 + rand() % 9, kind = rand() % 4;
                int64_t size = (int64_t)width / 8 * rows, room = (int64_t)(rows + 1) * (width * 7 / 8 + 64);
                if (rand() % 4 == 0) room = rand() % room;
                uint8_t *page = malloc((size_t)size), *out = malloc((size_t)room + !room);
                for (int64_t i = 0; i < size; i++) {
                    int any = rand(), sparse = any & rand(), solid = -(any % 2);
                    page[i] = (uint8_t)(kind == 0 ? any : kind == 1 ? 0x55 : kind == 2 ? solid : sparse);
                }
                if (pixels_t6(page, width, rows, out, room) > room) return 1;
                free(page);
                page = malloc((size_t)width * (size_t)rows);
                for (int64_t i = 0; i < (int64_t)width * rows; i++) page[i] = (uint8_t)(rand() % 3 ? 255 : rand());
                uint8_t *bits = malloc((size_t)size), *tones = malloc((size_t)(width / 8 * ((rows + 7) / 8)));
                pixels_look(page, width, rows, 1 + rand() % 254, 1 + rand() % 254, 1 + rand() % 254, bits, tones);
                free(page); free(out); free(bits); free(tones);
            }
            return 0;
        }
        """
    )
    flags = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    subprocess.run(("cc", *flags, "-o", str(program), str(harness)), check=True)
    done = subprocess.run((str(program),), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_library_needs_no_other(tmp_path: Path) -> None:
    """Loaded by a bare interpreter, as the page server's sandbox would."""
    code = f"import ctypes; ctypes.CDLL({str(native.LIBRARY)!r}).pixels_t6"
    subprocess.run((sys.executable, "-I", "-c", code), check=True, cwd=tmp_path)
