"""Archive, holds, purge, audit and junk over the operator's socket, with the client that the commands use."""

from __future__ import annotations

import csv
import getpass
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from sqlalchemy import update

from faxgw.api.control import ControlServer, Operations
from faxgw.api.http import Ground
from faxgw.api.keeping import KeepingRoutes
from faxgw.client import Control, Unwilling
from faxgw.dispatch.archive_export import ArchiveExport
from faxgw.dispatch.purging import Purger
from faxgw.fax.access import OPERATOR
from faxgw.store import audit
from faxgw.store import schema as t
from faxgw.store.space import Watermark
from tests.house import House
from tests.store.test_purge import received, sent

pytestmark = pytest.mark.asyncio(loop_scope="session")

ME = f"user:{getpass.getuser()}"


@pytest_asyncio.fixture(loop_scope="session")
async def control(house: House) -> AsyncIterator[Control]:
    nobody = cast(Any, None)  # no login and no mail comes by the operator's socket here
    ground = Ground(
        house.store, house.files, nobody, Watermark(0, render_budget=0, percent=0), house.clock, house.clock
    )
    purger = Purger(house.seat(), lambda: True)
    routes = KeepingRoutes(ground, purger, ArchiveExport(house.seat())).control_routes(OPERATOR)
    operations = Operations(
        house.store, house.files, nobody, house.seat(), house.clock, lambda: {"version": "1"}, accounts=routes
    )
    server = ControlServer(house.folder, operations)
    await server.start()
    yield Control(house.folder)
    await server.stop()


async def test_the_archive_is_found_by_number_period_reference_and_text(house: House, control: Control) -> None:
    job, (fax,) = await sent(house)
    await house.change(update(t.jobs).values(reference="Order 100%"))
    house.clock.now += 86_400
    reception = await received(house, text="Invoice of the Zanzibar company")

    async def found(**query: str) -> list[str]:
        return [one["id"] for one in (await control.admin("GET", "archive", query=query))["faxes"]]

    assert await found() == [fax, reception]
    assert await found(number="+33199000001") == [fax]
    assert await found(number="+4989555") == [reception]
    assert await found(reference="order 100%") == [fax] and await found(reference="order 1000") == []
    assert await found(reference=job) == [fax]
    assert await found(text="zanzibar") == [reception] and await found(text="z%r") == []
    assert await found(since=str(house.now - 10)) == [reception]
    assert await found(until="2026-11-19") == [fax]
    assert await found(customer="beta") == []
    first = await control.admin("GET", "archive", query={"limit": "1"})
    then = await control.admin("GET", "archive", query={"limit": "1", "after": first["next"]})
    assert [one["id"] for one in then["faxes"]] == [reception]


async def test_an_export_is_a_whole_zip_file_with_hashes_and_a_record_for_each_fax(
    house: House, control: Control, tmp_path: Path
) -> None:
    _job, (fax,) = await sent(house)
    await house.change(update(t.jobs).values(subject="=cmd()"))
    reception = await received(house)
    target = tmp_path / "archive.zip"
    assert await control.export({}, target) == target.stat().st_size
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None
        names = set(file.namelist())
        sums = dict(line.split("  ")[::-1] for line in file.read("SHA256SUMS").decode().splitlines())
        assert {name: hashlib.sha256(file.read(name)).hexdigest() for name in sums} == sums
        lines = [json.loads(line) for line in file.read("metadata.jsonl").decode().splitlines()]
        table = list(csv.DictReader(io.StringIO(file.read("metadata.csv").decode())))
    assert names == {*sums, "SHA256SUMS"} >= {f"documents/{fax}.tif", f"documents/{reception}.pdf"}
    assert {line["id"] for line in lines} == {row["id"] for row in table} == {fax, reception}
    assert next(row for row in table if row["id"] == fax)["subject"] == "'=cmd()"
    assert next(row for row in table if row["id"] == fax)["number"] == "+33199000001"
    records = [r for r in await house.ask(audit.listed) if r.what == "document.exported"]
    assert {(r.entity, r.who, r.way) for r in records} == {(fax, ME, "cli"), (reception, ME, "cli")}
    with pytest.raises(Unwilling, match="exists"):
        await control.export({}, target)


