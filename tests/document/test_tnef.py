"""Outlook's container, made by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.document import tnef
from faxgw.document.limits import MAX_DOCUMENTS


def attribute(identity: int, data: bytes, level: int = 2) -> bytes:
    """[MS-OXTNEF] section 2.1.3.1."""
    return struct.pack("<BII", level, identity, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def mapi(kind: int, identity: int, *values: bytes, name: bytes = b"") -> bytes:
    """One property of section 2.1.3.4; strings and octets are counted and padded."""
    head = struct.pack("<HH", kind, identity) + name
    if kind & 0x1000 or kind & 0xFFF in (0x0D, 0x1E, 0x1F, 0x102):
        head += struct.pack("<I", len(values))
    if kind & 0xFFF in (0x0D, 0x1E, 0x1F, 0x102):
        return head + b"".join(struct.pack("<I", len(v)) + v + b"\0" * (-len(v) % 4) for v in values)
    return head + b"".join(values)


def attachment(name: str, data: bytes, method: int = 1, hidden: bool = False, title: str = "") -> bytes:
    """The attributes of one attachment, as Outlook orders them."""
    properties = [
        mapi(0x40, 0x3007, bytes(8)),
        mapi(0x1F, 0x3707, (name + "\0").encode("utf-16-le")),
        mapi(0x03, 0x3705, struct.pack("<I", method)),
        mapi(0x0B, 0x7FFE, struct.pack("<I", hidden)),
        mapi(0x03, 0x8001, bytes(4), name=bytes(16) + struct.pack("<II", 0, 7)),
        mapi(
            0x101E,
            0x8002,
            b"a\0",
            b"bcd\0",
            name=bytes(16) + struct.pack("<II", 1, 6) + "abc".encode("utf-16-le") + b"\0\0",
        ),
        mapi(0x1E, 0x3712, b"one@x\0"),
    ]
    return (
        attribute(0x00069002, bytes(14))
        + attribute(0x00018010, (title or name).encode("cp1252", "replace") + b"\0")
        + (attribute(0x0006800F, data) if data else b"")
        + attribute(0x00069005, struct.pack("<I", len(properties)) + b"".join(properties))
    )


def container(*attachments: bytes, more: bytes = b"") -> bytes:
    """A container with what Outlook writes before the attachments."""
    head = attribute(0x00089006, struct.pack("<I", 0x10000), 1) + attribute(0x00069007, struct.pack("<II", 1252, 0), 1)
    return tnef.MAGIC + b"\x01\0" + head + attribute(0x00069003, bytes(4), 1) + b"".join(attachments) + more


def test_attachments_are_read_with_their_long_names() -> None:
    first, second = tnef.attachments(
        container(attachment("Angebot für Köln.pdf", b"%PDF", title="ANGEBO~1.PDF"), attachment("a.txt", b"x" * 1001))
    )
    assert (first.name, first.data, first.what, first.is_hidden) == ("Angebot für Köln.pdf", b"%PDF", "", False)
    assert (second.name, second.data, second.content_id) == ("a.txt", b"x" * 1001, "one@x")


def test_a_name_in_the_containers_code_page_is_read() -> None:
    bare = attribute(0x00069002, bytes(14)) + attribute(0x00018010, "Größe.txt".encode("cp1252") + b"\0")
    (found,) = tnef.attachments(container(bare + attribute(0x0006800F, b"x")))
    assert found.name == "Größe.txt"


def test_names_are_no_paths() -> None:
    (found,) = tnef.attachments(container(attachment("..\\..\\etc/passwd", b"x")))
    assert found.name == "passwd"


def test_octets_may_be_a_property() -> None:
    data = mapi(0x102, 0x3701, b"octets")
    (found,) = tnef.attachments(
        container(attribute(0x00069002, bytes(14)) + attribute(0x00069005, struct.pack("<I", 1) + data))
    )
    assert found.data == b"octets"


@pytest.mark.parametrize(("method", "said"), [(1, ""), (5, "message"), (6, "object")])
def test_what_is_no_file_is_said(method: int, said: str) -> None:
    (found,) = tnef.attachments(container(attachment("a", b"", method=method)))
    assert said in found.what and bool(found.what) is bool(said)


def test_something_behind_the_last_attribute_is_passed_over() -> None:
    assert tnef.attachments(container(more=b"\r\n")) == []
    assert tnef.attachments(container(more=b"garbage that is long enough")) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 100,
        container(attachment("a", b"x" * 100))[:-150],
        container(*[attribute(0x00069002, b"")] * (MAX_DOCUMENTS + 2)),
        container(*[attribute(0x00060001, b"")] * (tnef.MAX_ATTRIBUTES + 1)),
        container(attribute(0x00069005, struct.pack("<I", 10**9))),
        container(attribute(0x00069005, struct.pack("<IHHI", 1, 0x1003, 1, 10**9))),
        container(attribute(0x00069005, struct.pack("<IHH", 1, 0x77, 1))),
        container(attribute(0x00069005, struct.pack("<IHHII", 1, 0x1E, 0x3707, 1, 2**32 - 1))),
    ],
)
def test_damage_and_bombs_are_refused(data: bytes) -> None:
    with pytest.raises(tnef.BadTnef):
        tnef.attachments(data)


@given(st.lists(st.sampled_from([attachment("a", b"x"), bytes(9), b"\x02", tnef.MAGIC]) | st.binary(max_size=40)))
def test_any_octets_are_read_or_refused(pieces: list[bytes]) -> None:
    try:
        found = tnef.attachments(tnef.MAGIC + b"\0\0" + b"".join(pieces))
    except tnef.BadTnef:
        return
    assert all(isinstance(each.data, bytes) for each in found)
