"""The picture: well-formed, self-contained, escaped, bounded."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from faxgw.formats.ladder import Ladder, read
from faxgw.formats.ladder_svg import svg
from tests.formats.test_ladder import GOOD, long_call, rows

NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(ladder: Ladder, title: str = "call", verdict: str = "sent", far: str = "far end") -> ElementTree.Element:
    return ElementTree.fromstring(svg(ladder, title, verdict, far))


def words(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{NAMESPACE}text")]


def bars(picture: ElementTree.Element, kind: str) -> int:
    return sum(element.get("class") == kind for element in picture.iter(f"{NAMESPACE}rect"))


def test_the_picture_says_what_the_ladder_says() -> None:
    found = words(drawn(read(rows(GOOD)), "call att_1", "All pages were delivered."))
    for expected in ("call att_1", "All pages were delivered.", "INVITE", "DIS", "PPS-MPS", "5.0 s", "12.00",
                     "\u2192  page 1, 10.0 s  \u2192", "this gateway", "far end"):  # fmt: skip
        assert expected in found


def test_pages_are_coloured_by_what_became_of_them() -> None:
    """Each page twice, in the overview and in the ladder, and once in the legend for each colour."""
    picture = drawn(read(rows(GOOD)))
    assert (bars(picture, "good"), bars(picture, "bad"), bars(picture, "lost")) == (5, 0, 0)
    refused = drawn(read(rows("7.0 > DCS x\n10.0 < CFR x\n12.0 > EOP x\n13.0 < RTN x\n14.0 > DCN x")))
    assert (bars(refused, "good"), bars(refused, "bad")) == (0, 3)
    silent = drawn(read(rows("7.0 > DCS x\n10.0 < CFR x\n12.0 > EOP x\n33.0 > DCN x")))
    assert bars(silent, "lost") == 3


def test_what_far_ends_say_is_text_and_nothing_else() -> None:
    evil = '"><script>alert(1)</script><!-- & \x00\x1b\ud800 ]]>'
    ladder = read([[0.0, "<", "ff1340", f"CSI {evil}"], [1.0, "<", "", f"{evil}, {evil}"], [2.0, "=", "", evil]])
    text = svg(ladder, evil, evil, evil)
    picture = ElementTree.fromstring(text)
    kinds = {element.tag.removeprefix(NAMESPACE) for element in picture.iter()}
    assert kinds <= {"svg", "style", "rect", "text", "line", "polygon", "title"}
    assert any("<script>" in shown for shown in words(picture))
    text.encode()


def test_nothing_is_fetched_from_anywhere() -> None:
    text = svg(read(rows(GOOD)), "t", "v")
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|href|<image|on\w+=", text)
    assert "prefers-color-scheme: dark" in text


def test_a_long_call_makes_no_endless_picture() -> None:
    picture = drawn(long_call(500, refused=77))
    assert float(picture.get("height", "0")) < 3000
    assert "77" in words(picture) or any("page 77" in shown for shown in words(picture))
    assert any(shown.startswith("pages 4 to ") for shown in words(picture))


def test_everything_lies_within_the_picture() -> None:
    picture = drawn(long_call(30))
    height, width = float(picture.get("height", "0")), float(picture.get("width", "0"))
    for element in picture.iter(f"{NAMESPACE}text"):
        assert 0 <= float(element.get("y", "-1")) <= height
        assert 0 <= float(element.get("x", "-1")) <= width
    for element in picture.iter(f"{NAMESPACE}rect"):
        assert float(element.get("x", "0")) + float(element.get("width", "0")) <= width + 0.01


def test_a_call_without_a_trace_is_a_picture_too() -> None:
    assert "call" in words(drawn(read(None)))
