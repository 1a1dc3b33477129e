"""Accounts: the interface that manages them, and the directories they are synchronised with."""

from __future__ import annotations

from faxgw.api.admin import AdminRoutes
from faxgw.api.administration import description
from faxgw.intake import directory_settings
from faxgw.intake.directory_import import DirectoryImports
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.parts.house import House, Part
from faxgw.settings import Many, Settings


async def _start(house: House) -> None:
    settings = house.settings.many("directory", DirectorySettings)
    imports = house.imports = DirectoryImports(house.ground.store, settings, house.ground.clock, house.system)
    house.task(imports.run(), "directories")
    house.administer(AdminRoutes(house.ground, house.passwords, house.system, imports))
    house.mount(description(house.ground, house.offices))


def _faults(settings: Settings) -> list[str]:
    return directory_settings.faults(settings.many("directory", DirectorySettings))


PART = Part("directories", _start, {"directory": Many(DirectorySettings)}, _faults)
