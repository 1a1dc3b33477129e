"""Previews over the operator's socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from faxgw.api import previews as module
from faxgw.api.control import ControlServer, Operations
from faxgw.api.previews import PreviewRoutes
from faxgw.client import Control, Unwilling
from faxgw.fax.errors import Refused
from faxgw.fax.prediction import predict
from faxgw.fax.preview import Preview, PreviewedPage
from faxgw.fax.resolution import Resolution
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Scripted:
    """Shows two pages; has no third; hangs when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int | None, bool]] = []
        self.hangs = False

    async def preview(self, fax: str, page: int | None = None, *, pictures: bool = True) -> Preview:
        self.asked.append((fax, page, pictures))
        if self.hangs:
            await asyncio.Event().wait()
        if page == 3:
            raise Refused("no such page", public="This fax has 2 pages, and no page 3.")
        found = tuple(
            PreviewedPage(one, 2286, 1000, 0.55, b"\x89PNG" * pictures) for one in ((page,) if page else (1, 2))
        )
        return Preview(fax, "ready", "", 5.0, Resolution.FINE, 1, predict([1000, 1000]), "nothing", found)


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest_asyncio.fixture(loop_scope="session")
async def control(house: House, scripted: Scripted) -> AsyncIterator[Control]:
    operations = Operations(
        house.store, house.files, None, house.seat(), house.clock, dict,  # type: ignore[arg-type]
        accounts=PreviewRoutes(house.store, scripted).routes(),
    )  # fmt: skip
    server = ControlServer(house.folder, operations)
    await server.start()
    yield Control(house.folder)
    await server.stop()


async def test_a_fax_is_shown_without_its_pictures_and_each_page_as_one(
    house: House, control: Control, scripted: Scripted
) -> None:
    fax = await house.ready_fax()
    found = await control.preview(fax)
    assert (found["fax"], found["as"], found["faxes"]) == (fax, "it would go out now", 1)
    assert found["pages"] == [{"page": page, "rows": 2286, "octets": 1000, "seconds": 0.6} for page in (1, 2)]
    assert found["expected"]["pages"] == 2 and found["expected"]["known"] == "nothing"
    assert await control.preview_page(fax, 2) == b"\x89PNG"
    assert scripted.asked == [(fax, None, False), (fax, 2, True)]


async def test_a_job_is_shown_by_its_first_fax(house: House, control: Control) -> None:
    job, faxes = await house.job("+33199000001", "+33199000002")
    found = await control.preview(job)
    assert (found["fax"], found["faxes"]) == (faxes[0], 2)


async def test_what_is_not_there_is_told_in_words(
    house: House, control: Control, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unwilling) as missing:
        await control.preview("FN00000000000000000000")
    assert "There is no fax or job" in missing.value.public
    fax = await house.ready_fax()
    with pytest.raises(Unwilling) as beyond:
        await control.preview_page(fax, 3)
    assert beyond.value.public == "This fax has 2 pages, and no page 3."
    monkeypatch.setattr(module, "WITHIN", 0.01)
    scripted.hangs = True
    with pytest.raises(Unwilling) as late:
        await control.preview(fax)
    assert late.value.public == "The preview was not made in time."
