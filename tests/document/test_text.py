"""Text pages, what a document is, and the header's drawing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from faxgw.document import bitmap, fonts, header, refusal, sniff, text
from faxgw.document.fit import Target
from faxgw.document.types import Kind, Paper, Reason, Resolution
from faxgw.fax.header import HeaderLine

Make = Any  # conftest's class; tests import nothing from one another
FINE = Target()


def test_lines_are_broken_at_spaces_within_80_columns() -> None:
    words = "word " * 40
    broken = list(text.lines(words))
    assert all(len(line) <= 80 for line in broken)
    assert " ".join(broken).split() == words.split()
    assert list(text.lines("x" * 170)) == ["x" * 80, "x" * 80, "x" * 10]
    assert list(text.lines("a\tb\r\nc\rd\u2028e")) == ["a       b", "c", "d", "e"]
    assert list(text.lines("日" * 50)) == ["日" * 40, "日" * 10]
    assert list(text.lines("a\fb")) == ["a", "\f", "b"]
    assert list(text.lines("indented\n    more")) == ["indented", "    more"]


def test_controls_and_directions_are_left_out() -> None:
    """P-14: what is printed is what the octets say."""
    assert list(text.lines("a\u202eb\x07c\u200bd\x1be\u2066f")) == ["abcdef"]
    (line,) = text.lines("Z" + "\u0335" * 5000)
    assert len(line) <= 1 + text.MAX_MARKS


def test_long_texts_fill_pages_and_form_feeds_begin_them() -> None:
    assert len(list(text.set_text("line\n" * 200, "a", FINE))) == 4
    assert len(list(text.set_text("one\ftwo\f\fthree", "a", FINE))) == 4
    assert len(list(text.set_text("line\n" * 62, "a", FINE))) == 1
    assert len(list(text.set_text("line\n" * 63, "a", FINE))) == 2


HEBREW = "שלום עולם 123"
CHINESE = "你好，世界"


def _columns(said: str) -> np.ndarray[Any, Any]:
    """Columns with ink of a text's only page."""
    ((_number, bits),) = text.set_text(said, "a", FINE)
    return np.flatnonzero(bitmap.unpack(bits).any(axis=0))


def test_a_text_from_right_to_left_begins_at_the_right() -> None:
    assert _columns(HEBREW)[0] > 1728 / 2 > _columns("word " + HEBREW)[-1]
    assert _columns("مرحبا بالعالم")[0] > 1728 / 2


def test_letters_are_shaped() -> None:
    """Joined Arabic letters are narrower than the same letters kept apart."""
    joined, apart = (np.ptp(_columns(said)) for said in ("ببببببببب", "\u200c".join("ببببببببب")))
    assert joined < 0.8 * apart


def test_other_writings_are_printed_and_begin_pages_with_form_feeds() -> None:
    for said in (CHINESE, "日本語のテキスト", "한국어", "สวัสดี", "नमस्ते"):
        assert len(_columns(said)) > 50, said
    assert len(list(text.set_text("\n".join([CHINESE] * 200) + "\f" + HEBREW, "a", FINE))) == 5


def test_a_text_that_no_font_has_is_refused_by_its_letters() -> None:
    with pytest.raises(refusal.DocumentRefused, match=r"“a.txt” has letters .* “ༀ” [(]tibetan syllable om[)]"):
        next(text.set_text("om: ༀ", "a.txt", FINE))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # from a callback: comes again
def test_a_text_too_long_for_its_writing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_SHAPED_CPU", 1)
    with pytest.raises(refusal.DocumentRefused) as refused:
        list(text.set_text("שלום\n" * 59_000, "a.txt", FINE))
    assert refused.value.refused.reason is Reason.TOO_LARGE and "a.txt" in str(refused.value)


