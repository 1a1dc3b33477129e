"""The file of one attempt: its time, its page numbers and its marks are the attempt's own."""

from __future__ import annotations

import os
from typing import cast

import pytest

from faxgw.dispatch.composing import Composer, Part
from faxgw.dispatch.outbound import Outbound
from faxgw.document.client import PageClient
from faxgw.fax.account import from_snapshot
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.resolution import Resolution
from tests.dispatch.doubles import Pages, ScriptedLine, is_busy, receives_well
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_each_try_is_stamped_with_its_own_time_and_all_pages_of_the_fax(house: House) -> None:
    """The number called and our ident, too; a call that resumes has pages 1 to n, of which it sends the rest."""
    fax = await house.ready_fax(header="%P/%T %H:%M", csid="+33 1", time_zone="Europe/Paris", language="fr")
    client = Pages()
    line = ScriptedLine([is_busy, receives_well])
    outbound = Outbound(house.seat(), cast(PageClient, client), line)
    begun = house.now
    await outbound.call(fax)
    await house.wait(fax)
    later = house.now
    await outbound.call(fax)
    assert later > begun and [one.context.when.timestamp() for one in client.composed] == [begun, later]
    for options in client.composed:
        assert (options.context.number, options.context.csid) == ("+33199000001", "+33 1")
        assert (options.context.zone, options.context.language, options.header) == (
            "Europe/Paris", "fr", "%P/%T %H:%M",
        )  # fmt: skip
        assert (options.first_page, options.last_page) == (1, None)
    assert [plan.documents[0].first for plan in line.calls] == [1, 1]


async def test_a_resumed_fax_is_composed_whole_and_marked_where_it_is_in_doubt(house: House) -> None:
    fax = await house.ready_fax(pages=3)
    await house.call(fax, Outcome(Cause.REMOTE_HUNG_UP, connected=True, exposed=True, doubtful=True), confirmed=1)
    await house.wait(fax)
    client = Pages()
    line = ScriptedLine([receives_well])
    await Outbound(house.seat(), cast(PageClient, client), line).call(fax)
    (options,), (plan,) = client.composed, line.calls
    assert (options.first_page, options.last_page, options.marked) == (1, None, (2,))
    (document,) = plan.documents
    assert (document.first, document.last, document.pages_in_file) == (2, 3, 3)


async def test_a_part_of_a_fax_is_composed_with_pictures(house: House) -> None:
    fax = await house.ready_fax(pages=3)
    client = Pages()
    composer = Composer(house.seat(), cast(PageClient, client))
    prepared = await house.prepared(fax)
    made = await composer.compose(
        prepared, from_snapshot(prepared.settings), Resolution.FINE, Part(2, 2, pictures=True)
    )
    assert os.pread(made.fd, 20, 0)
    made.close()
    (options,) = client.composed
    assert (options.first_page, options.last_page, options.pictures) == (2, 2, True)
    await composer.close()
