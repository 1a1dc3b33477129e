"""Templates of every format."""

from __future__ import annotations

import pytest

from faxgw.formats import covers
from faxgw.formats.cover_template import TemplateRefused


def test_html_is_filled_as_utf_8() -> None:
    template = covers.read("html", "<p>${ToName} é ${Case!}</p>".encode())
    assert template.required() == {"ToName"}
    assert template.fill({"ToName": "Hélène & Co"}) == "<p>Hélène &amp; Co é </p>".encode()


@pytest.mark.parametrize("content", ["é ${a}".encode("windows-1252"), "\ufeffé ${a}".encode()])
def test_html_of_an_old_editor_is_read(content: bytes) -> None:
    assert covers.read("html", content).fill({"a": "x"}) == "é x".encode()


def test_a_wrong_template_and_an_unknown_format_are_refused_with_the_reason() -> None:
    with pytest.raises(TemplateRefused, match="line 2"):
        covers.read("html", b"<p>\n<#macro x>")
    with pytest.raises(TemplateRefused) as refused:
        covers.read("pdf", b"%PDF")
    assert "html" in refused.value.public


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.html", "html"), ("a.ftl.html", "html"), ("A.HTM", "html"), ("letter", "html"), ("x.y", "html")],
)
def test_a_files_name_tells_its_format(name: str, form: str) -> None:
    assert covers.format_of(name) == form
    assert all(covers.format_of(f"a.{each}") == each for each in covers.READERS)


@pytest.mark.parametrize(
    ("content", "form"), [(b"PK\x03\x04...", "docx"), (b"\r\n{\\rtf1 x}", "rtf"), (b"<p>", "html"), (b"${a}", "html")]
)
def test_a_templates_content_tells_its_format(content: bytes, form: str) -> None:
    assert covers.format_by_content(content) == form


@pytest.mark.parametrize(
    ("content", "what"), [(b"%PDF-1.7", "PDF"), (b"\xd0\xcf\x11\xe0...", "DOCX"), (b"\x89PNG", "picture")]
)
def test_what_no_cover_is_made_of_is_refused(content: bytes, what: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        covers.format_by_content(content)
    assert what in refused.value.public


def test_word_and_rtf_are_read() -> None:
    assert covers.read("rtf", b"{\\rtf1 $\\{a\\}}").required() == {"a"}
    with pytest.raises(TemplateRefused, match="Word"):
        covers.read("docx", b"PK\x03\x04")