@pytest.mark.parametrize("paper", list(Paper))
def test_text_keeps_its_margins(paper: Paper) -> None:
    for resolution in Resolution:
        target = Target(resolution, paper)
        pages = [bits for _number, bits in text.set_text(("M" * 80 + "\n") * 200, "a", target)]
        assert all(len(bits) == target.rows for bits in pages)
        seen = bitmap.unpack(pages[0])
        columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
        assert columns[0] > 160 and columns[-1] < 1728 - 160
        scale = 1 if resolution is Resolution.FINE else 2
        assert rows[0] * scale > 100 and rows[-1] * scale < target.rows * scale - 100


def test_every_character_is_drawn_in_its_own_column() -> None:
    (_number, narrow), (_n, wide) = (next(text.set_text(line, "a", FINE)) for line in ("i" * 10 + "M", "M" * 11))
    difference = bitmap.unpack(narrow) ^ bitmap.unpack(wide)
    left = (1728 - 80 * 17) // 2
    assert not difference[:, left + 10 * 17 :].any()
    assert difference[:, left : left + 10 * 17].any()


@pytest.mark.parametrize(
    ("data", "declared", "kind"),
    [
        (b"%PDF-1.7", "", Kind.PDF),
        (b"junk\n%PDF-1.7", "image/png", Kind.PDF),
        (b"II*\0aaaa", "", Kind.TIFF),
        (b"MM\0*aaaa", "", Kind.TIFF),
        (b"\xff\xd8\xff\xe1", "", Kind.JPEG),
        (b"\x89PNG\r\n\x1a\n", "", Kind.PNG),
        (b"GIF89a", "", Kind.GIF),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", Kind.WEBP),
        (b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "", Kind.BMP),
        (b"%!PS-Adobe", "text/plain", Kind.POSTSCRIPT),
        (b"\x04%!PS-Adobe", "", Kind.POSTSCRIPT),
        (b"\x1b%-12345X@PJL ENTER LANGUAGE=POSTSCRIPT\n%!PS", "", Kind.POSTSCRIPT),
        (b"\x1bE\x1b&l1X", "", Kind.PCL),
        (b") HP-PCL XL;2;0", "", Kind.PCL),
        (b"  <!DOCTYPE html><p>", "", Kind.HTML),
        (b"<p>hello", "text/html", Kind.HTML),
        (b"hello", "application/octet-stream", Kind.TEXT),
        ("Grüße".encode("cp1252") * 3 + b" and more text", "", Kind.TEXT),
        (b"a,b\n1,2\n", "text/csv", Kind.TEXT),
        (b"\xff\xfea\0b\0", "", Kind.TEXT),
        ("Grüße an alle".encode("utf-16-be"), "", Kind.TEXT),
        ("שלום עולם".encode("utf-16-le"), "", Kind.TEXT),
        (b"<?xml version='1.0'?><a/>", "text/xml", Kind.TEXT),
    ],
)
def test_documents_are_known_by_their_content(data: bytes, declared: str, kind: Kind) -> None:
    assert sniff.kind_of(data, declared) == kind


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"BMW is a company", None),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"PK\x03\x04" + b"\0" * 26 + b"holiday.txt", "a ZIP archive"),
        (b"\x00\x01\x02", "of an unknown kind"),
    ],
)
def test_other_documents_are_named(data: bytes, said: str | None) -> None:
    found = sniff.kind_of(data, "text/plain" if said is None else "")
    assert found == (Kind.TEXT if said is None else sniff.Unknown(said))


LINE = HeaderLine("21.11.2026 20:10", "middle", "01/12")
STANDARD_ROWS, SUPERFINE_ROWS = Resolution.STANDARD, Resolution.SUPERFINE


def extents(bits: bitmap.Bits) -> tuple[int, int]:
    columns = np.flatnonzero(bitmap.unpack(bits).any(axis=0))
    return int(columns[0]), int(columns[-1])


@pytest.mark.parametrize("resolution", list(Resolution))
def test_a_header_takes_the_place_of_blank_rows(resolution: Resolution) -> None:
    rows = 16 * resolution.multiple
    page = bitmap.white(1000)
    page[rows:] = 0xFF
    stamped = header.stamp(page, [LINE], "", resolution)
    assert len(stamped) == 1000
    assert stamped[:rows].any() and (stamped[rows:] == page[rows:]).all()


