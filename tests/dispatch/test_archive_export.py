"""The archive as a ZIP file: streamed, hashed, each fax in it a record of the audit (features H1)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
from sqlalchemy import update

from faxgw.dispatch import archive_export
from faxgw.dispatch.archive_export import COLUMNS, ArchiveExport, _cell
from faxgw.fax.outcome import Cause, Outcome
from faxgw.store import audit
from faxgw.store import schema as t
from faxgw.store.archive_book import Wanted
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def exported(house: House, wanted: Wanted | None = None) -> zipfile.ZipFile:
    stream = ArchiveExport(house.seat()).stream(wanted or Wanted(), "op", "cli")
    return zipfile.ZipFile(io.BytesIO(b"".join([piece async for piece in stream])))


async def sent(house: House, number: str = "+33199000001", pages: bytes = b"II*\0 pages as sent") -> str:
    """A fax whose call is over, with the file of that call."""
    fax = await house.ready_fax(number)
    attempt = await house.call(fax, Outcome(Cause.OK, connected=True, exposed=True), confirmed=2)
    kept = await house.keep(pages)
    values = {"tiff_key": kept.key, "tiff_sha256": kept.sha256, "tiff_size": kept.size}
    await house.change(update(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt).values(**values))
    return fax


def lines(file: zipfile.ZipFile) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read("metadata.jsonl").splitlines()]


async def test_an_empty_archive_is_a_whole_file(house: House) -> None:
    file = await exported(house)
    assert file.testzip() is None
    assert sorted(file.namelist()) == ["SHA256SUMS", "metadata.csv", "metadata.jsonl"]
    assert file.read("metadata.csv").decode() == ",".join(COLUMNS) + "\r\n"


async def test_every_fax_is_in_it_however_many_pages_of_rows_that_takes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_export, "PAGE", 2)
    faxes = []
    for n in range(5):
        faxes.append(await house.ready_fax(f"+3319900000{n}"))
        house.clock.now += 1
    file = await exported(house)
    assert [facts["id"] for facts in lines(file)] == faxes
    records = [record for record in await house.ask(audit.listed) if record.what == "document.exported"]
    assert {record.entity for record in records} == set(faxes)
    assert {(record.who, record.way) for record in records} == {("op", "cli")}


async def test_documents_are_the_stored_octets_and_their_hashes_are_listed(house: House) -> None:
    fax = await sent(house)
    file = await exported(house)
    (facts,) = lines(file)
    assert (facts["documents"], facts["missing"]) == ([f"{fax}.tif"], [])
    assert file.read(f"documents/{fax}.tif") == b"II*\0 pages as sent"
    sums = {name: digest for digest, name in map(str.split, file.read("SHA256SUMS").decode().splitlines())}
    assert set(sums) == set(file.namelist()) - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256(file.read(name)).hexdigest() == digest


async def test_a_document_larger_than_a_piece_comes_in_pieces(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_export, "CHUNK", 16)
    body = bytes(range(256)) * 3
    fax = await sent(house, pages=body)
    pieces = [piece async for piece in ArchiveExport(house.seat()).stream(Wanted(), "op", "cli")]
    assert max(map(len, pieces)) < len(body)
    file = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert file.read(f"documents/{fax}.tif") == body


async def test_a_document_that_is_damaged_is_named_and_the_others_are_exported(house: House) -> None:
    broken, whole = await sent(house, "+33199000001"), await sent(house, "+33199000002")
    await house.change(
        update(t.attempt_faxes).where(t.attempt_faxes.c.fax == broken).values(tiff_key="objects/00/gone.n1.1")
    )
    file = await exported(house)
    found = {facts["id"]: facts for facts in lines(file)}
    assert (found[broken]["documents"], found[broken]["missing"]) == ([], [f"{broken}.tif"])
    assert (found[whole]["documents"], found[whole]["missing"]) == ([f"{whole}.tif"], [])


async def test_what_was_asked_for_is_exported_and_nothing_else(house: House) -> None:
    await house.ready_fax("+33199000001")
    others = await house.ready_fax("+33199000002", customer="beta")
    assert [facts["id"] for facts in lines(await exported(house, Wanted(customer="beta")))] == [others]


async def test_the_table_has_the_same_lines_with_times_for_people(house: House) -> None:
    fax = await house.ready_fax("+33199000001")
    file = await exported(house)
    (row,) = csv.DictReader(io.StringIO(file.read("metadata.csv").decode()))
    assert (row["id"], row["direction"], row["number"], row["state"]) == (fax, "sent", "+33199000001", "ready")
    assert row["at"] == lines(file)[0]["at"] and row["at"].endswith("+00:00")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2", "'-2"),
        ("\tx", "'\tx"),
        ("+33199000001", "+33199000001"),
        ("letter", "letter"),
        (["a.pdf", "b.tif"], "a.pdf b.tif"),
        (None, ""),
        (0, "0"),
    ],
)
async def test_no_cell_is_a_formula(value: object, cell: str) -> None:
    """Subjects and names are strangers' words; a number in international form is none."""
    assert _cell(value) == cell
