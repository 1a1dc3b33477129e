"""What PDF/A asks for beside the pages: metadata that are XML whatever the title, an output intent, sizes in bounds."""

from __future__ import annotations

import io
import struct
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from PIL import ImageCms

from faxgw.document.pdf_archive import MAX_POINTS, MIN_POINTS, OBJECTS, catalogue, clamped, objects, profile

CREATED = datetime(2026, 11, 22, 8, 0, 1, 999, tzinfo=UTC)
DC = "{http://purl.org/dc/elements/1.1/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
XMP = "{http://ns.adobe.com/xap/1.0/}"


def metadata(title: str) -> ElementTree.Element:
    stream = objects(title, CREATED)[0]
    head, _, rest = stream.partition(b"stream\n")
    body = rest.removesuffix(b"\nendstream")
    assert b"/Length %d " % len(body) in head
    return ElementTree.fromstring(body)


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("Fax 1", "Fax 1"),
        ("<&\"'>", "<&\"'>"),
        ("Zürich – 日本", "Zürich – 日本"),
        ("a\x00b\x1bc\ud800d\ufffee", "abcde"),
        ("]]> <?xpacket end?>", "]]> <?xpacket end?>"),
    ],
    ids=["plain", "marks of XML", "other letters", "no characters of XML", "its own end"],
)
def test_any_title_is_metadata_that_can_be_read(title: str, told: str) -> None:
    """A caller's name comes from the line and stands in it."""
    assert metadata(title).findtext(f".//{DC}title/{RDF}Alt/{RDF}li") == told


def test_the_dates_are_without_fractions_as_the_documents_own() -> None:
    """ISO 19005-2 section 6.6.2.3.1: they must agree."""
    found = metadata("x")
    for name in ("CreateDate", "ModifyDate"):
        assert found.findtext(f".//{XMP}{name}") == "2026-11-22T08:00:01+00:00"


def test_part_and_conformance_are_two_and_b() -> None:
    found = metadata("x")
    space = "{http://www.aiim.org/pdfa/ns/id/}"
    assert (found.findtext(f".//{space}part"), found.findtext(f".//{space}conformance")) == ("2", "B")


def test_the_catalogue_names_the_objects_in_their_order() -> None:
    assert len(objects("x", CREATED)) == OBJECTS
    assert b"/Metadata 17 0 R" in catalogue(17) and b"/DestOutputProfile 18 0 R" in catalogue(17)


def test_the_profile_is_one_that_a_colour_engine_takes() -> None:
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile()))
    assert opened.profile.xcolor_space.strip() == "GRAY" and opened.profile.version == 2.1
    assert struct.unpack_from(">I", profile())[0] == len(profile())


@pytest.mark.parametrize(
    ("points", "allowed"),
    [
        ((595.0, 842.0), (595.0, 842.0)),
        ((595.0, 20_000.0), (595.0, MAX_POINTS)),
        ((1.0, 842.0), (MIN_POINTS, 842.0)),
    ],
)
def test_a_page_is_as_large_as_it_may_be(points: tuple[float, float], allowed: tuple[float, float]) -> None:
    """Section 6.1.13."""
    assert clamped(points) == allowed
