"""CSV in the vendor's two column orders (interfaces section 4.5)."""

from __future__ import annotations

import pytest

from faxgw.fax.errors import Refused
from faxgw.formats import directory_csv
from faxgw.formats.directory_csv import INBOUND, OUTBOUND, Direction, read_directory

SAMPLE = '"block-a","anna@example.org","+331000000","12","default","CC10","PDF","ACME","fr","true",""'


def test_the_documented_orders() -> None:
    assert (len(OUTBOUND), len(INBOUND)) == (25, 11)
    assert (OUTBOUND[0], OUTBOUND[20], OUTBOUND[24]) == ("e-mail", "profile-name", "timezone")


def test_the_documented_sample_is_read() -> None:
    (entry,) = read_directory(SAMPLE.encode(), Direction.INBOUND)
    assert (entry.line, entry["recipients"], entry["extension"], entry["comment"]) == (1, "anna@example.org", "12", "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_what_spreadsheets_write_is_read(encoding: str, delimiter: str, quote: str) -> None:
    head = delimiter.join(INBOUND)
    row = delimiter.join(f"{quote} {name} ü {quote}" for name in INBOUND)
    (entry,) = read_directory(f"{head}\r\n\r\n{row}\r\n".encode(encoding), Direction.INBOUND)
    assert (entry.line, entry["fax-id"]) == (3, "fax-id ü")


def test_a_field_may_have_the_delimiter_and_line_ends() -> None:
    (entry,) = read_directory(SAMPLE.replace("ACME", "A;,\nB").encode(), Direction.INBOUND)
    assert entry["fax-id"] == "A;,\nB"


@pytest.mark.parametrize(
    "octets, words",
    [
        (b"a,b,c", "do not have 11 columns: 1"),
        (SAMPLE.encode() + b"\na,b", "do not have 11 columns: 2"),
        (b'"open', "not closed"),
        (b"\0", "no text"),
        (SAMPLE.replace("ACME", "x" * 5000).encode(), "more than 4000 characters"),
    ],
)
def test_what_is_none_is_refused(octets: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        read_directory(octets, Direction.INBOUND)


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_csv, "MAX_ROWS", 2)
    with pytest.raises(Refused, match="more than 2"):
        read_directory("\n".join([SAMPLE] * 3).encode(), Direction.INBOUND)
    monkeypatch.setattr(directory_csv, "MAX_OCTETS", 10)
    with pytest.raises(Refused, match="larger"):
        read_directory(SAMPLE.encode(), Direction.INBOUND)


def test_an_empty_file_has_no_entries() -> None:
    assert read_directory(b"\n\n", Direction.OUTBOUND) == []