async def test_a_missing_document_is_named_and_the_rest_is_exported(
    house: House, control: Control, tmp_path: Path
) -> None:
    reception = await received(house)
    _job, (fax,) = await sent(house)
    for path in (house.folder / "objects").rglob("*"):
        if path.is_file() and path.read_bytes().startswith(b"%PDF-1.4 fax"):
            path.unlink()
    await control.export({}, tmp_path / "archive.zip")
    with zipfile.ZipFile(tmp_path / "archive.zip") as file:
        lines = {one["id"]: one for one in map(json.loads, file.read("metadata.jsonl").decode().splitlines())}
    assert lines[reception]["missing"] == [f"{reception}.pdf"] and lines[fax]["missing"] == []


async def test_holds_are_set_listed_and_lifted_with_reasons(house: House, control: Control) -> None:
    hold = await control.admin("POST", "holds", body={"customer": "acme", "since": "2026-11-01", "reason": "case 7"})
    (listed,) = (await control.admin("GET", "holds"))["holds"]
    assert (listed["id"], listed["reason"], listed["set_by"]) == (hold["id"], "case 7", ME)
    await control.admin("POST", "holds", hold["id"], "lift", body={"reason": "settled"})
    assert (await control.admin("GET", "holds"))["holds"] == []
    assert len((await control.admin("GET", "holds", query={"all": "1"}))["holds"]) == 1
    for wrong in ({}, {"reason": "x"}, {"reason": "x", "customer": "nobody"}, {"x": 1}, {"reason": "x", "since": "?"}):
        with pytest.raises(Unwilling):
            await control.admin("POST", "holds", body=wrong)
    with pytest.raises(Unwilling, match="no hold"):
        await control.admin("POST", "holds", hold["id"], "lift", body={"reason": "again"})


async def test_the_purge_says_what_it_would_do_and_does_it(house: House, control: Control) -> None:
    job, _faxes = await sent(house, keep_days=1)
    assert (await control.admin("GET", "purge"))["due"] == []
    house.clock.now += 3 * 86_400
    (one,) = (await control.admin("GET", "purge"))["due"]
    assert (one["entity"], one["step"], one["held"]) == (job, "documents", "")
    assert (await control.admin("POST", "purge"))["documents"] == 1
    assert (await control.admin("GET", "purge"))["due"] == []


async def test_who_reads_a_document_is_written_down_with_the_user_the_kernel_names(
    house: House, control: Control
) -> None:
    reception = await received(house)
    _job, (fax,) = await sent(house)
    await control.document(reception[:20])
    await control.tiff(fax)
    with pytest.raises(Unwilling):
        await control.document("rcv_nothing")
    records = [one for one in await house.ask(audit.listed) if one.what.endswith(".read")]
    assert [(one.what, one.entity, one.who) for one in records] == [
        ("document.read", reception, ME), ("pages.read", fax, ME),
    ]  # fmt: skip
    delivered = [one for one in await house.ask(audit.listed, entity=reception) if one.what == "document.delivered"]
    assert [one.who for one in delivered] == ["alice@example.org"]


async def test_the_audit_is_listed_and_verified_against_anchors(house: House, control: Control) -> None:
    for number in range(3):
        await house.do(audit.write, "x", f"e{number}", who="w", way="api", now=house.now)
    kept = (await control.admin("GET", "audit", "anchor"))["anchor"]
    records = (await control.admin("GET", "audit", query={"fax": "e1"}))["records"]
    assert [one["serial"] for one in records] == [2]
    good = await control.admin("POST", "audit", "verify", body=f"1795000000 {kept}\n".encode())
    assert good == {"ok": True, "checked": 3, "broken": None}
    await house.change(update(t.audit).where(t.audit.c.serial == 2).values(who="nobody"))
    broken = await control.admin("POST", "audit", "verify")
    assert broken["ok"] is False and broken["broken"]["serial"] == 2
    with pytest.raises(Unwilling, match="NUMBER:HASH"):
        await control.admin("POST", "audit", "verify", body=b"nonsense")
