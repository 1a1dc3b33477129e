"""Every way out that a target may name is there, and who fetches from a pick-up area is written down."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from faxgw.delivery.received import ReceivedDelivery
from faxgw.fax.access import Caller, Scope
from faxgw.fax.target import TargetKind
from faxgw.intake.area import owner_folder
from faxgw.intake.tree import Opening, Tree, read_path
from faxgw.parts import deliveries, files
from faxgw.store import schema as t
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECEPTION = f"rcv_{5:032x}"


async def test_each_kind_of_target_has_its_way_and_mail_is_the_cores(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, deliveries.PART) as one:
        kinds = {kind.parcel for kind in TargetKind if kind is not TargetKind.MAIL}
        assert {name for name, way in one.gateway.ways.items() if isinstance(way, ReceivedDelivery)} == kinds
        assert {"fetched faxes", "pick-up areas"} <= one.tasks
        assert any("{topic}" in path for path in one.paths)


async def test_a_file_that_is_fetched_leaves_a_record_with_its_fax(house: House, tmp_path: Path) -> None:
    """docs/audit.md; over the file servers of the part `files`."""
    async with started(house, tmp_path, files.PART, deliveries.PART, text="[sftp]\nlisten = ['127.0.0.1:0']\n") as one:
        await one.door.login("erp")
        assert one.gateway.files is not None
        (places,) = one.gateway.files.more
        area = tmp_path / deliveries.PICKUP
        caller = Caller("acme", "", "erp", "", frozenset({Scope.INBOX_READ}), "192.0.2.1")
        folder = owner_folder(area, "acme", "erp") / "faxes"
        folder.mkdir(parents=True)
        (folder / f"acme-{RECEPTION}.pdf").write_bytes(b"%PDF")
        tree = Tree(await places(caller))
        opened = await tree.open(read_path(f"/faxes/acme-{RECEPTION}.pdf"), Opening())
        assert await opened.read(0, 9) == b"%PDF"
        await opened.close(complete=True)
        columns = [t.audit.c[name] for name in ("what", "entity", "who", "way", "customer")]
        rows = [tuple(row) for row in await house.rows(select(*columns))]
        assert rows[-1] == ("document.read", RECEPTION, "login:erp", "pickup", "acme")
