"""Targets and rules of received faxes: their tables of the settings file, their interface, and replies to callers."""

from __future__ import annotations

import asyncio

from faxgw.api.routing import RoutingRoutes
from faxgw.delivery import seal
from faxgw.dispatch.replying import Replying
from faxgw.dispatch.target_test import TargetTester
from faxgw.fax.target import Encryption
from faxgw.parts.house import House, Part
from faxgw.settings import Many, Settings
from faxgw.store import routing_seed
from faxgw.store.routing_seed import RuleSection, TargetSection


async def _lay(house: House, settings: Settings) -> None:
    targets, rules = settings.many("target", TargetSection), settings.many("rule", RuleSection)
    now = house.seat.clock()
    await house.seat.store.run(lambda conn: routing_seed.lay(conn, targets, rules, now=now))


async def _key_fault(how: Encryption, key: str) -> str:
    """Why documents cannot be encrypted for a recipient's key or certificate; empty when they can."""
    match how:
        case Encryption.CERTIFICATE:
            return await asyncio.to_thread(seal.certificate_fault, key)
        case Encryption.PGP:
            return await seal.key_fault(key)
    return ""


async def _start(house: House) -> None:
    await _lay(house, house.settings)

    async def take_on(settings: Settings) -> None:
        await _lay(house, settings)

    house.on_reload(take_on)
    house.station(Replying(house.seat, house.jobs).station)
    house.administer(RoutingRoutes(house.ground, house.system, TargetTester(house.seat, house.ways), _key_fault))


def _faults(settings: Settings) -> list[str]:
    return routing_seed.faults(settings.many("target", TargetSection), settings.many("rule", RuleSection))


PART = Part("routing", _start, {"target": Many(TargetSection), "rule": Many(RuleSection)}, _faults)
