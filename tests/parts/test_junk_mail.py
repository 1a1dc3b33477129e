"""The daily mail about what was set aside is somebody's task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from faxgw.parts import junk_mail
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_it_runs_as_long_as_the_gateway(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, junk_mail.PART) as one:
        assert one.tasks == {"junk mail"} and not any(task.done() for task in one.gateway.tasks)
        assert one.paths == {"/junk/{reception}/{token}"}


@pytest.mark.parametrize(
    "public_url, plain, origin",
    [
        ("", True, ""),
        ("https://fax.example.org", False, "https://fax.example.org"),
        ("http://fax.example.org", False, ""),
        ("http://fax.example.org", True, "http://fax.example.org"),
    ],
)
async def test_links_are_sent_where_nobody_reads_along(
    house: House, tmp_path: Path, public_url: str, plain: bool, origin: str
) -> None:
    async with started(house, tmp_path, junk_mail.PART) as one:
        ground = replace(one.gateway.ground, public_url=public_url, plain_logins=plain)
        assert junk_mail.origin_of_links(replace(one.gateway, ground=ground)) == origin
