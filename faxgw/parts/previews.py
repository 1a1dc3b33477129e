"""Previews of faxes of the queue, on the operator's socket."""

from __future__ import annotations

from faxgw.api.previews import PreviewRoutes
from faxgw.dispatch.preview import Previewer
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    previews = Previewer(house.seat, house.pages)
    house.closing.push_async_callback(previews.close)
    house.control.extend(PreviewRoutes(house.ground.store, previews).routes())


PART = Part("previews", _start)
