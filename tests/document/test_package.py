"""What a zip package is, and the ones that are not to be opened."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from faxgw.document import package
from faxgw.document.package import BadPackage, Fault
from faxgw.document.types import Kind
from tests.document import office_files as files


def fault(data: bytes) -> Fault:
    with pytest.raises(BadPackage) as bad:
        package.check(data)
    return bad.value.fault


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (files.docx("a"), Kind.DOCX),
        (files.xlsx([["a"]]), Kind.XLSX),
        (files.pptx("a"), Kind.PPTX),
        (files.odt("a"), Kind.ODT),
        (files.ods([["a"]]), Kind.ODS),
        (files.odp("a"), Kind.ODP),
        (files.package({"holiday.txt": "a"}), None),
        (files.package({"word/document.xml": "a"}), None),
    ],
)
def test_kinds_are_told_by_their_parts(data: bytes, kind: Kind | None) -> None:
    assert package.kind_of(data) is kind
    package.check(data)


@pytest.mark.parametrize(("data", "kind"), [(files.docx("a" * 500), Kind.DOCX), (files.odt("a" * 500), Kind.ODT)])
def test_one_that_is_cut_off_is_known_and_damaged(data: bytes, kind: Kind) -> None:
    cut = data[: len(data) // 2]
    assert package.kind_of(cut) is kind
    assert fault(cut) is Fault.DAMAGED


def test_a_bomb_is_found_by_what_it_says() -> None:
    data = bytearray(files.docx("a"))
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 0xFFFFFFF0)
    assert fault(bytes(data)) is Fault.BOMB


def test_a_bomb_is_found_by_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_UNPACKED", 1024 * 1024)
    assert fault(files.package({"[Content_Types].xml": "", "a": bytes(2_000_000)})) is Fault.BOMB


def test_too_many_parts_are_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_PARTS", 3)
    assert fault(files.docx("a")) is Fault.BOMB


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_found(encoding: str) -> None:
    laughs = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    assert fault(files.package({"[Content_Types].xml": "", "word/document.xml": laughs.encode(encoding)})) is (
        Fault.ENTITIES
    )


def test_a_damaged_part_is_found() -> None:
    data = bytearray(files.package({"[Content_Types].xml": "x" * 100}, stored="[Content_Types].xml"))
    data[60] ^= 0xFF
    assert fault(bytes(data)) is Fault.DAMAGED


def test_an_encrypted_part_is_named() -> None:
    data = bytearray(files.docx("a"))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        assert archive.infolist()[-1].flag_bits & 1
    assert fault(bytes(data)) is Fault.ENCRYPTED
