"""The daily mail about faxes that were set aside as junk (docs/junk.md)."""

from __future__ import annotations

from faxgw.dispatch.junk_mail import JunkMail
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    house.task(JunkMail(house.seat).run_for_ever(), "junk mail")


PART = Part("junk_mail", _start)
