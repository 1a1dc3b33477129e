"""Rendered letterheads: one object for each content, paper and resolution."""

from __future__ import annotations

import pytest

from faxgw.store import letterheads, sweep, templates
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_there_already_stays_and_the_second_maker_is_told(house: House) -> None:
    """Two jobs may render the same letterhead at the same time."""
    fine, again, standard = await house.keep(b"fine"), await house.keep(b"again"), await house.keep(b"standard")
    assert await house.do(letterheads.keep, "a" * 64, "A4", {"fine": fine}) == {"fine": fine}
    kept = await house.do(letterheads.keep, "a" * 64, "A4", {"fine": again, "standard": standard})
    assert kept == {"fine": fine, "standard": standard}
    assert await house.ask(letterheads.find, "a" * 64, "A4") == kept
    assert not await house.ask(letterheads.find, "a" * 64, "Letter")
    assert not await house.ask(letterheads.find, "b" * 64, "A4")


async def test_the_sweep_leaves_them_alone(house: House) -> None:
    file, orphan = await house.keep(b"fine"), await house.keep(b"orphan")
    await house.do(letterheads.keep, "c" * 64, "A4", {"fine": file})
    assert await house.ask(sweep.known_keys, [file.key, orphan.key]) == {file.key}


async def test_what_no_template_is_made_of_any_more_is_forgotten(house: House) -> None:
    file, content = await house.keep(b"fine"), b"%PDF head"
    template = await house.do(
        templates.keep, "acme", templates.Kind.OVERLAY, "head", format="pdf", content=content, who="op", now=house.now
    )
    for sha256 in (template.sha256, "d" * 64):
        await house.do(letterheads.keep, sha256, "A4", {"fine": file})
    assert await house.do(letterheads.forget_unused) == 1
    assert await house.ask(letterheads.find, template.sha256, "A4") == {"fine": file}
    assert not await house.ask(letterheads.find, "d" * 64, "A4")
