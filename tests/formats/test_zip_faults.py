"""Damaged, hostile and unsupported archives: whatever `zipfile` says of them is among ZIP_FAULTS."""

from __future__ import annotations

import io
import random
import struct
import zipfile

import pytest

from faxgw.document import package
from faxgw.formats import cover_docx, mail_template
from faxgw.formats.cover_template import TemplateRefused
from faxgw.formats.zip_faults import ZIP_FAULTS, archive_of, is_encrypted

CODINGS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def packed(coding: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", coding) as archive:
        archive.writestr("word/document.xml", "<a>" + "word " * 80 + "</a>")
        with archive.open("mail.toml", "w", force_zip64=True) as part:
            part.write(b'name = "A"\n' * 9)
    return out.getvalue()


def with_password() -> bytes:
    """Both headers say that the part is encrypted; its octets are not, which nobody reaches."""
    octets = bytearray(packed(zipfile.ZIP_STORED))
    octets[6] |= 1
    octets[octets.index(b"PK\x01\x02") + 8] |= 1
    return bytes(octets)


def far_away() -> bytes:
    """A directory that says where its part stands in 64 bits (APPNOTE section 4.5.3): beyond every file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", "x")
    octets = bytearray(out.getvalue())
    entry, end = octets.index(b"PK\x01\x02"), octets.index(b"PK\x05\x06")
    extra = struct.pack("<HHQ", 1, 8, 2**64 - 1)
    struct.pack_into("<H", octets, entry + 30, len(extra))
    struct.pack_into("<L", octets, entry + 42, 0xFFFFFFFF)
    struct.pack_into("<L", octets, end + 12, struct.unpack_from("<L", octets, end + 12)[0] + len(extra))
    octets[end:end] = extra
    return bytes(octets)


def read_all(octets: bytes) -> None:
    with archive_of(octets) as archive:
        for part in archive.infolist():
            with archive.open(part) as stream:
                stream.read(100_000)


@pytest.mark.parametrize("coding", ["stored", "deflated"])
def test_what_office_programs_write_is_read(coding: str) -> None:
    read_all(packed(CODINGS[coding]))


@pytest.mark.parametrize("coding", ["bzip2", "lzma"])
def test_other_codings_are_refused_before_a_part_is_opened(coding: str) -> None:
    """A part in LZMA may ask for a dictionary of 4 GB before its first octet is there."""
    with pytest.raises(zipfile.BadZipFile, match="neither stored nor deflated"):
        archive_of(packed(CODINGS[coding]))


def test_a_part_with_a_password_is_told_from_one_without() -> None:
    with archive_of(with_password()) as archive:
        assert [is_encrypted(part) for part in archive.infolist()] == [True, False]
    with pytest.raises(RuntimeError):
        read_all(with_password())


def newer_version() -> bytes:
    octets = bytearray(packed(zipfile.ZIP_STORED))
    octets[octets.index(b"PK\x01\x02") + 6] = 99
    return bytes(octets)


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"", zipfile.BadZipFile),
        (b"PK\x05\x06" + bytes(17), zipfile.BadZipFile),
        (newer_version(), NotImplementedError),
        (far_away(), OverflowError),
    ],
    ids=["empty", "cut off", "a later version", "a part beyond every file"],
)
def test_each_kind_of_damage_is_a_fault_of_the_archive(octets: bytes, fault: type[Exception]) -> None:
    with pytest.raises(fault) as raised:
        read_all(octets)
    assert isinstance(raised.value, ZIP_FAULTS)


@pytest.mark.parametrize("octets", [far_away(), newer_version(), packed(zipfile.ZIP_LZMA)], ids=["far", "new", "lzma"])
def test_all_three_readers_refuse_it_in_their_own_words(octets: bytes) -> None:
    with pytest.raises(package.BadPackage) as bad:
        package.check(octets)
    assert bad.value.fault is package.Fault.DAMAGED
    with pytest.raises(TemplateRefused) as word:
        cover_docx.parse(octets)
    assert "no Word document" in word.value.public
    with pytest.raises(TemplateRefused) as mail:
        mail_template.read(octets)
    assert mail.value.public == "The package cannot be unpacked."


@pytest.mark.parametrize("coding", list(CODINGS))
def test_any_damage_is_one_of_the_faults(coding: str) -> None:
    """Two thousand archives with a few octets changed, lost or set to their highest value."""
    chance, whole = random.Random(11), packed(CODINGS[coding])
    faults = set()
    for _ in range(2000):
        octets = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 4))):
            at, width = chance.randrange(len(octets)), chance.choice((1, 2, 4, 8))
            octets[at : at + width] = chance.choice((b"\xff" * width, bytes(width), b"", chance.randbytes(width)))
        try:
            read_all(bytes(octets))
        except ZIP_FAULTS as exc:
            faults.add(type(exc))
    assert zipfile.BadZipFile in faults