def test_a_header_is_the_same_at_every_resolution_but_for_the_fineness_of_its_strokes() -> None:
    line = HeaderLine("21.11.2026 20:10 +0100  +33 1 40 00 00 00", "To: +33 1 99 00 12 34", "Page 01/12")
    fine = header.band([line], "POSSIBLE DUPLICATE")
    standard, superfine = (header.band([line], "POSSIBLE DUPLICATE", r) for r in (STANDARD_ROWS, SUPERFINE_ROWS))
    assert (len(standard), len(fine), len(superfine)) == (40, 80, 160)
    assert not (superfine == bitmap.double_rows(fine)).all(), "drawn anew"
    assert not (standard == bitmap.halve_rows(fine)).all(), "drawn anew"
    for other in (standard, superfine):
        near = [abs(a - b) for a, b in zip(extents(fine), extents(other), strict=True)]
        assert max(near) <= 2
        assert bitmap.black_ratio(other) == pytest.approx(bitmap.black_ratio(fine), rel=0.25)


def test_at_standard_a_dot_stands_apart_and_no_stroke_is_lost() -> None:
    """A column through the stem of an i: dot, gap, stem. A hyphen, an underscore and a T keep their bars."""
    seen = bitmap.unpack(header.band([HeaderLine("i")], "", STANDARD_ROWS))
    columns = seen[:, seen.any(axis=0)]
    stem = columns[:, columns.shape[1] // 2]
    assert np.count_nonzero(np.diff(stem.astype(int)) == 1) == 2
    for size in range(1, 4):
        for character in "-_T+=é":
            line = HeaderLine(character + " " * 60 * size + "W" * 20 * size)
            left = bitmap.unpack(header.band([line], "", STANDARD_ROWS))[:, :90]
            assert left.any(), character


@pytest.mark.parametrize("resolution", list(Resolution))
def test_a_header_is_put_above_where_rows_are_not_blank(resolution: Resolution) -> None:
    rows = 16 * resolution.multiple
    page = bitmap.white(1000)
    page[rows - 1, 100] = 1
    stamped = header.stamp(page, [LINE], "", resolution)
    assert len(stamped) == 1000 + rows
    assert (stamped[rows:] == page).all()


def test_parts_stand_left_in_the_middle_and_right() -> None:
    assert extents(header.band([HeaderLine(left="HHH")], ""))[0] in range(48, 56)
    assert extents(header.band([HeaderLine(right="HHH")], ""))[1] in range(1728 - 56, 1728 - 47)
    left, right = extents(header.band([HeaderLine(centre="HHH")], ""))
    assert abs((left + right) / 2 - 864) < 4


def test_two_lines_and_a_mark_stand_below_one_another() -> None:
    one, two = header.band([LINE], ""), header.band([LINE, LINE], "")
    assert (two[:32] == one).all() and (two[32:] == one).all()
    marked = header.band([LINE], "POSSIBLE DUPLICATE")
    assert len(marked) == 80 and (marked[:32] == one).all() and marked[32:].any()
    assert len(header.band([], "")) == 0


def test_a_line_too_long_is_made_smaller_then_cut_but_keeps_its_right_part() -> None:
    band = header.band([HeaderLine("W" * 500, "", "01/12")], "")
    assert extents(band)[1] <= 1728 - 47
    small = fonts.load(fonts.PROPORTIONAL, 20)
    width = header._width("01/12", small)
    canvas = fonts.Canvas(1728, 32)
    canvas.write(1728 - 48 - width, (32 - sum(small.getmetrics())) // 2, "01/12", small)
    tail = slice((1728 - 48 - width) // 8 + 1, None)
    assert (band[:, tail] == canvas.bits()[:, tail]).all()
    assert canvas.bits()[:, tail].any()


def test_the_band_keeps_clear_of_the_bodys_first_row() -> None:
    """Descenders and accents stay within the line's 32 rows, so nothing is cut."""
    seen = bitmap.unpack(header.band([HeaderLine("ÀÉÂgjpqy|()")], ""))
    assert not seen[0].any() and not seen[-1].any()
