"""PDF, pictures and TIFF documents to pages."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reportlab.lib.colors import black
from reportlab.pdfgen.canvas import Canvas

from faxgw.document import bitmap, convert, fit, images, pdf, tiff_in
from faxgw.document.fit import Target
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Kind, Mode, Paper, Reason, Resolution

Make = Any  # conftest's class; tests import nothing from one another
A4 = (595.28, 841.89)
FINE, STANDARD, SUPERFINE = Target(), Target(Resolution.STANDARD), Target(Resolution.SUPERFINE)
PX_PER_PT, ROWS_PER_PT = 25.4 / 72 * 1728 / 215, 25.4 / 72 * 7.7


def only(pages: Any) -> bitmap.Bits:
    ((number, bits),) = list(pages)
    assert number == 1
    assert isinstance(bits, np.ndarray)
    return bits


def spot(bits: bitmap.Bits, x_pt: float, y_pt: float, width: float = 1688) -> bool:
    """True if the fax pixel at this place of an upright A4 page is black; y from the top."""
    return bool(bitmap.unpack(bits)[round(y_pt * ROWS_PER_PT), round((1728 - width) / 2 + x_pt * PX_PER_PT)])


def test_a_pdf_page_lies_where_it_was_drawn(make: Make) -> None:
    def draw(canvas: Canvas, number: int) -> None:
        canvas.rect(100, 700, 50, 20, stroke=0, fill=1)

    bits = only(pdf.pages(make.pdf(A4, draw=draw), "a.pdf", FINE))
    assert spot(bits, 125, A4[1] - 710)
    assert not spot(bits, 90, A4[1] - 710) and not spot(bits, 125, A4[1] - 730)
    assert bitmap.black_ratio(bits) == pytest.approx(50 * 20 / (A4[0] * A4[1]) * 1688 / 1728, rel=0.05)


def test_a_landscape_page_is_turned_clockwise(make: Make) -> None:
    """The page's upper left corner comes to the sheet's upper right."""

    def draw(canvas: Canvas, number: int) -> None:
        canvas.rect(20, 540, 40, 40, stroke=0, fill=1)

    seen = bitmap.unpack(only(pdf.pages(make.pdf((841.89, 595.28), draw=draw), "a.pdf", FINE)))
    rows, columns = np.nonzero(seen)
    assert rows.mean() < 300 and columns.mean() > 1400


@pytest.mark.parametrize("width_pt", [0, 0.1, 0.25, 0.5, 1])
def test_no_thin_line_is_lost(make: Make, width_pt: float) -> None:
    """Tables have hairlines; at 98 rows per inch one is thinner than half a row."""
    places = [100 + 10.0731 * index for index in range(45)]

    def draw(canvas: Canvas, number: int) -> None:
        canvas.setLineWidth(width_pt)
        for place in places:
            if number == 1:
                canvas.line(100, place, 500, place)
            else:
                canvas.line(place, 100, place, 500)

    def lines(seen: Any) -> int:
        return int((np.diff(np.concatenate(([0], seen.astype(int)))) == 1).sum())

    for target in (FINE, STANDARD):
        flat, upright = (bitmap.unpack(bits) for _n, bits in pdf.pages(make.pdf(A4, A4, draw=draw), "a.pdf", target))
        middle = len(upright) * 2 // 3
        assert lines(flat[:, 400:1200].all(axis=1)) == len(places)
        assert lines(upright[middle : middle + 100].all(axis=0)) == len(places)


def test_text_is_not_smoothed(make: Make) -> None:
    """rendering.md 1.2: a build of PDFium that ignores the flag would make small text grey."""

    def draw(canvas: Canvas, number: int) -> None:
        canvas.setFont("Times-Roman", 7)
        for line in range(60):
            canvas.drawString(60, 780 - 12 * line, "The quick brown fox jumps over the lazy dog. " * 3)

    document = pdf.open_pdf(make.pdf(A4, draw=draw), "a.pdf")
    grey = np.full((1143, 1728), 255, np.uint8)
    pdf._draw(document, document[0], grey, fit.place(210, 297, STANDARD), 0)
    assert set(np.unique(grey).tolist()) == {0, 255}


def test_filled_form_fields_and_annotations_are_drawn(make: Make) -> None:
    def draw(canvas: Canvas, number: int) -> None:
        canvas.acroForm.textfield(
            name="field", value="XXXXXXXXXXXX", x=100, y=700, width=300, height=40, fontSize=30, borderWidth=0,
            fillColor=None, borderColor=None, textColor=black,
        )  # fmt: skip

    filled = only(pdf.pages(make.pdf(A4, draw=draw), "form.pdf", FINE))
    area = bitmap.unpack(filled)[round(100 * ROWS_PER_PT) : round(145 * ROWS_PER_PT)]
    assert area.sum() > 5_000


def test_a_long_pdf_page_is_cut_without_losing_a_row(make: Make) -> None:
    def draw(canvas: Canvas, number: int) -> None:
        canvas.line(10, 0, 10, 2500)

    pages = list(pdf.pages(make.pdf((300, 2500), draw=draw), "roll.pdf", FINE))
    assert [number for number, _bits in pages] == [1, 1, 1]
    seen = np.concatenate([bitmap.unpack(bits) for _number, bits in pages])
    rows = np.flatnonzero(seen.any(axis=1))
    assert rows[0] == 0 and (np.diff(rows) == 1).all()
    assert len(rows) == pytest.approx(2500 * ROWS_PER_PT, abs=2)


def test_a_long_pdf_page_is_cut_between_its_lines(make: Make) -> None:
    lines = range(30, 2480, 23)

    def draw(canvas: Canvas, number: int) -> None:
        for place in lines:
            canvas.rect(20, place, 250, 14, stroke=0, fill=1)

    for target in (FINE, STANDARD):
        heights = []
        for _number, bits in pdf.pages(make.pdf((300, 2500), draw=draw), "roll.pdf", target):
            black = np.concatenate(([0], bitmap.unpack(bits).any(axis=1), [0])).astype(int)
            heights += (np.flatnonzero(np.diff(black) == -1) - np.flatnonzero(np.diff(black) == 1)).tolist()
        assert len(heights) == len(lines)
        assert max(heights) - min(heights) <= 2


# Pictures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.PNG, Kind.GIF, Kind.BMP, Kind.WEBP, Kind.JPEG])
def test_every_kind_of_picture_is_faxed(make: Make, kind: Kind) -> None:
    picture = make.pattern(400, 300).convert("L")
    options = {"lossless": True} if kind is Kind.WEBP else {"quality": 95} if kind is Kind.JPEG else {}
    data = make.image(picture, images.FORMATS[kind], **options)
    bits = only(convert.pages(data, None, None, "a", FINE))
    assert len(bits) == 2286
    ink = 1 - np.asarray(picture).mean() / 255
    # 400 × 300 at 96 dots per inch are 106 × 79 mm
    expected = ink * 106 * 79 * (1728 / 215) * 7.7 / (1728 * 2286)
    assert bitmap.black_ratio(bits) == pytest.approx(expected, rel=0.15)


def test_a_scan_of_a_whole_page_fills_the_sheet(make: Make) -> None:
    scan = Image.new("L", (1654, 2339), 255)
    scan.paste(0, (0, 0, 1654, 10))
    scan.paste(0, (0, 2329, 1654, 2339))
    seen = bitmap.unpack(only(images.pages(make.image(scan, dpi=(200, 200)), Kind.PNG, "a", FINE)))
    rows = np.flatnonzero(seen.any(axis=1))
    assert rows[0] == 0 and rows[-1] >= 2280
    assert seen[0].sum() == pytest.approx(1688, abs=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed(make: Make, orientation: int) -> None:
    """All eight show the same upright picture."""
    upright = make.pattern(240, 160).convert("L")
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(io.BytesIO(make.image(stored, "PNG", exif=exif))) as image:
        assert images.to_grey(image).tobytes() == upright.tobytes()


def test_transparency_is_white(make: Make) -> None:
    clear = Image.new("RGBA", (50, 50), (0, 0, 0, 0))
    half = Image.new("RGBA", (50, 50), (0, 0, 0, 128))
    grey_alpha = Image.new("LA", (50, 50), (0, 0))
    palette = Image.new("P", (50, 50), 0)
    palette.putpalette([0, 0, 0])
    for image, value, options in (
        (clear, 255, {}),
        (half, 127, {}),
        (grey_alpha, 255, {}),
        (palette, 255, {"transparency": 0}),
        (Image.new("RGB", (50, 50), (1, 2, 3)), 255, {"transparency": (1, 2, 3)}),
    ):
        with Image.open(io.BytesIO(make.image(image, "PNG", **options))) as opened:
            assert images.to_grey(opened).getpixel((5, 5)) == value


def test_deep_and_cmyk_pictures_are_read() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(1, 256)
    deep = Image.fromarray(ramp)
    assert np.asarray(images.to_grey(deep))[0].tolist() == [value >> 8 for value in ramp[0].tolist()]
    real = Image.fromarray(np.linspace(-1, 1, 256, dtype=np.float32).reshape(1, 256))
    assert np.asarray(images.to_grey(real))[0, [0, -1]].tolist() == [0, 255]
    assert images.to_grey(Image.new("CMYK", (2, 2), (0, 0, 0, 255))).getpixel((0, 0)) == 0


def test_a_screenshot_roll_is_cut_into_pages(make: Make) -> None:
    pages = list(images.pages(make.image(make.pattern(800, 6000)), Kind.PNG, "a", FINE))
    assert len(pages) == 6  # 212 × 1588 mm on A4
    total = sum(int(bitmap.unpack(bits).sum()) for _number, bits in pages)
    ink = 1 - np.asarray(make.pattern(800, 6000)).mean()
    assert total == pytest.approx(ink * 212 * 1588 * 1728 / 215 * 7.7, rel=0.1)


def test_an_animation_is_its_first_picture(make: Make) -> None:
    first, second = Image.new("L", (60, 60), 255), Image.new("L", (60, 60), 0)
    data = make.image(first, "GIF", save_all=True, append_images=[second])
    assert bitmap.black_ratio(only(images.pages(data, Kind.GIF, "a", FINE))) == 0


@pytest.mark.parametrize("dpi", [(0, 0), (1, 1), (90_000, 90_000)])
def test_absurd_dots_per_inch_are_not_believed(make: Make, dpi: tuple[float, float]) -> None:
    data = make.image(Image.new("L", (96, 96), 0), "PNG", dpi=dpi)
    seen = bitmap.unpack(only(images.pages(data, Kind.PNG, "a", FINE)))
    assert int(seen.any(axis=1).sum()) == pytest.approx(25.4 * 7.7, abs=2)


# TIFF ---------------------------------------------------------------------------------------------------------------

CODINGS = [
    {"compression": "group4"},
    {"compression": "group3"},
    {"compression": "tiff_lzw"},
    {"compression": "packbits"},
    {"compression": None},
    {"compression": "group4", "tiffinfo": {266: 2}},
    {"compression": "group3", "tiffinfo": {292: 5}},
    {"compression": "group4", "tiffinfo": {278: 64}},
]


@pytest.mark.parametrize("options", CODINGS, ids=str)
def test_a_fax_is_kept_pixel_for_pixel(make: Make, options: dict[str, Any]) -> None:
    pattern = make.pattern(1728, 1100)
    data = make.image(pattern, "TIFF", dpi=(204, 196), **options)
    bits = only(tiff_in.pages(data, "fax.tif", FINE))
    assert (bitmap.unpack(bits) == ~np.asarray(pattern)).all()


@pytest.mark.parametrize(
    ("dpi", "target", "same"),
    [
        ((204, 98), STANDARD, lambda black: black),
        ((204, 98), FINE, lambda black: black.repeat(2, 0)),
        ((204, 196), STANDARD, lambda black: black[0::2] | black[1::2]),
        ((204, 391), FINE, lambda black: black[0::2] | black[1::2]),
        ((204, 391), SUPERFINE, lambda black: black),
        ((204, 98), SUPERFINE, lambda black: black.repeat(4, 0)),
        ((204, 391), STANDARD, lambda black: black[0::4] | black[1::4] | black[2::4] | black[3::4]),
        ((200, 200), FINE, lambda black: black),
        ((200, 100), STANDARD, lambda black: black),
        (None, STANDARD, lambda black: black),
    ],
)
def test_other_fax_resolutions_are_rescaled_by_rows(make: Make, dpi: Any, target: Target, same: Any) -> None:
    pattern = make.pattern(1728, 1000)
    data = make.image(pattern, "TIFF", compression="group4", **({"dpi": dpi} if dpi else {}))
    bits = only(tiff_in.pages(data, "fax.tif", target))
    assert (bitmap.unpack(bits) == same(~np.asarray(pattern))).all()


def test_a_narrower_fax_is_padded_on_both_sides(make: Make) -> None:
    pattern = make.pattern(1701, 500)
    bits = only(tiff_in.pages(make.image(pattern, "TIFF", compression="group4", dpi=(204, 196)), "fax.tif", FINE))
    seen = bitmap.unpack(bits)
    assert (seen[:, 13:1714] == ~np.asarray(pattern)).all()
    assert seen.sum() == (~np.asarray(pattern)).sum()


def test_a_wider_fax_is_scaled_with_its_aspect(make: Make) -> None:
    """B4: 2048 pixels at 204 dots per inch are 255 mm; the picture shrinks alike in both directions."""
    square = Image.new("1", (2048, 2000), 1)
    square.paste(0, (512, 500, 1536, 1484))  # 127.5 mm across and down
    bits = only(tiff_in.pages(make.image(square, "TIFF", compression="group4", dpi=(204, 196)), "b4.tif", FINE))
    seen = bitmap.unpack(bits)
    across = seen.any(axis=0).sum() * 215 / 1728
    down = seen.any(axis=1).sum() / 7.7
    assert across == pytest.approx(down, rel=0.01)
    assert across == pytest.approx(127.5 * 215 / 255, rel=0.01)


def test_a_tiff_of_mixed_pages_keeps_their_order(make: Make) -> None:
    pages = [make.pattern(1728, 300), Image.new("L", (850, 1100), 0), Image.new("RGB", (100, 100), (0, 0, 0))]
    data = make.image(pages[0], "TIFF", save_all=True, append_images=pages[1:], dpi=(204, 196))
    found = list(tiff_in.pages(data, "mixed.tif", FINE))
    assert [number for number, _bits in found] == [1, 2, 3]
    assert [len(bits) for _number, bits in found] == [300, 2286, 2286]


def test_a_fax_much_longer_than_the_paper_is_cut(make: Make) -> None:
    data = make.image(make.pattern(1728, 5000), "TIFF", compression="group4", dpi=(204, 196))
    assert [len(bits) for _n, bits in tiff_in.pages(data, "roll.tif", FINE)] == [2286] * 3


def test_a_tiff_that_pillow_cannot_decode_is_refused(make: Make) -> None:
    data = bytearray(make.image(make.pattern(1728, 100), "TIFF", compression="tiff_lzw", dpi=(204, 196)))
    data[8:40] = b"\xff" * 32
    with pytest.raises((DocumentRefused, OSError, ValueError)):
        list(tiff_in.pages(bytes(data[: len(data) // 2]), "bad.tif", FINE))


# What it is ---------------------------------------------------------------------------------------------------------


def test_the_content_decides_not_the_declared_kind(make: Make) -> None:
    assert len(only(convert.pages(make.pdf(A4), Kind.PNG, None, "a.png", Target(paper=Paper.LETTER)))) == 2150
    with pytest.raises(DocumentRefused) as refused:
        convert.pages(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), Kind.PDF, None, "a.pdf", FINE)
    assert refused.value.refused.reason is Reason.UNSUPPORTED
    assert "a Word document" in refused.value.refused.public


def test_modes_reach_the_halftone(make: Make) -> None:
    grey = make.image(Image.new("L", (400, 400), 120), dpi=(100, 100))
    ratios = [
        bitmap.black_ratio(only(convert.pages(grey, None, None, "a", Target(mode=mode))))
        for mode in (Mode.TEXT, Mode.AUTO)
    ]
    assert ratios[0] > 1.5 * ratios[1] > 0
