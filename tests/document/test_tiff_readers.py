"""What we put together is read the same by everybody else: libtiff's programs, Pillow, Ghostscript, poppler by way of
PDF, and the reader and coders of libspandsp, which is what a far machine gets.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
from PIL import Image

from faxgw.document import bitmap, tiff
from faxgw.document.client import PageClient
from faxgw.document.types import ComposeOptions, Cover, Document, Kind, Overlay, Rendered, RenderOptions, Resolution
from faxgw.fax.header import HeaderContext
from faxgw.fax.overlay import OverlayMode
from tests.document.conftest import A4, Make

pytestmark = pytest.mark.asyncio(loop_scope="module")

Page = npt.NDArray[np.uint8]
ENCODINGS = {"MH": 1, "MR": 2, "MMR": 3}
"""T4_COMPRESSION_… of libspandsp 0.0.6."""
ROWS_A_METRE = {Resolution.STANDARD: 3850, Resolution.FINE: 7700, Resolution.SUPERFINE: 15400}
CHUNK = 1024

_ffi = cffi.FFI()
_ffi.cdef(
    """
    typedef struct t4_tx_state_s t4_tx_state_t;
    typedef struct t4_rx_state_s t4_rx_state_t;
    t4_tx_state_t *t4_tx_init(t4_tx_state_t *s, const char *file, int start_page, int stop_page);
    void t4_tx_set_tx_encoding(t4_tx_state_t *s, int encoding);
    int t4_tx_start_page(t4_tx_state_t *s);
    int t4_tx_get_chunk(t4_tx_state_t *s, uint8_t buf[], int max_len);
    int t4_tx_end_page(t4_tx_state_t *s);
    int t4_tx_get_pages_in_file(t4_tx_state_t *s);
    int t4_tx_get_y_resolution(t4_tx_state_t *s);
    int t4_tx_get_image_width(t4_tx_state_t *s);
    int t4_tx_free(t4_tx_state_t *s);
    t4_rx_state_t *t4_rx_init(t4_rx_state_t *s, const char *file, int output_encoding);
    void t4_rx_set_rx_encoding(t4_rx_state_t *s, int encoding);
    void t4_rx_set_image_width(t4_rx_state_t *s, int width);
    void t4_rx_set_x_resolution(t4_rx_state_t *s, int resolution);
    void t4_rx_set_y_resolution(t4_rx_state_t *s, int resolution);
    int t4_rx_start_page(t4_rx_state_t *s);
    int t4_rx_put_chunk(t4_rx_state_t *s, const uint8_t buf[], int len);
    int t4_rx_end_page(t4_rx_state_t *s);
    int t4_rx_free(t4_rx_state_t *s);
    """
)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(Resolution))
async def composed(
    request: pytest.FixtureRequest, client: PageClient, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Resolution]:
    """A fax of a cover, an overlay upon each page, a header line, and a page that was cut because it was long."""
    resolution: Resolution = request.param
    make = Make()
    options = RenderOptions(resolution=resolution)
    cover = await client.render([Document(make.fd(b"<h1>To Mr. Durand</h1>"), "cover", Kind.HTML)], options)
    paper = await client.render([Document(make.fd(b"<p style='padding:9cm'>DRAFT"), "paper", Kind.HTML)], options)
    sizes = (A4, (A4[0], 3 * A4[1]))
    documents = [
        Document(make.fd(make.pdf(*sizes)), "a.pdf", Kind.PDF),
        Document(make.fd(make.image(make.pattern(800, 500))), "b.png"),
    ]
    body = await client.render(documents, options)
    assert isinstance(cover, Rendered) and isinstance(paper, Rendered) and isinstance(body, Rendered)
    context = HeaderContext(datetime(2026, 11, 18, tzinfo=UTC))
    overlay = Overlay(paper.fd, OverlayMode.ALL_PAGES)
    made = await client.compose(
        body.fd, ComposeOptions(context, "%d %P/%T", cover=Cover(cover.fd), overlay=overlay, resolution=resolution)
    )
    path = tmp_path_factory.mktemp("composed") / f"{resolution.value}.tif"
    path.write_bytes(os.pread(made.fd, os.fstat(made.fd).st_size, 0))
    assert len(made.pages) >= 5
    for rendered in (cover, paper, body, made):
        rendered.close()
    make.close()
    return path, resolution


def ours(path: Path) -> list[Page]:
    """The pages by our own reader: rows × 1728, 1 = black."""
    with path.open("rb") as file:
        pages = tiff.read(file.fileno())
        return [bitmap.unpack(bitmap.decode(tiff.read_strip(file.fileno(), page), page.resolution)) for page in pages]


def pillows(path: Path) -> list[Page]:
    found = []
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            found.append((np.asarray(image.convert("L")) == 0).astype(np.uint8))
    return found


def _numbered(folder: Path, pages: int) -> list[Path]:
    """Files as pdfimages names them."""
    return [folder / f"p-{number:03d}.tif" for number in range(pages)]


def same(found: list[Page], wanted: list[Page]) -> bool:
    return len(found) == len(wanted) and all(map(np.array_equal, found, wanted))


def run(*words: str | Path) -> bytes:
    """A program that must have nothing to complain of."""
    done = subprocess.run(words, capture_output=True, check=True)
    assert b"arning" not in done.stderr and b"rror" not in done.stderr, done.stderr
    return done.stdout


async def test_pillow_sees_our_pixels(composed: tuple[Path, Resolution]) -> None:
    path, _resolution = composed
    wanted = ours(path)
    assert all(page.any() for page in wanted)
    assert same(pillows(path), wanted)


async def test_tiffinfo_and_tiffdump(composed: tuple[Path, Resolution]) -> None:
    path, resolution = composed
    pages = ours(path)
    said = run("tiffinfo", "-D", path)
    assert said.count(b"Compression Scheme: CCITT Group 4") == len(pages)
    assert said.count(f"Resolution: 204, {tiff.DPI_Y[resolution]} pixels/inch".encode()) == len(pages)
    directories = run("tiffdump", path).split(b"Directory ")[1:]
    assert len(directories) == len(pages)
    for text, page in zip(directories, pages, strict=True):
        assert b"RowsPerStrip (278) LONG (4) 1<%d>" % len(page) in text, "one strip a page"
        assert text.count(b"StripOffsets (273) LONG (4) 1<") == 1


async def test_tiffcp_unpacks_it(composed: tuple[Path, Resolution], tmp_path: Path) -> None:
    path, _resolution = composed
    run("tiffcp", "-c", "none", path, tmp_path / "plain.tif")
    assert same(pillows(tmp_path / "plain.tif"), ours(path))


async def test_fax2tiff_reads_the_strips_alone(composed: tuple[Path, Resolution], tmp_path: Path) -> None:
    """The strip is T.6 as T.6 has it: no header is needed to read it."""
    path, _resolution = composed
    wanted = ours(path)[-1]
    with path.open("rb") as file:
        strip = tiff.read_strip(file.fileno(), tiff.read(file.fileno())[-1])
    (tmp_path / "page.g4").write_bytes(strip.data)
    run("fax2tiff", "-4", "-M", "-X", "1728", "-o", tmp_path / "page.tif", tmp_path / "page.g4")
    (found,) = pillows(tmp_path / "page.tif")
    assert np.array_equal(found[: len(wanted)], wanted)


async def test_poppler_and_ghostscript_by_way_of_pdf(composed: tuple[Path, Resolution], tmp_path: Path) -> None:
    path, resolution = composed
    wanted = ours(path)
    run("tiff2pdf", "-o", tmp_path / "fax.pdf", path)
    run("pdfimages", "-tiff", tmp_path / "fax.pdf", tmp_path / "p")
    assert same([pillows(one)[0] for one in _numbered(tmp_path, len(wanted))], wanted)
    grid = f"-r204x{tiff.DPI_Y[resolution]}"
    run("gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=tiffg4", grid, "-dDownScaleFactor=1",
        f"-sOutputFile={tmp_path / 'gs.tif'}", tmp_path / "fax.pdf")  # fmt: skip
    drawn = pillows(tmp_path / "gs.tif")
    assert len(drawn) == len(wanted)
    for found, page in zip(drawn, wanted, strict=True):
        rows = min(len(found), len(page))
        assert abs(len(found) - len(page)) <= 2
        assert float(found.mean()) == pytest.approx(float(page.mean()), rel=0.05)
        assert float((found[:rows, :1728] != page[:rows]).mean()) < 0.05, "at most a pixel aside"


@pytest.fixture(scope="module")
def spandsp() -> Any:
    return _ffi.dlopen("libspandsp.so.2")


@pytest.mark.parametrize("encoding", list(ENCODINGS))
async def test_libspandsp_sends_our_pixels(
    composed: tuple[Path, Resolution], spandsp: Any, tmp_path: Path, encoding: str
) -> None:
    """It reads the file as it does in a call, codes each page for the line, and decodes it as a far machine does."""
    path, resolution = composed
    wanted, received = ours(path), tmp_path / "received.tif"
    sender = spandsp.t4_tx_init(_ffi.NULL, os.fsencode(path), 0, -1)
    assert sender != _ffi.NULL
    receiver = spandsp.t4_rx_init(_ffi.NULL, os.fsencode(received), ENCODINGS["MMR"])
    assert spandsp.t4_tx_get_pages_in_file(sender) == len(wanted)
    spandsp.t4_tx_set_tx_encoding(sender, ENCODINGS[encoding])
    room = _ffi.new("uint8_t[]", CHUNK)
    for _page in wanted:
        assert spandsp.t4_tx_start_page(sender) == 0
        assert spandsp.t4_tx_get_y_resolution(sender) == ROWS_A_METRE[resolution]
        assert spandsp.t4_tx_get_image_width(sender) == tiff.WIDTH
        _receive_as(spandsp, receiver, ENCODINGS[encoding], ROWS_A_METRE[resolution])
        while (got := spandsp.t4_tx_get_chunk(sender, room, CHUNK)) > 0:
            if spandsp.t4_rx_put_chunk(receiver, room, got):
                break
        spandsp.t4_rx_end_page(receiver)
        spandsp.t4_tx_end_page(sender)
    spandsp.t4_rx_free(receiver)
    spandsp.t4_tx_free(sender)
    assert same(pillows(received), wanted)


def _receive_as(spandsp: Any, receiver: Any, encoding: int, rows_a_metre: int) -> None:
    settings: list[tuple[Callable[[Any, int], None], int]] = [
        (spandsp.t4_rx_set_rx_encoding, encoding),
        (spandsp.t4_rx_set_image_width, tiff.WIDTH),
        (spandsp.t4_rx_set_x_resolution, 8031),
        (spandsp.t4_rx_set_y_resolution, rows_a_metre),
    ]
    for setting, given in settings:
        setting(receiver, given)
    assert spandsp.t4_rx_start_page(receiver) == 0


async def test_another_pixel_would_be_noticed() -> None:
    page = np.zeros((4, 8), np.uint8)
    other = page.copy()
    other[3, 7] = 1
    assert same([page], [page]) and not same([page], [other]) and not same([page], [page, page])
