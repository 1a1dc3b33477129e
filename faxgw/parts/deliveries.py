"""Ways out of received faxes beside mail: SFTP, FTP, programs, polling, pick-up areas, folders, printers."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field
from sqlalchemy import Connection

from faxgw.api import accesses
from faxgw.api.faxin import FaxinApi, expire_for_ever
from faxgw.api.settings import ApiSettings
from faxgw.delivery.folder import FolderWay, PickupWay
from faxgw.delivery.ftp import FtpWay
from faxgw.delivery.printing import PrintWay
from faxgw.delivery.pull import PullWay
from faxgw.delivery.received import ReceivedDelivery, Way
from faxgw.delivery.received_webhook import WebhookWay
from faxgw.delivery.sftp import SftpWay
from faxgw.egress import Egress
from faxgw.fax.errors import FaxError
from faxgw.fax.target import Target, TargetKind
from faxgw.formats.received_payload import ReceivedFacts
from faxgw.intake.area import Areas
from faxgw.intake.pickup import Pickup
from faxgw.intake.threads import Threads
from faxgw.parts.house import House, Part
from faxgw.settings import Section
from faxgw.store import laid, targets
from faxgw.store.journal import note
from faxgw.store.received_facts import facts_of
from faxgw.webserver import PartState

PICKUP = "pickup"
"""Folder of the pick-up areas, in the data folder."""
MAX_ALARMS = 20
"""Targets with a wrong host key that are remembered."""
PRUNE_S = 3_600.0
"""Seconds between two looks for files that are too old."""

log = logging.getLogger(__name__)


class DeliverySettings(Section):
    """`[deliveries]`: where received faxes may be laid on this machine."""

    folders: Annotated[tuple[Path, ...], Field(max_length=100)] = ()
    """Folders of this machine below which targets of the kind `folder` may lie; none unless they stand here."""


async def _start(house: House) -> None:
    settings, ground = house.settings.one("deliveries", DeliverySettings), house.ground
    store, files = house.seat.store, house.seat.files
    api = house.settings.one("api", ApiSettings)
    egress = Egress(api.push_networks)
    ftp = FtpWay(egress)
    house.closing.callback(ftp.close)
    ways: dict[TargetKind, Way] = {
        TargetKind.SFTP: SftpWay(egress, _alarms(house)),
        TargetKind.FTP: ftp,
        TargetKind.WEBHOOK: WebhookWay(egress, ground.clock, ground.ticks),
        TargetKind.PULL: PullWay(store, files, ground.clock),
        TargetKind.FOLDER: FolderWay(settings.folders),
        TargetKind.PRINT: PrintWay(egress),
        TargetKind.PICKUP: PickupWay(_pickup(house).folder),
    }

    async def facts(reception: str) -> ReceivedFacts:
        return await store.read(lambda conn: facts_of(conn, reception))

    async def in_use(told: Target) -> tuple[Target, Mapping[str, str]]:
        return await store.read(lambda conn: targets.in_use(conn, told))

    for kind, way in ways.items():
        house.ways[kind.parcel] = ReceivedDelivery(way, facts, in_use)
    house.mount(FaxinApi(ground).routes())
    house.task(expire_for_ever(ground, files), "fetched faxes")


def _alarms(house: House) -> Callable[[str, str], None]:
    """What is wrong with targets that somebody must look at, as a part of the gateway's health."""
    wrong: OrderedDict[str, str] = OrderedDict()

    def alarm(target: str, text: str) -> None:
        wrong.pop(target, None)
        if text:
            wrong[target] = text
        while len(wrong) > MAX_ALARMS:
            wrong.popitem(last=False)

    def state() -> PartState:
        return PartState(not wrong, "; ".join(f"target {name}: {text}" for name, text in wrong.items()), True)

    house.health.add("targets", state)
    return alarm


def _pickup(house: House) -> Pickup:
    """The pick-up areas, shown by the file servers where there are some."""
    ground, threads = house.ground, Threads()
    house.closing.push_async_callback(threads.close)
    areas = Areas(house.data / PICKUP, lambda: ground.files.require_room(house.watermark), threads)

    async def removed(customer: str, login: str, name: str) -> None:
        def unit(conn: Connection) -> None:
            note(conn, login[:48], "pickup.removed", now=ground.clock(), who=login, data={"file": name})

        try:
            await house.seat.store.run(unit)
        except FaxError as exc:
            log.error("pick-up not noted", extra={"event": "pickup.note", "why": str(exc)})

    async def opened(customer: str, login: str, name: str) -> None:
        now = ground.clock()
        reception = await house.seat.store.read(partial(laid.reception_of, customer=customer, login=login, name=name))
        await accesses.record(
            house.seat.store, accesses.DOCUMENT, reception, who=f"login:{login}", way="pickup", now=now,
            customer=customer, data={"file": name},
        )  # fmt: skip

    pickup = Pickup(house.data / PICKUP, areas, ground.access, removed, opened)
    house.closing.callback(pickup.close)
    if house.files is not None:
        house.files.more.append(pickup.places)
    house.task(_prune(pickup, house), "pick-up areas")
    return pickup


async def _prune(pickup: Pickup, house: House) -> None:
    while True:
        try:
            if removed := await pickup.prune(house.ground.clock()):
                log.info("old faxes removed", extra={"event": "pickup.old", "files": removed})
        except OSError as exc:
            log.error("pick-up areas not kept in order", extra={"event": "pickup.order_failed", "why": str(exc)})
        await asyncio.sleep(PRUNE_S)


PART = Part("deliveries", _start, {"deliveries": DeliverySettings})
"""After `files`, whose servers show the pick-up areas."""
